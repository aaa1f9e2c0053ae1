package dash

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// run is segments of one duration, each beginning where the one in front of it ends.
type run struct {
	first          int64 // number of segments in front of it
	time, duration int64 // of the first segment, in ticks; duration is not zero
	count          int64
}

// endless is the number of segments of a run that only the end of a Period would end.
const endless = 1 << 40

// readRuns reads the S elements of a SegmentTimeline. The last run may be open: it goes on to the end of the Period.
func (r *rewriter) readRuns(timeline *node) (runs []run, open bool, err error) {
	if found, ok := r.runs[timeline]; ok {
		return found.runs, found.open, nil
	}
	b := &runBuilder{}
	if timeline.parent.is("SegmentList") {
		err = b.readNodes(timeline.items)
	} else if !timeline.selfClosed {
		err = b.readText(r.doc.mpd[timeline.startEnd:timeline.endStart], timeline.prefix)
	}
	if err != nil {
		return nil, false, r.doc.errorAt(timeline, err)
	}
	if r.runs == nil {
		r.runs = map[*node]readTimeline{}
	}
	r.runs[timeline] = readTimeline{b.runs, b.open}
	return b.runs, b.open, nil
}

// readTimeline is a SegmentTimeline that was read.
type readTimeline struct {
	runs []run
	open bool
}

// runBuilder puts S elements together.
type runBuilder struct {
	runs []run
	open bool
}

// add appends an S element (5.3.9.6).
func (b *runBuilder) add(s listedTime) error {
	next, first := uint64(0), int64(0)
	if len(b.runs) > 0 {
		last := &b.runs[len(b.runs)-1]
		if b.open {
			if !s.timed || s.time <= uint64(last.time) {
				return fmt.Errorf("%w: S@r without an end", ErrStructure)
			}
			last.count, b.open = (int64(min(s.time, maxTime))-last.time-1)/last.duration+1, false
		}
		next, first = uint64(last.time+last.count*last.duration), last.first+last.count
	}
	if !s.timed {
		s.time = next
	}
	if s.time > maxTime || s.duration > maxTime || s.repeats >= (maxTime-s.time)/s.duration && !s.open {
		return fmt.Errorf("%w: S too far in the future", ErrStructure)
	}
	added := run{first: first, time: int64(s.time), duration: int64(s.duration), count: int64(s.repeats) + 1}
	if b.open = s.open; b.open {
		added.count = max(1, min(endless, (maxTime-added.time)/added.duration))
	}
	if len(b.runs) > 0 {
		last := &b.runs[len(b.runs)-1]
		switch {
		case added.time <= last.time+(last.count-1)*last.duration:
			return fmt.Errorf("%w: a SegmentTimeline that goes back", ErrStructure)
		case added.time == int64(next) && added.duration == last.duration && !b.open:
			last.count += added.count
			return nil
		}
	}
	b.runs = append(b.runs, added)
	return nil
}

func (b *runBuilder) readNodes(items []*node) error {
	for _, n := range items {
		s, err := parseListed(n)
		if err != nil {
			return err
		}
		if err := b.add(s); err != nil {
			return err
		}
	}
	return nil
}

// readText reads what stands between the tags of a SegmentTimeline: the plain form of S at once, any other as XML.
func (b *runBuilder) readText(text []byte, prefix string) error {
	name := "<S"
	if prefix != "" {
		name = "<" + prefix + ":S"
	}
	b.runs = make([]run, 0, bytes.Count(text, []byte(name)))
	for {
		length := plainSegment(text, name)
		if length == 0 {
			break
		}
		s, err := parsePlain(text[:length], name)
		if err != nil {
			return err
		}
		if err := b.add(s); err != nil {
			return err
		}
		text = text[length:]
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return ErrMalformed
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "S" || start.Name.Space != prefix {
			return fmt.Errorf("%w: elements other than S in a SegmentTimeline", ErrUnsupported)
		}
		s, err := parseListed(&node{local: "S", attrs: start.Attr})
		if err != nil {
			return err
		}
		if err := b.add(s); err != nil {
			return err
		}
	}
}

// parsePlain reads what plainSegment has found: attributes of one letter with numbers.
func parsePlain(text []byte, name string) (s listedTime, err error) {
	text = text[bytes.Index(text, []byte(name))+len(name):]
	for {
		text = bytes.TrimLeft(text, " \t\r\n")
		if text[0] == '/' {
			break
		}
		letter := text[0]
		value, rest, _ := bytes.Cut(text[len(`t="`):], []byte{'"'})
		text = rest
		if letter == 'r' {
			if err := s.setRepeats(string(value)); err != nil {
				return s, err
			}
			continue
		}
		number, err := strconv.ParseUint(string(value), 10, 64)
		switch {
		case err != nil:
			return s, errListedTime
		case letter == 't':
			s.time, s.timed = number, true
		case letter == 'd':
			s.duration = number
		default:
			return s, errNumbered
		}
	}
	if s.duration == 0 {
		return s, errListedTime
	}
	return s, nil
}

// timing says when the segments of a Representation are played.
type timing struct {
	scale   int64 // ticks per second
	offset  int64 // @presentationTimeOffset
	number  int64 // of the first segment
	runs    []run
	total   int64 // segments
	byClock bool  // which segments exist follows from the clock
	window  bool  // and from @timeShiftBufferDepth
	nominal bool  // they are counted by @duration
}

func (t *timing) setRuns(runs []run) {
	t.runs, t.total = runs, 0
	if len(runs) > 0 {
		last := runs[len(runs)-1]
		t.total = last.first + last.count
	}
}

// at returns start and end of the n-th segment, from 0, in ticks.
func (t *timing) at(n int64) (start, end int64) {
	i := t.runOf(n)
	start = t.runs[i].time + (n-t.runs[i].first)*t.runs[i].duration
	return start, start + t.runs[i].duration
}

// from returns the number of the first segment that begins at a tick or behind it, or total.
func (t *timing) from(tick int64) int64 {
	i, _ := slices.BinarySearchFunc(t.runs, tick, func(r run, tick int64) int {
		if r.time < tick {
			return -1
		}
		return 1
	})
	if i > 0 {
		before := t.runs[i-1]
		if n := (tick-before.time-1)/before.duration + 1; n < before.count {
			return before.first + n
		}
	}
	if i == len(t.runs) {
		return t.total
	}
	return t.runs[i].first
}

// ticks returns how many ticks behind the start of the original Period a time is, from @presentationTimeOffset on.
func (t *timing) ticks(nanos int64) int64 {
	return min(addTimes(t.offset, mulDivUp(nanos, t.scale, nanosPerSecond)), math.MaxInt64-1)
}

// nanos returns when a tick is, from the start of the original Period.
func (t *timing) nanos(tick int64) int64 { return mulDivNear(tick-t.offset, nanosPerSecond, t.scale) }

const nanosPerSecond = 1_000_000_000

// write writes the segments [first, end) as S elements of that name. open is set when the last run goes on to the end of the
// Period, single when each segment is to have an S of its own.
func (t *timing) write(b *strings.Builder, name string, first, end int64, open, single bool) {
	var number [20]byte
	attribute := func(name string, value int64) {
		b.WriteString(name)
		b.Write(strconv.AppendInt(number[:0], value, 10))
		b.WriteByte('"')
	}
	name = "<" + name
	next := int64(-1)
	for i := t.runOf(first); i < len(t.runs) && t.runs[i].first < end; i++ {
		r := t.runs[i]
		from, to := max(first, r.first), min(end, r.first+r.count)
		start := r.time + (from-r.first)*r.duration
		for from < to {
			count := to - from
			if single {
				count = 1
			}
			b.WriteString(name)
			if start != next {
				attribute(` t="`, start)
			}
			attribute(` d="`, r.duration)
			switch {
			case open && i == len(t.runs)-1:
				attribute(` r="`, -1)
			case count > 1:
				attribute(` r="`, count-1)
			}
			b.WriteString("/>")
			from += count
			start += count * r.duration
			next = start
		}
	}
}

// runOf returns the index of the run that the n-th segment is in.
func (t *timing) runOf(n int64) int {
	i, found := slices.BinarySearchFunc(t.runs, n, func(r run, n int64) int { return cmp.Compare(r.first, n) })
	if !found {
		i--
	}
	return i
}
