package segcrypt

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/caddy-drm/caddy-drm/drm"
)

// plan is everything about one segment that is decided before a byte is written. It is plain data, refers to the input by
// offsets only, and is used again for the next segment.
type plan struct {
	boxes     []placedBox
	fragments []fragment
	samples   []sample
	subs      []subsample
	size      int // bytes of the output
	scheme    drm.ProtectionScheme

	codec   codecState
	digest  []byte
	counter [aes.BlockSize]byte
}

// sample is one coded sample: its bytes, and its subsamples in plan.subs. Samples lie one behind the other.
type sample struct {
	size     int
	firstSub int
	numSubs  int
}

// plans keeps plans for reuse. Their slices are bounded by maxSamples and by what release drops.
var plans = sync.Pool{New: func() any { return new(plan) }}

// maxKept bounds what an idle plan keeps of each list; the longest elements have under 300 bytes. Real segments stay below.
const maxKept = 1 << 13

func (pl *plan) release() {
	if max(cap(pl.boxes), cap(pl.fragments), cap(pl.samples), cap(pl.subs)/8, pl.codec.kept(), cap(pl.digest)/64) > maxKept {
		plans.Put(new(plan))
		return
	}
	pl.boxes, pl.fragments, pl.samples, pl.subs = pl.boxes[:0], pl.fragments[:0], pl.samples[:0], pl.subs[:0]
	pl.codec.reset()
	pl.size = 0
	plans.Put(pl)
}

var errTooLarge = errors.New("the protected fragment would exceed 2 GiB")

// build plans the whole segment. On error pl holds nothing of use.
func (pl *plan) build(seg []byte, in *Init, scheme drm.ProtectionScheme) error {
	pl.scheme = scheme
	if err := pl.scan(seg); err != nil {
		return err
	}
	for i := range pl.fragments {
		f := &pl.fragments[i]
		err := f.read(seg, in, pl)
		if err == nil {
			err = pl.mapSamples(seg, f)
		}
		if err != nil {
			return numberMoof(err, f.number)
		}
	}
	return pl.layout(seg)
}

// numberMoof puts the number of the moof into the path of err.
func numberMoof(err error, number int) error {
	var fe *FormatError
	if !errors.As(err, &fe) {
		return err
	}
	path := fe.Path
	if len(path) >= 4 && path[:4] == "moof" {
		path = fmt.Sprintf("moof[%d]%s", number, path[4:])
	}
	return &FormatError{Path: path, Offset: fe.Offset, Err: fe.Err}
}

// mapSamples finds the subsamples of every sample of f.
func (pl *plan) mapSamples(seg []byte, f *fragment) error {
	pl.codec.use(f.entry, pl.scheme)
	at := f.mdat.payload()
	for i := range f.count {
		s := &pl.samples[f.first+i]
		b := seg[at : at+s.size]
		s.firstSub = len(pl.subs)
		subs, err := pl.codec.mapSample(b, pl.subs)
		if err != nil {
			return formatErrorf(fmt.Sprintf("moof/traf/trun/sample[%d]", i+1), at, "%w", err)
		}
		pl.subs, s.numSubs = subs, len(subs)-s.firstSub
		at += s.size
	}
	return nil
}

// appendDigestInput appends the sample sizes and the subsamples of f in a form that no other plan shares.
func (pl *plan) appendDigestInput(dst []byte, f *fragment) []byte {
	for _, s := range pl.samples[f.first : f.first+f.count] {
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.size))
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.numSubs))
		dst = appendSubsamples(dst, pl.subs[s.firstSub:s.firstSub+s.numSubs])
	}
	return dst
}
