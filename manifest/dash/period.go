package dash

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Rotation is when keys change. A Period becomes one Period for each crypto period: the one with index
// floor(clock/Length), where the clock of a static MPD is presentation time from 0, and that of a dynamic MPD is
// availabilityStartTime + presentation time, in seconds since 1970.
//
// A video segment belongs to the crypto period that it begins in. The other AdaptationSets are cut at the segment that begins
// nearest to where the video is cut; where that is more than 100 ms away, the segment across the cut is listed on both sides.
// In a dynamic MPD a Period is listed from when every audio and video set has a segment in it.
type Rotation struct {
	// Length of a crypto period. Zero: keys never change.
	Length time.Duration
	// Now is needed for dynamic MPDs in which the segments that exist follow from the clock (@duration, or S@r=-1): they list
	// crypto periods from the time-shift window to the one behind the present, and say how often to look for more.
	Now time.Time
	// Cut, if set, remembers where Periods begin, for dynamic MPDs with segments of changing duration: once the first segment of
	// a Period has left the window, the MPD does not tell any more. It is called in order for each Period that is not the first
	// part of its original, and returns the @start to be used: that of the first call for this Period.
	Cut func(Cut) (start time.Duration, err error)
	// Generation counts how often all keys were replaced in between. It is part of Period@id, if above zero: some players keep the
	// addresses of a Period that they know, but not its init segment, so that one with other keys has to be another Period.
	Generation uint32
	// Replaced, for dynamic MPDs, says when the keys of Generation were replaced, and those that followed: a Period is cut there as it is
	// where crypto periods change. Players go on from what they know to what they do not, and nothing changes under them. It takes an
	// MPD whose clock is about right, Now to tell by, and a first segment with new keys; without them there is an error, and the MPD can
	// be written with the newest Generation for all of it.
	Replaced drm.Generations
	// Oldest is the lowest generation that is listed. Where one in front of it is not, @timeShiftBufferDepth ends with what is.
	Oldest uint32
	// Gone is since when lower ones are not: the window closes by as much as players may be wrong about its beginning.
	Gone time.Time
	// Trusted says that the clock of the MPD was about right when it was looked at first: encoders stall.
	Trusted bool
}

// Cut is where a Period of a dynamic MPD begins.
type Cut struct {
	// Original is the id of the Period that it is a part of, and ID its own @id, without a generation.
	Original, ID string
	// Start is the @start that follows from the MPD.
	Start time.Duration
	// Seen says that the MPD lists the segments on both sides: whoever sees them comes to the same Start.
	Seen bool
}

// cuts reports whether Periods may have to be cut.
func (r *Rotation) cuts() bool { return r.Length > 0 || len(r.Replaced) > 0 }

// newest is the generation of what comes last.
func (r *Rotation) newest() uint32 { return r.Generation + r.Replaced.Current() }

// periodTimes is when a Period of the document is, in nanoseconds of the presentation.
type periodTimes struct {
	start, length int64
	hasLength     bool
	zero          int64 // what the clock of the crypto periods says at @start
	id            string
}

// readTimes finds the times of all Periods (5.3.2.1), and the clock.
func (r *rewriter) readTimes(periods []*node) ([]periodTimes, error) {
	zero := int64(0)
	if r.dynamic() {
		var err error
		if zero, err = parseDateTime(r.doc.root.trimmed("availabilityStartTime")); err != nil {
			return nil, r.doc.errorf(r.doc.root, "@availabilityStartTime: %w", err)
		}
	}
	times := make([]periodTimes, len(periods))
	for i, n := range periods {
		start, hasStart, err := r.durationOf(n, "start")
		if err != nil {
			return nil, err
		}
		switch {
		case hasStart, i == 0:
		case times[i-1].hasLength:
			start = addTimes(times[i-1].start, times[i-1].length)
		default:
			return nil, r.doc.errorf(n, "%w: a Period whose start is not known", ErrUnsupported)
		}
		length, hasLength, err := r.durationOf(n, "duration")
		if err != nil {
			return nil, err
		}
		if hasStart && i > 0 {
			if start < times[i-1].start {
				return nil, r.doc.errorf(n, "%w: a Period in front of the one before it", ErrStructure)
			}
			times[i-1].length, times[i-1].hasLength = start-times[i-1].start, true
		}
		if start > maxTime {
			return nil, r.doc.errorf(n, "%w: @start", ErrStructure)
		}
		times[i] = periodTimes{start: start, length: length, hasLength: hasLength, zero: addTimes(zero, start), id: r.periodID(n, i, start)}
	}
	if last := len(times) - 1; last >= 0 && !times[last].hasLength {
		end, ok, err := r.durationOf(r.doc.root, "mediaPresentationDuration")
		if err != nil {
			return nil, err
		}
		if ok && end > times[last].start {
			times[last].length, times[last].hasLength = end-times[last].start, true
		}
	}
	return times, nil
}

// periodID returns what the ids of the parts of a Period begin with: in a dynamic MPD, that of a Period without one has to stay
// when those in front of it leave.
func (r *rewriter) periodID(n *node, index int, start int64) string {
	switch id, _ := n.attr("id"); {
	case id != "":
		return id
	case r.dynamic():
		return "p" + formatSeconds(start)
	default:
		return "p" + strconv.Itoa(index)
	}
}

// durationOf reads an attribute that is a duration.
func (r *rewriter) durationOf(n *node, name string) (nanos int64, ok bool, err error) {
	text := n.trimmed(name)
	if text == "" {
		return 0, false, nil
	}
	if nanos, err = parseDuration(text); err != nil {
		return 0, false, r.doc.errorf(n, "@%s: %w", name, err)
	}
	return nanos, true, nil
}

// epoch is the time in which one set of keys holds: that of one crypto period and one generation.
type epoch struct {
	index      int64 // of the crypto period
	generation uint32
	from, to   int64 // in nanoseconds from the start of the Period
	rekeyed    bool  // it begins where keys were replaced
}

// epochAt returns the epoch at a time behind the start of a Period; times in front of it count as it.
func (r *rewriter) epochAt(times periodTimes, nanos int64) epoch {
	clock := addTimes(times.zero, max(0, nanos))
	generation, from, to := r.Rotation.Replaced.At(clock)
	e := epoch{generation: r.Rotation.Generation + generation, rekeyed: generation > 0}
	if length := int64(r.Rotation.Length); length > 0 {
		e.index = clock / length
		began := mulDiv(e.index, length, 1)
		e.rekeyed = e.rekeyed && from > began
		from, to = max(from, began), min(to, mulDiv(e.index+1, length, 1))
	}
	e.from, e.to = addTimes(from, -times.zero), addTimes(to, -times.zero)
	if to == math.MaxInt64 {
		e.to = to // never
	}
	return e
}

// present returns what time it is, from the start of a Period.
func (r *rewriter) present(n *node, times periodTimes) (int64, error) {
	now := r.Rotation.Now.Unix()
	if now <= 0 || now >= maxTime/nanosPerSecond {
		return 0, r.doc.errorAt(n, fmt.Errorf("%w: no time for a dynamic MPD", ErrOptions))
	}
	return r.Rotation.Now.UnixNano() - times.zero, nil
}
