package dash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// timeChange is a new value for an attribute of a SegmentTemplate, or new content for a SegmentTimeline, which value only names.
type timeChange struct {
	timedAttribute
	value string
}

// timedAttribute is what several Representations may share.
type timedAttribute struct {
	node *node
	name string
}

// template returns the SegmentTemplate that a change is in.
func (c timeChange) template() *node {
	if c.name == cutsTimeline {
		return c.node.parent
	}
	return c.node
}

// Names of changes that set no attribute: an attribute is removed, a SegmentTimeline is cut, and one is added.
const (
	removesAttribute = "-"
	cutsTimeline     = "SegmentTimeline"
	addsTimeline     = "+SegmentTimeline"
)

// deltas are attributes that are about the segments at either end of a Period.
var deltas = []string{"endNumber", "eptDelta", "pdDelta", "presentationDuration"}

// timeChanges says what has to change in the SegmentTemplates of t so that they are about one part.
func (r *rewriter) timeChanges(t *track, part *part) (changes []timeChange) {
	templates, own := t.place.templates, t.spans[part.number]
	timeline := effectiveChild(templates, "SegmentTimeline")
	owner := holderOf(templates, "duration")
	if timeline != nil {
		owner = timeline.parent
	} else if owner == nil {
		owner = templates[len(templates)-1]
	}
	set := func(name string, value, before int64) {
		holder := holderOf(templates, name)
		if holder == nil {
			holder = owner
		}
		if value != before {
			changes = append(changes, timeChange{timedAttribute{holder, name}, strconv.FormatInt(value, 10)})
		}
	}
	remove := func(names ...string) {
		for _, n := range templates {
			for _, name := range names {
				if _, ok := n.attr(name); ok {
					changes = append(changes, timeChange{timedAttribute{n, removesAttribute + name}, ""})
				}
			}
		}
	}
	set("presentationTimeOffset", part.offset(t), t.timing.offset)
	set("startNumber", t.timing.number+own.first, t.timing.number)
	switch {
	case timeline != nil:
		if own.first > 0 || own.end < t.timing.total {
			changes = append(changes, timeChange{timedAttribute{timeline, cutsTimeline}, own.String()})
		}
	case t.timing.nominal && !t.timing.byClock:
		// Players divide the length of a Period by @duration, in floating point, and one of them knows no @endNumber.
		remove("duration")
		run := t.timing.runs[0]
		added := fmt.Sprint(own, " of ", run.time, " ", run.duration)
		changes = append(changes, timeChange{timedAttribute{owner, addsTimeline}, added})
	case t.timing.nominal && !own.open:
		remove(deltas[1:]...)
		set("endNumber", t.timing.number+own.end-1, -1)
		return changes
	}
	remove(deltas...)
	return changes
}

// segmentsOf returns the S elements of a part, to stand next to n.
func (r *rewriter) segmentsOf(t *track, n *node, s span) string {
	var b strings.Builder
	const typical = len(`<S t="1234567890" d="180000"/>`)
	b.Grow(typical * (min(t.timing.runOf(s.end-1), len(t.timing.runs)-1) - t.timing.runOf(s.first) + 1))
	t.timing.write(&b, n.qualified("S"), s.first, s.end, s.open, false)
	return b.String()
}

// offset returns the @presentationTimeOffset of t in a part.
func (p *part) offset(t *track) int64 {
	return addTimes(t.timing.offset, mulDivNear(p.start, t.timing.scale, nanosPerSecond))
}

func holderOf(elements []*node, name string) *node {
	for _, n := range slices.Backward(elements) {
		if _, ok := n.attr(name); ok {
			return n
		}
	}
	return nil
}

// retime makes the SegmentTemplates of t be about one part: those of the Period, or those further in.
func (r *rewriter) retime(t *track, part *part, ofPeriod bool) error {
	if !part.rotated || t.by != byTemplate || ofPeriod && !t.place.templates[0].parent.is("Period") {
		return nil
	}
	for _, c := range r.timeChanges(t, part) {
		if c.template().parent.is("Period") != ofPeriod {
			continue
		}
		if value, ok := r.timed[c.timedAttribute]; ok {
			if value != c.value {
				return r.doc.errorf(c.node, "%w: Representations that share it are cut at different segments", ErrUnsupported)
			}
			continue
		}
		if r.timed == nil {
			r.timed = map[timedAttribute]string{}
		}
		r.timed[c.timedAttribute] = c.value
		r.applyTime(t, c, t.spans[part.number])
	}
	return r.checkWritten(t.node, 0)
}

func (r *rewriter) applyTime(t *track, c timeChange, s span) {
	switch {
	case c.name == cutsTimeline:
		r.replace(c.node.startEnd, c.node.endStart, r.segmentsOf(t, c.node, s))
	case c.name == addsTimeline:
		name := c.node.qualified("SegmentTimeline")
		markup := "<" + name + ">" + r.segmentsOf(t, c.node, s) + "</" + name + ">"
		if c.node.selfClosed {
			r.openSelfClosed(c.node, markup)
			return
		}
		r.replace(c.node.endStart, c.node.endStart, markup)
	case strings.HasPrefix(c.name, removesAttribute):
		r.removeAttribute(c.node, c.name[len(removesAttribute):])
	default:
		r.setAttribute(c.node, c.name, c.value)
	}
}
