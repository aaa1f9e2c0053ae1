package dash_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// TestTimelinesReadEitherWay compares the short cut through a SegmentTimeline with the decoder: a comment at its
// beginning turns the short cut off.
func TestTimelinesReadEitherWay(t *testing.T) {
	const comment = "<!-- off -->"
	around := func(s string) string {
		return head + video(`<SegmentTemplate initialization="i" media="$Time$"><SegmentTimeline>`+s+`</SegmentTimeline></SegmentTemplate>`+goodRep) + tail
	}
	for name, s := range map[string]string{
		"empty":             "",
		"plain":             "\n <S t=\"0\" d=\"2\" r=\"-1\"/>\n\t<S d=\"3\" k='4' />\n <S />\n",
		"end tag":           `<S d="1"></S><S d="2"/>`,
		"comment":           `<S d="1"/><!-- x --><S d="2"/>`,
		"unknown attribute": `<S d="1" x="&amp;"/><S d="2"/>`,
		"longer name":       `<S d="1"/><SX d="1"/><S d="2"/>`,
		"twice":             `<S d="1"/><S d="1" d="2"/>`,
		"not a number":      `<S d="&#49;"/>`,
		"no space":          `<S d="1"t="2"/>`,
		"wrong end":         `<S d="1"/></S>`,
		"other name":        `<x:S d="1"/>`,
		"remote":            `<S d="1"/><S xmlns:l="http://www.w3.org/1999/xlink" l:href="x"/>`,
		"cut":               `<S d="1`,
		"cut later":         `<S d="1"`,
		"NUL":               "<S d=\"1\"/>\x00",
	} {
		t.Run(name, func(t *testing.T) {
			fast, fastErr := dash.Rewrite(t.Context(), []byte(around(s)), options(newGateway()))
			slow, slowErr := dash.Rewrite(t.Context(), []byte(around(comment+s)), options(newGateway()))
			if diff := cmp.Diff(strings.Replace(string(slow), comment, "", 1), string(fast)); diff != "" {
				t.Error(diff)
			}
			if (fastErr == nil) != (slowErr == nil) || fastErr != nil && fastErr.Error() != slowErr.Error() {
				t.Errorf("%v, and in full %v", fastErr, slowErr)
			}
		})
	}
}

func TestTimelineOfAPrefix(t *testing.T) {
	doc := []byte(`<m:MPD xmlns:m="urn:mpeg:dash:schema:mpd:2011"><m:Period><m:AdaptationSet mimeType="video/mp4"><m:SegmentTemplate initialization="i" media="$Time$">` +
		"<m:SegmentTimeline>\n<m:S d=\"1\"/><S/>\n</m:SegmentTimeline></m:SegmentTemplate><m:Representation id=\"1\"/></m:AdaptationSet></m:Period></m:MPD>")
	out, err := dash.Rewrite(t.Context(), doc, options(newGateway()))
	if err != nil || !bytes.Contains(out, []byte("<m:SegmentTimeline>\n<m:S d=\"1\"/><S/>\n</m:SegmentTimeline>")) ||
		!bytes.Contains(out, []byte("</m:BaseURL></m:Representation>")) {
		t.Errorf("%s, %v", out, err)
	}
}

func TestTimelineCountsItsElements(t *testing.T) {
	mpd := head + video(`<SegmentTemplate initialization="i" media="$Time$"><SegmentTimeline>`+strings.Repeat(`<S d="1"/>`, 200_000)+
		`</SegmentTimeline></SegmentTemplate>`+goodRep) + tail
	if _, err := dash.Rewrite(t.Context(), []byte(mpd), options(newGateway())); !errors.Is(err, dash.ErrLimit) {
		t.Error(err)
	}
}
