package segcrypt

import (
	"io"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Sizes of what WriteTo writes. A window should still be in the second-level cache when the socket copies it, and hold a few
// samples, since their CBC chains are encrypted side by side. Measured over HTTP, windows of two system calls cost the least
// (docs/performance.md). Small pieces are gathered up to where a copy costs less than a system call.
const (
	windowBytes = 96 << 10
	gatherBytes = 48 << 10
)

// output takes the protected form piece by piece.
type output struct {
	w       io.Writer // nil: everything is gathered
	buf     []byte    // what is gathered
	written int64
	err     error
}

// room lengthens the gathered bytes by n and returns them, with old contents. The capacity must be there.
func (o *output) room(n int) []byte {
	start := len(o.buf)
	o.buf = o.buf[:start+n]
	return o.buf[start:]
}

// put hands on bytes: large pieces as they are, small ones gathered.
func (o *output) put(b []byte) {
	if o.w == nil {
		o.buf = append(o.buf, b...)
		return
	}
	if len(o.buf) > 0 {
		n := min(len(b), max(gatherBytes-len(o.buf), 0))
		o.buf = append(o.buf, b[:n]...)
		b = b[n:]
	}
	if len(o.buf) >= gatherBytes {
		o.flush()
	}
	if len(b) >= gatherBytes {
		o.write(b)
		return
	}
	o.buf = append(o.buf, b...)
}

// flush writes what is gathered.
func (o *output) flush() {
	o.write(o.buf)
	o.buf = o.buf[:0]
}

func (o *output) write(b []byte) {
	if o.err != nil || len(b) == 0 {
		return
	}
	n, err := o.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	o.written += int64(n)
	o.err = err
}

// piece is samples of one track that lie one behind the other, from byte from to byte to of the segment.
type piece struct {
	traf     *trackFragment
	samples  []sample
	iv       uint64 // of the first sample
	from, to int
}

// cursor goes through the contents of an mdat in the order of its bytes.
type cursor struct {
	pl    *plan
	order []int // runs that are left
	taken int   // samples of the first of them that are done
	at    int   // byte of the segment
}

func (pl *plan) cursor(f *fragment) cursor {
	return cursor{pl: pl, order: pl.order[f.firstRun : f.firstRun+f.runs], at: f.mdat.payload()}
}

// next returns samples of one run with limit bytes or a little more, or the last of the run. There must be bytes left.
func (c *cursor) next(limit int) piece {
	for c.pl.runs[c.order[0]].size == 0 || c.taken == c.pl.runs[c.order[0]].count {
		c.order, c.taken = c.order[1:], 0
	}
	r := &c.pl.runs[c.order[0]]
	t := &c.pl.trafs[r.traf]
	first, from := r.first+c.taken, c.at
	last := first
	for ; last < r.first+r.count && c.at-from < limit; last++ {
		c.at += c.pl.samples[last].size
	}
	c.taken = last - r.first
	return piece{t, c.pl.samples[first:last], t.iv + uint64(first-t.first), from, c.at}
}

// encrypt writes the samples of a piece, which src holds, to out in their protected form. out and src have the same length and
// are the same memory or do not overlap.
func (p *Protector) encrypt(out, src []byte, pl *plan, samples piece) {
	t := samples.traf
	switch {
	case t.entry.kind == KindText:
		copyUnlessSame(out, src)
	case pl.scheme == drm.SchemeCenc:
		p.tracks[t.track].cipher.encryptCenc(out, src, samples.samples, pl.subs, samples.iv)
	default:
		p.tracks[t.track].cipher.encryptCbcs(out, src, samples.samples, pl.subs)
	}
}
