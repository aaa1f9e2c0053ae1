package dash_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// FuzzRewrite holds for every document: an error comes without a result and says where; a result is well-formed, each
// URL that a player makes of it is one that the gateway answers, no byte range is left, and rewriting it again is refused once
// it has signals.
func FuzzRewrite(f *testing.F) {
	for _, mpd := range documents(f) {
		f.Add(mpd, "")
		f.Add(mpd, "viewer")
	}
	for _, seed := range []string{
		goodVideo(),
		video(segments("/i.mp4?a=1", "../$Number%05d$.m4s?n=$Number$&amp;r=$RepresentationID$") + goodRep),
		video(segments("$RepresentationID$/i", "$RepresentationID$/$Bandwidth%03d$-$Time$") + `<Representation id=".." bandwidth="7"/>`),
		video(`<SegmentTemplate duration="2" media="a:b/$Number$"><Initialization sourceURL="./a:b"/></SegmentTemplate>` + goodRep),
		`<BaseURL>https://x.example/</BaseURL><BaseURL><![CDATA[../]]></BaseURL>` + goodVideo(),
		`<x:BaseURL xmlns:x="urn:x">a</x:BaseURL>` + goodVideo(),
		`<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"><BaseURL>x?y</BaseURL></Representation></AdaptationSet></Period>`,
		video(rep(`<BaseURL>f$x.mp4?a</BaseURL><SegmentBase indexRange="10-20" timescale="7" presentationTimeOffset="9"><Initialization range="0-9"/></SegmentBase>`)),
		`<Period><SegmentBase indexRange="10-20"/><AdaptationSet mimeType="video/mp4"><BaseURL>../f.mp4</BaseURL><Representation id="1"/></AdaptationSet></Period>`,
		video(`<SegmentList timescale="3"><Initialization sourceURL="../i" range="1-2"/><SegmentTimeline><S t="1" d="2" r="-1"/><S t="9" d="3" r="7"/></SegmentTimeline>` +
			`<SegmentURL mediaRange="5-9"/><SegmentURL media="/a:b?c" index="x" indexRange="y"/></SegmentList>` + rep(`<BaseURL>f.mp4</BaseURL>`)),
		`<Location>n.mpd?x</Location><PatchLocation/><UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="/x"/>` + goodVideo(),
	} {
		f.Add([]byte(head+seed+tail), "s")
	}
	f.Fuzz(func(t *testing.T, mpd []byte, session string) {
		if strings.ContainsFunc(session, func(c rune) bool { return c < 'a' || c > 'z' }) {
			session = "s"
		}
		g := newGateway()
		g.session = session
		o := options(g)
		original := bytes.Clone(mpd)
		out, err := dash.Rewrite(t.Context(), mpd, o)
		if !bytes.Equal(original, mpd) {
			t.Fatal("the document was written to")
		}
		if err != nil {
			var syntax *dash.SyntaxError
			if out != nil || !errors.As(err, &syntax) || syntax.Line < 1 {
				t.Fatalf("%s, %#v", out, err)
			}
			return
		}
		if err := checkResult(g, out, o.From); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if !bytes.Contains(out, []byte(testKID.String())) {
			return
		}
		if _, err := dash.Rewrite(t.Context(), out, o); err == nil {
			t.Fatal("rewritten twice")
		}
	})
}

// checkResult looks at a result as a player does, and at every BaseURL of it.
func checkResult(g *gateway, out []byte, from string) error {
	urls, _, err := play(out, from)
	if err != nil {
		return err
	}
	for _, u := range urls {
		if _, err := g.open(u); err != nil {
			return err
		}
	}
	return checkBases(out)
}

// checkBases makes sure that no BaseURL, template or listed URL is absolute, and that nothing counts bytes of the clear file,
// wherever a player might look for it.
func checkBases(out []byte) error {
	d := xml.NewDecoder(bytes.NewReader(out))
	var open []string
	for {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // the end; that the document is well-formed was seen before
		}
		var texts []string
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Space != "" || slices.Contains(open, "Event") {
					continue
				}
				switch name := token.Name.Local + "@" + a.Name.Local; name {
				case "SegmentTemplate@media", "SegmentTemplate@initialization", "SegmentURL@media", "Initialization@sourceURL":
					texts = append(texts, a.Value)
				case "SegmentBase@indexRange", "SegmentURL@mediaRange", "SegmentURL@indexRange", "SegmentURL@index", "Initialization@range":
					return fmt.Errorf("%w: %s", address.ErrRange, name)
				}
			}
		case xml.CharData:
			// An Event holds whatever its owner likes.
			if len(open) > 0 && open[len(open)-1] == "BaseURL" && !slices.Contains(open, "Event") {
				texts = append(texts, string(token))
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		}
		for _, text := range texts {
			if strings.HasPrefix(text, "/") || strings.Contains(strings.SplitN(text, "?", 2)[0], "://") {
				return fmt.Errorf("%w: %q", address.ErrForeign, text)
			}
		}
	}
}
