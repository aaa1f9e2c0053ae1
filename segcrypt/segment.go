package segcrypt

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// Segment is a planned media segment: everything about its protected form is decided, nothing is encrypted yet. It belongs to
// one goroutine, and refers to the clear bytes that it was planned from until it is released.
type Segment struct {
	plan
	protector *Protector
	cut       int // bytes of the output that are wanted, all of them unless Truncate said otherwise
	consumed  bool
	scratch   []byte // of WriteTo
}

// segments keeps Segments for reuse, with lists that plan.reset bounds.
var segments = sync.Pool{New: func() any { return new(Segment) }}

var (
	errConsumed = errors.New("the segment has been written, which consumed its bytes")
	errCut      = errors.New("the segment cannot be cut here: not at the end of a box, nor in the contents of an mdat")
)

func newSegment(p *Protector) *Segment {
	s := segments.Get().(*Segment)
	s.protector = p
	return s
}

// Release gives the Segment's memory back for reuse. The clear bytes are the caller's again; the Segment must not be used
// any more.
func (s *Segment) Release() {
	if !s.reset() || cap(s.scratch) > 4*gatherBytes {
		return
	}
	s.protector, s.cut, s.consumed = nil, 0, false
	segments.Put(s)
}

// Size returns the exact number of bytes of the protected form.
func (s *Segment) Size() int { return s.cut }

// Truncate cuts the protected form to what corresponds to the first n clear bytes, as a byte range of an I-frame playlist asks
// for. What is left is the start of the whole form, byte for byte.
//
// n must lie between top-level boxes or in the contents of an mdat, and not behind an earlier cut; otherwise the error is a
// *FormatError, and nothing changes.
func (s *Segment) Truncate(n int) error {
	if n >= 0 && n <= len(s.seg) {
		if out, ok := s.outputPlace(n); ok && out <= s.cut {
			s.cut = out
			return nil
		}
	}
	return formatErrorf("segment", n, "%w", errCut)
}

// AppendTo appends the protected form to dst and returns the longer slice; without dst it allocates exactly what is needed. The
// clear bytes stay as they are and must not share memory with dst. After WriteTo it returns nil.
func (s *Segment) AppendTo(dst []byte) Protected {
	if s.consumed {
		return nil
	}
	o := output{buf: slices.Grow(dst, s.cut)}
	s.emit(&o)
	return o.buf
}

// WriteTo encrypts the clear bytes in place, window by window, and writes the protected form to w while it goes: the first
// bytes leave before the others are encrypted. Afterwards the memory that the Segment was planned from holds nothing of use. A
// segment that leaves clear (Protection.ClearUntil) is written the same way, and as it is.
//
// Small boxes are gathered, so that w sees few and large writes. It must not keep what it is given. On its first error nothing
// more is encrypted or written, and the error is returned as it is. WriteTo works once.
func (s *Segment) WriteTo(w io.Writer) (int64, error) {
	if s.consumed {
		return 0, errConsumed
	}
	s.consumed = true
	o := output{w: w, buf: s.scratch[:0]}
	s.emit(&o)
	o.flush()
	s.scratch = o.buf[:0]
	return o.written, o.err
}

// emit hands the protected form to o, one top-level box after the other.
func (s *Segment) emit(o *output) {
	for i := range s.boxes {
		b := &s.boxes[i]
		if b.outOff >= s.cut || o.err != nil {
			return
		}
		switch b.treatment {
		case treatDrop:
		case treatCopy:
			o.put(s.seg[b.off:b.end])
		case treatBlank:
			s.emitBlank(o, b.box)
		case treatSidx:
			o.buf = s.correctSidx(o.buf, b)
		case treatSsix:
			o.buf = s.correctSsix(o.buf, i)
		case treatFragment:
			s.emitFragment(o, b)
		}
	}
}

// emitBlank emits a box with zeros for contents.
func (s *Segment) emitBlank(o *output, b box) {
	if o.w != nil {
		clear(s.seg[b.payload():b.end])
		o.put(s.seg[b.off:b.end])
		return
	}
	o.put(s.seg[b.off:b.payload()])
	clear(o.room(b.end - b.payload()))
}

// emitFragment emits a moof and its mdat, as far as it is wanted.
func (s *Segment) emitFragment(o *output, b *placedBox) {
	f := &s.fragments[b.fragment]
	if s.protector.ivs != nil && !s.leaves {
		s.protector.ivs.derive(s.seg, &s.plan, f, s.protector.tracks)
	}
	o.buf = s.appendMoof(o.buf, f)
	o.put(s.seg[f.mdat.off:f.mdat.payload()])
	start := f.mdat.payload()
	end := min(f.mdat.end, start+s.cut-b.outOff-f.moofSize-f.mdat.header)
	if s.leaves {
		o.put(s.seg[start:max(start, end)])
		return
	}
	if o.w != nil {
		s.encryptInPlace(o, f, start, end)
		return
	}
	out := o.room(end - start)
	for c := s.cursor(f); c.at < end; {
		p := c.next(windowBytes)
		src := s.seg[p.from:p.to]
		if p.to <= end {
			s.protector.encrypt(out[p.from-start:p.to-start], src, &s.plan, p)
			continue
		}
		last := make([]byte, len(src)) // a sample that is cut must be encrypted as a whole
		s.protector.encrypt(last, src, &s.plan, p)
		copy(out[p.from-start:], last)
	}
}

// encryptInPlace encrypts the contents of an mdat from start to end, and the rest of the sample in which they end, and puts
// them into o. Only encrypted samples are put.
func (s *Segment) encryptInPlace(o *output, f *fragment, start, end int) {
	limit := gatherBytes // the first window is small, so that it leaves soon
	for c := s.cursor(f); start < end && o.err == nil; start = c.at {
		for c.at < min(start+limit, end) {
			p := c.next(start + limit - c.at)
			s.protector.encrypt(s.seg[p.from:p.to], s.seg[p.from:p.to], &s.plan, p)
		}
		o.put(s.seg[start:min(c.at, end)])
		limit = windowBytes
	}
}
