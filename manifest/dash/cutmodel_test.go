package dash_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// The model below knows when each segment of a presentation is played, in exact fractions, writes MPDs of it, and reads the
// rewritten ones as a player does. It shares nothing with the package under test.

// modelTrack is the segments of one Representation in one Period.
type modelTrack struct {
	id, kind, form     string // number, time, duration, list, listduration or index
	scale, pto, number int64
	time               int64   // of the first segment
	durations          []int64 // all in ticks
	inSet              bool    // the SegmentTemplate stands in the AdaptationSet
}

type modelPeriod struct {
	start  int64 // nanoseconds
	id     string
	tracks []*modelTrack
}

func seconds(n, scale int64) *big.Rat { return big.NewRat(n, scale) }

// starts returns when the i-th segment begins and ends, in seconds of the presentation.
func (m *modelTrack) at(p *modelPeriod, i int) (start, end *big.Rat) {
	t := m.time
	for _, d := range m.durations[:i] {
		t += d
	}
	base := seconds(p.start, 1e9)
	start = new(big.Rat).Add(base, seconds(t-m.pto, m.scale))
	return start, new(big.Rat).Add(base, seconds(t+m.durations[i]-m.pto, m.scale))
}

func (m *modelTrack) ticks(i int) int64 {
	t := m.time
	for _, d := range m.durations[:i] {
		t += d
	}
	return t
}

// name is what the URL of the i-th segment ends with.
func (m *modelTrack) name(i int) string {
	switch m.form {
	case "number", "duration":
		return fmt.Sprintf("%s/n%d.m4s", m.id, m.number+int64(i))
	case "time":
		return fmt.Sprintf("%s/t%d.m4s", m.id, m.ticks(i))
	case "index":
		return fmt.Sprintf("~n.%d/%s.mp4", i+1, m.id)
	default:
		return fmt.Sprintf("%s/l%d.m4s", m.id, i)
	}
}

// write writes the segments [from, to) as an AdaptationSet.
func (m *modelTrack) write(b *strings.Builder, from, to int) {
	var timeline, inside strings.Builder
	for i := from; i < to; {
		repeats := 0
		for i+repeats+1 < to && m.durations[i+repeats+1] == m.durations[i] {
			repeats++
		}
		fmt.Fprintf(&timeline, `<S t="%d" d="%d" r="%d"/>`, m.ticks(i), m.durations[i], repeats)
		i += repeats + 1
	}
	number := m.number + int64(from)
	common := fmt.Sprintf(`timescale="%d" presentationTimeOffset="%d" startNumber="%d"`, m.scale, m.pto, number)
	switch m.form {
	case "number", "time":
		fmt.Fprintf(&inside, `<SegmentTemplate %s initialization="%s/i.mp4" media="%[2]s/%s"><SegmentTimeline>%s</SegmentTimeline></SegmentTemplate>`,
			common, m.id, map[string]string{"number": "n$Number$.m4s", "time": "t$Time$.m4s"}[m.form], timeline.String())
	case "duration":
		fmt.Fprintf(&inside, `<SegmentTemplate %s duration="%d" initialization="%s/i.mp4" media="%[3]s/n$Number$.m4s"/>`, common, m.durations[0], m.id)
	case "index":
		inside.WriteString(`<BaseURL>` + m.id + `.mp4</BaseURL>` +
			fmt.Sprintf(`<SegmentBase timescale="%d" presentationTimeOffset="%d" indexRange="100-199"/>`, m.scale, m.pto))
	case "list", "listduration":
		fmt.Fprintf(&inside, `<SegmentList timescale="%d" presentationTimeOffset="%d" `, m.scale, m.pto)
		if m.form == "listduration" {
			fmt.Fprintf(&inside, `duration="%d">`, m.durations[0])
		} else {
			inside.WriteString(">")
		}
		fmt.Fprintf(&inside, `<Initialization sourceURL="%s/i.mp4"/>`, m.id)
		if m.form == "list" {
			inside.WriteString("<SegmentTimeline>" + timeline.String() + "</SegmentTimeline>")
		}
		for i := from; i < to; i++ {
			fmt.Fprintf(&inside, `<SegmentURL media="%s/l%d.m4s"/>`, m.id, i)
		}
		inside.WriteString("</SegmentList>")
	}
	fmt.Fprintf(b, `<AdaptationSet contentType="%s" mimeType="%[1]s/mp4">`, m.kind)
	if m.inSet {
		fmt.Fprintf(b, `%s<Representation id="%s"/></AdaptationSet>`, inside.String(), m.id)
	} else {
		fmt.Fprintf(b, `<Representation id="%s">%s</Representation></AdaptationSet>`, m.id, inside.String())
	}
}

// cutProtector seals with the index of the crypto period. It knows the tracks with an index by their ids.
type cutProtector struct{ tracks map[string]*modelTrack }

func (c cutProtector) AdaptationSet(_ context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	p := dash.Protection{Scheme: drm.SchemeCenc, KID: drm.KID{byte(set.CryptoPeriod), 1}}
	seal := []string{fmt.Sprintf("~k%d", set.CryptoPeriod)}
	for _, rep := range set.Representations {
		t := dash.TrackProtection{Elements: seal, Segment: func(dash.Resource) ([]string, error) { return seal, nil }}
		if m := c.tracks[rep.ID]; m != nil && !rep.Index.Range.IsZero() {
			t.Timeline = &dash.Timeline{Timescale: uint32(m.scale)}
			for i, d := range m.durations {
				t.Timeline.Segments = append(t.Timeline.Segments, dash.TimelineSegment{Time: uint64(m.ticks(i)), Duration: uint64(d)})
			}
		}
		p.Tracks = append(p.Tracks, t)
	}
	return p, nil
}

func (cutProtector) Sidecar(context.Context, address.Target, string) ([]string, error) {
	return []string{"~side"}, nil
}

func (cutProtector) Thumbnails(context.Context, address.Template) ([]string, error) {
	return []string{"~side"}, nil
}

// cutMPD is a rewritten MPD as a player reads it.
type (
	cutMPD struct {
		Duration string      `xml:"mediaPresentationDuration,attr"`
		Update   string      `xml:"minimumUpdatePeriod,attr"`
		Period   []cutPeriod `xml:"Period"`
	}
	cutPeriod struct {
		ID     string         `xml:"id,attr"`
		Start  string         `xml:"start,attr"`
		Length string         `xml:"duration,attr"`
		Set    []cutSet       `xml:"AdaptationSet"`
		Events []cutEventList `xml:"EventStream"`
	}
	cutEventList struct {
		Offset int64 `xml:"presentationTimeOffset,attr"`
		Event  []struct {
			ID string `xml:"id,attr"`
		} `xml:"Event"`
	}
	cutSet struct {
		Kind     string       `xml:"contentType,attr"`
		Template *cutSegments `xml:"SegmentTemplate"`
		Rep      []struct {
			ID       string       `xml:"id,attr"`
			BaseURL  string       `xml:"BaseURL"`
			Template *cutSegments `xml:"SegmentTemplate"`
			List     *cutSegments `xml:"SegmentList"`
		} `xml:"Representation"`
	}
	cutSegments struct {
		Scale    int64  `xml:"timescale,attr"`
		Offset   int64  `xml:"presentationTimeOffset,attr"`
		Number   *int64 `xml:"startNumber,attr"`
		Last     *int64 `xml:"endNumber,attr"`
		Duration int64  `xml:"duration,attr"`
		Media    string `xml:"media,attr"`
		Timeline *struct {
			S []struct {
				T *int64 `xml:"t,attr"`
				D int64  `xml:"d,attr"`
				R int64  `xml:"r,attr"`
			} `xml:"S"`
		} `xml:"SegmentTimeline"`
		URL []struct {
			Media string `xml:"media,attr"`
		} `xml:"SegmentURL"`
	}
)

// heard is one segment as a player finds it.
type heard struct {
	period, seal int // index of the Period in the MPD, and of the crypto period in the URL
	start        *big.Rat
}

var sealedURL = regexp.MustCompile(`^(.*)~k(\d+)/(.*)$`)

func rat(duration string) *big.Rat {
	text := strings.TrimSuffix(strings.TrimPrefix(duration, "PT"), "S")
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("duration " + duration)
	}
	return r
}

// listen returns all segments of an MPD by the ends of their URLs. horizon, if set, ends the last Period.
func listen(out []byte, horizon *big.Rat) (m cutMPD, found map[string][]heard, err error) {
	if err := xml.Unmarshal(out, &m); err != nil {
		return m, nil, err
	}
	found = map[string][]heard{}
	for i, period := range m.Period {
		end := horizon
		if i+1 < len(m.Period) {
			end = rat(m.Period[i+1].Start)
		} else if end == nil && m.Duration != "" {
			end = rat(m.Duration)
		}
		for _, set := range period.Set {
			for _, rep := range set.Rep {
				segments := set.Template
				if rep.Template != nil {
					segments = rep.Template
				}
				if rep.List != nil {
					segments = rep.List
				}
				if err := segments.listen(i, rat(period.Start), end, rep.BaseURL, rep.ID, found); err != nil {
					return m, nil, fmt.Errorf("%s of %s: %w", rep.ID, period.ID, err)
				}
			}
		}
	}
	return m, found, nil
}

func (c *cutSegments) listen(period int, start, end *big.Rat, base, id string, found map[string][]heard) error {
	number := int64(1)
	if c.Number != nil {
		number = *c.Number
	}
	add := func(n, tick int64, at *big.Rat) error {
		media := c.Media
		if c.URL != nil {
			if n > int64(len(c.URL)) {
				return fmt.Errorf("segment %d of %d", n, len(c.URL))
			}
			media = c.URL[n-1].Media
		}
		url := base + strings.NewReplacer("$RepresentationID$", id, "$Number$", strconv.FormatInt(n, 10), "$Time$", strconv.FormatInt(tick, 10)).Replace(media)
		parts := sealedURL.FindStringSubmatch(url)
		if parts == nil {
			return fmt.Errorf("URL %s", url)
		}
		seal, err := strconv.Atoi(parts[2])
		found[parts[1]+parts[3]] = append(found[parts[1]+parts[3]], heard{period, seal, at})
		return err
	}
	if c.Timeline == nil {
		for n := number; ; n++ {
			at := new(big.Rat).Add(start, seconds((n-number)*c.Duration, c.Scale))
			if c.Last != nil && n > *c.Last || c.Last == nil && at.Cmp(end) >= 0 {
				return nil
			}
			if err := add(n, 0, at); err != nil {
				return err
			}
		}
	}
	if len(c.Timeline.S) == 0 {
		return fmt.Errorf("an empty SegmentTimeline")
	}
	tick := int64(0)
	for _, s := range c.Timeline.S {
		if s.T != nil {
			tick = *s.T
		}
		for range s.R + 1 {
			if err := add(number, tick, new(big.Rat).Add(start, seconds(tick-c.Offset, c.Scale))); err != nil {
				return err
			}
			number++
			tick += s.D
		}
	}
	if c.URL != nil && number-1 != int64(len(c.URL)) {
		return fmt.Errorf("%d segments and %d times", len(c.URL), number-1)
	}
	return nil
}

// drawPeriod draws a Period of count video segments, and audio beside them.
func drawPeriod(t *rapid.T, start int64, count int, forms []string) *modelPeriod {
	p := &modelPeriod{start: start, id: rapid.SampledFrom([]string{"", "main", "a&lt;b"}).Draw(t, "id")}
	draw := func(kind, id string, scale int64, durations []int64) *modelTrack {
		m := &modelTrack{
			id: id, kind: kind, form: rapid.SampledFrom(forms).Draw(t, "form"), scale: scale, durations: durations,
			pto: rapid.Int64Range(0, 1<<40).Draw(t, "offset"), number: rapid.Int64Range(0, 1<<33).Draw(t, "number"),
			inSet: rapid.Bool().Draw(t, "in set"),
		}
		m.time = m.pto
		constant := true
		for _, d := range durations {
			constant = constant && d == durations[0]
		}
		if strings.HasSuffix(m.form, "duration") && !constant {
			m.form = "number"
		}
		if m.form == "index" { // sets share no BaseURL
			m.inSet = false
		}
		p.tracks = append(p.tracks, m)
		return m
	}
	scale := rapid.SampledFrom([]int64{90000, 12800, 1000, 30000, 10_000_000, 1, 44100}).Draw(t, "timescale")
	length := scale * rapid.Int64Range(1, 7).Draw(t, "seconds")
	if rapid.Bool().Draw(t, "odd") && scale > 1 {
		length += rapid.Int64Range(0, scale-1).Draw(t, "ticks")
	}
	video := make([]int64, count)
	for i := range video {
		video[i] = length
	}
	draw("video", "v1", scale, video)
	switch rapid.SampledFrom([]string{"none", "near", "far", "same"}).Draw(t, "audio") {
	case "near": // whole frames of AAC nearest to the ends of the video segments
		var audio []int64
		end := int64(0)
		for i := range count {
			ends := (int64(i+1)*length*48000/scale + 512) / 1024 * 1024
			audio = append(audio, ends-end)
			end = ends
		}
		if m := draw("audio", "a1", 48000, audio); strings.HasSuffix(m.form, "duration") {
			m.form = "number" // counted, there would be one more where the last ends before the video
		}
	case "far":
		each := 1024 * rapid.Int64Range(40, 400).Draw(t, "frames")
		audio := make([]int64, (int64(count)*length*48000/scale-100)/each+1)
		for i := range audio {
			audio[i] = each
		}
		draw("audio", "a1", 48000, audio)
	case "same":
		draw("audio", "a1", scale, video)
	}
	return p
}
