package dash

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// cut is where a part of a Period begins.
type cut struct {
	index      uint32 // of its crypto period
	generation uint32
	keys       uint32 // generation of the keys that it is listed with
	rekeyed    bool   // it is where keys were replaced
	start      int64  // in nanoseconds from the start of the Period
	first      int64  // segment of the reference
	end        int64  // of its epoch, as start
	seen       bool   // the segment in front of it is listed as well
}

// maxParts bounds the parts of one Period.
const maxParts = maxRepresentations

// nearEnough is how far from the cut of the video another AdaptationSet may be cut, in nanoseconds.
const nearEnough = 100_000_000

// cutReference finds the epochs of the segments that decide them. A part whose first segment may have left begins where
// segments of the same duration would have put it.
func (r *rewriter) cutReference(p *periodPlan, t *timing) ([]cut, error) {
	first, last := int64(0), int64(math.MaxInt64)
	if t.byClock {
		now, err := r.present(p.node, p.times)
		if err != nil {
			return nil, err
		}
		if t.window {
			if first, err = r.leftEdge(t, now); err != nil {
				return nil, err
			}
		}
		last = r.epochAt(p.times, now).index
	}
	var cuts []cut
	for n := first; n < t.total; {
		tick, end := t.at(n)
		keys := r.epochAt(p.times, mulDiv(tick-t.offset, nanosPerSecond, t.scale))
		if keys.index > math.MaxUint32 || len(cuts) == maxParts {
			return nil, r.doc.errorf(p.node, "%w: crypto periods", ErrLimit)
		}
		next := t.from(t.ticks(keys.to))
		c := cut{index: uint32(keys.index), generation: keys.generation, keys: keys.generation, rekeyed: keys.rekeyed, first: n, end: keys.to}
		if keys.from > 0 {
			border := t.ticks(keys.from)
			began := tick
			if r.dynamic() {
				began -= (tick - border) / (end - tick) * (end - tick)
			}
			if n > 0 {
				if start, before := t.at(n - 1); start < border {
					began, c.seen = min(tick, max(began, before)), true
				}
			}
			c.start = t.nanos(began)
			if t.window { // the first of those that are counted, not of those that are left
				c.first = t.from(border)
			}
		} else if t.window {
			c.first = 0
		}
		cuts = append(cuts, c)
		if keys.index > last || keys.to == math.MaxInt64 {
			break
		}
		n = max(next, n+1)
	}
	return cuts, r.rememberCuts(p, cuts, t.byClock)
}

// earliest returns the earliest cut that may come behind those of a live Period: other sets may list segments of the next epoch
// before the reference does.
func (r *rewriter) earliest(p *periodPlan, t *timing, cuts []cut) []cut {
	if !r.dynamic() || t.byClock {
		return nil
	}
	_, end := t.at(t.total - 1)
	next := cuts[len(cuts)-1].end
	start := max(t.nanos(end), next)
	if next == math.MaxInt64 || p.times.hasLength && start >= p.times.length-rounding {
		return nil
	}
	return []cut{{start: start, first: t.total}}
}

// leftEdge returns the first segment of the time-shift window, and one more for clocks that differ.
func (r *rewriter) leftEdge(t *timing, now int64) (int64, error) {
	depth, ok, err := r.durationOf(r.doc.root, "timeShiftBufferDepth")
	if err != nil || !ok {
		return 0, err
	}
	edge := t.from(t.ticks(addTimes(now, -depth))) // the first that begins inside
	return max(0, min(edge-2, t.total-1)), nil
}

// rememberCuts lets the caller say where parts began.
func (r *rewriter) rememberCuts(p *periodPlan, cuts []cut, counted bool) error {
	if r.Rotation.Cut == nil || counted || !r.dynamic() {
		return nil
	}
	for i := range cuts {
		c := &cuts[i]
		if c.start == 0 {
			continue
		}
		start, err := r.Rotation.Cut(Cut{p.times.id, r.cutName(p, c), time.Duration(p.times.start + c.start), c.seen})
		if err != nil {
			return fmt.Errorf("remembering where Periods begin: %w", err)
		}
		if c.start = int64(start) - p.times.start; c.start <= 0 || i > 0 && c.start <= cuts[i-1].start {
			return r.doc.errorf(p.node, "%w: a Period that begins in front of the one before it", ErrOptions)
		}
	}
	return nil
}

// span is the segments [first, end) of a Representation in a part.
type span struct {
	first, end int64
	open       bool // to the end of the Period, whenever that will be
}

// String tells spans of one list apart.
func (s span) String() string {
	return strconv.FormatInt(s.first, 10) + "-" + strconv.FormatInt(s.end, 10) + ":" + strconv.FormatBool(s.open)
}

// spansOf distributes the segments of a track over parts that begin at cuts.
func (t *timing) spansOf(cuts []cut) []span {
	spans := make([]span, len(cuts))
	for i, c := range cuts {
		first, end := int64(0), int64(0)
		if c.start > 0 {
			first, end = t.cutAt(c.start)
		}
		spans[i].first = first
		if i > 0 {
			spans[i-1].end = max(spans[i-1].first, end)
		}
	}
	last := &spans[len(spans)-1]
	last.end, last.open = t.total, t.byClock
	return spans
}

// cutAt returns the first segment behind a cut and the end of those in front of it: one number, or two where a segment lies
// across.
func (t *timing) cutAt(nanos int64) (first, end int64) {
	n := t.from(t.ticks(nanos))
	if n == 0 {
		return 0, 0
	}
	tick, endTick := t.at(n - 1)
	before, after := t.nanos(tick), t.nanos(endTick)
	next := after
	if n < t.total {
		tick, _ := t.at(n)
		next = t.nanos(tick)
	}
	switch toBefore, toNext := nanos-before, next-nanos; {
	case toNext <= toBefore && toNext <= nearEnough:
		return n, n
	case toBefore < toNext && toBefore <= nearEnough:
		return n - 1, n - 1
	case after > nanos:
		return n - 1, n
	default:
		return n, n
	}
}

// reference returns the track whose segments decide where a Period is cut: the first of the video, else of the audio, else any.
func (p *periodPlan) reference() *track {
	var found *track
	for _, kind := range []string{"video", "audio", ""} {
		for _, s := range p.sets {
			for _, t := range s.tracks {
				if t.timing != nil && (t.ContentType == kind || kind == "") && found == nil {
					found = t
				}
			}
		}
	}
	return found
}

// edges is how many segments of the reference may be held back at either end of a live window because some set has none beside
// them: more of them mean that this set has stopped.
const edges = 3

// listed returns which parts [from, to) are listed: of those whose keys are still given. In a dynamic MPD those wait, or go, in which an
// audio or video set has no segment yet, or any more: one player never starts with an empty SegmentTimeline.
func (r *rewriter) listed(p *periodPlan, cuts []cut) (from, to int) {
	from, to = 0, len(cuts)
	for from < to && cuts[from].generation < r.Rotation.Oldest {
		from++
	}
	reference := p.reference()
	if !r.dynamic() || reference.timing.byClock {
		return from, to
	}
	lacking := func(i int) bool {
		return slices.ContainsFunc(p.sets, func(s *setPlan) bool {
			return slices.ContainsFunc(s.tracks, func(t *track) bool {
				return (t.ContentType == "audio" || t.ContentType == "video") && t.timing != nil && t.spans[i].first >= t.spans[i].end
			})
		})
	}
	spans := reference.spans
	for to > from && spans[len(spans)-1].end-spans[to-1].first <= edges && lacking(to-1) {
		to--
	}
	for from < to-1 && spans[from].end-spans[0].first <= edges && lacking(from) {
		from++
	}
	return from, to
}
