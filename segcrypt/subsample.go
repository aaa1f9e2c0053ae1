package segcrypt

import (
	"encoding/binary"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Subsamples per sample that a one-byte saiz entry can describe: (255 − IV − 2) / 6 (23001-7, 7.1).
const (
	maxSubsamplesCenc = (255 - 8 - 2) / 6 // 40
	maxSubsamplesCbcs = (255 - 2) / 6     // 42
)

const maxClearRun = 1<<16 - 1 // BytesOfClearData has 16 bits

// run is a clear run and the protected run after it, before they are fitted into subsamples.
type run struct{ clear, protected int }

// subsampleBuilder collects the runs of one sample.
type subsampleBuilder struct {
	runs    []run
	kept    []run
	sizes   []int
	at      int // bytes of the sample described so far
	pending int // clear bytes not yet followed by protected ones
	align   bool
	limit   int
}

func (b *subsampleBuilder) reset(scheme drm.ProtectionScheme) {
	b.runs, b.at, b.pending = b.runs[:0], 0, 0
	b.align, b.limit = scheme == drm.SchemeCenc, maxSubsamplesCbcs
	if b.align {
		b.limit = maxSubsamplesCenc
	}
}

// add appends clear bytes and the protected bytes after them. In cenc a protected run is whole blocks; what is over joins the
// clear bytes in front, so that the run ends where it would have ended (23000-19, 8.2; AV1 in ISO BMFF, Common Encryption).
func (b *subsampleBuilder) add(clear, protected int) {
	b.at += clear + protected
	if b.align {
		over := protected % 16
		clear, protected = clear+over, protected-over
	}
	b.pending += clear
	if protected > 0 {
		b.runs = append(b.runs, run{b.pending, protected})
		b.pending = 0
	}
}

// protect is add with places in the sample: clear up to off, protected from there to end.
func (b *subsampleBuilder) protect(off, end int) { b.add(off-b.at, end-off) }

// appendTo appends the subsamples of the sample to dst. Where there are more than saiz can describe, the smallest protected
// runs are left clear; a sample of which nothing could stay protected is refused.
func (b *subsampleBuilder) appendTo(dst []subsample) ([]subsample, error) {
	if len(b.runs) == 0 || entriesOf(b.runs, b.pending) > b.limit {
		if err := b.merge(); err != nil {
			return dst, err
		}
	}
	for _, r := range b.runs {
		dst = appendRun(dst, r)
	}
	if b.pending > 0 || len(b.runs) == 0 {
		dst = appendRun(dst, run{clear: b.pending})
	}
	return dst, nil
}

// entriesOf counts the subsamples that runs and the clear bytes after them need.
func entriesOf(runs []run, pending int) int {
	n := 0
	for _, r := range runs {
		n += 1 + max(r.clear-1, 0)/maxClearRun
	}
	if pending > 0 || len(runs) == 0 {
		n += 1 + max(pending-1, 0)/maxClearRun
	}
	return n
}

// merge keeps as many of the largest protected runs as fit. Leaving one more run clear saves an entry unless the clear run
// grows past 64 KiB, so the numbers to keep are tried from the limit down.
func (b *subsampleBuilder) merge() error {
	if len(b.runs) == 0 {
		if entriesOf(nil, b.pending) > b.limit {
			return errSubsamples
		}
		return nil
	}
	b.sizes = b.sizes[:0]
	for _, r := range b.runs {
		b.sizes = append(b.sizes, r.protected)
	}
	slices.Sort(b.sizes)
	for i := max(len(b.sizes)-b.limit, 0); i < len(b.sizes); i++ {
		pending := b.keep(b.sizes[i:])
		if entriesOf(b.kept, pending) <= b.limit {
			b.runs, b.kept, b.pending = b.kept, b.runs, pending
			return nil
		}
	}
	return errSubsamples
}

// keep puts into b.kept the runs whose protected sizes are in largest, a tail of the sorted sizes, and makes the others
// clear. Of equal runs the first ones stay. It returns the clear bytes at the end.
func (b *subsampleBuilder) keep(largest []int) (pending int) {
	b.kept = b.kept[:0]
	ties := 0
	for ties < len(largest) && largest[ties] == largest[0] {
		ties++
	}
	clear := 0
	for _, r := range b.runs {
		clear += r.clear
		if r.protected < largest[0] || r.protected == largest[0] && ties == 0 {
			clear += r.protected
			continue
		}
		if r.protected == largest[0] {
			ties--
		}
		b.kept = append(b.kept, run{clear, r.protected})
		clear = 0
	}
	return clear + b.pending
}

// appendRun splits a clear run that does not fit 16 bits.
func appendRun(dst []subsample, r run) []subsample {
	for r.clear > maxClearRun {
		dst = append(dst, subsample{clear: maxClearRun})
		r.clear -= maxClearRun
	}
	return append(dst, subsample{clear: uint16(r.clear), protected: uint32(r.protected)})
}

// appendSubsamples appends subsamples as senc holds them.
//
//	( BytesOfClearData(2) BytesOfProtectedData(4) ) × n
func appendSubsamples(dst []byte, subs []subsample) []byte {
	for _, s := range subs {
		dst = binary.BigEndian.AppendUint16(dst, s.clear)
		dst = binary.BigEndian.AppendUint32(dst, s.protected)
	}
	return dst
}
