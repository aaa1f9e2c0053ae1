package segcrypt

import (
	"encoding/binary"
	"errors"
)

// fourCC is a box type or another four-character code, as a big-endian number.
type fourCC uint32

// cc makes a fourCC of a four-byte string.
func cc(s string) fourCC { return fourCC(s[0])<<24 | fourCC(s[1])<<16 | fourCC(s[2])<<8 | fourCC(s[3]) }

// String returns the four characters; anything but printable ASCII becomes '?', so that error texts stay readable.
func (c fourCC) String() string {
	b := [4]byte{byte(c >> 24), byte(c >> 16), byte(c >> 8), byte(c)}
	for i := range b {
		if b[i] < ' ' || b[i] > '~' {
			b[i] = '?'
		}
	}
	return string(b[:])
}

// box is the place of one box in a buffer.
type box struct {
	typ    fourCC
	off    int // of the size field
	header int // 8 or 16 bytes
	end    int
}

func (b box) size() int    { return b.end - b.off }
func (b box) payload() int { return b.off + b.header }

var (
	errBoxTruncated = errors.New("the box reaches past the end of what holds it")
	errBoxHeader    = errors.New("fewer than 8 bytes are left for a box header")
	errBoxSize      = errors.New("the box size is smaller than the box header")
	errBoxOpenEnded = errors.New("a box of size 0 (to the end of the file) is not accepted")
	errBoxLength    = errors.New("the box has the wrong length for its contents")
)

// nextBox reads the box header at buf[off:end].
//
//	size(4) type(4) [largesize(8) if size = 1]
//
// Source: 14496-12, 4.2.
func nextBox(buf []byte, off, end int) (box, error) {
	if end-off < 8 {
		return box{}, errBoxHeader
	}
	b := box{typ: fourCC(binary.BigEndian.Uint32(buf[off+4:])), off: off, header: 8}
	size := uint64(binary.BigEndian.Uint32(buf[off:]))
	switch size {
	case 0:
		return box{}, errBoxOpenEnded
	case 1:
		if end-off < 16 {
			return box{}, errBoxHeader
		}
		size, b.header = binary.BigEndian.Uint64(buf[off+8:]), 16
	}
	if size < uint64(b.header) {
		return box{}, errBoxSize
	}
	if size > uint64(end-off) {
		return box{}, errBoxTruncated
	}
	b.end = off + int(size)
	return b, nil
}

// eachBox calls visit for the boxes in buf[off:end], which they must fill exactly.
func eachBox(buf []byte, off, end int, path string, visit func(b box) error) error {
	for off < end {
		b, err := nextBox(buf, off, end)
		if err != nil {
			return atPath(path, off, err)
		}
		if err := visit(b); err != nil {
			return err
		}
		off = b.end
	}
	return nil
}

// be32 and be64 read at an offset that the caller has checked.
func be32(buf []byte, off int) uint32 { return binary.BigEndian.Uint32(buf[off:]) }
func be64(buf []byte, off int) uint64 { return binary.BigEndian.Uint64(buf[off:]) }

// put32 appends a big-endian number.
func put32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

// putHeader appends an 8-byte box header.
func putHeader(dst []byte, size int, typ fourCC) []byte {
	return put32(put32(dst, uint32(size)), uint32(typ))
}

// Types that are met in more than one place.
var (
	typFtyp, typMoov, typMoof, typMdat = cc("ftyp"), cc("moov"), cc("moof"), cc("mdat")
	typStyp, typPrft, typEmsg, typSidx = cc("styp"), cc("prft"), cc("emsg"), cc("sidx")
	typSsix, typMfra, typFree, typSkip = cc("ssix"), cc("mfra"), cc("free"), cc("skip")
	typPssh, typSinf, typTenc, typUUID = cc("pssh"), cc("sinf"), cc("tenc"), cc("uuid")
	typSenc, typSaiz, typSaio, typSeig = cc("senc"), cc("saiz"), cc("saio"), cc("seig")
	typTraf, typTrun, typTfhd, typTfdt = cc("traf"), cc("trun"), cc("tfhd"), cc("tfdt")
	typMfhd, typSdtp, typSubs, typEsds = cc("mfhd"), cc("sdtp"), cc("subs"), cc("esds")
	typSbgp, typSgpd                   = cc("sbgp"), cc("sgpd")
)
