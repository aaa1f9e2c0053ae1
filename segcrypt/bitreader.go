package segcrypt

import (
	"errors"
	"math/bits"
)

var (
	errBitsExhausted = errors.New("the bits end inside a header")
	errGolomb        = errors.New("an Exp-Golomb code is longer than 32 bits")
)

// bitReader reads bits from the most significant down. With escaped set, emulation prevention bytes (the 3 of 0 0 3) are
// skipped but counted, so that bytesRead is a length in the NAL unit as it is stored (H.264, 7.3.1; H.265, 7.3.1.1).
//
// The first failure sticks in err and every later read returns zero; callers check err where a value decides a loop and at
// the end. It allocates nothing and each read takes time proportional to its bits.
type bitReader struct {
	buf     []byte
	pos     int // next byte to load
	cur     byte
	left    uint // bits not yet read of cur
	zeros   int  // zero bytes just before pos
	escaped bool
	err     error
}

func (r *bitReader) load() bool {
	if r.escaped && r.zeros >= 2 && r.pos < len(r.buf) && r.buf[r.pos] == 3 {
		r.pos++
		r.zeros = 0
	}
	if r.pos >= len(r.buf) {
		if r.err == nil {
			r.err = errBitsExhausted
		}
		return false
	}
	r.cur, r.left = r.buf[r.pos], 8
	r.pos++
	if r.cur == 0 {
		r.zeros++
	} else {
		r.zeros = 0
	}
	return true
}

// u reads n ≤ 32 bits.
func (r *bitReader) u(n uint) uint32 {
	var v uint32
	for n > 0 {
		if r.err != nil || (r.left == 0 && !r.load()) {
			return 0
		}
		take := min(n, r.left)
		r.left -= take
		v = v<<take | uint32(r.cur>>r.left)&(1<<take-1)
		n -= take
	}
	return v
}

// flag reads one bit.
func (r *bitReader) flag() bool { return r.u(1) == 1 }

// skip reads n bits and forgets them.
func (r *bitReader) skip(n uint64) {
	if n/8 > uint64(len(r.buf)) {
		r.fail(errBitsExhausted)
		return
	}
	for ; n > 32 && r.err == nil; n -= 32 {
		r.u(32)
	}
	r.u(uint(min(n, 32)))
}

// ue reads ue(v) (H.264, 9.1): as many bits as there were zeros in front of the first one. Slice headers are made of these,
// so zeros are counted a byte at a time.
func (r *bitReader) ue() uint32 {
	zeros := uint(0)
	for {
		if r.err != nil || (r.left == 0 && !r.load()) {
			return 0
		}
		n := uint(bits.LeadingZeros8(r.cur << (8 - r.left)))
		if n < r.left {
			zeros += n
			r.left -= n + 1
			break
		}
		zeros += r.left
		r.left = 0
		if zeros > 31 {
			break
		}
	}
	if zeros > 31 {
		r.fail(errGolomb)
		return 0
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// se reads se(v).
func (r *bitReader) se() int32 {
	v := int64(r.ue())
	if v&1 == 1 {
		return int32((v + 1) / 2)
	}
	return int32(-v / 2)
}

// ueMax reads ue(v) and fails if it exceeds limit.
func (r *bitReader) ueMax(limit uint32, what error) uint32 {
	v := r.ue()
	if v > limit {
		r.fail(what)
		return 0
	}
	return v
}

func (r *bitReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// bytesRead is the number of bytes begun, emulation prevention included.
func (r *bitReader) bytesRead() int { return r.pos }

// ceilLog2 is Ceil(Log2(v)); zero for v ≤ 1.
func ceilLog2(v uint32) uint {
	if v <= 1 {
		return 0
	}
	return uint(bits.Len32(v - 1))
}
