package segcrypt

import (
	"encoding/binary"
	"sort"
)

const sidxReferenceBytes = 12

// correctSidx appends the sidx at b with first_offset and referenced sizes as they are in the output. It returns nil when the
// box does not describe whole boxes of this segment: such a box describes another file, and a segment index is optional.
//
//	version(1) flags(3) reference_ID(4) timescale(4) [earliest_presentation_time first_offset](8 or 16)
//	reserved(2) reference_count(2) ( reference_type(1 bit) referenced_size(31 bits) subsegment_duration(4) SAP(4) ) × n
//
// Source: 14496-12, 8.16.3.
func (pl *plan) correctSidx(dst []byte, b *placedBox) []byte {
	seg := pl.seg
	x, ok := readSidx(seg, b)
	if !ok || x.firstOffset > uint64(len(seg)-b.end) {
		return nil
	}
	at := b.end + int(x.firstOffset)
	out, ok := pl.outputOffset(at)
	if !ok {
		return nil
	}
	dst = append(dst, seg[b.off:x.offsetAt]...)
	if x.countAt-2-x.offsetAt == 8 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(out-b.outEnd))
	} else {
		dst = put32(dst, uint32(out-b.outEnd))
	}
	dst = append(dst, seg[x.countAt-2:x.countAt+2]...)
	for r := x.countAt + 2; r < b.end; r += sidxReferenceBytes {
		word := be32(seg, r)
		if uint64(word&0x7fffffff) > uint64(len(seg)-at) {
			return nil
		}
		at += int(word & 0x7fffffff)
		next, ok := pl.outputOffset(at)
		if !ok {
			return nil
		}
		dst = put32(dst, word&0x80000000|uint32(next-out))
		dst = append(dst, seg[r+4:r+sidxReferenceBytes]...)
		out = next
	}
	return dst
}

// sidxFields are the places of the fields of a sidx that change, and first_offset.
type sidxFields struct {
	offsetAt    int // of first_offset, 4 or 8 bytes
	countAt     int // of reference_count
	firstOffset uint64
}

// readSidx finds the fields; ok is false when the box has not the length that its reference_count asks for.
func readSidx(seg []byte, b *placedBox) (x sidxFields, ok bool) {
	p := b.payload()
	if b.end-p < 12 {
		return x, false
	}
	fieldBytes := 4
	if seg[p] != 0 {
		fieldBytes = 8
	}
	x.offsetAt = p + 12 + fieldBytes
	x.countAt = x.offsetAt + fieldBytes + 2
	if b.end < x.countAt+2 {
		return x, false
	}
	x.firstOffset = uint64(be32(seg, x.offsetAt))
	if fieldBytes == 8 {
		x.firstOffset = be64(seg, x.offsetAt)
	}
	count := int(binary.BigEndian.Uint16(seg[x.countAt:]))
	return x, b.end-x.countAt-2 == count*sidxReferenceBytes
}

// outputOffset maps the start of a top-level box, or the end of the segment, to the output.
func (pl *plan) outputOffset(in int) (int, bool) {
	if out, ok := pl.outputPlace(in); ok && (in == len(pl.seg) || pl.boxes[pl.boxAt(in)].off == in) {
		return out, true
	}
	return 0, false
}

// outputPlace maps a place to the output: the start of a top-level box, one inside the contents of an mdat, or the end of the
// segment. Boxes other than mdat change inside, so places within them have no counterpart.
func (pl *plan) outputPlace(in int) (int, bool) {
	if in == len(pl.seg) {
		return pl.size, true
	}
	b := &pl.boxes[pl.boxAt(in)]
	if in == b.off {
		return b.outOff, true
	}
	if b.treatment != treatFragment {
		return 0, false
	}
	f := &pl.fragments[b.fragment]
	return b.outOff + f.moofSize + in - f.mdat.off, in >= f.mdat.payload()
}

// boxAt returns the index of the top-level box that holds byte in of the segment.
func (pl *plan) boxAt(in int) int {
	return sort.Search(len(pl.boxes), func(i int) bool { return pl.boxes[i].end > in })
}
