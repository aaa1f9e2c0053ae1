package hls

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Rotation says when keys change.
type Rotation struct {
	// Length is that of a crypto period, at least a second. Zero: keys do not rotate, and everything is of period 0.
	Length time.Duration
	// Generation counts how often all keys were replaced.
	Generation uint32
	// Replaced says when the keys of Generation were replaced, and those that followed. In a live playlist with dates, what begins behind
	// that has the new ones, see Divides; all of any other has the newest.
	Replaced drm.Generations
	// Oldest is the lowest generation whose keys are still given. Segments of a lower one leave the playlist. Those of an EVENT, and where media
	// may have come protected, stay as they were, but as gaps: players that know them take no other address for them, and nobody loads them.
	Oldest uint32
	// Anchor, if set, remembers a date of a live playlist for those of its loads in which there is none. It is called once for each load:
	// with the date of the first segment, which it returns, or with none.
	Anchor func(dated Anchor) Anchor
}

// Anchor is the date of a segment, zero for none.
type Anchor struct {
	Sequence uint64
	At       time.Duration // since 1970
}

// newest is the generation of what comes last.
func (r Rotation) newest() uint32 { return r.Generation + r.Replaced.Current() }

// Epoch says which keys hold: those of a crypto period and a generation. It is zero without rotation, for tracks that pass, and where no
// keys were replaced.
type Epoch struct{ CryptoPeriod, Generation uint32 }

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

// epoch returns the epoch of the keys in force for the segment at hand, which is also that of its parts and of the EXT-X-MAP in front of
// it: keys never change inside a segment. Segments that are gone have no keys in force; those behind them hold already.
func (r *rewriter) epoch() Epoch { return r.epochAt(max(r.media.index, r.media.gone)) }

// ownEpoch returns the epoch of the segment at hand.
func (r *rewriter) ownEpoch() Epoch { return r.epochAt(r.media.index) }

func (r *rewriter) epochAt(index int) Epoch {
	if r.media.epochs == nil {
		return Epoch{Generation: r.o.Rotation.newest()}
	}
	return r.media.epochs[index]
}

// isGone reports whether the keys of the segment at hand were replaced, and are not given any more.
func (r *rewriter) isGone() bool {
	mapped := r.media.tracks.mapped
	return r.media.index < r.media.gone && (mapped == nil || !mapped.passes)
}

// keysOf returns the keys of a track in an epoch.
func (r *rewriter) keysOf(track *openTrack, epoch Epoch) ([]Key, error) {
	if keys, ok := track.keys[epoch]; ok {
		return keys, nil
	}
	t := &r.media.tracks
	if t.periods++; t.periods > maxPeriods {
		return nil, r.fault(fmt.Errorf("%w: over %d crypto periods", ErrTooLarge, maxPeriods))
	}
	if track.keys == nil {
		track.keys = make(map[Epoch][]Key)
	}
	keys := slices.Clone(track.Keys(epoch))
	track.keys[epoch] = keys
	return keys, nil
}

// mapInForce is the last EXT-X-MAP, to be written again with other keys.
type mapInForce struct {
	init  Resource
	line  line
	attrs []attribute
}

// rotate writes the keys and the EXT-X-MAP in force again when the segment at hand begins another epoch: the init segment
// names its key. The media goes on, so that there is no EXT-X-DISCONTINUITY.
func (r *rewriter) rotate() error {
	t := &r.media.tracks
	epoch, before := r.epoch(), t.epoch
	if t.mapped == nil || epoch == before || t.mapped.passes {
		return nil
	}
	t.epoch = epoch
	was, err := r.keysOf(t.mapped, before)
	if err != nil {
		return err
	}
	is, err := r.keysOf(t.mapped, epoch)
	if err != nil || len(was) == 0 && len(is) == 0 {
		return err
	}
	return r.restate()
}

// restate writes the EXT-X-MAP in force and its keys as they are for the segment at hand.
func (r *rewriter) restate() error {
	t := &r.media.tracks
	text, err := r.seal(t.mapped, Segment{Resource: t.restated.init, Epoch: t.epoch, ClearLead: r.inClearLead(t.mapped)})
	if err != nil {
		return err
	}
	line, attrs := r.line, r.attrs
	r.line, r.attrs = t.restated.line, t.restated.attrs
	err = r.writeMap(t.mapped, text)
	r.line, r.attrs = line, attrs
	return err
}

// beginsEpoch reports that the segment at hand is of another epoch than the keys in force, which nothing has announced yet.
func (r *rewriter) beginsEpoch(track *openTrack) bool {
	return !track.passes && r.epoch() != r.media.tracks.epoch
}
