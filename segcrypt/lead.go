package segcrypt

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A clear lead is the beginning of a title that leaves clear, so that playback starts before the license is there. Its segments are
// described by sample entries of their own: an init segment with n protected entries has their n clear twins behind them, and a clear
// track fragment names the twin in tfhd (14496-12, 8.5.2 and 8.8.7). Readers that know nothing of it see two descriptions of one
// track, as of any other.

// ClearAlways as Protection.ClearUntil leaves every segment clear. It is for who has decided by something else than decode times.
const ClearAlways = math.MaxUint64

// lead is whether a segment leaves clear. Its first fragment decides for all of them.
type lead struct {
	clearUntil uint64 // Protection.ClearUntil
	decided    bool
	leaves     bool // samples leave clear
}

// decideLead says of the track fragments of f whether they leave clear.
func (pl *plan) decideLead(f *fragment) {
	if !pl.decided {
		pl.decided, pl.leaves = true, pl.inLead(&pl.trafs[f.firstTraf])
	}
	if !pl.leaves {
		return
	}
	for i := range f.trafs {
		if t := &pl.trafs[f.firstTraf+i]; t.entry.kind != KindText {
			t.clear = true
			t.clearDescription = uint32(len(pl.init.tracks[t.track].entries)) + t.tfhd.defaults.description
		}
	}
}

// inLead reports whether t begins before clearUntil, which counts in ticks of the first track. What does not say when it begins is
// encrypted.
func (pl *plan) inLead(t *trackFragment) bool {
	if pl.clearUntil == 0 || pl.clearUntil == ClearAlways {
		return pl.clearUntil == ClearAlways
	}
	ticks, ok := pl.decodeTime(t)
	scale := pl.init.tracks[0].Timescale
	if !ok || scale == 0 {
		return false
	}
	high, low := bits.Mul64(ticks, uint64(scale))
	endHigh, endLow := bits.Mul64(pl.clearUntil, uint64(pl.init.tracks[t.track].Timescale))
	return high < endHigh || high == endHigh && low < endLow
}

// LeavesClear reports whether the segment is of the clear lead.
func (s *Segment) LeavesClear() bool { return s.leaves }

// clearTwins returns the clear sample entries of t, to come in behind the protected ones, and counts them in the stsd of patched.
func (t *initTrack) clearTwins(patched, clear []byte) insertion {
	stsd := t.path[len(t.path)-1]
	binary.BigEndian.PutUint32(patched[stsd.payload()+4:], uint32(2*len(t.entries)))
	return insertion{stsd.end, clear[stsd.payload()+8 : stsd.end]}
}
