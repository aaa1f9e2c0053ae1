package hls

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Limits of the clock, in nanoseconds: sums and differences of what lies within them fit 64 bits.
const (
	maxClockSum  = 1 << 60 // of EXTINF: 36 years
	maxClockDate = 1 << 62 // EXT-X-PROGRAM-DATE-TIME: the year 2116
	maxDuration  = 1_000_000_000
)

// cutSlack is how much in front of the end of a crypto period a segment is taken for one of the next.
//
// Encoders that cut at the second write dates and durations in milliseconds, and audio segments begin within a frame of
// 20 to 40 ms of those of video. Without slack, such starts would lie on either side of the boundary by chance, reload by
// reload. With it they lie well behind the place where periods change, and those of audio and of video change together.
const cutSlack = 100 * time.Millisecond

// clock tells when the segments of a media playlist begin. It reads the lines in front of the rewriter, since the first date
// also holds for segments in front of it, and an EXT-X-MAP is for the segment behind it.
type clock struct {
	starts []int64 // of each segment and of the one to come, as EXTINF sums up from the first one on
	dates  []dated
	inf    int64 // of the segment at hand

	sequence, target  uint64 // EXT-X-MEDIA-SEQUENCE with what was skipped; EXT-X-TARGETDURATION in seconds
	ended, event      bool
	anchored          bool         // the date is remembered
	parts             bool         // EXT-X-PART
	skipped, dateless *SyntaxError // EXT-X-SKIP, if there is one; the first date that is none

	// For what leaves the playlist:
	discontinuities   []int // by the segment that they stand in front of
	numbered, counted bool  // EXT-X-MEDIA-SEQUENCE, EXT-X-DISCONTINUITY-SEQUENCE
	chained           bool  // a range begins where the one in front of it ends
}

// dated is an EXT-X-PROGRAM-DATE-TIME: at is that of starts[index], since 1970.
type dated struct {
	index int
	at    int64
}

// readTimes finds out the epoch of each segment of a media playlist, and of the one to come, and which of them are in the clear lead.
func (r *rewriter) readTimes(text string) error {
	lead, rotates := r.o.ClearLead > 0 && !r.info.iFrames, r.o.Rotation.Length > 0
	if !rotates && !lead && len(r.o.Rotation.Replaced) == 0 {
		return nil
	}
	c, err := r.readClock(text)
	if !rotates && err != nil {
		return nil //nolint:nilerr // what cannot be timed has no lead and one key, and is refused below if it is no playlist
	}
	if err != nil {
		return err
	}
	if lead {
		r.media.clearLead = c.startsBefore(r.o.ClearLead)
	}
	epochs, fault := c.epochs(r.o.Rotation)
	if fault != nil {
		return fault
	}
	r.media.epochs = epochs
	r.media.gone = gone(epochs, r.o.Rotation.Oldest)
	r.media.leaving = c.leavesWith(r.media.gone, r.o)
	return nil
}

// readClock reads the lines that tell of times.
func (r *rewriter) readClock(text string) (*clock, error) {
	c := &clock{starts: make([]int64, 1, r.info.references+2)}
	for s := (lines{rest: text}); ; {
		l, ok := s.next()
		if !ok {
			break
		}
		r.line = l
		if err := c.read(r, l); err != nil {
			return nil, r.fault(err)
		}
	}
	return c, nil
}

// read follows one line.
func (c *clock) read(r *rewriter, l line) (err error) {
	c.readLeaving(l)
	value := strings.TrimLeft(l.value, " \t")
	switch {
	case l.isURI():
		sum := c.starts[len(c.starts)-1] + c.inf
		if sum > maxClockSum {
			return errClock
		}
		c.starts, c.inf = append(c.starts, sum), 0
	case l.tag == tagInf:
		c.inf, err = parseSeconds(l.value)
	case l.tag == tagDateTime:
		at, err := parseDate(value)
		if err != nil && c.dateless == nil {
			c.dateless = r.fault(err)
		}
		c.dates = append(c.dates, dated{len(c.starts) - 1, at})
	case l.tag == tagTargetDuration:
		if c.target, err = parseCount(value); err != nil || c.target > maxDuration {
			return errDuration
		}
	case l.tag == tagSequence:
		if c.sequence, err = parseCount(value); err != nil {
			return errSequence
		}
	case l.tag == tagSkip:
		c.skipped = r.fault(fmt.Errorf("%w: delta update whose segments cannot be timed", ErrUnsupported))
		return c.skip(l.value)
	case l.tag == tagPlaylistType:
		c.ended, c.event = c.ended || value == "VOD", value == "EVENT"
	case l.tag == tagEndList:
		c.ended = true
	case l.tag == tagPart:
		c.parts = true
	}
	return err
}

// skip adds the segments that an EXT-X-SKIP stands for to the sequence.
func (c *clock) skip(list string) error {
	attributes, err := parseAttributes(nil, list)
	if err != nil {
		return err
	}
	a, ok := find(attributes, attrSkipped)
	if !ok {
		return errMissing
	}
	count, err := parseCount(list[a.start:a.end])
	if err != nil {
		return errSequence
	}
	c.sequence += count // both are below 2^63
	return nil
}

// epochs chooses the clock and divides it; nil where all segments are of the same epoch.
//
// What has ended is timed from its own beginning, as a static MPD is, and not by its dates: it can be played at any time, and
// the keys that a license may hold are those from period 0 to the length of the title. The price is that a live presentation
// changes its periods once, with its EXT-X-ENDLIST: segments that were not loaded yet are listed under other keys then.
//
// A live playlist without dates has the same clock at each reload only if nothing that it counts from ever leaves it: the first
// segment, as long as EXT-X-PLAYLIST-TYPE promises that it stays, and the number 0 otherwise.
func (c *clock) epochs(rotation Rotation) ([]Epoch, *SyntaxError) {
	c.anchor(rotation)
	dated := !c.ended && len(c.dates) > 0 && c.dateless == nil
	if rotation.Length <= 0 {
		if !dated {
			return nil, nil
		}
		c.fromDates()
		return c.generations(rotation, make([]Epoch, len(c.starts))), nil
	}
	epochs := make([]Epoch, len(c.starts))
	switch {
	case dated:
		c.fromDates()
	case !c.ended && c.dateless != nil:
		return nil, c.dateless
	case c.ended, c.event:
		if c.skipped != nil {
			return nil, c.skipped
		}
	case c.target == 0:
		return nil, &SyntaxError{Line: 1, Err: fmt.Errorf("%w: neither dates nor a target duration to time a live playlist by", ErrUnsupported)}
	}
	for i, start := range c.starts {
		if !dated && !c.ended && !c.event {
			epochs[i].CryptoPeriod = sequencePeriod(c.sequence+uint64(i), c.target, rotation.Length)
		} else {
			epochs[i].CryptoPeriod = rotation.Period(time.Duration(start))
		}
		epochs[i].Generation = rotation.newest()
	}
	if dated {
		return c.generations(rotation, epochs), nil
	}
	return epochs, nil
}

// fromDates moves the starts to the dates: each segment counts from the last date up to its own, and those in front of the
// first date back from that (8216bis, 4.4.4.6). A jump of the date is one of the clock; a discontinuity is none.
func (c *clock) fromDates() {
	next, move := 0, c.dates[0].at-c.starts[c.dates[0].index]
	for i, start := range c.starts {
		for ; next < len(c.dates) && c.dates[next].index == i; next++ {
			move = c.dates[next].at - start
		}
		c.starts[i] = start + move
	}
}

// sequencePeriod returns the period of a segment by its number alone, each taken for as long as the target duration. Numbers
// may be anything below 2^64, so that the product has 128 bits.
func sequencePeriod(sequence, target uint64, length time.Duration) uint32 {
	high, low := bits.Mul64(sequence, target*uint64(time.Second))
	low, carry := bits.Add64(low, uint64(cutSlack), 0)
	quotient, _ := bits.Div64((high+carry)%uint64(length), low, uint64(length))
	return uint32(quotient)
}

// parseSeconds reads the duration of EXTINF in nanoseconds. Digits behind the ninth are cut off.
func parseSeconds(value string) (int64, error) {
	whole, fraction, ok := splitDuration(value)
	if !ok {
		return 0, errDuration
	}
	seconds, err := strconv.ParseUint(whole, 10, 63)
	if err != nil || seconds > maxDuration {
		return 0, errDuration
	}
	nanos := int64(0)
	for i := range 9 {
		nanos *= 10
		if i < len(fraction) {
			nanos += int64(fraction[i] - '0')
		}
	}
	return int64(seconds)*int64(time.Second) + nanos, nil
}

// splitDuration takes the duration of EXTINF apart.
func splitDuration(value string) (whole, fraction string, ok bool) {
	duration, _, _ := strings.Cut(value, ",")
	whole, fraction, hasFraction := strings.Cut(strings.Trim(duration, " \t"), ".")
	return whole, fraction, isDigits(whole) && (!hasFraction || isDigits(fraction))
}

// dateLayouts are those of ISO 8601 that packagers write. A date without a zone is taken for UTC.
var dateLayouts = [...]string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05"}

// parseDate reads EXT-X-PROGRAM-DATE-TIME in nanoseconds since 1970. What lies before is 1970: clocks that nobody has set
// begin there, in a time zone.
func parseDate(s string) (int64, error) {
	for _, layout := range dateLayouts {
		at, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if at.Unix() < 0 {
			return 0, nil
		}
		if at.Unix() >= maxClockDate/int64(time.Second) {
			return 0, errClock
		}
		return at.UnixNano(), nil
	}
	return 0, errDate
}
