package mpegts

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
)

// edit is where the protected stream differs in length from the clear one: before the byte at pos, an emulation prevention byte
// is inserted if drop is 0, else the bytes from pos are left out.
type edit struct{ pos, drop uint32 }

// slice is an encrypted NAL unit: where it begins and ends in the stream, and how many zeros behind it are left out.
type slice struct{ from, to, drop uint32 }

// NAL units (SAMPLE-AES, video).
const (
	nalSlice, nalIDR = 1, 5
	minProtectedNAL  = 48 // of this size and below, a NAL unit stays clear
	nalLeader        = 32 // clear bytes in front, with the NAL unit header
	maxStream        = 1<<31 - 1
)

// nalUnprotected are types that hold picture data and stay clear in SAMPLE-AES: data partitions, auxiliary pictures, the
// extensions of SVC, MVC and 3D.
const nalUnprotected = 1<<2 | 1<<3 | 1<<4 | 1<<19 | 1<<20 | 1<<21

var (
	startCode = []byte{0, 0, 1}
	twoZeros  = []byte{0, 0}
)

var (
	errStartCode  = errors.New("the stream does not begin with a start code")
	errEmptyNAL   = errors.New("an empty NAL unit")
	errStreamSize = errors.New("the stream is too long")
)

// findSlices finds the slices of the stream, and hands over what of each is encrypted.
//
// A NAL unit is encrypted as it stands in the stream, emulation prevention bytes included; then it is escaped again, so that no
// start code comes up in it. Decoders take one layer off, decrypt, and have the clear NAL unit with its own escapes. Zeros behind
// an encrypted NAL unit are left out, but for the one that belongs to the start code: some decoders count them in, and take
// another block for the last one.
func (st *stream) findSlices(lanes *aes128.Lanes) (offset int, err error) {
	es := st.es
	if len(es) > maxStream {
		return 0, errStreamSize
	}
	first := bytes.Index(es, startCode)
	if first < 0 && len(es) == 0 {
		return 0, nil
	}
	if first < 0 || len(bytes.TrimLeft(es[:first], "\x00")) > 0 {
		return 0, errStartCode
	}
	for from := first + len(startCode); ; {
		next := bytes.Index(es[from:], startCode)
		to := len(es)
		if next >= 0 {
			to = from + next
		}
		end := to
		for end > from && es[end-1] == 0 {
			end--
		}
		if end == from {
			return from, errEmptyNAL
		}
		if t := es[from] & 31; nalUnprotected>>t&1 != 0 {
			return from, fmt.Errorf("NAL units of type %d have no form of SAMPLE-AES", t)
		} else if (t == nalSlice || t == nalIDR) && end-from > minProtectedNAL {
			// Of the last 16 bytes or less nothing is encrypted, so a run that ends one byte early holds the right blocks.
			lanes.Add(from+nalLeader, end-1-from-nalLeader)
			drop := to - end
			if next >= 0 {
				drop = max(0, drop-1) // zero_byte
			}
			st.slices = append(st.slices, slice{from: uint32(from), to: uint32(end), drop: uint32(drop)})
		}
		if next < 0 {
			return 0, nil
		}
		from = to + len(startCode)
	}
}

// escape notes where emulation prevention bytes go into the encrypted slices (H.264, 7.4.1.1): wherever a byte of 0 to 3 follows two
// zeros. The last byte of a NAL unit is not zero.
func (st *stream) escape() {
	for _, s := range st.slices {
		nal := st.es[:s.to]
		for pos := int(s.from); ; {
			i := bytes.Index(nal[pos:], twoZeros)
			if i < 0 || pos+i+2 >= len(nal) {
				break
			}
			if pos += i + 2; nal[pos] <= 3 {
				st.edits = append(st.edits, edit{pos: uint32(pos)})
			}
		}
		if s.drop > 0 {
			st.edits = append(st.edits, edit{pos: s.to, drop: s.drop})
		}
	}
}
