package dash

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// readIndex resolves the file of a SegmentBase, and where its index and its initialization segment lie.
func (r *rewriter) readIndex(t *track) error {
	file := t.place.target
	if !namesFile(file) {
		return r.doc.errorf(t.node, "%w: no BaseURL names the file of SegmentBase", ErrStructure)
	}
	text, _ := effective(t.place.bases, "indexRange")
	index, err := parseRange(text)
	if err != nil {
		return r.doc.errorf(t.node, "@indexRange: %w", err)
	}
	init := located{target: file}
	if element := effectiveChild(t.place.bases, "Initialization"); element != nil {
		if init, err = r.locate(t, element, "sourceURL", "range"); err != nil {
			return err
		}
	}
	if init.target.Path != file.Path {
		return r.doc.errorf(t.node, "%w: Initialization in another file than the index", ErrUnsupported)
	}
	if init.bytes.IsZero() {
		// A segment that initializes itself (5.3.9.2): what comes in front of its index.
		if init.bytes, err = address.NewRange(0, index.Offset); err != nil {
			return r.doc.errorf(t.node, "%w: no initialization segment", ErrUnsupported)
		}
	}
	t.initTarget, t.Init, t.Index = init.target, init.resource(), Resource{Path: file.Path, Range: index}
	return nil
}

// sealIndex makes a SegmentTemplate of the SegmentBase of t: one URL for each segment that the index lists, since encryption
// changes the sizes that players would take from it.
func (r *rewriter) sealIndex(t *track, answer TrackProtection, part *part) error {
	if err := checkElements(answer.Elements, true); err != nil {
		return r.doc.errorAt(t.node, err)
	}
	if err := answer.Timeline.check(); err != nil {
		return r.doc.errorAt(t.node, err)
	}
	name := t.node.qualified
	var b strings.Builder
	b.WriteString("<" + name("SegmentTemplate"))
	startNumber := int64(1)
	if part.rotated {
		startNumber += t.spans[part.number].first
		writeNumber(&b, "timescale", uint64(t.timing.scale))
		writeNumber(&b, "presentationTimeOffset", uint64(part.offset(t)))
	} else {
		writeNumber(&b, "timescale", uint64(answer.Timeline.Timescale))
		for _, attribute := range []string{"presentationTimeOffset", "presentationDuration"} {
			if err := copyTicks(&b, t.place.bases, attribute, answer.Timeline.Timescale); err != nil {
				return r.doc.errorf(t.node, "SegmentBase@%s: %w", attribute, err)
			}
		}
	}
	copyAttributes(&b, t.place.bases, timingAttributes...)
	writeNumber(&b, "startNumber", uint64(startNumber))
	numbered := append(answer.Elements[:len(answer.Elements):len(answer.Elements)], address.NumberElement("$Number$"))
	writeAttribute(&b, "initialization", r.relative(literal(t.initTarget), answer.Elements))
	writeAttribute(&b, "media", r.relative(literal(t.place.target), numbered))
	b.WriteString("><" + name("SegmentTimeline") + ">")
	if part.rotated {
		b.WriteString(r.segmentsOf(t, t.node, t.spans[part.number]))
	} else {
		answer.Timeline.write(&b, name("S"))
	}
	b.WriteString("</" + name("SegmentTimeline") + "></" + name("SegmentTemplate") + ">")
	r.placeSegments(t, "SegmentBase", b.String())
	return nil
}

// literal returns a target that means in a template what it means elsewhere (5.3.9.4.4).
func literal(target address.Target) address.Target {
	escape := func(s string) string { return strings.ReplaceAll(s, "$", "$$") }
	return address.Target{Path: address.Path(escape(string(target.Path))), RawQuery: escape(target.RawQuery)}
}

// copyTicks writes an attribute that counts ticks, if it is in force, in another timescale.
func copyTicks(b *strings.Builder, elements []*node, name string, to uint32) error {
	value, ok, err := scaledTicks(elements, name, to)
	if err == nil && ok {
		writeNumber(b, name, value)
	}
	return err
}

// scaledTicks reads an attribute that counts ticks, if it is in force, in another timescale.
func scaledTicks(elements []*node, name string, to uint32) (scaled uint64, ok bool, err error) {
	text, ok := effective(elements, name)
	if !ok {
		return 0, false, nil
	}
	value, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%w: not an unsigned integer", ErrStructure)
	}
	from := uint32(1) // 5.3.9.2.2
	if text, ok := effective(elements, "timescale"); ok {
		if from, err = parseUint32(strings.TrimSpace(text)); err != nil || from == 0 {
			return 0, false, fmt.Errorf("%w: @timescale is not a positive integer", ErrStructure)
		}
	}
	high, low := bits.Mul64(value, uint64(to))
	low, carry := bits.Add64(low, uint64(from)/2, 0) // rounds to the nearest tick
	if high += carry; high >= uint64(from) {
		return 0, false, fmt.Errorf("%w: too large", ErrStructure)
	}
	scaled, _ = bits.Div64(high, low, uint64(from))
	return scaled, true, nil
}

// check refuses a Timeline that Protector does not allow.
func (l *Timeline) check() error {
	if l == nil || l.Timescale == 0 || len(l.Segments) == 0 {
		return fmt.Errorf("%w: no timeline for the index", ErrOptions)
	}
	end := uint64(0)
	for _, s := range l.Segments {
		if s.Duration == 0 || s.Time < end || s.Duration > math.MaxUint64-s.Time {
			return fmt.Errorf("%w: a timeline that goes back", ErrOptions)
		}
		end = s.Time + s.Duration
	}
	return nil
}

// write writes l as elements of that name, equal durations in a row as one (5.3.9.6).
func (l *Timeline) write(b *strings.Builder, name string) {
	end := uint64(0)
	for i := 0; i < len(l.Segments); {
		first, next := l.Segments[i], i
		b.WriteString("<" + name)
		if i == 0 || first.Time != end {
			writeNumber(b, "t", first.Time)
		}
		writeNumber(b, "d", first.Duration)
		for end = first.Time; next < len(l.Segments); next++ {
			if s := l.Segments[next]; s.Time != end || s.Duration != first.Duration {
				break
			}
			end += first.Duration
		}
		if repeats := next - i - 1; repeats > 0 {
			writeNumber(b, "r", uint64(repeats))
		}
		b.WriteString("/>")
		i = next
	}
}
