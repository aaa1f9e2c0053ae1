package dash

import (
	"fmt"
	"strconv"
	"strings"
)

// readTiming finds out when the segments of t are played, from the start of its Period on.
func (r *rewriter) readTiming(t *track, times periodTimes, index *Timeline) (*timing, error) {
	if t.by == byIndex {
		return r.indexTiming(t, index)
	}
	elements := t.place.templates
	if t.by == byList {
		elements = t.place.lists
	}
	found := &timing{}
	for _, a := range []struct {
		name     string
		field    *int64
		standard int64
	}{{"timescale", &found.scale, 1}, {"presentationTimeOffset", &found.offset, 0}, {"startNumber", &found.number, 1}} {
		var err error
		if *a.field, err = effectiveNumber(elements, a.name, a.standard); err != nil {
			return nil, r.doc.errorAt(t.node, err)
		}
	}
	if found.scale == 0 || found.scale > 1<<32 {
		return nil, r.doc.errorf(t.node, "%w: @timescale is not a positive integer", ErrStructure)
	}
	if timeline := effectiveChild(elements, "SegmentTimeline"); timeline != nil {
		return found, r.listTiming(t, found, timeline, times)
	}
	return found, r.constantTiming(t, found, elements, times)
}

// effectiveNumber reads an attribute that is in force, or returns what stands for it.
func effectiveNumber(elements []*node, name string, standard int64) (int64, error) {
	text, ok := effective(elements, name)
	if !ok {
		return standard, nil
	}
	value, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
	if err != nil || value > maxTime {
		return 0, fmt.Errorf("%w: @%s is not an unsigned integer", ErrStructure, name)
	}
	return int64(value), nil
}

// indexTiming takes the times of a segment index.
func (r *rewriter) indexTiming(t *track, index *Timeline) (*timing, error) {
	if err := index.check(); err != nil {
		return nil, r.doc.errorAt(t.node, err)
	}
	found := &timing{scale: int64(index.Timescale), number: 1}
	offset, _, err := scaledTicks(t.place.bases, "presentationTimeOffset", index.Timescale)
	if err != nil || offset > maxTime {
		return nil, r.doc.errorf(t.node, "%w: SegmentBase@presentationTimeOffset", ErrStructure)
	}
	found.offset = int64(offset)
	b := &runBuilder{}
	for _, s := range index.Segments {
		if err := b.add(listedTime{timed: true, time: s.Time, duration: s.Duration}); err != nil {
			return nil, r.doc.errorAt(t.node, err)
		}
	}
	found.setRuns(b.runs)
	return found, nil
}

// listTiming takes the times of a SegmentTimeline.
func (r *rewriter) listTiming(t *track, found *timing, timeline *node, times periodTimes) error {
	runs, open, err := r.readRuns(timeline)
	if err != nil {
		return err
	}
	if open {
		runs = append(runs[:len(runs)-1:len(runs)-1], runs[len(runs)-1])
		last := &runs[len(runs)-1]
		switch end := found.ticks(times.length - rounding); {
		case times.hasLength && end <= last.time:
			last.count = 1
		case times.hasLength:
			last.count = min(last.count, (end-last.time-1)/last.duration+1)
		case t.by == byList:
		case !r.dynamic():
			return r.doc.errorf(timeline, "%w: S@r without an end", ErrStructure)
		}
		found.byClock = r.dynamic() && t.by != byList
	}
	found.setRuns(runs)
	if t.by == byList {
		found.truncate(int64(len(listedSegments(t))))
	}
	return nil
}

// truncate leaves the first count segments.
func (t *timing) truncate(count int64) {
	for i, run := range t.runs {
		if left := count - run.first; left <= run.count {
			t.runs = append(t.runs[:i:i], run)
			t.runs[i].count = left
			if left <= 0 {
				t.runs = t.runs[:i:i]
			}
			break
		}
	}
	t.setRuns(t.runs)
}

// rounding is how far, in nanoseconds, a segment that is counted has to begin before the end of its Period: documents round the
// lengths of Periods, and there is no segment as short as that.
const rounding = 1_000_000

// constantTiming takes the times of segments that are counted: by @duration, or one for all of a Period.
func (r *rewriter) constantTiming(t *track, found *timing, elements []*node, times periodTimes) error {
	duration, err := effectiveNumber(elements, "duration", 0)
	if err != nil {
		return r.doc.errorAt(t.node, err)
	}
	listed := int64(len(listedSegments(t)))
	only := run{time: found.offset, duration: duration, count: endless}
	switch {
	case duration == 0 && listed > 1:
		return r.doc.errorf(t.node, "%w: segments without times", ErrStructure)
	case duration == 0:
		only.duration, only.count = max(1, min(mulDiv(times.length, found.scale, nanosPerSecond), maxTime)), 1
		found.setRuns([]run{only})
		return nil
	case t.media.template.HasTime():
		return r.doc.errorf(t.node, "%w: $Time$ without SegmentTimeline", ErrUnsupported)
	case t.by == byList:
		// The number of a listed segment says how many came before it (5.3.9.5.3).
		if only.time = addTimes(only.time, mulDiv(max(0, found.number-1), duration, 1)); only.time > maxTime {
			return r.doc.errorf(t.node, "%w: @startNumber too far in the future", ErrStructure)
		}
		only.count = listed
	case times.hasLength:
		only.count = max(1, (found.ticks(times.length-rounding)-found.offset-1)/duration+1)
	case !r.dynamic():
		return r.doc.errorf(t.node, "%w: @duration in a Period without an end", ErrStructure)
	}
	if last, ok := effective(elements, "endNumber"); ok && t.by != byList {
		end, err := effectiveNumber(elements, "endNumber", 0)
		if err != nil || end < found.number {
			return r.doc.errorf(t.node, "%w: @endNumber %d characters long", ErrStructure, len(last))
		}
		only.count = min(only.count, end-found.number+1)
	}
	if only.count = min(only.count, (maxTime-only.time)/duration); only.count <= 0 {
		return r.doc.errorf(t.node, "%w: no segment in the Period", ErrStructure)
	}
	found.byClock = r.dynamic() && t.by != byList
	found.nominal, found.window = true, found.byClock
	found.setRuns([]run{only})
	return nil
}
