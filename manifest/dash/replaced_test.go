package dash_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

var periodIDs = regexp.MustCompile(`<Period id="([^"]*)" start="([^"]*)"`)

// TestReplacedKeysAreOtherPeriods: players keep the addresses of a Period that they know, so that each Period has another id once its keys are
// replaced. Where it begins does not change, and is remembered under the same name.
func TestReplacedKeysAreOtherPeriods(t *testing.T) {
	const mpd = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z">
<Period id="p" start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4">
<SegmentTemplate timescale="1" startNumber="4" initialization="init.mp4" media="$Number$.m4s"><SegmentTimeline><S t="6" d="2" r="9"/></SegmentTimeline></SegmentTemplate>
<Representation id="v" bandwidth="1"/></AdaptationSet></Period></MPD>`
	rewrite := func(generation uint32) (ids, starts, remembered []string) {
		o := rotating(10*time.Second, cutProtector{})
		o.Rotation.Generation = generation
		o.Rotation.Cut = func(c dash.Cut) (time.Duration, error) {
			remembered = append(remembered, c.Original+" "+c.ID)
			return c.Start, nil
		}
		out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range periodIDs.FindAllStringSubmatch(string(out), -1) {
			ids, starts = append(ids, m[1]), append(starts, m[2])
		}
		return ids, starts, remembered
	}
	ids, starts, remembered := rewrite(0)
	if want := []string{"p-k0", "p-k1", "p-k2"}; !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	replaced, sameStarts, sameNames := rewrite(2)
	if want := []string{"p-k0-g2-whole", "p-k1-g2-whole", "p-k2-g2-whole"}; !slices.Equal(replaced, want) {
		t.Errorf("ids with replaced keys %v, want %v", replaced, want)
	}
	if !slices.Equal(starts, sameStarts) || !slices.Equal(remembered, sameNames) || len(remembered) != 2 {
		t.Errorf("starts %v and %v, remembered %v and %v", starts, sameStarts, remembered, sameNames)
	}
}

// TestReplacedKeysWithoutRotation: Periods whose keys do not rotate are others after a re-key, too, and nothing but their ids is.
func TestReplacedKeysWithoutRotation(t *testing.T) {
	const set = `<AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1" duration="2" initialization="init.mp4" media="$Number$.m4s"/>` +
		`<Representation id="v" bandwidth="1"/></AdaptationSet>`
	ids := regexp.MustCompile(`<Period[^>]* id="([^"]*)"`)
	for name, test := range map[string]struct {
		mpd  string
		want []string
	}{
		"live":      {`type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z"><Period id="a" start="PT0S">` + set + `</Period><Period start="PT8S">` + set + `</Period>`, []string{"a-g2-whole", "p8-g2-whole"}},
		"on demand": {`type="static" mediaPresentationDuration="PT20S"><Period duration="PT8S">` + set + `</Period><Period id="b">` + set + `</Period>`, []string{"p0-g2-whole", "b-g2-whole"}},
	} {
		t.Run(name, func(t *testing.T) {
			mpd := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" ` + test.mpd + `</MPD>`
			rewrite := func(generation uint32) string {
				o := rotating(0, cutProtector{})
				o.Rotation.Generation = generation
				out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
				if err != nil {
					t.Fatal(err)
				}
				return string(out)
			}
			first, replaced := rewrite(0), rewrite(2)
			var got []string
			for _, m := range ids.FindAllStringSubmatch(replaced, -1) {
				got = append(got, m[1])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("ids %v, want %v", got, test.want)
			}
			if strings.Contains(first, "-g") {
				t.Errorf("a generation without a re-key:\n%s", first)
			}
			without := regexp.MustCompile(` id="[abp0-9]*(-g2-whole)?"`)
			if without.ReplaceAllString(first, "") != without.ReplaceAllString(replaced, "") {
				t.Errorf("more than ids has changed:\n%s\n%s", first, replaced)
			}
		})
	}
}
