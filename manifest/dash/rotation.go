package dash

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// part is what of a Period is being written: all of it, or what of it is in one crypto period.
type part struct {
	period       int // index in the document
	cryptoPeriod uint32
	generation   uint32
	// rotated is set for a part that begins at a cut: the number-th of them, from start in nanoseconds behind the Period's own.
	rotated bool
	number  int
	start   int64
}

// isEmpty reports whether none of a track's segments are in a part.
func (p *part) isEmpty(t *track) bool {
	return p.rotated && (t.timing == nil || t.spans[p.number].first >= t.spans[p.number].end)
}

// checkRotation refuses options that no MPD could be cut by.
func (o *Options) checkRotation() error {
	if length := o.Rotation.Length; length != 0 && length < time.Second {
		return fmt.Errorf("%w: crypto periods of less than a second", ErrOptions)
	}
	return nil
}

// rotatePeriod writes a Period as one for each crypto period.
func (r *rewriter) rotatePeriod(p *periodPlan) error {
	origin := r.epochAt(p.times, 0)
	if origin.index > math.MaxUint32 {
		return r.doc.errorf(p.node, "%w: crypto periods", ErrLimit)
	}
	whole := &part{period: p.index, cryptoPeriod: uint32(origin.index), generation: origin.generation}
	if err := r.readTimings(p, whole); err != nil {
		return err
	}
	reference := p.reference()
	if reference == nil {
		if len(r.Rotation.Replaced) == 0 { // with nothing else, all keys would be gone
			r.parts++
		}
		r.setAttribute(p.node, "start", formatDuration(p.times.start)) // the end of the one in front of it may be gone
		if err := r.nameGeneration(p); err != nil {
			return err
		}
		return r.writePeriod(p, whole)
	}
	cuts, err := r.cutReference(p, reference.timing)
	if err != nil {
		return err
	}
	r.noteEdge(p, reference.timing, cuts)
	if len(cuts) == 0 {
		if !r.dynamic() {
			return r.doc.errorf(p.node, "%w: a Period without segments", ErrStructure)
		}
		r.remove(p.node)
		return nil
	}
	if !r.dynamic() {
		cuts = p.fromTheStart(cuts, origin)
	}
	p.distribute(reference, cuts, r.earliest(p, reference.timing, cuts))
	from, to := r.listed(p, cuts)
	r.noteGone(p, reference.timing, cuts, from, to)
	if from == to {
		r.remove(p.node)
		return nil
	}
	from = r.keepGone(p, cuts, from)
	var b strings.Builder
	for i := from; i < to; i++ {
		text, err := r.copyOf(p.node, func() error { return r.writePart(p, cuts, i, i == to-1) })
		if err != nil {
			return err
		}
		if i > from {
			b.WriteString(r.doc.indentOf(p.node))
		}
		b.WriteString(text)
	}
	r.parts += to - from
	r.replaceElement(p.node, b.String())
	return r.checkWritten(p.node, 0)
}

// readTimings finds the times of all segments of a Period. Those of a segment index are the protector's to tell.
func (r *rewriter) readTimings(p *periodPlan, whole *part) error {
	clocked, listed := false, false
	for _, s := range p.sets {
		indexed := slices.ContainsFunc(s.tracks, func(t *track) bool { return t.by == byIndex })
		if indexed {
			if err := r.ask(s, whole); err != nil {
				return err
			}
		}
		for i, t := range s.tracks {
			var index *Timeline
			switch {
			case !s.segmented, indexed && s.answer.Tracks[i].Drop:
				continue
			case t.by == byIndex:
				index = s.answer.Tracks[i].Timeline
			}
			var err error
			if t.timing, err = r.readTiming(t, p.times, index); err != nil {
				return err
			}
			t.Timescale, t.Epoch = uint32(t.timing.scale), t.timing.offset-mulDivNear(p.times.zero, t.timing.scale, nanosPerSecond)
			if t.ContentType == "audio" || t.ContentType == "video" {
				clocked, listed = clocked || t.timing.byClock, listed || !t.timing.byClock
			}
		}
	}
	if clocked && listed {
		return r.doc.errorf(p.node, "%w: audio and video of which only one is listed", ErrUnsupported)
	}
	r.counted = r.counted || clocked
	return nil
}

// fromTheStart makes the first part of a static Period begin with it, where the reference begins later: as a part without the
// reference if other tracks have segments there.
func (p *periodPlan) fromTheStart(cuts []cut, origin epoch) []cut {
	if cuts[0].start == 0 {
		return cuts
	}
	for _, s := range p.sets {
		for _, t := range s.tracks {
			if t.timing == nil {
				continue
			}
			if _, end := t.timing.cutAt(cuts[0].start); end > 0 {
				return append([]cut{{index: uint32(origin.index), generation: origin.generation, keys: origin.generation}}, cuts...)
			}
		}
	}
	cuts[0].start = 0
	return cuts
}

// distribute divides the segments of all tracks among the parts. What comes behind a cut that is not listed is in none.
func (p *periodPlan) distribute(reference *track, cuts []cut, unlisted []cut) {
	own := make([]span, len(cuts))
	for i, c := range cuts {
		own[i] = span{first: c.first, end: reference.timing.total}
		if i > 0 {
			own[i-1].end = c.first
		}
	}
	own[len(own)-1].open = reference.timing.byClock
	for _, s := range p.sets {
		for _, t := range s.tracks {
			switch {
			case t.timing == nil:
			case t.timing.equal(reference.timing):
				t.spans = own
			default:
				t.spans = t.timing.spansOf(slices.Concat(cuts, unlisted))[:len(cuts)]
			}
		}
	}
}

// equal reports whether two Representations have their segments at the same times.
func (t *timing) equal(other *timing) bool {
	if t == other {
		return true
	}
	same := len(t.runs) == len(other.runs) && (len(t.runs) == 0 || &t.runs[0] == &other.runs[0] || slices.Equal(t.runs, other.runs))
	return same && t.scale == other.scale && t.offset == other.offset && t.byClock == other.byClock
}

// writePart writes the Period of one crypto period.
func (r *rewriter) writePart(p *periodPlan, cuts []cut, i int, last bool) error {
	c := cuts[i]
	if r.Rotation.Length > 0 || c.generation > 0 {
		r.setAttribute(p.node, "id", r.partID(p.times.id, c.index, c.generation))
	}
	r.setAttribute(p.node, "start", formatDuration(addTimes(p.times.start, c.start)))
	if _, ok := p.node.attr("duration"); ok {
		if last && i == len(cuts)-1 {
			r.setAttribute(p.node, "duration", formatDuration(max(0, p.times.length-c.start)))
		} else {
			r.removeAttribute(p.node, "duration")
		}
	}
	end := int64(math.MaxInt64)
	if !last {
		end = cuts[i+1].start
	}
	if err := r.cutEvents(p.node, c.start, end); err != nil {
		return err
	}
	return r.writePeriod(p, &part{
		period: p.index, cryptoPeriod: c.index, generation: c.keys, rotated: true, number: i, start: c.start,
	})
}

// keepReloading makes players ask for a dynamic MPD again in time, if it lists what the clock says: one crypto period ahead.
func (r *rewriter) keepReloading() error {
	if !r.counted || r.Rotation.Length == 0 {
		return nil
	}
	const name = "minimumUpdatePeriod"
	present, ok, err := r.durationOf(r.doc.root, name)
	if err != nil {
		return err
	}
	if wanted := int64(r.Rotation.Length) / 2; !ok || present > wanted {
		r.setAttribute(r.doc.root, name, formatDuration(wanted))
	}
	return nil
}
