package dash_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// TestClearLead says in ticks of the media of each Period where the lead ends, counted from the start of the first; and changes
// nothing in the MPD.
func TestClearLead(t *testing.T) {
	template := func(attributes string) string {
		return `<SegmentTemplate ` + attributes + ` initialization="i.mp4" media="$Time$.m4s"><SegmentTimeline><S t="0" d="2" r="20"/></SegmentTimeline></SegmentTemplate>`
	}
	video := func(attributes string) string { return setOf("video", template(attributes)) }
	list := setOf("video", `<SegmentList timescale="10" duration="20"><Initialization sourceURL="i.mp4"/><SegmentURL media="1.m4s"/></SegmentList>`)
	live := strings.Replace(head, `"static"`, `"dynamic" availabilityStartTime="1970-01-01T00:00:00Z"`, 1)
	for name, test := range map[string]struct {
		in   string
		want []string
	}{
		"timescale":        {head + `<Period>` + video(`timescale="90000"`) + `</Period>` + tail, []string{"540000/90000"}},
		"no timescale":     {head + `<Period>` + video("") + `</Period>` + tail, []string{"6/1"}},
		"an offset":        {head + `<Period>` + video(`timescale="1000" presentationTimeOffset="123"`) + `</Period>` + tail, []string{"6123/1000"}},
		"a list":           {head + `<Period>` + list + `</Period>` + tail, []string{"60/10"}},
		"two sets":         {head + `<Period>` + video("") + setOf("audio", template(`timescale="48000"`)) + `</Period>` + tail, []string{"6/1", "288000/48000"}},
		"several Periods":  {head + `<Period duration="PT4.5S">` + video("") + `</Period><Period duration="PT1S">` + video(`timescale="2" presentationTimeOffset="7"`) + `</Period><Period duration="PT9S">` + video("") + `</Period>` + tail, []string{"6/1", "10/2", "1/1"}},
		"the lead is over": {head + `<Period duration="PT6S">` + video("") + `</Period><Period duration="PT9S">` + video("") + `</Period>` + tail, []string{"6/1", "0/0"}},
		"a late first one": {head + `<Period start="PT100S">` + video("") + `</Period>` + tail, []string{"6/1"}},
		"no times":         {head + `<Period>` + video("") + `</Period><Period>` + video("") + `</Period>` + tail, []string{"0/0", "0/0"}},
		"a bad timescale":  {head + `<Period>` + video(`timescale="0"`) + `</Period>` + tail, []string{"0/0"}},
		"a bad offset":     {head + `<Period>` + video(`presentationTimeOffset="-1"`) + `</Period>` + tail, []string{"0/0"}},
		"live":             {live + `<Period start="PT0S">` + video("") + `</Period>` + tail, []string{"0/0"}},
	} {
		results := map[time.Duration]string{}
		for _, lead := range []time.Duration{0, 6 * time.Second} {
			g := newGateway()
			g.scheme = 1
			out, err := dash.Rewrite(t.Context(), []byte(test.in), dash.Options{
				Base: address.NewBase(testPath, testOrigins()), From: testPath, Protector: g, ClearLead: lead,
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var got []string
			for _, set := range g.sets {
				end := set.Representations[0].ClearUntil
				got = append(got, fmt.Sprintf("%d/%d", end.Ticks, end.Timescale))
			}
			if results[lead] = string(out); lead > 0 && !slices.Equal(got, test.want) {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
		if results[0] != results[6*time.Second] {
			t.Errorf("%s: the lead changes the MPD", name)
		}
	}
}

// TestClearLeadOfRotatingKeys: all parts of a Period share its media, and the end of the lead in it.
func TestClearLeadOfRotatingKeys(t *testing.T) {
	g := newGateway()
	g.scheme = 1
	mpd := head + `<Period duration="PT30S">` + setOf("video", `<SegmentTemplate timescale="10" presentationTimeOffset="100" initialization="i.mp4" media="$Time$.m4s"><SegmentTimeline><S t="100" d="20" r="14"/></SegmentTimeline></SegmentTemplate>`) + `</Period>` + tail
	o := rotating(10*time.Second, g)
	o.ClearLead = 12 * time.Second
	if _, err := dash.Rewrite(t.Context(), []byte(mpd), o); err != nil {
		t.Fatal(err)
	}
	if len(g.sets) != 3 {
		t.Fatalf("%d questions", len(g.sets))
	}
	for _, set := range g.sets {
		if got := set.Representations[0].ClearUntil; got != (dash.MediaTime{Ticks: 220, Timescale: 10}) {
			t.Errorf("crypto period %d: %+v", set.CryptoPeriod, got)
		}
	}
}
