package hls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/address"
)

// rotator names the crypto period in all that it answers: keys k/NAME/PERIOD, elements ~NAME_PERIOD. What the names stand for is
// said at testProtector.
type rotator struct {
	*testProtector
	asked []string // the keys that were asked for
	clear []string // those that there are none of
}

func (p *rotator) Track(ctx context.Context, init Resource) (Track, error) {
	track, err := p.testProtector.Track(ctx, init)
	if err != nil {
		return nil, err
	}
	return rotatingTrack{track.(testTrack), p}, nil
}

func (p *rotator) Bare(ctx context.Context, first Segment) (Track, error) {
	track, err := p.testProtector.Bare(ctx, first)
	if err != nil {
		return nil, err
	}
	return rotatingTrack{track.(testTrack), p}, nil
}

type rotatingTrack struct {
	testTrack
	rotator *rotator
}

// String names epochs of the first generation by their number alone.
func (e Epoch) String() string {
	if e.Generation == 0 {
		return strconv.Itoa(int(e.CryptoPeriod))
	}
	return fmt.Sprintf("%dg%d", e.CryptoPeriod, e.Generation)
}

func (t rotatingTrack) Keys(epoch Epoch) []Key {
	asked := fmt.Sprintf("%s/%s", t.name, epoch)
	t.rotator.asked = append(t.rotator.asked, asked)
	if slices.Contains(t.rotator.clear, asked) {
		return nil
	}
	keys := t.testTrack.Keys(epoch)
	for i := range keys {
		keys[i].URI += "/" + epoch.String()
		keys[i].KID = [16]byte{}
	}
	return keys
}

func (t rotatingTrack) Elements(s Segment) ([]string, error) {
	if _, err := t.testTrack.Elements(s); err != nil {
		return nil, err
	}
	name := t.name
	if !isPlainElement(name) {
		name = "x"
	}
	return t.protector.seal(fmt.Sprintf("~%s_%s%s", name, s.Epoch, rangeElement(s.Range)), s.Target)
}

// rewriteRotating rewrites a playlist with crypto periods of the given length.
func rewriteRotating(t testing.TB, length time.Duration, playlist string) (string, *rotator, error) {
	t.Helper()
	o, protector := testOptions()
	r := &rotator{testProtector: protector}
	o.Protector, o.Rotation.Length = r, length
	out, err := Rewrite(context.Background(), []byte(playlist), o)
	if err != nil && out != nil {
		t.Fatalf("error %v came with a playlist", err)
	}
	return string(out), r, err
}

// The lines that a rotating track writes.
func rotated(name string, period int) string {
	key := `#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k/%[1]s/%[2]d",KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1"` + "\n"
	initMap := "#EXT-X-MAP:URI=\"../~%[1]s_%[2]d/%[1]s.mp4\"\n"
	switch {
	case strings.HasPrefix(name, "whole"):
		return fmt.Sprintf(initMap+"#EXT-X-KEY:METHOD=AES-128,URI=\"k/%[1]s/%[2]d\"\n", name, period)
	case name == "ts":
		return fmt.Sprintf("#EXT-X-KEY:METHOD=AES-128,URI=\"k/ts/%[1]d\"\n", period)
	case strings.HasPrefix(name, "text"):
		return fmt.Sprintf(initMap, name, period)
	}
	return fmt.Sprintf(key+initMap, name, period)
}

func sealedIn(name string, period int, file string) string {
	return fmt.Sprintf("../~%s_%d/%s", name, period, file)
}

const (
	liveTop = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n"
	vodTop  = liveTop + "#EXT-X-PLAYLIST-TYPE:VOD\n"
	wholeIn = "#EXT-X-MAP:URI=\"whole.mp4\"\n"
	// date0 is the 2,000,000,000th second since 1970, which 10 divides.
	date0, period0 = "#EXT-X-PROGRAM-DATE-TIME:2033-05-18T03:33:20.000Z\n", 200_000_000
)

func seg(name string) string { return inf + name + "\n" }

// TestRotation has segments of 4 s and crypto periods of 10 s.
func TestRotation(t *testing.T) {
	out := func(name string, period int, file string) string { return inf + sealedIn(name, period, file) + "\n" }
	part := func(name string) string { return "#EXT-X-PART:DURATION=2,URI=\"" + name + "\"\n" }
	hint := func(name string) string { return "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"" + name + "\"\n" }
	spaced := strings.NewReplacer("MAP:URI", "MAP: X=\"a\",URI", "mp4\"\n", "mp4\" \r\n")
	const p = period0
	for _, test := range []struct{ name, top, in, want string }{
		{"keys and map at each change", vodTop, mapIn + seg("0") + seg("1") + seg("2") + seg("3") + seg("4"),
			rotated("init", 0) + out("init", 0, "0") + out("init", 0, "1") + out("init", 0, "2") + rotated("init", 1) + out("init", 1, "3") + out("init", 1, "4")},
		{"all else of a map is repeated", vodTop, "#EXT-X-MAP: X=\"a\",URI=\"init.mp4\" \r\n#EXTINF:10,\n0\n" + seg("1"),
			spaced.Replace(rotated("init", 0)) + "#EXTINF:10,\n../~init_0/0\n" + spaced.Replace(rotated("init", 1)) + out("init", 1, "1")},
		{"the key behind the map of whole segments", vodTop, wholeIn + "#EXTINF:10,\n0\n" + seg("1"),
			rotated("whole", 0) + "#EXTINF:10,\n../~whole_0/0\n" + noKey + rotated("whole", 1) + out("whole", 1, "1")},
		{"a transport stream", vodTop, "#EXTINF:9.95,\n0.ts\n" + seg("1.ts"), rotated("ts", 0) + "#EXTINF:9.95,\n../~ts_0/0.ts\n" + rotated("ts", 1) + out("ts", 1, "1.ts")},
		{"text has nothing to repeat", vodTop, "#EXT-X-MAP:URI=\"text.mp4\"\n#EXTINF:10,\n0\n" + seg("1"), rotated("text", 0) + "#EXTINF:10,\n../~text_0/0\n" + out("text", 1, "1")},
		{"text without a map neither", vodTop, "#EXTINF:10,\n0.vtt\n" + seg("1.vtt"), "#EXTINF:10,\n../~vtt_0/0.vtt\n" + out("vtt", 1, "1.vtt")},
		{"a map of the origin at the change stands alone", vodTop, mapIn + "#EXTINF:10,\n0\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init2.mp4\"\n" + seg("1"),
			rotated("init", 0) + "#EXTINF:10,\n../~init_0/0\n#EXT-X-DISCONTINUITY\n" + rotated("init2", 1) + out("init2", 1, "1")},
		{"a map comes back in another period", vodTop, mapIn + seg("0") + "#EXT-X-MAP:URI=\"init2.mp4\"\n#EXTINF:6,\n1\n" + mapIn + seg("2"),
			rotated("init", 0) + out("init", 0, "0") + rotated("init2", 0) + "#EXTINF:6,\n../~init2_0/1\n" + rotated("init", 1) + out("init", 1, "2")},
		{"byte ranges", vodTop, "#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"9@0\"\n#EXTINF:10,\n#EXT-X-BYTERANGE:5@9\ninit.mp4\n" + inf + "#EXT-X-BYTERANGE:5\ninit.mp4\n",
			strings.Replace(rotated("init", 0), "init_0", "init_0.9-0", 1) + "#EXTINF:10,\n../~init_0.5-9/init.mp4\n" + strings.Replace(rotated("init", 1), "init_1", "init_1.9-0", 1) + inf + "../~init_1.5-14/init.mp4\n"},
		{"I-frames", vodTop + "#EXT-X-I-FRAMES-ONLY\n", mapIn + "#EXTINF:10,\n#EXT-X-BYTERANGE:5@9\na\n" + inf + "#EXT-X-BYTERANGE:5@99\na\n",
			rotated("init", 0) + "#EXTINF:10,\n../~init_0.5-9/a\n" + rotated("init", 1) + inf + "../~init_1.5-99/a\n"},
		{"dates, from wherever the window begins", liveTop, mapIn + date0 + seg("0") + seg("1") + seg("2") + seg("3"),
			rotated("init", p) + date0 + out("init", p, "0") + out("init", p, "1") + out("init", p, "2") + rotated("init", p+1) + out("init", p+1, "3")},
		{"a date counts back", liveTop, mapIn + seg("9") + date0 + seg("0"), rotated("init", p-1) + out("init", p-1, "9") + date0 + rotated("init", p) + out("init", p, "0")},
		{"a date that jumps", liveTop, mapIn + date0 + seg("0") + "#EXT-X-PROGRAM-DATE-TIME:2033-05-18T05:34:15.5+02:00\n" + seg("1") + seg("2") + date0 + seg("3"),
			rotated("init", p) + date0 + out("init", p, "0") + "#EXT-X-PROGRAM-DATE-TIME:2033-05-18T05:34:15.5+02:00\n" + rotated("init", p+5) + out("init", p+5, "1") + out("init", p+5, "2") +
				date0 + rotated("init", p) + out("init", p, "3")},
		{"a discontinuity is no jump", liveTop, mapIn + date0 + seg("0") + "#EXT-X-DISCONTINUITY\n" + seg("1"), rotated("init", p) + date0 + out("init", p, "0") + "#EXT-X-DISCONTINUITY\n" + out("init", p, "1")},
		{"what has ended does not go by dates", liveTop, mapIn + date0 + seg("0") + "#EXT-X-ENDLIST\n", rotated("init", 0) + date0 + out("init", 0, "0") + "#EXT-X-ENDLIST\n"},
		{"events sum up", liveTop + "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:1000\n", mapIn + seg("0") + seg("1") + seg("2") + seg("3"),
			rotated("init", 0) + out("init", 0, "0") + out("init", 0, "1") + out("init", 0, "2") + rotated("init", 1) + out("init", 1, "3")},
		{"events with dates go by them", liveTop + "#EXT-X-PLAYLIST-TYPE:EVENT\n", mapIn + date0 + seg("0"), rotated("init", p) + date0 + out("init", p, "0")},
		{"numbers, where there is nothing else", liveTop + "#EXT-X-MEDIA-SEQUENCE:4\n", mapIn + "#EXTINF:1,\n4\n" + seg("5"), rotated("init", 1) + "#EXTINF:1,\n../~init_1/4\n" + rotated("init", 2) + out("init", 2, "5")},
		{"a delta update by numbers", liveTop + "#EXT-X-MEDIA-SEQUENCE:4\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=10\n" + mapIn + seg("14") + seg("15"),
			"#EXT-X-SKIP:SKIPPED-SEGMENTS=10\n" + noKey + rotated("init", 5) + out("init", 5, "14") + rotated("init", 6) + out("init", 6, "15")},
		{"a delta update by dates", liveTop + "#EXT-X-MEDIA-SEQUENCE:4\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=10\n" + mapIn + date0 + seg("14"), "#EXT-X-SKIP:SKIPPED-SEGMENTS=10\n" + noKey + rotated("init", p) + date0 + out("init", p, "14")},
		{"parts are of the period of their segment", liveTop, mapIn + date0 + seg("0") + seg("1") + part("2.0") + part("2.1") + seg("2") + part("3.0") + hint("3.1"),
			rotated("init", p) + date0 + out("init", p, "0") + out("init", p, "1") + part(sealedIn("init", p, "2.0")) + part(sealedIn("init", p, "2.1")) + out("init", p, "2") +
				rotated("init", p+1) + part(sealedIn("init", p+1, "3.0")) + hint(sealedIn("init", p+1, "3.1"))},
		{"a hint in the period of the last segment", liveTop, mapIn + date0 + seg("0") + hint("1.0"), rotated("init", p) + date0 + out("init", p, "0") + hint(sealedIn("init", p, "1.0"))},
		{"a hint that begins a period is dropped", liveTop, mapIn + date0 + "#EXTINF:10,\n0\n#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init.mp4\"\n" + hint("1.0"), rotated("init", p) + date0 + "#EXTINF:10,\n" + sealedIn("init", p, "0") + "\n"},
		{"parts of a transport stream", liveTop, date0 + "#EXTINF:10,\n0.ts\n" + part("1.0.ts") + part("1.1.ts") + seg("1.ts"),
			date0 + rotated("ts", p) + "#EXTINF:10,\n" + sealedIn("ts", p, "0.ts") + "\n" + rotated("ts", p+1) + part(sealedIn("ts", p+1, "1.0.ts")) + part(sealedIn("ts", p+1, "1.1.ts")) + out("ts", p+1, "1.ts")},
		{"a map behind the last segment is for the next", vodTop, mapIn + "#EXTINF:10,\n0\n" + mapIn, rotated("init", 0) + "#EXTINF:10,\n../~init_0/0\n" + rotated("init", 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, r, err := rewriteRotating(t, 10*time.Second, test.top+test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.top+test.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			slices.Sort(r.asked)
			if once := slices.Compact(slices.Clone(r.asked)); len(once) != len(r.asked) {
				t.Errorf("asked for %v", r.asked)
			}
		})
	}
}

func TestRotationLeavesWhatPasses(t *testing.T) {
	o, protector := testOptions()
	o.Protector, o.PassProtected, o.Rotation.Length = &rotator{testProtector: protector}, true, 10*time.Second
	in := vodTop + theirKeys + theirMap + "#EXTINF:10,\n0\n" + seg("1")
	out, err := Rewrite(t.Context(), []byte(in), o)
	want := vodTop + theirKeys + "#EXT-X-MAP:URI=\"../~init-theirs_0/init-theirs.mp4\"\n#EXTINF:10,\n../~init-theirs_0/0\n" + inf + "../~init-theirs_0/1\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

// TestRotationWithoutKeys has media that is clear in some of its periods.
func TestRotationWithoutKeys(t *testing.T) {
	o, protector := testOptions()
	o.Protector, o.Rotation.Length = &rotator{testProtector: protector, clear: []string{"init/0", "init/2"}}, 4*time.Second
	out, err := Rewrite(t.Context(), []byte(vodTop+mapIn+seg("0")+seg("1")+seg("2")), o)
	clear := func(period int) string { return fmt.Sprintf("#EXT-X-MAP:URI=\"../~init_%d/init.mp4\"\n", period) }
	want := vodTop + clear(0) + inf + "../~init_0/0\n" + rotated("init", 1) + inf + "../~init_1/1\n" + noKey + clear(2) + inf + "../~init_2/2\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

func TestRotationErrors(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		line int
		want error
	}{
		"a date that is none":            {liveTop + seg("0.ts") + "#EXT-X-PROGRAM-DATE-TIME:today\n" + seg("1.ts"), 6, errDate},
		"a date without a clock behind":  {liveTop + "#EXT-X-PROGRAM-DATE-TIME:2200-01-01T00:00:00Z\n" + seg("1.ts"), 4, errClock},
		"a long segment":                 {liveTop + "#EXTINF:1000000001,\n0.ts\n", 4, errDuration},
		"an EXTINF that is none":         {liveTop + "#EXTINF:x,\n0.ts\n", 4, errDuration},
		"too many long segments":         {liveTop + strings.Repeat("#EXTINF:1000000000,\n0.ts\n", 3), 7, errClock},
		"a long target":                  {"#EXTM3U\n#EXT-X-TARGETDURATION:1000000001\n", 2, errDuration},
		"no target":                      {"#EXTM3U\n" + seg("0.ts"), 1, ErrUnsupported},
		"a delta update of an event":     {liveTop + "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n" + mapIn, 5, ErrUnsupported},
		"a delta update of a recording":  {liveTop + "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n" + mapIn + "#EXT-X-ENDLIST\n", 4, ErrUnsupported},
		"a number that is none":          {liveTop + "#EXT-X-MEDIA-SEQUENCE:x\n", 4, errSequence},
		"a count that is none":           {liveTop + "#EXT-X-SKIP:SKIPPED-SEGMENTS=x\n", 4, errSequence},
		"a delta update without count":   {liveTop + "#EXT-X-SKIP:A=1\n", 4, errMissing},
		"an attribute list that is none": {liveTop + "#EXT-X-SKIP:A\n", 4, errAttributes},
	} {
		_, _, err := rewriteRotating(t, 10*time.Second, test.in)
		var syntax *SyntaxError
		if !errors.Is(err, test.want) || !errors.As(err, &syntax) || syntax.Line != test.line {
			t.Errorf("%s: %v, want %v in line %d", name, err, test.want, test.line)
		}
	}
	for _, length := range []time.Duration{-time.Hour, 1, time.Second - 1} {
		if _, _, err := rewriteRotating(t, length, vodTop+mapIn); !errors.Is(err, errRotation) {
			t.Errorf("%v: %v", length, err)
		}
	}
	if _, _, err := rewriteRotating(t, time.Second, vodTop+mapIn+"#EXT-X-PROGRAM-DATE-TIME:today\n"); err != nil {
		t.Errorf("a date that nothing goes by: %v", err)
	}
	if _, _, err := rewriteRotating(t, time.Second, vodTop+mapIn+strings.Repeat(seg("a"), maxPeriods+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many periods: %v", err)
	}
}

func TestParseDate(t *testing.T) {
	for text, want := range map[string]int64{
		"1970-01-01T00:00:01Z":           1e9,
		"1970-01-01T00:00:01":            1e9,
		"1970-01-01T02:00:01.5+0200":     15e8,
		"1970-01-01T02:00:01.000001+02":  1e9 + 1000,
		"1970-01-01T00:00:00+02:00":      0,
		"1969-12-31T23:59:59.999Z":       0,
		"2033-05-18T03:33:20.123456789Z": 2e18 + 123456789,
		"2033-05-17T23:33:20,25-04:00":   2e18 + 25e7,
	} {
		if got, err := parseDate(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2033-05-18", "2033-02-30T00:00:00Z", "2033-05-18T03:33:20 Z", "2117-01-01T00:00:00Z"} {
		if got, err := parseDate(text); err == nil || got != 0 {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	for text, want := range map[string]int64{"4": 4e9, "4.,x": -1, " 3.84 ,x": 384e7, "0.0000000019": 1, "007.5": 75e8, "1000000000": 1e18, "18446744073709551616": -1, "-1": -1} {
		if got, err := parseSeconds(text); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestRotationPeriod(t *testing.T) {
	for _, test := range []struct {
		length, clock time.Duration
		want          uint32
	}{
		{0, time.Hour, 0}, {time.Minute, -time.Hour, 0}, {time.Minute, 0, 0}, {time.Minute, 59_899_999_999, 0}, {time.Minute, 59_900 * time.Millisecond, 1},
		{time.Minute, 119 * time.Second, 1}, {time.Second, (1<<32 + 7) * time.Second, 7}, {7 * 24 * time.Hour, 2_000_000_000 * time.Second, 3306},
	} {
		if got := (Rotation{Length: test.length}).Period(test.clock); got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
}

func TestSequencePeriod(t *testing.T) {
	for _, test := range []struct {
		sequence, target uint64
		length           time.Duration
		want             uint32
	}{
		{0, 6, time.Second, 0}, {9, 6, time.Minute, 0}, {10, 6, time.Minute, 1}, {9, 10, 90*time.Second + 100*time.Millisecond, 1}, {9, 10, 90*time.Second + 101*time.Millisecond, 0},
		{1<<63 - 1, 1e9, 1e9 * time.Second, 1<<32 - 1}, {1 << 62, 1, time.Second, 0}, {1<<62 + 5, 8, 4 * time.Second, 10},
	} {
		if got := sequencePeriod(test.sequence, test.target, test.length); got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
}

// TestFirstPeriodOfBare has Bare told of the period that it is asked in.
func TestFirstPeriodOfBare(t *testing.T) {
	_, r, err := rewriteRotating(t, 10*time.Second, liveTop+date0+seg("1.ts"))
	want := []Segment{{Resource: Resource{Target: address.Target{Path: "/vod/demo/1.ts"}}, Epoch: Epoch{CryptoPeriod: period0}}}
	if diff := cmp.Diff(want, r.bare); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
