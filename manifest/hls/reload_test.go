package hls

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// channel is a live channel: what its segments are, of which playlists list a window each.
type channel struct {
	starts []time.Duration // true ones, since 1970, and the end
	infs   []time.Duration // as EXTINF says: each less than 1 ms off
	inits  []string        // name of the init segment of each; empty for a transport stream
	// dates says which segments have one: all, the first of the window, some (every 7th and the first) or none; event is none too,
	// and no segment ever leaves the window.
	dates     string
	length    time.Duration // of a crypto period
	aligned   bool          // crypto periods begin where segments do
	extension string        // of its files
}

func drawChannel(t *rapid.T) channel {
	c := channel{extension: ".m4s", dates: rapid.SampledFrom([]string{"all", "first", "some", "none", "event"}).Draw(t, "dates")}
	count := rapid.IntRange(5, 60).Draw(t, "segments")
	c.aligned = rapid.Bool().Draw(t, "aligned")
	nominal := time.Duration(rapid.IntRange(500, 8000).Draw(t, "ms per segment")) * time.Millisecond
	per := max(rapid.IntRange(1, 8).Draw(t, "segments per period"), int((time.Second+nominal-1)/nominal))
	c.length = nominal * time.Duration(per)
	at := (2_000_000_000 * time.Second).Truncate(c.length) // a boundary
	at += nominal * time.Duration(rapid.IntRange(0, 9).Draw(t, "phase"))
	init := rapid.SampledFrom([]string{"init", "two", "whole", "text", ""}).Draw(t, "init")
	if init == "" {
		c.extension = ".ts"
	}
	for range count {
		duration := nominal
		if !c.aligned {
			duration = time.Duration(rapid.IntRange(200_000, 9_000_000).Draw(t, "µs")) * time.Microsecond
		}
		if init != "" && rapid.IntRange(0, 9).Draw(t, "new map") == 0 {
			init = rapid.SampledFrom([]string{"init", "init2", "two", "whole", "text"}).Draw(t, "init")
		}
		drift := time.Duration(rapid.IntRange(-999, 999).Draw(t, "drift µs")) * time.Microsecond
		c.starts, c.infs, c.inits = append(c.starts, at), append(c.infs, duration+drift), append(c.inits, init)
		at += duration
	}
	c.starts = append(c.starts, at)
	return c
}

// window writes the playlist that lists the segments in [from, to) and two parts of the next.
func (c channel) window(from, to int, delta bool) string {
	var b strings.Builder
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:%d", from)
	first := from
	if c.dates == "event" {
		write("#EXT-X-PLAYLIST-TYPE:EVENT")
	} else if delta && c.inits[0] != "" && to-from > 2 {
		first = from + (to-from)/2
		write("#EXT-X-SKIP:SKIPPED-SEGMENTS=%d", first-from)
	}
	for i := first; i <= to && i < len(c.infs); i++ {
		if i > first && c.inits[i] != c.inits[i-1] {
			write("#EXT-X-DISCONTINUITY")
		}
		if c.inits[i] != "" && (i == first || c.inits[i] != c.inits[i-1]) {
			write(`#EXT-X-MAP:URI="%s.mp4"`, c.inits[i])
		}
		if c.dates == "all" || i == first && c.hasDates() || c.dates == "some" && i%7 == 0 {
			write("#EXT-X-PROGRAM-DATE-TIME:%s", time.Unix(0, int64(c.starts[i])).UTC().Round(time.Millisecond).Format("2006-01-02T15:04:05.000Z07:00"))
		}
		if i >= to-2 {
			write(`#EXT-X-PART:DURATION=1,URI="%d.0%s"`, i, c.extension)
			write(`#EXT-X-PART:DURATION=1,URI="%d.1%s"`, i, c.extension)
		}
		if i < to {
			write("#EXTINF:%.6f,\n%d%s", c.infs[i].Seconds(), i, c.extension)
		}
	}
	if to == len(c.infs) && c.dates == "event" {
		write("#EXT-X-ENDLIST")
	} else if to < len(c.infs) {
		write(`#EXT-X-PRELOAD-HINT:TYPE=PART,URI="%d.2%s"`, to, c.extension)
	}
	return b.String()
}

func (c channel) hasDates() bool { return c.dates != "none" && c.dates != "event" }

// period returns the crypto period of a segment, and false when dates of milliseconds and the drift of the durations in a window
// may put it into either of two.
func (c channel) period(i, window int) (period int64, certain bool) {
	shifted := c.starts[i] + cutSlack
	switch c.dates {
	case "none":
		return int64((9*time.Second*time.Duration(i) + cutSlack) / c.length), true
	case "event":
		shifted = cutSlack
		for _, duration := range c.infs[:i] {
			shifted += duration
		}
		return int64(shifted / c.length), true
	}
	bound := 500 * time.Microsecond
	if c.dates != "all" {
		bound += time.Duration(window) * time.Millisecond
	}
	before, after := (shifted-bound)/c.length, (shifted+bound)/c.length
	if c.aligned {
		return int64(c.starts[i] / c.length), true
	}
	return int64(shifted / c.length), before == after
}

// TestReloadsAgree lists a channel in windows that slide, and wants each segment in one crypto period. Where nothing but the
// sum of durations says when a segment begins, it may lie so close to the place where periods change that drift decides; but
// never where crypto periods begin with segments, and never where segments have their own dates.
func TestReloadsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChannel(t)
		seen := map[string]uint32{}
		to := rapid.IntRange(1, len(c.infs)).Draw(t, "end of the first window")
		for ; to <= len(c.infs); to += rapid.IntRange(1, 5).Draw(t, "slides by") {
			from := max(0, to-rapid.IntRange(1, 50).Draw(t, "width"))
			if c.dates == "event" {
				from = 0
			}
			in := c.window(from, to, rapid.IntRange(0, 3).Draw(t, "delta") == 0)
			o, protector := testOptions()
			o.Protector, o.Rotation.Length = &rotator{testProtector: protector}, c.length
			out, err := Rewrite(t.Context(), []byte(in), o)
			if err != nil {
				t.Fatalf("%v\n%s", err, in)
			}
			got, fault := readRotated(string(out))
			if fault != "" {
				t.Fatalf("%s\n%s", fault, out)
			}
			for name, period := range got {
				number, _, _ := strings.Cut(name, ".")
				i, err := strconv.Atoi(number)
				if err != nil {
					continue // an init segment
				}
				want, certain := c.period(i, to-from)
				before, listed := seen[name]
				if certain && (int64(period) != want || listed && before != period) {
					t.Fatalf("%s is of period %d, was of %d (%v), want %d\n%s", name, period, before, listed, want, in)
				}
				if (c.dates == "all" || !c.hasDates()) && listed && before != period {
					t.Fatalf("%s has its own date, is of period %d and was of %d\n%s", name, period, before, in)
				}
				seen[name] = period
				if whole, isPart := got[number+c.extension]; isPart && whole != period {
					t.Fatalf("%s is of period %d, its segment of %d", name, period, whole)
				}
			}
		}
	})
}

var rotatedReference = regexp.MustCompile(`^(?:\.\./)?~([a-z0-9]+)_(\d+)/(.*)$`)

// readRotated reads a playlist as a player does. It returns the crypto period of each file, and says where the keys in force, or
// the EXT-X-MAP in force, are not those of its period.
func readRotated(playlist string) (periods map[string]uint32, fault string) {
	keys, mapped, skipped := map[string]string{}, "", false // in force: KEYFORMAT → URI; init segment and period
	periods = map[string]uint32{}
	for _, l := range strings.Split(playlist, "\n") {
		if strings.HasPrefix(l, "#EXT-X-KEY:") {
			attributes := map[string]string{"KEYFORMAT": KeyFormatIdentity}
			for _, m := range keyAttribute.FindAllStringSubmatch(l, -1) {
				attributes[m[1]] = m[2]
			}
			if skipped = skipped && attributes["METHOD"] != methodNone; attributes["METHOD"] == methodNone {
				clear(keys)
			} else {
				keys[attributes["KEYFORMAT"]] = attributes["URI"]
			}
		}
		var reference string
		switch {
		case strings.HasPrefix(l, "#EXT-X-SKIP"):
			skipped = true // any key may be in force
			continue
		case l != "" && l[0] != '#':
			reference = l
		default:
			_, after, _ := strings.Cut(l, `,URI="`)
			if strings.HasPrefix(l, "#EXT-X-MAP:") {
				_, after, _ = strings.Cut(l, `:URI="`)
			}
			if strings.HasPrefix(l, "#EXT-X-KEY:") || after == "" {
				continue
			}
			reference, _, _ = strings.Cut(after, `"`)
		}
		m := rotatedReference.FindStringSubmatch(reference)
		if m == nil {
			return nil, "no reference of ours: " + l
		}
		name, number, file := m[1], m[2], m[3]
		want := map[string]string{}
		for _, k := range (testTrack{name: name}).Keys(Epoch{}) {
			want[k.format()] = k.URI + "/" + number
		}
		isMap := strings.HasPrefix(l, "#EXT-X-MAP:")
		if isMap {
			mapped = name + "_" + number
			if name == "whole" {
				clear(want)
			}
		}
		if skipped || !maps.Equal(keys, want) {
			return nil, fmt.Sprintf("keys %v in force for %s, want %v", keys, l, want)
		}
		if !isMap && len(want) > 0 && name != "ts" && mapped != name+"_"+number {
			return nil, fmt.Sprintf("map %s in force for %s", mapped, l)
		}
		period, err := strconv.ParseUint(number, 10, 32)
		if before, listed := periods[file]; err != nil || !isMap && listed && before != uint32(period) {
			return nil, fmt.Sprintf("%s twice", file)
		}
		periods[file] = uint32(period)
	}
	return periods, ""
}
