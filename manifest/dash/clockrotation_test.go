package dash_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// TestPeriodsByTheClock draws live MPDs whose segments are counted by @duration and looks at them at several times: the Periods of
// the time-shift window and the next one are there, they are those of the model, and so are the segments in them.
func TestPeriodsByTheClock(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	zero := seconds(start.Unix(), 1)
	rapid.Check(t, func(t *rapid.T) {
		const count = 200
		scale := rapid.SampledFrom([]int64{90000, 1000, 1}).Draw(t, "timescale")
		length := scale * rapid.Int64Range(1, 6).Draw(t, "seconds")
		constant := func(id, kind string, scale, d, count int64) *modelTrack {
			m := &modelTrack{
				id: id, kind: kind, form: "duration", scale: scale, inSet: rapid.Bool().Draw(t, "in set"),
				pto: rapid.Int64Range(0, 1<<40).Draw(t, "offset"), number: rapid.Int64Range(0, 1<<33).Draw(t, "number"),
			}
			for m.time = m.pto; count > 0; count-- {
				m.durations = append(m.durations, d)
			}
			return m
		}
		p := &modelPeriod{start: rapid.Int64Range(0, 1e12).Draw(t, "start"), id: "x", tracks: []*modelTrack{constant("v1", "video", scale, length, count)}}
		if each := rapid.Int64Range(0, 400).Draw(t, "frames"); each > 40 {
			p.tracks = append(p.tracks, constant("a1", "audio", 48000, each*1024, count*length*48000/scale/each/1024))
		}
		var sets strings.Builder
		for _, m := range p.tracks {
			m.write(&sets, 0, 1)
		}
		window := rapid.Int64Range(0, 100).Draw(t, "window")
		mpd := fmt.Sprintf(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="%s" minimumUpdatePeriod="PT500H" timeShiftBufferDepth="PT%dS">`+
			`<Period id="x" start="PT%d.%09dS">%s</Period></MPD>`, start.Format(time.RFC3339), window, p.start/1e9, p.start%1e9, sets.String())
		o := rotating(time.Duration(rapid.Int64Range(2, 60).Draw(t, "length"))*time.Second, cutProtector{})
		cuts := modelCuts(p, zero, o.Rotation.Length)
		end := count / 2 * length * 1000 / scale
		for at := rapid.Int64Range(0, 20_000).Draw(t, "now"); at < end; at += rapid.Int64Range(500, 60_000).Draw(t, "later") {
			now := time.Duration(p.start) + time.Duration(at)*time.Millisecond
			o.Rotation.Now = start.Add(now)
			out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
			if err != nil {
				t.Fatalf("%v in\n%s", err, mpd)
			}
			m, found, err := listen(out, seconds(int64(now), 1e9))
			if err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			if update := nanosOf(rat(m.Update)); update > int64(o.Rotation.Length)/2 {
				t.Fatalf("asked for again after %s\n%s", m.Update, out)
			}
			checkClock(t, p, m, found, cuts, zero, o.Rotation.Length, now, time.Duration(window)*time.Second, out)
		}
	})
}

// checkClock looks at the Periods that are listed at a time.
func checkClock(t *rapid.T, p *modelPeriod, m cutMPD, found map[string][]heard, cuts []modelCut, zero *big.Rat, length, now, window time.Duration, out []byte) {
	first := 0
	for first < len(cuts) && m.Period[0].ID != fmt.Sprint("x-k", cuts[first].index) {
		first++
	}
	for i, period := range m.Period {
		if c := cuts[first+i]; period.ID != fmt.Sprint("x-k", c.index) || nanosOf(rat(period.Start)) != c.start {
			t.Fatalf("%s at %s, want %d at %d\n%s", period.ID, period.Start, c.index, c.start, out)
		}
	}
	last := first + len(m.Period) - 1
	// The first covers the left edge, and the last is the one behind the present.
	if edge := int64(now - window); cuts[first].start > max(edge, p.start) {
		t.Fatalf("the window from %d begins with %v\n%s", edge, cuts[first], out)
	}
	if present := floorDiv(new(big.Rat).Add(zero, seconds(int64(now), 1e9)), length); cuts[last].index <= present || last > first && cuts[last-1].index > present {
		t.Fatalf("in crypto period %d, the last is %v\n%s", present, cuts[last], out)
	}
	for _, track := range p.tracks {
		for i := range track.durations {
			begin, end := track.at(p, i)
			if nanosOf(end) > int64(now) || nanosOf(begin) < int64(now-window) {
				continue
			}
			var want, got []int
			for _, part := range partsOf(p, track, i, cuts) {
				if part >= first {
					want = append(want, part)
				}
			}
			for _, h := range found[track.name(i)] {
				got = append(got, first+h.period)
				if off := new(big.Rat).Sub(h.start, begin); h.seal != cuts[first+h.period].index || track.kind == "video" && off.Abs(off).Cmp(big.NewRat(2, 1e9)) > 0 {
					t.Fatalf("%s has seal %d, off by %s\n%s", track.name(i), h.seal, off.FloatString(9), out)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s at %d: %s of %v\n%s", track.name(i), now, diff, cuts[first:last+1], out)
			}
		}
	}
}

// cutBy rewrites an MPD with a crypto period of ten seconds.
func cutBy(t *testing.T, mpd string, change ...func(*dash.Options)) (string, error) {
	t.Helper()
	o := rotating(10*time.Second, cutProtector{})
	o.Rotation.Now = time.Unix(1035, 0)
	for _, c := range change {
		c(&o)
	}
	out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
	return string(out), err
}

const (
	live1000 = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:16:40Z">`
	counted  = `<SegmentTemplate duration="2" initialization="i.mp4" media="$Number$.m4s"/>`
	timed    = `<SegmentTemplate initialization="i.mp4" media="$Number$.m4s"><SegmentTimeline><S t="0" d="2" r="14"/></SegmentTimeline></SegmentTemplate>`
)

func setOf(kind, inside string) string {
	return `<AdaptationSet mimeType="` + kind + `/mp4">` + inside + `<Representation id="1"/></AdaptationSet>`
}

// TestWhatRotationRefuses has no result for what cannot be cut.
func TestWhatRotationRefuses(t *testing.T) {
	period := func(inside string) string { return `<Period start="PT0S">` + inside + `</Period>` }
	length := func(d time.Duration) func(*dash.Options) { return func(o *dash.Options) { o.Rotation.Length = d } }
	for name, test := range map[string]struct {
		mpd    string
		want   error
		change func(*dash.Options)
	}{
		"half a second":                  {head + period(setOf("video", timed)) + tail, dash.ErrOptions, length(time.Second / 2)},
		"less than nothing":              {head + period(setOf("video", timed)) + tail, dash.ErrOptions, length(-time.Second)},
		"no clock":                       {live1000 + period(setOf("video", counted)) + tail, dash.ErrOptions, func(o *dash.Options) { o.Rotation.Now = time.Time{} }},
		"no availabilityStartTime":       {strings.Replace(live1000, "availabilityStartTime", "x", 1) + period(setOf("video", timed)) + tail, dash.ErrStructure, nil},
		"no date":                        {strings.Replace(live1000, "T00", "_00", 1) + period(setOf("video", timed)) + tail, dash.ErrStructure, nil},
		"months":                         {head + `<Period start="P1M">` + setOf("video", timed) + `</Period>` + tail, dash.ErrStructure, nil},
		"no start":                       {head + period(setOf("video", timed)) + `<Period>` + setOf("video", timed) + `</Period>` + tail, dash.ErrUnsupported, nil},
		"Periods that go back":           {head + `<Period start="PT9S">` + setOf("video", timed) + `</Period>` + period(setOf("video", timed)) + tail, dash.ErrStructure, nil},
		"@duration without an end":       {head + period(setOf("video", counted)) + tail, dash.ErrStructure, nil},
		"S@r without an end":             {head + period(setOf("video", strings.Replace(timed, `"14"`, `"-1"`, 1))) + tail, dash.ErrStructure, nil},
		"$Time$ without times":           {live1000 + period(setOf("video", strings.Replace(counted, "Number", "Time", 1))) + tail, dash.ErrUnsupported, nil},
		"S@n":                            {head + period(setOf("video", strings.Replace(timed, `t="0"`, `n="7"`, 1))) + tail, dash.ErrUnsupported, nil},
		"S without @d":                   {head + period(setOf("video", strings.Replace(timed, `d="2"`, ``, 1))) + tail, dash.ErrStructure, nil},
		"S back in time":                 {head + period(setOf("video", strings.Replace(timed, `<S t`, `<S t="4" d="2"/><S t`, 1))) + tail, dash.ErrStructure, nil},
		"S behind the end of all days":   {head + period(setOf("video", strings.Replace(timed, `d="2"`, `d="4611686018427387904"`, 1))) + tail, dash.ErrStructure, nil},
		"an element that is no S":        {head + period(setOf("video", strings.Replace(timed, `<S `, `<Pattern/><S `, 1))) + tail, dash.ErrUnsupported, nil},
		"no segment in a static MPD":     {head + period(setOf("video", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, ``, 1))) + tail, dash.ErrStructure, nil},
		"no segment in a live MPD":       {live1000 + period(setOf("video", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, ``, 1))) + tail, dash.ErrStructure, nil},
		"audio listed, video counted":    {live1000 + period(setOf("video", counted)+setOf("audio", timed)) + tail, dash.ErrUnsupported, nil},
		"more Periods than anybody asks": {head + period(setOf("video", strings.Replace(timed, `"14"`, `"9999999"`, 1))) + tail, dash.ErrLimit, length(time.Second)},
		"shared times, different ticks": {head + `<Period><SegmentTemplate timescale="1" presentationTimeOffset="5" initialization="i.mp4" media="$Number$.m4s"/>` +
			setOf("video", `<SegmentTemplate><SegmentTimeline><S t="5" d="2" r="9"/></SegmentTimeline></SegmentTemplate>`) +
			setOf("audio", `<SegmentTemplate timescale="100"><SegmentTimeline><S t="5" d="200" r="9"/></SegmentTimeline></SegmentTemplate>`) + `</Period>` + tail, dash.ErrUnsupported, nil},
		"a start that is not remembered": {strings.Replace(live1000, "PT0S", "PT1S", 1) + period(setOf("video", timed)) + tail, errForTest, func(o *dash.Options) {
			o.Rotation.Cut = func(dash.Cut) (time.Duration, error) { return 0, errForTest }
		}},
		"a start that goes back": {live1000 + period(setOf("video", timed)) + tail, dash.ErrOptions, func(o *dash.Options) {
			o.Rotation.Cut = func(dash.Cut) (time.Duration, error) { return time.Second, nil }
		}},
		"times of events": {head + period(`<EventStream timescale="x"/>`+setOf("video", timed)) + tail, dash.ErrStructure, nil},
	} {
		if test.change == nil {
			test.change = func(*dash.Options) {}
		}
		if out, err := cutBy(t, test.mpd, test.change); !errors.Is(err, test.want) || (err == nil) != (out != "") {
			t.Errorf("%s: %v, want %v\n%s", name, err, test.want, out)
		}
	}
}

var errForTest = errors.New("for the test")

// TestWhatACutLeaves states the whole result for what the model does not draw.
func TestWhatACutLeaves(t *testing.T) {
	const (
		sig0 = `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="00010000-0000-0000-0000-000000000000"/>`
		sig1 = `<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="01010000-0000-0000-0000-000000000000"/>`
		open = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"` + declared
	)
	video := func(kind, sig, template, seal string) string {
		return `<AdaptationSet mimeType="` + kind + `/mp4">` + sig + template + `<Representation id="1"><BaseURL>` + seal + `/</BaseURL></Representation></AdaptationSet>`
	}
	timedPart := func(attributes, s string) string {
		return `<SegmentTemplate` + attributes + ` initialization="i.mp4" media="$Number$.m4s"><SegmentTimeline>` + s + `</SegmentTimeline></SegmentTemplate>`
	}
	short := strings.Replace(timed, `"14"`, `"6"`, 1)
	shortParts := [2]string{timedPart("", `<S t="0" d="2" r="4"/>`), timedPart(` presentationTimeOffset="10" startNumber="6"`, `<S t="10" d="2" r="1"/>`)}
	for name, test := range map[string]struct{ in, want string }{
		"layout and what is around": {
			open + ">\n <Period id='a' duration='PT14S'>\n  <AssetIdentifier schemeIdUri='x'/>" + setOf("video", short) + "</Period>\n</MPD>",
			open + ">\n <Period start=\"PT0S\" id='a-k0'>\n  <AssetIdentifier schemeIdUri='x'/>" + video("video", sig0, shortParts[0], "~k0") + "</Period>" +
				"\n <Period start=\"PT10S\" id='a-k1' duration='PT4S'>\n  <AssetIdentifier schemeIdUri='x'/>" + video("video", sig1, shortParts[1], "~k1") + "</Period>\n</MPD>",
		},
		"events": {
			open + `><Period id="a"><EventStream schemeIdUri="x" timescale="10"><Event id="1"/><Event presentationTime="99" id="2"><x:y xmlns:x="urn:x"/></Event> <Event presentationTime="100" id="3"/></EventStream>` +
				`<EventStream schemeIdUri="y" presentationTimeOffset="5"><Event presentationTime="6"/></EventStream><EventStream schemeIdUri="z"/>` + setOf("video", short) + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0"><EventStream schemeIdUri="x" timescale="10"><Event id="1"/><Event presentationTime="99" id="2"><x:y xmlns:x="urn:x"/></Event></EventStream>` +
				`<EventStream schemeIdUri="y" presentationTimeOffset="5"><Event presentationTime="6"/></EventStream><EventStream schemeIdUri="z"/>` + video("video", sig0, shortParts[0], "~k0") + `</Period>` +
				`<Period start="PT10S" id="a-k1"><EventStream presentationTimeOffset="100" schemeIdUri="x" timescale="10"> <Event presentationTime="100" id="3"/></EventStream>` +
				`<EventStream presentationTimeOffset="10" schemeIdUri="z"/>` + video("video", sig1, shortParts[1], "~k1") + `</Period></MPD>`,
		},
		"a template of the Period for two sets": {
			open + `><Period id="a"><SegmentTemplate initialization="i.mp4" media="$Number$.m4s" endNumber="7"><SegmentTimeline><S t="0" d="2" r="6"/></SegmentTimeline></SegmentTemplate>` + setOf("video", "") + setOf("audio", "") + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0">` + shortParts[0] + video("video", sig0, "", "~k0") + video("audio", sig0, "", "~k0") + `</Period>` +
				`<Period start="PT10S" id="a-k1">` + shortParts[1] + video("video", sig1, "", "~k1") + video("audio", sig1, "", "~k1") + `</Period></MPD>`,
		},
		"a file of subtitles": {
			open + `><Period id="a"><AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>t.vtt</BaseURL></Representation></AdaptationSet>` +
				`<AdaptationSet mimeType="text/vtt"><BaseURL>t.vtt</BaseURL><Representation id="t"/></AdaptationSet>` + setOf("video", short) + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0"><AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>~side/t.vtt</BaseURL></Representation></AdaptationSet>` +
				`<AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>~side/t.vtt</BaseURL></Representation></AdaptationSet>` + video("video", sig0, shortParts[0], "~k0") + `</Period>` +
				`<Period start="PT10S" id="a-k1"><AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>~side/t.vtt</BaseURL><SegmentBase timescale="1000" presentationTimeOffset="10000"/></Representation></AdaptationSet>` +
				`<AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>~side/t.vtt</BaseURL><SegmentBase timescale="1000" presentationTimeOffset="10000"/></Representation></AdaptationSet>` + video("video", sig1, shortParts[1], "~k1") + `</Period></MPD>`,
		},
		"a Period of files only, behind one that is cut": {
			open + `><Period id="a" duration="PT14S">` + setOf("video", short) + `</Period><Period id="b"><AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>t.vtt</BaseURL></Representation></AdaptationSet></Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0">` + video("video", sig0, shortParts[0], "~k0") + `</Period><Period start="PT10S" id="a-k1" duration="PT4S">` + video("video", sig1, shortParts[1], "~k1") + `</Period>` +
				`<Period start="PT14S" id="b"><AdaptationSet mimeType="text/vtt"><Representation id="t"><BaseURL>~side/t.vtt</BaseURL></Representation></AdaptationSet></Period></MPD>`,
		},
		"one segment for all": {
			open + `><Period id="a" start="PT4S" duration="PT14S">` + setOf("video", `<SegmentTemplate initialization="i.mp4" media="all.m4s"/>`) + `</Period></MPD>`,
			open + `><Period id="a-k0" start="PT4S" duration="PT14S">` + video("video", sig0, `<SegmentTemplate initialization="i.mp4" media="all.m4s"/>`, "~k0") + `</Period></MPD>`,
		},
		"a form of S that is seldom": {
			open + `><Period id="a">` + setOf("video", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, `<S d="2"/><!-- c --><S d='2' r=" -1 "></S><S t="10" d="2" r="1"/>`, 1)) + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0">` + video("video", sig0, timedPart("", `<S t="0" d="2"/><S d="2" r="3"/>`), "~k0") + `</Period><Period start="PT10S" id="a-k1">` + video("video", sig1, shortParts[1], "~k1") + `</Period></MPD>`,
		},
		"video that begins late": {
			open + `><Period id="a">` + setOf("video", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, `<S t="12" d="2"/>`, 1)) + setOf("text", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, `<S t="0" d="6"/><S t="12" d="6"/>`, 1)) + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k0">` + video("text", sig0, timedPart("", `<S t="0" d="6"/>`), "~k0") + `</Period>` +
				`<Period start="PT12S" id="a-k1">` + video("video", sig1, timedPart(` presentationTimeOffset="12"`, `<S t="12" d="2"/>`), "~k1") + video("text", sig1, timedPart(` presentationTimeOffset="12" startNumber="2"`, `<S t="12" d="6"/>`), "~k1") + `</Period></MPD>`,
		},
		"all that begins late": {
			open + `><Period id="a">` + setOf("video", timedPart("", `<S t="12" d="2"/>`)) + `</Period></MPD>`,
			open + `><Period start="PT0S" id="a-k1">` + video("video", sig1, timedPart("", `<S t="12" d="2"/>`), "~k1") + `</Period></MPD>`,
		},
		"an open end, live": {
			strings.Replace(live1000, ">", declared+` minimumUpdatePeriod="PT2S">`, 1) + `<Period id="a">` + setOf("video", strings.Replace(timed, `<S t="0" d="2" r="14"/>`, `<S t="28" d="2" r="-1"/>`, 1)) + `</Period></MPD>`,
			strings.Replace(live1000, ">", declared+` minimumUpdatePeriod="PT2S">`, 1) +
				`<Period start="PT20S" id="a-k102">` + video("video", strings.Replace(sig0, `"00`, `"66`, 1), timedPart(` presentationTimeOffset="20"`, `<S t="28" d="2"/>`), "~k102") + `</Period>` +
				`<Period start="PT30S" id="a-k103">` + video("video", strings.Replace(sig0, `"00`, `"67`, 1), timedPart(` presentationTimeOffset="30" startNumber="2"`, `<S t="30" d="2" r="4"/>`), "~k103") + `</Period>` +
				`<Period start="PT40S" id="a-k104">` + video("video", strings.Replace(sig0, `"00`, `"68`, 1), timedPart(` presentationTimeOffset="40" startNumber="7"`, `<S t="40" d="2" r="-1"/>`), "~k104") + `</Period></MPD>`,
		},
	} {
		out, err := cutBy(t, test.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, out); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
