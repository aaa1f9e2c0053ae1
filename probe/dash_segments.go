package probe

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// mpdTemplate is a SegmentTemplate, a SegmentList or a SegmentBase (23009-1, 5.3.9). Attributes that are missing are those of the level above.
type mpdTemplate struct {
	Media          string       `xml:"media,attr"`
	InitTemplate   string       `xml:"initialization,attr"`
	Timescale      uint64       `xml:"timescale,attr"`
	Duration       uint64       `xml:"duration,attr"`
	StartNumber    *int64       `xml:"startNumber,attr"`
	EndNumber      *int64       `xml:"endNumber,attr"`
	Offset         int64        `xml:"presentationTimeOffset,attr"`
	IndexRange     string       `xml:"indexRange,attr"`
	Timeline       *mpdTimeline `xml:"SegmentTimeline"`
	Initialization *struct {
		URL   string `xml:"sourceURL,attr"`
		Range string `xml:"range,attr"`
	} `xml:"Initialization"`
	Segments []struct {
		Media string `xml:"media,attr"`
		Range string `xml:"mediaRange,attr"`
	} `xml:"SegmentURL"`
}

type mpdTimeline struct {
	S []mpdS `xml:"S"`
}

// mpdS is one or several segments of the same duration.
type mpdS struct {
	Time     *int64 `xml:"t,attr"`
	Duration int64  `xml:"d,attr"`
	Repeat   int64  `xml:"r,attr"`
}

// inherit fills in what a level leaves out.
func inherit(levels ...*mpdTemplate) *mpdTemplate {
	var all *mpdTemplate
	for _, level := range levels {
		switch {
		case level == nil:
			continue
		case all == nil:
			copied := *level
			all = &copied
			continue
		}
		all.Media, all.InitTemplate = or(level.Media, all.Media), or(level.InitTemplate, all.InitTemplate)
		all.IndexRange = or(level.IndexRange, all.IndexRange)
		if level.Timescale != 0 {
			all.Timescale = level.Timescale
		}
		if level.Duration != 0 {
			all.Duration = level.Duration
		}
		if level.Offset != 0 {
			all.Offset = level.Offset
		}
		if level.StartNumber != nil {
			all.StartNumber = level.StartNumber
		}
		if level.EndNumber != nil {
			all.EndNumber = level.EndNumber
		}
		if level.Timeline != nil {
			all.Timeline = level.Timeline
		}
		if level.Initialization != nil {
			all.Initialization = level.Initialization
		}
		if level.Segments != nil {
			all.Segments = level.Segments
		}
	}
	if all != nil && all.Timescale == 0 {
		all.Timescale = 1
	}
	return all
}

// span is a segment in the ticks of its template.
type span struct{ number, time, duration int64 }

// listSegments lists the segments of a Representation.
func (p *prober) listSegments(ctx context.Context, s *stretch, d dashContext, set *mpdSet, r *mpdRepresentation, base string) error {
	if t := inherit(d.period.Template, set.Template, r.Template); t != nil {
		return listTemplate(s, d, t, r, base)
	}
	if t := inherit(d.period.List, set.List, r.List); t != nil {
		return listList(s, d, t, base)
	}
	if t := inherit(d.period.Base, set.Base, r.Base); t != nil && t.IndexRange != "" {
		return p.listIndexed(ctx, s, t, base)
	}
	if s.kind != kindText && s.kind != kindImage {
		return errors.New("neither SegmentTemplate, SegmentList nor an indexRange: its segments cannot be found")
	}
	s.segments = []segment{{ref: ref{url: base}}}
	return nil
}

func listTemplate(s *stretch, d dashContext, t *mpdTemplate, r *mpdRepresentation, base string) error {
	if t.Media == "" {
		return errors.New("SegmentTemplate without media")
	}
	values := map[string]string{"RepresentationID": r.ID, "Bandwidth": or(r.Bandwidth, "0")}
	if t.InitTemplate != "" {
		text, err := expand(t.InitTemplate, values, span{})
		if err != nil {
			return err
		}
		url, err := resolve(base, text)
		if err != nil {
			return fmt.Errorf("initialization: %w", err)
		}
		s.init = &ref{url: url}
	}
	spans, err := t.spans(d)
	if err != nil {
		return err
	}
	for _, at := range spans {
		text, err := expand(t.Media, values, at)
		if err != nil {
			return err
		}
		url, err := resolve(base, text)
		if err != nil {
			return fmt.Errorf("media: %w", err)
		}
		s.segments = append(s.segments, t.segment(ref{url: url}, at))
	}
	return nil
}

func (t *mpdTemplate) segment(r ref, at span) segment {
	return segment{ref: r, number: at.number, start: ticks(at.time, t.Timescale), duration: ticks(at.duration, t.Timescale)}
}

func listList(s *stretch, d dashContext, t *mpdTemplate, base string) error {
	if i := t.Initialization; i != nil {
		init, err := rangeRef(base, i.URL, i.Range)
		if err != nil {
			return fmt.Errorf("Initialization: %w", err)
		}
		s.init = &init
	}
	count := int64(len(t.Segments))
	if count > maxSegments {
		return errTooMany
	}
	if t.EndNumber == nil {
		end := t.firstNumber() + count - 1
		t.EndNumber = &end
	}
	spans, err := t.spans(d)
	if err != nil {
		return err
	}
	for i, entry := range t.Segments {
		if i >= len(spans) {
			break
		}
		media, err := rangeRef(base, entry.Media, entry.Range)
		if err != nil {
			return fmt.Errorf("SegmentURL: %w", err)
		}
		s.segments = append(s.segments, t.segment(media, spans[i]))
	}
	return nil
}

// listIndexed reads the segment index of a single file.
func (p *prober) listIndexed(ctx context.Context, s *stretch, t *mpdTemplate, base string) error {
	if t.Initialization == nil || t.Initialization.Range == "" {
		return errors.New("SegmentBase without the range of its Initialization")
	}
	init, err := rangeRef(base, t.Initialization.URL, t.Initialization.Range)
	if err != nil {
		return fmt.Errorf("Initialization: %w", err)
	}
	s.init = &init
	index, err := rangeRef(base, "", t.IndexRange)
	if err != nil {
		return fmt.Errorf("indexRange: %w", err)
	}
	res, ok := p.get(ctx, s.place(), index, maxInit)
	if !ok {
		return errors.New("its index does not come")
	}
	first, _, _ := strings.Cut(t.IndexRange, "-")
	offset, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if err != nil {
		return errors.New("indexRange: want two numbers")
	}
	s.segments, err = readIndex(res.Body, offset, base)
	return err
}

func rangeRef(base, text, byteRange string) (ref, error) {
	url, err := resolve(base, text)
	if err != nil {
		return ref{}, err
	}
	if byteRange == "" {
		return ref{url: url}, nil
	}
	return ref{url, "bytes=" + strings.TrimSpace(byteRange)}, nil
}

var errTooMany = fmt.Errorf("more than %d segments", maxSegments)

func (t *mpdTemplate) firstNumber() int64 {
	if t.StartNumber != nil {
		return *t.StartNumber
	}
	return 1
}

// spans lists what a template lists: by its timeline, or by the length of its segments.
func (t *mpdTemplate) spans(d dashContext) ([]span, error) {
	if t.Timeline != nil {
		return t.timeline(d)
	}
	first, length := t.firstNumber(), int64(t.Duration)
	if outOfReason(first) || t.EndNumber != nil && outOfReason(*t.EndNumber) {
		return nil, errors.New("segment numbers beyond reason")
	}
	if length <= 0 {
		if t.EndNumber != nil && *t.EndNumber == first || t.Media != "" && !strings.Contains(t.Media, "$Number") {
			return []span{{number: first, time: t.Offset}}, nil // one segment that is all
		}
		return nil, errors.New("neither SegmentTimeline nor duration")
	}
	from, last := first, int64(0)
	each := ticks(length, t.Timescale)
	if each <= 0 {
		return nil, errors.New("segments without duration")
	}
	switch {
	case t.EndNumber != nil:
		last = *t.EndNumber
	case d.periodLength > 0:
		last = first + int64((d.periodLength+each-1)/each) - 1
	}
	if d.live {
		elapsed := d.now.Sub(d.availability) - d.periodStart
		edge := first + int64(elapsed/each) - 1 // the last that is whole
		if last == 0 || edge < last {
			last = edge
		}
		if d.depth > 0 {
			from = max(from, edge-int64(d.depth/each)+1)
		}
	}
	if last-from >= maxSegments {
		return nil, errTooMany
	}
	var all []span
	for n := from; n <= last; n++ {
		all = append(all, span{n, t.Offset + (n-first)*length, length})
	}
	return all, nil
}

// outOfReason keeps arithmetic with numbers of segments from wrapping.
func outOfReason(n int64) bool { return n < 0 || n > 1<<53 }

// timeline lists the segments of a SegmentTimeline (23009-1, 5.3.9.6).
func (t *mpdTemplate) timeline(d dashContext) ([]span, error) {
	var all []span
	number, at := t.firstNumber(), int64(0)
	for i, s := range t.Timeline.S {
		if s.Time != nil {
			at = *s.Time
		}
		if s.Duration <= 0 {
			return nil, errors.New("SegmentTimeline: a segment without duration")
		}
		repeat := s.Repeat
		if repeat < 0 {
			end := t.Offset + int64(d.periodLength.Seconds()*float64(t.Timescale))
			if i+1 < len(t.Timeline.S) && t.Timeline.S[i+1].Time != nil {
				end = *t.Timeline.S[i+1].Time
			} else if d.live {
				elapsed := (d.now.Sub(d.availability) - d.periodStart).Seconds()
				if live := t.Offset + int64(elapsed*float64(t.Timescale)) - s.Duration; d.periodLength == 0 || live < end {
					end = live
				}
			}
			repeat = (end-at+s.Duration-1)/s.Duration - 1
		}
		if repeat >= maxSegments-int64(len(all)) {
			return nil, errTooMany
		}
		for ; repeat >= 0; repeat-- {
			all = append(all, span{number, at, s.Duration})
			number++
			at += s.Duration
		}
	}
	return all, nil
}

var identifier = regexp.MustCompile(`\$(?:(RepresentationID|Number|Time|Bandwidth)(?:%0(\d{1,2})d)?)?\$`)

// expand fills in the identifiers of a template (23009-1, 5.3.9.4.4).
func expand(template string, values map[string]string, at span) (string, error) {
	values["Number"], values["Time"] = strconv.FormatInt(at.number, 10), strconv.FormatInt(at.time, 10)
	out := identifier.ReplaceAllStringFunc(template, func(found string) string {
		parts := identifier.FindStringSubmatch(found)
		if parts[1] == "" {
			return "$"
		}
		value := values[parts[1]]
		if width, err := strconv.Atoi(parts[2]); err == nil && len(value) < width {
			value = strings.Repeat("0", width-len(value)) + value
		}
		return value
	})
	if strings.Contains(identifier.ReplaceAllString(template, ""), "$") {
		return "", errors.New("a template with an identifier that is none")
	}
	return out, nil
}

// about says that two times are the same, as far as manifests are exact.
func about(a, b, tolerance time.Duration) bool {
	return a-b <= tolerance && b-a <= tolerance
}
