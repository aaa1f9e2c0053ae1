package dash

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// readList resolves the initialization segment of a SegmentList. Its media segments are resolved as they are written.
func (r *rewriter) readList(t *track) error {
	element := effectiveChild(t.place.lists, "Initialization")
	if element == nil {
		return r.doc.errorf(t.node, "%w: no initialization segment", ErrUnsupported)
	}
	if len(listedSegments(t)) == 0 {
		return r.doc.errorf(t.node, "%w: SegmentList without SegmentURL", ErrStructure)
	}
	init, err := r.locate(t, element, "sourceURL", "range")
	if err != nil {
		return err
	}
	t.List, t.initTarget, t.Init = true, init.target, init.resource()
	return nil
}

// listedSegments returns the SegmentURLs in force: those of an inner SegmentList take the place of all outer ones.
func listedSegments(t *track) []*node {
	for i := len(t.place.lists) - 1; i >= 0; i-- {
		if urls := t.place.lists[i].items; len(urls) > 0 {
			return urls
		}
	}
	return nil
}

// listAttributes are those of a SegmentList that hold for the protected segments as well, @duration apart.
var listAttributes = append([]string{
	"timescale", "presentationTimeOffset", "presentationDuration", "eptDelta", "pdDelta", "startNumber", "endNumber",
}, timingAttributes...)

// sealList writes a SegmentList for t alone, in which each segment is a URL of its own and no byte range is left: encryption
// moves them.
func (r *rewriter) sealList(t *track, answer TrackProtection, part *part) error {
	if answer.Segment == nil {
		return r.doc.errorf(t.node, "%w: no seals for a SegmentList", ErrOptions)
	}
	name := t.node.qualified
	var b strings.Builder
	b.WriteString("<" + name("SegmentList"))
	timeline := effectiveChild(t.place.lists, "SegmentTimeline")
	if part.rotated {
		writeNumber(&b, "timescale", uint64(t.timing.scale))
		writeNumber(&b, "presentationTimeOffset", uint64(part.offset(t)))
		copyAttributes(&b, t.place.lists, timingAttributes...)
	} else {
		copyAttributes(&b, t.place.lists, listAttributes...)
		if timeline == nil {
			copyAttributes(&b, t.place.lists, "duration") // else that of an outer level, perhaps in ticks of another length
		}
	}
	b.WriteString("><" + name("Initialization"))
	if err := r.writeListed(&b, "sourceURL", t.node, located{t.initTarget, t.Init.Range}, answer); err != nil {
		return err
	}
	segments := listedSegments(t)
	switch {
	case part.rotated:
		s := t.spans[part.number]
		segments = segments[s.first:s.end]
		b.WriteString("<" + name("SegmentTimeline") + ">")
		t.timing.write(&b, name("S"), s.first, s.end, false, true)
		b.WriteString("</" + name("SegmentTimeline") + ">")
	case timeline != nil:
		b.WriteString("<" + name("SegmentTimeline") + ">")
		if err := r.writeListTimeline(&b, timeline, name("S"), uint64(len(segments))); err != nil {
			return err
		}
		b.WriteString("</" + name("SegmentTimeline") + ">")
	}
	for _, n := range segments {
		segment, err := r.locate(t, n, "media", "mediaRange")
		if err != nil {
			return err
		}
		if segment.resource() == t.Init {
			return r.doc.errorf(n, "%w: a media segment that is the initialization segment", ErrStructure)
		}
		b.WriteString("<" + name("SegmentURL"))
		if err := r.writeListed(&b, "media", n, segment, answer); err != nil {
			return err
		}
	}
	b.WriteString("</" + name("SegmentList") + ">")
	r.placeSegments(t, "SegmentList", b.String())
	return nil
}

// writeListed writes the sealed URL of one resource of a list, and the end of the element that it is an attribute of.
func (r *rewriter) writeListed(b *strings.Builder, name string, n *node, l located, answer TrackProtection) error {
	elements, err := answer.Segment(l.resource())
	if err != nil {
		return fmt.Errorf("protecting %s: %w", n.path(), err)
	}
	if err := checkElements(elements, true); err != nil {
		return r.doc.errorAt(n, err)
	}
	writeAttribute(b, name, r.relative(l.target, elements))
	b.WriteString("/>")
	return r.checkWritten(n, b.Len())
}

// writeListTimeline writes a SegmentTimeline with one S for each segment, since one player counts S elements to find the
// SegmentURL that belongs to a time. It ends with the segments of the list, whatever the repeat counts say.
func (r *rewriter) writeListTimeline(b *strings.Builder, timeline *node, name string, left uint64) error {
	now := uint64(0)
	for i, n := range timeline.items {
		if left == 0 {
			break
		}
		s, err := parseListed(n)
		if err != nil {
			return r.doc.errorAt(n, err)
		}
		if s.timed {
			now = s.time
		}
		count := min(left, s.repeats+1)
		if s.open && i+1 < len(timeline.items) {
			next, err := parseListed(timeline.items[i+1])
			switch {
			case err != nil:
				return r.doc.errorAt(timeline.items[i+1], err)
			case !next.timed || next.time <= now:
				return r.doc.errorf(n, "%w: S@r without an end", ErrStructure)
			}
			count = min(left, (next.time-now-1)/s.duration+1)
		}
		if count > (math.MaxUint64-now)/s.duration {
			return r.doc.errorf(n, "%w: S reaches past 2^64", ErrStructure)
		}
		now += count * s.duration
		left -= count
		for k := range count {
			b.WriteString("<" + name)
			if k == 0 && s.timed {
				writeNumber(b, "t", s.time)
			}
			writeNumber(b, "d", s.duration)
			b.WriteString("/>")
			if err := r.checkWritten(n, b.Len()); err != nil {
				return err
			}
		}
	}
	return nil
}

// listedTime is an S element.
type listedTime struct {
	timed          bool // @t is there
	open           bool // it repeats until the next S, or the end
	time, duration uint64
	repeats        uint64
}

var (
	errListedTime = fmt.Errorf("%w: S without a usable @t, @d or @r", ErrStructure)
	errNumbered   = fmt.Errorf("%w: S@n, S@k or a pattern where segments are counted", ErrUnsupported)
)

// parseListed reads an S element (5.3.9.6).
func parseListed(n *node) (s listedTime, err error) {
	if hasAny(n, []string{"n", "k", "p", "pE"}) {
		return s, errNumbered
	}
	if s.duration, err = strconv.ParseUint(n.trimmed("d"), 10, 64); err != nil || s.duration == 0 {
		return s, errListedTime
	}
	if text, ok := n.attr("t"); ok {
		if s.time, err = strconv.ParseUint(strings.TrimSpace(text), 10, 64); err != nil {
			return s, errListedTime
		}
		s.timed = true
	}
	if text, ok := n.attr("r"); ok {
		if err := s.setRepeats(strings.TrimSpace(text)); err != nil {
			return s, err
		}
	}
	return s, nil
}

// setRepeats reads @r; a negative one repeats to what comes next.
func (s *listedTime) setRepeats(text string) error {
	repeats, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return errListedTime
	}
	if s.open = repeats < 0; s.open {
		repeats = math.MaxInt32
	}
	s.repeats = uint64(repeats)
	return nil
}
