package dash

import (
	"strconv"
)

// cutEvents leaves the events of a Period that begin in one part of it, from start on and before end, in nanoseconds behind the
// start of the Period. They keep their times: those of the EventStream move (5.10.2.2).
func (r *rewriter) cutEvents(period *node, start, end int64) error {
	for _, stream := range period.children {
		if !stream.is("EventStream") {
			continue
		}
		scale, err := effectiveNumber([]*node{stream}, "timescale", 1)
		if err != nil {
			return r.doc.errorAt(stream, err)
		}
		offset, err := effectiveNumber([]*node{stream}, "presentationTimeOffset", 0)
		if err != nil || scale == 0 || scale > 1<<32 {
			return r.doc.errorf(stream, "%w: times of an EventStream", ErrStructure)
		}
		kept, err := r.keepEvents(stream, &timing{scale: scale, offset: offset}, start, end)
		if err != nil {
			return err
		}
		if len(stream.items) > 0 && kept == 0 {
			r.remove(stream)
			continue
		}
		if start > 0 {
			value := offset + mulDivNear(start, scale, nanosPerSecond)
			r.setAttribute(stream, "presentationTimeOffset", strconv.FormatInt(value, 10))
		}
	}
	return nil
}

// keepEvents takes the events out that do not begin in a part, those next to each other at once, and returns how many are left.
func (r *rewriter) keepEvents(stream *node, t *timing, start, end int64) (kept int, err error) {
	// What each part costs counts as what it writes, or short documents could make us look at many events very often.
	if r.written += len(stream.items); r.written > maxWritten {
		return 0, r.checkWritten(stream, 0)
	}
	at, keeps := make([]bool, len(stream.items)), 0
	for i, event := range stream.items {
		tick, err := effectiveNumber([]*node{event}, "presentationTime", 0)
		if err != nil {
			return 0, r.doc.errorAt(event, err)
		}
		nanos := max(0, t.nanos(tick))
		if at[i] = nanos >= start && nanos < end; at[i] {
			keeps++
		}
	}
	if keeps == 0 {
		return 0, nil
	}
	for i := 0; i < len(at); i++ {
		if at[i] {
			continue
		}
		first := i
		for i+1 < len(at) && !at[i+1] {
			i++
		}
		r.replace(r.doc.indentStart(stream.items[first].start), stream.items[i].end, "")
	}
	return keeps, nil
}
