package hls

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Segments whose keys were replaced, and are not given any more, leave a live playlist as the oldest segments of every live playlist do: it begins
// behind them, with a higher EXT-X-MEDIA-SEQUENCE. A player that is still there goes to what is listed, as it does when it was paused for too
// long; a gap (EXT-X-GAP) would not be seen by one that knows these segments. They stay, as gaps, where no segment may leave (EVENT), where what
// follows cannot be read without them, and where they may have come protected, which shows too late.

const tagDiscontinuitySequence = "EXT-X-DISCONTINUITY-SEQUENCE"

// leaving is what of a playlist leaves it.
type leaving struct {
	segments        uint64
	discontinuities uint64
	date            string // of the first segment that stays, if it has none of its own
	numbered        bool   // EXT-X-MEDIA-SEQUENCE is listed
	counted         bool   // EXT-X-DISCONTINUITY-SEQUENCE is listed

	passed uint64 // segments so far
}

// leavesWith returns what of a playlist leaves it with its first segments.
func (c *clock) leavesWith(segments int, o Options) leaving {
	if segments == 0 || c.event || c.chained || c.skipped != nil || o.PassProtected && !o.ReplaceProtection {
		return leaving{}
	}
	l := leaving{segments: uint64(segments), numbered: c.numbered, counted: c.counted}
	for _, index := range c.discontinuities {
		if index < segments {
			l.discontinuities++
		}
	}
	if !c.anchored && !slices.ContainsFunc(c.dates, func(d dated) bool { return d.index == segments }) {
		l.date = time.Unix(0, c.starts[segments]).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return l
}

// readLeaving follows the lines that leavesWith needs.
func (c *clock) readLeaving(l line) {
	switch l.tag {
	case tagSequence:
		c.numbered = true
	case tagDiscontinuitySequence:
		c.counted = true
	case tagDiscontinuity:
		c.discontinuities = append(c.discontinuities, len(c.starts)-1)
	case tagByteRange:
		c.chained = c.chained || !strings.Contains(l.value, "@")
	case tagPart:
		c.chained = c.chained || followsRange(l.value)
	}
}

// followsRange reports whether a part is a range that begins where the one in front of it ends. What is no list is refused when it is read.
func followsRange(list string) bool {
	attributes, err := parseAttributes(nil, list)
	if err != nil {
		return false
	}
	a, ok := find(attributes, attrByteRange)
	return ok && !strings.Contains(list[a.start:a.end], "@")
}

// leaves reports whether a line leaves with the segments in front of which it stands, and writes in place of it what follows from that.
func (r *rewriter) leaves(l line) (bool, error) {
	m := &r.media
	g := &m.leaving
	if g.segments == 0 || l.number == 1 {
		return false, nil
	}
	switch l.tag {
	case tagSequence, tagDiscontinuitySequence:
		return r.leavesCount(l)
	}
	if g.passed == g.segments {
		return false, nil
	}
	switch {
	case l.isURI():
		g.passed, m.began = g.passed+1, true
		m.sequence++
		m.index++
		if g.passed == g.segments && g.date != "" {
			r.writeTag(tagDateTime, g.date)
		}
		return true, nil
	case l.tag == tagInf, l.tag == tagByteRange, l.tag == tagGap, l.tag == tagDateTime, l.tag == tagDiscontinuity, l.tag == tagPart, l.tag == "EXT-X-BITRATE":
		return true, nil
	default:
		return !isKnown(l.tag) && g.passed > 0, nil
	}
}

// leavesCount writes a count of what was in front of the playlist with what leaves it.
func (r *rewriter) leavesCount(l line) (bool, error) {
	g := &r.media.leaving
	more := g.segments
	if l.tag == tagDiscontinuitySequence {
		more = g.discontinuities
	}
	r.line = l
	if l.tag == tagSequence {
		if err := r.sequenceTag(l); err != nil {
			return false, err
		}
	}
	count, err := parseCount(strings.TrimLeft(l.value, " \t"))
	if err != nil {
		return false, nil //nolint:nilerr // nobody counts by it
	}
	r.writeTag(l.tag, strconv.FormatUint(count+more, 10))
	return true, nil
}

// countLeaving writes the counts that the playlist has none of, behind its first line.
func (r *rewriter) countLeaving() {
	g := &r.media.leaving
	if g.segments > 0 && !g.numbered {
		r.writeTag(tagSequence, strconv.FormatUint(g.segments, 10))
	}
	if g.discontinuities > 0 && !g.counted {
		r.writeTag(tagDiscontinuitySequence, strconv.FormatUint(g.discontinuities, 10))
	}
}

// writeTag writes a line of a tag and its value.
func (r *rewriter) writeTag(tag, value string) {
	r.out = append(append(append(append(append(r.out, '#'), tag...), ':'), value...), r.eol...)
}
