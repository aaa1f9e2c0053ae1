package dash_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

func rotating(length time.Duration, p dash.Protector) dash.Options {
	return dash.Options{
		Base: address.NewBase(testPath, testOrigins()), From: testPath, Protector: p, Rotation: dash.Rotation{Length: length},
	}
}

// nanosOf rounds as @start is rounded.
func nanosOf(r *big.Rat) int64 {
	x := new(big.Rat).Add(new(big.Rat).Mul(r, big.NewRat(1e9, 1)), big.NewRat(1, 2))
	return new(big.Int).Div(x.Num(), x.Denom()).Int64()
}

func floorDiv(r *big.Rat, length time.Duration) int {
	x := new(big.Rat).Quo(new(big.Rat).Mul(r, big.NewRat(1e9, 1)), big.NewRat(int64(length), 1))
	return int(new(big.Int).Div(x.Num(), x.Denom()).Int64())
}

// modelCut is where a part of a Period begins, by the model.
type modelCut struct {
	index int
	start int64
}

func modelCuts(p *modelPeriod, zero *big.Rat, length time.Duration) []modelCut {
	cuts := []modelCut{{floorDiv(new(big.Rat).Add(zero, seconds(p.start, 1e9)), length), p.start}}
	video := p.tracks[0]
	for i := range video.durations {
		start, _ := video.at(p, i)
		index := floorDiv(new(big.Rat).Add(zero, start), length)
		if index > cuts[len(cuts)-1].index {
			cuts = append(cuts, modelCut{index, nanosOf(start)})
		}
	}
	return cuts
}

// partsOf says in which parts the i-th segment of a track is.
func partsOf(p *modelPeriod, m *modelTrack, i int, cuts []modelCut) []int {
	const near = 100_000_000
	startRat, endRat := m.at(p, i)
	start, end := nanosOf(startRat), nanosOf(endRat)
	home := 0
	for home+1 < len(cuts) && cuts[home+1].start <= start {
		home++
	}
	in := []int{home}
	for ; home+1 < len(cuts) && end >= cuts[home+1].start; home++ {
		toBefore, toNext := cuts[home+1].start-start, end-cuts[home+1].start
		switch {
		case toNext <= toBefore && toNext <= near:
			return in
		case toBefore < toNext && toBefore <= near:
			in = []int{home + 1}
		case toNext > 0:
			in = append(in, home+1)
		}
	}
	return in
}

// TestEverySegmentIsInItsCryptoPeriod draws static MPDs in all forms of addressing and compares what a player finds in the result
// with what the model says: each segment once, or on both sides of a cut that it lies across, at its own time and under the seal
// of the Period that lists it.
func TestEverySegmentIsInItsCryptoPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var periods []*modelPeriod
		var b strings.Builder
		start := int64(0)
		tracks := map[string]*modelTrack{}
		for i := range rapid.IntRange(1, 3).Draw(t, "Periods") {
			p := drawPeriod(t, start, rapid.IntRange(1, 30).Draw(t, "segments"), []string{"number", "time", "duration", "list", "listduration", "index"})
			if p.id == "" {
				p.id = fmt.Sprint("p", i)
			} else {
				p.id += fmt.Sprint(i)
			}
			for _, m := range p.tracks { // URLs of all Periods differ
				m.id = fmt.Sprint(m.id, "-", i)
				tracks[m.id] = m
			}
			_, end := p.tracks[0].at(p, len(p.tracks[0].durations)-1)
			length := nanosOf(end) - start
			b.WriteString("<Period")
			if !strings.HasPrefix(p.id, "p") {
				b.WriteString(` id="` + p.id + `"`)
			}
			if rapid.Bool().Draw(t, "start") && i > 0 {
				fmt.Fprintf(&b, ` start="PT%d.%09dS"`, start/1e9, start%1e9)
			}
			fmt.Fprintf(&b, ` duration="PT%d.%09dS">`, length/1e9, length%1e9)
			for _, m := range p.tracks {
				m.write(&b, 0, len(m.durations))
			}
			b.WriteString("</Period>")
			periods = append(periods, p)
			start += length
		}
		length := time.Duration(rapid.Int64Range(1e9, 40e9).Draw(t, "length"))
		mpd := fmt.Sprintf(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT%d.%09dS">%s</MPD>`, start/1e9, start%1e9, b.String())
		out, err := dash.Rewrite(t.Context(), []byte(mpd), rotating(length, cutProtector{tracks}))
		if err != nil {
			t.Fatalf("%v in\n%s", err, mpd)
		}
		m, found, err := listen(out, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		checkParts(t, m, found, periods, length, out)
	})
}

func checkParts(t *rapid.T, m cutMPD, found map[string][]heard, periods []*modelPeriod, length time.Duration, out []byte) {
	t.Helper()
	first := 0 // the first part of a Period in the result
	for _, p := range periods {
		cuts := modelCuts(p, new(big.Rat), length)
		for i, c := range cuts {
			if first+i >= len(m.Period) {
				t.Fatalf("%d Periods, want more in\n%s", len(m.Period), out)
			}
			got := m.Period[first+i]
			want := fmt.Sprint(strings.ReplaceAll(p.id, "&lt;", "<"), "-k", c.index)
			if start := nanosOf(rat(got.Start)); got.ID != want || start != c.start {
				t.Fatalf("Period %s at %d, want %s at %d in\n%s", got.ID, start, want, c.start, out)
			}
		}
		for _, track := range p.tracks {
			for i := range track.durations {
				wantStart, _ := track.at(p, i)
				want := partsOf(p, track, i, cuts)
				got := found[track.name(i)]
				delete(found, track.name(i))
				if len(got) != len(want) {
					t.Fatalf("%s is in %v, want %v of %v\n%s", track.name(i), got, want, cuts, out)
				}
				for k, h := range got {
					tolerance := big.NewRat(51, 100*track.scale)
					tolerance.Add(tolerance, big.NewRat(1, 1e9))
					off := new(big.Rat).Sub(h.start, wantStart)
					if h.period != first+want[k] || h.seal != cuts[want[k]].index || off.Abs(off).Cmp(tolerance) > 0 {
						t.Fatalf("%s is in Period %d, seal %d, off by %s; want Period %d, seal %d\n%s",
							track.name(i), h.period, h.seal, off.FloatString(9), first+want[k], cuts[want[k]].index, out)
					}
				}
			}
		}
		first += len(cuts)
	}
	if first != len(m.Period) || len(found) > 0 {
		t.Fatalf("%d Periods, want %d; and nobody knows %v\n%s", len(m.Period), first, found, out)
	}
}

// liveMPD writes the window [from, to) of video segments, and the audio that is about as old.
func liveMPD(p *modelPeriod, from, to, lag int) (string, map[string]bool) {
	var b strings.Builder
	listed := map[string]bool{}
	left, _ := p.tracks[0].at(p, from)
	_, right := p.tracks[0].at(p, to-1)
	for k, m := range p.tracks {
		first, last := from, to
		if k > 0 {
			first, last = 0, 0
			for i := range m.durations {
				start, end := m.at(p, i)
				if end.Cmp(left) <= 0 {
					first = i + 1
				}
				if start.Cmp(right) < 0 {
					last = i + 1
				}
			}
			last = max(first+1, last-lag)
			last = min(last, len(m.durations))
		}
		for i := first; i < last; i++ {
			listed[m.name(i)] = true
		}
		m.write(&b, first, last)
	}
	return fmt.Sprintf(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="2026-03-04T05:06:07.5Z">`+
		`<Period%s start="PT%d.%09dS">%s</Period></MPD>`, idAttribute(p.id), p.start/1e9, p.start%1e9, b.String()), listed
}

func idAttribute(id string) string {
	if id == "" {
		return ""
	}
	return ` id="` + id + `"`
}

// TestReloadsOfAWindowAgree slides a window over live content: Periods keep id and @start, segments their crypto period, and what
// is not listed yet or any more is at the edges.
func TestReloadsOfAWindowAgree(t *testing.T) {
	zero := seconds(time.Date(2026, 3, 4, 5, 6, 7, 500_000_000, time.UTC).UnixNano(), 1e9)
	rapid.Check(t, func(t *rapid.T) {
		const count = 60
		p := drawPeriod(t, rapid.Int64Range(0, 1e12).Draw(t, "start"), count, []string{"number", "time"})
		changing := rapid.Bool().Draw(t, "changing durations")
		if changing {
			for i := range p.tracks[0].durations {
				p.tracks[0].durations[i] += rapid.Int64Range(0, p.tracks[0].durations[i]/2).Draw(t, "more")
			}
			for _, m := range p.tracks[1:] {
				m.durations = append(m.durations, m.durations...)
			}
		}
		length := time.Duration(rapid.Int64Range(2e9, 40e9).Draw(t, "length"))
		o := rotating(length, cutProtector{})
		if changing {
			remembered, seen := map[string]time.Duration{}, map[string]time.Duration{}
			o.Rotation.Cut = func(c dash.Cut) (time.Duration, error) {
				if _, ok := remembered[c.ID]; !ok {
					remembered[c.ID] = c.Start
				}
				if c.Seen {
					if before, ok := seen[c.ID]; ok && c.Start != before {
						t.Errorf("%s begins at %s for one who sees it, and at %s for another", c.ID, before, c.Start)
					}
					seen[c.ID] = c.Start
				}
				return remembered[c.ID], nil
			}
		}
		size := rapid.IntRange(6, 25).Draw(t, "window")
		for from := 0; from+size <= count; from += rapid.IntRange(1, 3).Draw(t, "step") {
			mpd, listed := liveMPD(p, from, from+size, rapid.IntRange(0, 1).Draw(t, "lag"))
			out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
			if err != nil {
				t.Fatalf("%v in\n%s", err, mpd)
			}
			m, found, err := listen(out, nil)
			if err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			checkReload(t, p, m, found, modelCuts(p, zero, length), out)
			for name := range found {
				if !listed[name] {
					t.Fatalf("%s was not listed\n%s", name, out)
				}
			}
			checkEdges(t, p, m, found, from, size, out)
		}
	})
}

// checkReload compares one window with the model of all content, which knows nothing of windows: each Period that is listed begins
// where the model says, and holds of the segments that are listed those that the model puts there.
func checkReload(t *rapid.T, p *modelPeriod, m cutMPD, found map[string][]heard, cuts []modelCut, out []byte) {
	parts := make([]int, len(m.Period))
	for i, period := range m.Period {
		parts[i] = slices.IndexFunc(cuts, func(c modelCut) bool { return strings.HasSuffix(period.ID, fmt.Sprint("-k", c.index)) })
		if parts[i] < 0 || nanosOf(rat(period.Start)) != cuts[parts[i]].start {
			t.Fatalf("%s begins at %s, want %v\n%s", period.ID, period.Start, cuts, out)
		}
	}
	for _, track := range p.tracks {
		for i := range track.durations {
			all := found[track.name(i)]
			if len(all) == 0 {
				continue
			}
			var got, want []int
			for _, h := range all {
				got = append(got, parts[h.period])
				start, _ := track.at(p, i)
				tolerance := new(big.Rat).Add(big.NewRat(51, 100*track.scale), big.NewRat(1, 1e9))
				if off := new(big.Rat).Sub(h.start, start); h.seal != cuts[parts[h.period]].index || off.Abs(off).Cmp(tolerance) > 0 {
					t.Fatalf("%s has seal %d in Period %d, off by %s\n%s", track.name(i), h.seal, h.period, off.FloatString(9), out)
				}
			}
			for _, part := range partsOf(p, track, i, cuts) {
				if slices.Contains(parts, part) {
					want = append(want, part)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s is in parts %v, want %v of %v\n%s", track.name(i), got, want, cuts, out)
			}
		}
	}
}

// checkEdges makes sure that the video that is not listed is at the edges, and no more than a set can lack there.
func checkEdges(t *rapid.T, p *modelPeriod, m cutMPD, found map[string][]heard, from, size int, out []byte) {
	var missing []int
	for i := from; i < from+size; i++ {
		if got := found[p.tracks[0].name(i)]; len(got) > 1 {
			t.Fatalf("video %d is listed twice\n%s", i, out)
		} else if len(got) == 0 {
			missing = append(missing, i)
		}
	}
	left, right := 0, 0
	for slices.Contains(missing, from+left) {
		left++
	}
	for slices.Contains(missing, from+size-1-right) {
		right++
	}
	if len(missing) != left+right || len(m.Period) == 0 {
		t.Fatalf("video %v is missing in the middle\n%s", missing, out)
	}
	if len(p.tracks) == 1 && len(missing) > 0 {
		t.Fatalf("video %v waits for nothing\n%s", missing, out)
	}
	const few = 3
	for k, period := range m.Period {
		if len(period.Set) == len(p.tracks) {
			continue
		}
		var here []int
		for i := from; i < from+size; i++ {
			if got := found[p.tracks[0].name(i)]; len(got) > 0 && got[0].period == k {
				here = append(here, i)
			}
		}
		last := len(m.Period) - 1
		if len(here) == 0 || k == last && from+size-here[0] <= few || k == 0 && last > 0 && here[len(here)-1]+1-from <= few {
			t.Fatalf("%s has video %v of %d to %d and no audio\n%s", period.ID, here, from, from+size, out)
		}
	}
}

// TestQuestionsForEachCryptoPeriod names the crypto period of each question, and the tick at which its clock says zero.
func TestQuestionsForEachCryptoPeriod(t *testing.T) {
	g := newGateway()
	g.scheme = 1
	sets := setOf("video", strings.Replace(timed, "<SegmentTemplate", `<SegmentTemplate timescale="2" presentationTimeOffset="100"`, 1)) +
		setOf("audio", `<SegmentTemplate initialization="i.mp4" media="$Time$.m4s"><SegmentTimeline><S t="0" d="2" r="20"/></SegmentTimeline></SegmentTemplate>`)
	mpd := live1000 + `<Period start="PT5S">` + strings.Replace(sets, `<S t="0"`, `<S t="100"`, 1) + `</Period>` + tail
	if _, err := dash.Rewrite(t.Context(), []byte(mpd), rotating(10*time.Second, g)); err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, set := range g.sets {
		rep := set.Representations[0]
		got = append(got, fmt.Sprint(set.CryptoPeriod, " ", rep.ContentType, " ", rep.Timescale, " ", rep.Epoch))
	}
	// Segments of one second from 1005 s on: the first five are in crypto period 100.
	want := []string{"100 video 2 -1910", "100 audio 1 -1005", "101 video 2 -1910", "101 audio 1 -1005"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
