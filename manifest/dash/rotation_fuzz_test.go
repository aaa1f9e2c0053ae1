package dash_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// FuzzRotate holds for every document that is cut: an error comes without a result; a result is one that the gateway answers, none
// of its Periods has the id of another, and its size stays within what the limits allow.
func FuzzRotate(f *testing.F) {
	for _, mpd := range documents(f) {
		f.Add(mpd, uint16(4), uint32(1_800_000_000))
	}
	for _, seed := range []string{
		`<Period><EventStream timescale="3" presentationTimeOffset="7"><Event presentationTime="40"/><Event/></EventStream>` + setOf("video", timed) + setOf("audio", timed) + `</Period>`,
		`<Period start="PT1M0.5S" duration="P1DT2H">` + setOf("video", counted) + `</Period><Period>` + setOf("audio", strings.Replace(timed, `"14"`, `"-1"`, 1)) + `</Period>`,
		`<Period><AdaptationSet mimeType="text/vtt"><Representation id="1"><BaseURL>x?y</BaseURL><SegmentBase timescale="7"/></Representation></AdaptationSet>` + setOf("video", timed) + `</Period>`,
		video(rep(`<BaseURL>f$x.mp4?a</BaseURL><SegmentBase indexRange="10-20" timescale="7" presentationTimeOffset="9"><Initialization range="0-9"/></SegmentBase>`)),
		video(`<SegmentList timescale="3"><Initialization sourceURL="../i" range="1-2"/><SegmentTimeline><S t="1" d="20" r="-1"/><S t="99" d="33" r="7"/></SegmentTimeline>` +
			`<SegmentURL mediaRange="5-9"/><SegmentURL media="/a:b?c"/><SegmentURL media="d"/><SegmentURL media="e"/></SegmentList>` + rep(`<BaseURL>f.mp4</BaseURL>`)),
	} {
		f.Add([]byte(head+seed+tail), uint16(10), uint32(0))
		f.Add([]byte(live1000+seed+tail), uint16(2), uint32(1035))
	}
	f.Fuzz(func(t *testing.T, mpd []byte, length uint16, now uint32) {
		g := newGateway()
		o := options(g)
		o.Rotation = dash.Rotation{Length: time.Duration(length) * time.Second, Now: time.Unix(int64(now), 0)}
		o.ClearLead = 7 * time.Second
		if length%2 == 1 {
			o.Rotation.Replaced, o.Rotation.Oldest = drm.Generations{int64(now) - int64(length), int64(now) - 5}, uint32(length/2%2)
		}
		out, err := dash.Rewrite(t.Context(), mpd, o)
		if err != nil {
			if out != nil {
				t.Fatalf("a result beside %v", err)
			}
			var syntax *dash.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("%#v", err)
			}
			return
		}
		if err := checkResult(g, out, o.From); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		for _, set := range g.sets {
			for _, r := range set.Representations {
				if (r.ClearUntil.Ticks > 0) != (r.ClearUntil.Timescale > 0) || r.ClearUntil.Ticks < 0 {
					t.Fatalf("%+v in\n%s", r.ClearUntil, mpd)
				}
			}
		}
		if length == 0 || len(mpd) > 1<<16 {
			return
		}
		_, m, err := play(out, o.From)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, p := range m.Period {
			if p.ID != "" && ids[p.ID] && strings.Contains(p.ID, "-k") && !strings.Contains(string(mpd), "id") {
				t.Fatalf("%s twice in\n%s", p.ID, out)
			}
			ids[p.ID] = true
		}
	})
}
