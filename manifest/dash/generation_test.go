package dash_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// generationProtector puts the crypto period and the generation into the seals.
type generationProtector struct{ cutProtector }

func (p generationProtector) AdaptationSet(ctx context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	answer, err := p.cutProtector.AdaptationSet(ctx, set)
	for i := range answer.Tracks {
		answer.Tracks[i].Elements = []string{fmt.Sprintf("~k%d-g%d", set.CryptoPeriod, set.Generation)}
	}
	return answer, err
}

var (
	periodOf = regexp.MustCompile(`<Period(?: id="([^"]*)")? start="PT([0-9.]+)S">`)
	sealOf   = regexp.MustCompile(`~(k\d+-g\d+)/`)
	startsAt = regexp.MustCompile(`startNumber="(\d+)"`)
)

// periodsOf writes each Period as its id, where it begins, the number of its first segment, and its seal.
func periodsOf(mpd string) (periods []string) {
	for _, text := range strings.SplitAfter(mpd, "</Period>") {
		p, seal := periodOf.FindStringSubmatch(text), sealOf.FindStringSubmatch(text)
		if p == nil || seal == nil {
			continue
		}
		number := "1"
		if n := startsAt.FindStringSubmatch(text); n != nil {
			number = n[1]
		}
		periods = append(periods, strings.TrimSpace(p[1]+" at "+p[2]+" from "+number+" "+seal[1]))
	}
	return periods
}

// timedFrom lists fifteen segments of 2 s, from the first on, which is counted from 0.
func timedFrom(first int) string {
	return fmt.Sprintf(`<SegmentTemplate startNumber="%d" initialization="i.mp4" media="$Number$.m4s"><SegmentTimeline><S t="%d" d="2" r="14"/></SegmentTimeline></SegmentTemplate>`, first+1, 2*first)
}

// TestALivePeriodIsCutWhereKeysWereReplaced: what was there before keeps its keys, and its id, until they are no longer given; what comes
// behind the re-key is a Period of its own, which begins where it did when much of the window has left.
func TestALivePeriodIsCutWhereKeysWereReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		length   time.Duration
		replaced drm.Generations
		oldest   uint32
		media    string
		now      int64
		want     []string
	}{
		"before":               {0, drm.Generations{1031}, 0, timedFrom(0), 1031, []string{"at 0 from 1 k0-g0"}},
		"without rotation":     {0, drm.Generations{1021}, 0, timedFrom(0), 1030, []string{"at 0 from 1 k0-g0", "p0-g1 at 22 from 12 k0-g1"}},
		"at a segment":         {0, drm.Generations{1022}, 0, timedFrom(0), 1030, []string{"at 0 from 1 k0-g0", "p0-g1 at 22 from 12 k0-g1"}},
		"twice":                {0, drm.Generations{1003, 1021}, 0, timedFrom(0), 1030, []string{"at 0 from 1 k0-g0", "p0-g1 at 4 from 3 k0-g1", "p0-g2 at 22 from 12 k0-g2"}},
		"after the grace":      {0, drm.Generations{1021}, 1, timedFrom(0), 1030, []string{"at 0 from 1 k0-g1", "p0-g1 at 22 from 12 k0-g1"}},
		"half of the first":    {0, drm.Generations{1021}, 1, timedFrom(13), 1056, []string{"p0-g1 at 22 from 14 k0-g1"}},
		"long ago":             {0, drm.Generations{1021}, 1, timedFrom(1000), 9999, []string{"p0-g1 at 22 from 1001 k0-g1"}},
		"in a crypto period":   {10 * time.Second, drm.Generations{1015}, 0, timedFrom(0), 1030, []string{"p0-k100 at 0 from 1 k100-g0", "p0-k101 at 10 from 6 k101-g0", "p0-k101-g1 at 16 from 9 k101-g1", "p0-k102-g1 at 20 from 11 k102-g1"}},
		"between two":          {10 * time.Second, drm.Generations{1020}, 0, timedFrom(5), 1040, []string{"p0-k101 at 10 from 6 k101-g0", "p0-k102-g1 at 20 from 11 k102-g1", "p0-k103-g1 at 30 from 16 k103-g1"}},
		"rotating, afterwards": {10 * time.Second, drm.Generations{1015}, 1, timedFrom(0), 1030, []string{"p0-k101 at 10 from 6 k101-g1", "p0-k101-g1 at 16 from 9 k101-g1", "p0-k102-g1 at 20 from 11 k102-g1"}},
		"by the clock":         {0, drm.Generations{1021}, 0, counted, 1040, []string{"at 0 from 1 k0-g0", "p0-g1 at 22 from 12 k0-g1"}},
		"a clock of long ago":  {0, drm.Generations{1021}, 0, timedFrom(0), 1061, nil},
		"a clock of tomorrow":  {0, drm.Generations{1021}, 0, timedFrom(0), 1024, nil},
		"nothing new yet":      {0, drm.Generations{1031}, 1, timedFrom(0), 1031, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := rotating(test.length, generationProtector{})
			o.Rotation.Replaced, o.Rotation.Oldest, o.Rotation.Now = test.replaced, test.oldest, time.Unix(test.now, 0)
			mpd := live1000 + `<Period start="PT0S">` + setOf("video", test.media) + setOf("audio", test.media) + `</Period>` + tail
			out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
			if test.want == nil {
				var syntax *dash.SyntaxError
				if !errors.As(err, &syntax) {
					t.Fatalf("%v, and\n%s", err, out)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, periodsOf(string(out))); diff != "" {
				t.Errorf("%s in\n%s", diff, out)
			}
		})
	}
}

// unknownProtector has the keys that a source without those of the past has: the newest of what begins behind the re-key.
type unknownProtector struct{ generationProtector }

var errUnknown = errors.New("no such key")

func (p unknownProtector) AdaptationSet(ctx context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	if set.CryptoPeriod < 101 || set.Generation == 0 {
		return dash.Protection{}, fmt.Errorf("%w: k%d-g%d", errUnknown, set.CryptoPeriod, set.Generation)
	}
	return p.generationProtector.AdaptationSet(ctx, set)
}

// TestWhatIsGoneNeedsNoKeysOfItsOwn has two crypto periods in front of what is listed: no source was ever asked for new keys of the first.
func TestWhatIsGoneNeedsNoKeysOfItsOwn(t *testing.T) {
	o := rotating(10*time.Second, unknownProtector{})
	o.Rotation.Replaced, o.Rotation.Oldest, o.Rotation.Now = drm.Generations{1015}, 1, time.Unix(1030, 0)
	mpd := live1000 + `<Period start="PT0S">` + setOf("video", timedFrom(0)) + setOf("audio", timedFrom(0)) + `</Period>` + tail
	out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p0-k101 at 10 from 6 k101-g1", "p0-k101-g1 at 16 from 9 k101-g1", "p0-k102-g1 at 20 from 11 k102-g1"}, periodsOf(string(out))); diff != "" {
		t.Errorf("%s in\n%s", diff, out)
	}
}

// TestALiveMPDWithNewKeysForAllOfItHasOtherPeriods is for what cannot be cut.
func TestALiveMPDWithNewKeysForAllOfItHasOtherPeriods(t *testing.T) {
	for given, want := range map[string]string{`id="a" start="PT0S"`: "a-g2-whole", `start="PT0S"`: "p0-g2-whole", `duration="PT9S"`: "p0-g2-whole"} {
		o := rotating(0, generationProtector{})
		o.Rotation.Generation = 2
		out, err := dash.Rewrite(t.Context(), []byte(live1000+`<Period `+given+`>`+setOf("video", timed)+`</Period>`+tail), o)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), ` id="`+want+`"`) || !strings.Contains(string(out), "~k0-g2/") {
			t.Errorf("want the id %s in\n%s", want, out)
		}
	}
}

// TestTheWindowBeginsWithWhatIsListed has segments of 2 s up to 30 s, whose keys were replaced from the one on that begins at 22 s.
func TestTheWindowBeginsWithWhatIsListed(t *testing.T) {
	for name, test := range map[string]struct {
		window string
		oldest uint32
		gone   int64 // it is 1030
		media  string
		want   string
	}{
		"within the grace":       {`timeShiftBufferDepth="PT1M"`, 0, 1028, timedFrom(0), "PT1M"},
		"when it is over":        {`timeShiftBufferDepth="PT1M"`, 1, 1030, timedFrom(0), "PT8S"},
		"afterwards":             {`timeShiftBufferDepth="PT1M"`, 1, 1028, timedFrom(0), "PT6S"},
		"later":                  {`timeShiftBufferDepth="PT1M"`, 1, 1000, timedFrom(0), "PT1S"},
		"without a window":       {`x="y"`, 1, 1028, timedFrom(0), "PT6S"},
		"a window of less":       {`timeShiftBufferDepth="PT3S"`, 1, 1028, timedFrom(0), "PT3S"},
		"all of it is new":       {`timeShiftBufferDepth="PT1M"`, 1, 1028, timedFrom(1000), "PT1M"},
		"by the clock":           {`timeShiftBufferDepth="PT1M"`, 1, 1028, counted, "PT6S"},
		"a window of no seconds": {`timeShiftBufferDepth="soon"`, 1, 1028, timedFrom(0), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := rotating(0, generationProtector{})
			o.Rotation.Replaced, o.Rotation.Oldest, o.Rotation.Now = drm.Generations{1021}, test.oldest, time.Unix(1030, 0)
			o.Rotation.Gone = time.Unix(test.gone, 0)
			mpd := strings.Replace(live1000, "<MPD ", "<MPD "+test.window+" ", 1) + `<Period start="PT0S">` + setOf("video", test.media) + setOf("audio", test.media) + `</Period>` + tail
			out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
			if (err != nil) != (test.want == "") {
				t.Fatal(err)
			}
			if window := ` timeShiftBufferDepth="` + test.want + `"`; test.want != "" && !strings.Contains(string(out), window) {
				t.Errorf("want%s in\n%s", window, out)
			}
			// What is gone is one segment, of the Period that players know, which another has to follow.
			if kept := strings.Count(string(out), `<S t="0" d="2"/>`); test.media == timedFrom(0) && test.oldest > 0 && test.want != "" && kept != 2 {
				t.Errorf("%d tracks with the first segment alone in\n%s", kept, out)
			}
		})
	}
}
