package audioframe

import (
	"errors"
	"fmt"
)

// Codec is what a stream of audio frames holds.
type Codec uint8

// The codecs that SAMPLE-AES knows.
const (
	AAC  Codec = iota + 1 // ADTS frames
	AC3                   // syncframes with a bsid up to 10
	EAC3                  // syncframes of E-AC-3; those of AC-3 may stand between them
)

// String returns the name of the codec.
func (c Codec) String() string {
	switch c {
	case AAC:
		return "AAC"
	case AC3:
		return "AC-3"
	case EAC3:
		return "E-AC-3"
	default:
		return "unknown audio"
	}
}

var (
	errSync      = errors.New("no frame begins here")
	errTruncated = errors.New("truncated frame")
	errHeader    = errors.New("a frame header has a value out of range")
)

// leader is the number of bytes that stay clear at the start of a frame, behind the header of ADTS (SAMPLE-AES, audio).
const leader = 16

// blockSize is that of AES: protected runs are whole blocks.
const blockSize = 16

// Frame is the extent of one frame, in bytes.
type Frame struct {
	Size  int // of all
	Clear int // what stays clear at the start, at most Size
}

// Protected returns how many bytes behind Clear are encrypted: whole blocks. What is left over stays clear.
func (f Frame) Protected() int { return (f.Size - f.Clear) &^ (blockSize - 1) }

// Parse reads the header of the frame at the start of b. The frame may be longer than b; Next refuses that.
func Parse(c Codec, b []byte) (Frame, error) {
	switch c {
	case AAC:
		return parseADTS(b)
	case AC3, EAC3:
		return parseSyncframe(c, b)
	default:
		return Frame{}, fmt.Errorf("%v: %w", c, errSync)
	}
}

// Next is Parse for a frame that lies in b as a whole.
func Next(c Codec, b []byte) (Frame, error) {
	f, err := Parse(c, b)
	if err == nil && f.Size > len(b) {
		return Frame{}, errTruncated
	}
	return f, err
}

// Walk calls visit for the protected run of every frame in es: where it begins and its length, a multiple of 16 and not zero. On an
// error it returns the offset of the frame that is at fault; those in front of it have been visited.
func Walk(c Codec, es []byte, visit func(offset, n int)) (offset int, err error) {
	for offset < len(es) {
		f, err := Next(c, es[offset:])
		if err != nil {
			return offset, err
		}
		if n := f.Protected(); n > 0 {
			visit(offset+f.Clear, n)
		}
		offset += f.Size
	}
	return offset, nil
}

const (
	adtsHeader    = 7
	adtsCRCHeader = 9
)

// parseADTS reads adts_fixed_header and adts_variable_header (14496-3, 1.A.2.2).
//
//	syncword 12 | ID 1 | layer 2 | protection_absent 1 | profile 2 | sampling_frequency_index 4 | private_bit 1 |
//	channel_configuration 3 | original, home, copyright bits 4 | aac_frame_length 13 | adts_buffer_fullness 11 |
//	number_of_raw_data_blocks_in_frame 2
func parseADTS(b []byte) (Frame, error) {
	if len(b) < adtsHeader {
		return Frame{}, errTruncated
	}
	if b[0] != 0xFF || b[1]&0xF6 != 0xF0 {
		return Frame{}, errSync
	}
	header := adtsHeader
	if b[1]&1 == 0 {
		header = adtsCRCHeader
	}
	size := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	if size < header || b[2]>>2&15 > 12 {
		return Frame{}, errHeader
	}
	return Frame{Size: size, Clear: min(header+leader, size)}, nil
}

// ac3Rates are the nominal bit rates in kbit/s by frmsizecod/2 (102 366, table 4.13).
var ac3Rates = [...]int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}

const (
	syncframeHeader = 6  // as far as bsid
	maxAC3          = 10 // the greatest bsid of AC-3 and its variants for low sample rates; above it stands E-AC-3
	maxEAC3         = 16
)

// parseSyncframe reads the start of a syncframe (102 366, 4.3 and E.1.2).
func parseSyncframe(c Codec, b []byte) (Frame, error) {
	if len(b) < syncframeHeader {
		return Frame{}, errTruncated
	}
	if b[0] != 0x0B || b[1] != 0x77 {
		return Frame{}, errSync
	}
	bsid := b[5] >> 3 // at the same place in both
	var size int
	switch {
	case bsid <= maxAC3:
		code, fscod := int(b[4]&63), b[4]>>6
		if code/2 >= len(ac3Rates) || fscod == 3 {
			return Frame{}, errHeader
		}
		rate := ac3Rates[code/2]
		size = 2 * [...]int{rate * 2, rate*320/147 + code&1, rate * 3}[fscod]
	case bsid <= maxEAC3 && c == EAC3:
		size = 2 * (int(b[2]&7)<<8 | int(b[3]) + 1)
	default:
		return Frame{}, errHeader
	}
	if size < syncframeHeader {
		return Frame{}, errHeader
	}
	return Frame{Size: size, Clear: min(leader, size)}, nil
}
