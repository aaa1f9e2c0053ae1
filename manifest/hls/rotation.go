package hls

import (
	"fmt"
	"slices"
	"time"
)

// Rotation says how long a key encrypts.
type Rotation struct {
	// Length is that of a crypto period, at least a second. Zero: keys do not rotate, and everything is of period 0.
	Length time.Duration
}

// Period returns the crypto period of what begins at clock: since 1970 for what has dates, else since the beginning of its
// playlist. It has the last 32 bits of ⌊(clock + 100 ms) / Length⌋, and is 0 for a clock that is negative and without rotation.
func (r Rotation) Period(clock time.Duration) uint32 {
	if r.Length <= 0 || clock < 0 {
		return 0
	}
	return uint32((clock + cutSlack) / r.Length)
}

func (r Rotation) validate() error {
	if r.Length < 0 || r.Length > 0 && r.Length < time.Second {
		return errRotation
	}
	return nil
}

// maxPeriods bounds the crypto periods of all tracks of a playlist, for each of which the caller may have to fetch keys.
const maxPeriods = 20_000

// cryptoPeriod returns the crypto period of the segment at hand, which is also that of its parts and of the EXT-X-MAP in front
// of it: keys never change inside a segment.
func (r *rewriter) cryptoPeriod() uint32 {
	if r.media.periods == nil {
		return 0
	}
	return r.media.periods[r.media.index]
}

// keysOf returns the keys of a track in a crypto period.
func (r *rewriter) keysOf(track *openTrack, period uint32) ([]Key, error) {
	if keys, ok := track.keys[period]; ok {
		return keys, nil
	}
	t := &r.media.tracks
	if t.periods++; t.periods > maxPeriods {
		return nil, r.fault(fmt.Errorf("%w: over %d crypto periods", ErrTooLarge, maxPeriods))
	}
	if track.keys == nil {
		track.keys = make(map[uint32][]Key)
	}
	keys := slices.Clone(track.Keys(period))
	track.keys[period] = keys
	return keys, nil
}

// mapInForce is the last EXT-X-MAP, to be written again with other keys.
type mapInForce struct {
	init  Resource
	line  line
	attrs []attribute
}

// rotate writes the keys and the EXT-X-MAP in force again when the segment at hand begins another crypto period: the init segment
// names its key. The media goes on, so that there is no EXT-X-DISCONTINUITY.
func (r *rewriter) rotate() error {
	t := &r.media.tracks
	period, before := r.cryptoPeriod(), t.period
	if t.mapped == nil || period == before || t.mapped.passes {
		return nil
	}
	t.period = period
	was, err := r.keysOf(t.mapped, before)
	if err != nil {
		return err
	}
	is, err := r.keysOf(t.mapped, period)
	if err != nil || len(was) == 0 && len(is) == 0 {
		return err
	}
	return r.restate()
}

// restate writes the EXT-X-MAP in force and its keys as they are for the segment at hand.
func (r *rewriter) restate() error {
	t := &r.media.tracks
	text, err := r.seal(t.mapped, Segment{Resource: t.restated.init, CryptoPeriod: t.period, ClearLead: r.inClearLead(t.mapped)})
	if err != nil {
		return err
	}
	line, attrs := r.line, r.attrs
	r.line, r.attrs = t.restated.line, t.restated.attrs
	err = r.writeMap(t.mapped, text)
	r.line, r.attrs = line, attrs
	return err
}

// beginsPeriod reports that the segment at hand is of another crypto period than the keys in force, which nothing has announced
// yet.
func (r *rewriter) beginsPeriod(track *openTrack) bool {
	return !track.passes && r.cryptoPeriod() != r.media.tracks.period
}
