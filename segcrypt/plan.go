package segcrypt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// plan is everything about one segment that is decided before a byte is written. It is plain data, refers to the input by
// offsets only, and is used again for the next segment.
type plan struct {
	seg       []byte
	init      *Init
	scheme    drm.ProtectionScheme
	encrypted bool // seg is protected already, and only read
	lead           // how much leaves clear

	boxes     []placedBox
	fragments []fragment
	trafs     []trackFragment
	runs      []trackRun
	order     []int // indices into runs, by fragment and then by the place of their data
	samples   []sample
	subs      []subsample
	size      int // bytes of the output

	own    []codecState // by track, for a segment that stands alone
	digest []byte
}

// sample is one coded sample: its bytes, and its subsamples in plan.subs. The samples of a run lie one behind the other.
type sample struct {
	size     int
	firstSub int
	numSubs  int
}

var errTooLarge = errors.New("the protected segment would exceed 2 GiB")

// maxKept bounds what an idle plan keeps of each list; the longest elements have under 300 bytes. Real segments stay below.
const maxKept = 1 << 13

// reset forgets the segment and keeps the lists for the next one. It reports whether they are worth keeping.
func (pl *plan) reset() bool {
	longest := max(cap(pl.boxes), cap(pl.fragments), cap(pl.trafs), cap(pl.runs), cap(pl.order)/8, cap(pl.samples), cap(pl.subs)/8,
		cap(pl.digest)/64)
	for i := range pl.own {
		pl.own[i].reset()
		longest = max(longest, pl.own[i].kept())
	}
	pl.boxes, pl.fragments, pl.trafs, pl.runs = pl.boxes[:0], pl.fragments[:0], pl.trafs[:0], pl.runs[:0]
	pl.order, pl.samples, pl.subs, pl.own = pl.order[:0], pl.samples[:0], pl.subs[:0], pl.own[:0]
	pl.seg, pl.init, pl.scheme, pl.encrypted, pl.lead, pl.size = nil, nil, 0, false, lead{}, 0
	return longest <= maxKept
}

// build plans the whole of a segment that stands alone. On error pl holds nothing of use.
func (pl *plan) build(seg []byte, in *Init, scheme drm.ProtectionScheme) error {
	if cap(pl.own) < len(in.tracks) {
		pl.own = make([]codecState, len(in.tracks))
	}
	pl.own = pl.own[:len(in.tracks)]
	if err := pl.buildFrom(seg, in, scheme, pl.own); err != nil {
		return err
	}
	if len(pl.fragments) == 0 {
		return formatErrorf("segment", len(seg), "%w", errNoFragment)
	}
	return nil
}

// buildFrom plans a chunk that follows what left states behind, by track. It may have no fragment at all.
func (pl *plan) buildFrom(seg []byte, in *Init, scheme drm.ProtectionScheme, states []codecState) error {
	pl.seg, pl.init, pl.scheme = seg, in, scheme
	if err := pl.scan(seg); err != nil {
		return err
	}
	for i := range pl.fragments {
		f := &pl.fragments[i]
		err := pl.readMoof(f)
		if err == nil {
			pl.decideLead(f)
			err = pl.mapSamples(f, states)
		}
		if err != nil {
			return numberMoof(err, f.number)
		}
	}
	return pl.layout()
}

// numberMoof puts the number of the moof into the path of err.
func numberMoof(err error, number int) error { return renamePath(err, "moof", number) }

// numberTraf puts the number of the traf into the path of err, unless it is the first.
func numberTraf(err error, number int) error {
	if number == 1 {
		return err
	}
	return renamePath(err, "moof/traf", number)
}

// renamePath puts a number behind the start of err's path.
func renamePath(err error, start string, number int) error {
	var fe *FormatError
	if !errors.As(err, &fe) {
		return err
	}
	path := fe.Path
	if len(path) >= len(start) && path[:len(start)] == start {
		path = fmt.Sprintf("%s[%d]%s", start, number, path[len(start):])
	}
	return &FormatError{Path: path, Offset: fe.Offset, Err: fe.Err}
}

// mapSamples finds the subsamples of every sample of f, in decode order within each track.
func (pl *plan) mapSamples(f *fragment, states []codecState) error {
	for i := f.firstRun; i < f.firstRun+f.runs; i++ {
		r := &pl.runs[i]
		t := &pl.trafs[r.traf]
		if t.clear {
			continue
		}
		state := &states[t.track]
		state.use(t.entry, pl.scheme)
		at := int(r.at)
		for j := r.first; j < r.first+r.count; j++ {
			s := &pl.samples[j]
			s.firstSub = len(pl.subs)
			subs, err := state.mapSample(pl.seg[at:at+s.size], pl.subs)
			if err != nil {
				path := fmt.Sprintf("moof/traf/trun/sample[%d]", j-t.first+1)
				return numberTraf(formatErrorf(path, at, "%w", err), r.traf-f.firstTraf+1)
			}
			pl.subs, s.numSubs = subs, len(subs)-s.firstSub
			at += s.size
		}
	}
	return nil
}

// samplesOf returns the samples of a track fragment.
func (pl *plan) samplesOf(t *trackFragment) []sample { return pl.samples[t.first : t.first+t.count] }

// subsOf returns the subsamples of a sample.
func (pl *plan) subsOf(s sample) []subsample { return pl.subs[s.firstSub : s.firstSub+s.numSubs] }

// appendDigestInput appends the sample sizes and the subsamples of t in a form that no other plan shares.
func (pl *plan) appendDigestInput(dst []byte, t *trackFragment) []byte {
	for _, s := range pl.samplesOf(t) {
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.size))
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.numSubs))
		dst = appendSubsamples(dst, pl.subsOf(s))
	}
	return dst
}
