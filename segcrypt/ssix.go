package segcrypt

import "encoding/binary"

// correctSsix appends the ssix pl.boxes[i] with the sizes of its ranges as they are in the output. It returns nil when the box
// does not describe this segment, or a range ends where the output has no counterpart: players do without it.
//
//	version(1) flags(3) subsegment_count(4) ( range_count(4) ( level(1) range_size(3) ) × range_count ) × subsegment_count
//
// It belongs to the sidx before it, whose references to media it divides further. Source: 14496-12, 8.16.4.
func (pl *plan) correctSsix(dst []byte, i int) []byte {
	b := &pl.boxes[i]
	index := pl.sidxBefore(i)
	if index == nil || b.end-b.payload() < 8 {
		return nil
	}
	x, _ := readSidx(pl.seg, index)
	at := index.end + int(x.firstOffset)
	r, end := b.payload()+8, b.end
	dst = append(dst, pl.seg[b.off:r]...)
	subsegments := be32(pl.seg, b.payload()+4)
	for ref := x.countAt + 2; ref < index.end; ref += sidxReferenceBytes {
		word := be32(pl.seg, ref)
		next := at + int(word&0x7fffffff)
		if word>>31 == 0 {
			if subsegments == 0 || end-r < 4 || uint64(be32(pl.seg, r)) > uint64(end-r-4)/4 {
				return nil
			}
			n := 4 + 4*int(be32(pl.seg, r))
			if dst = pl.appendRanges(dst, pl.seg[r:r+n], at, next); dst == nil {
				return nil
			}
			subsegments--
			r += n
		}
		at = next
	}
	if subsegments != 0 || r != end {
		return nil
	}
	return dst
}

// sidxBefore finds the sidx that stays in the output in front of pl.boxes[i]; nil when there is none.
func (pl *plan) sidxBefore(i int) *placedBox {
	for i--; i >= 0 && pl.boxes[i].treatment != treatFragment; i-- {
		if b := &pl.boxes[i]; b.typ == typSidx {
			if b.treatment == treatDrop {
				return nil
			}
			return b
		}
	}
	return nil
}

// appendRanges appends the ranges of one subsegment, which lies from at to end in the segment.
func (pl *plan) appendRanges(dst, ranges []byte, at, end int) []byte {
	out, ok := pl.outputPlace(at)
	if !ok {
		return nil
	}
	dst = append(dst, ranges[:4]...)
	for r := ranges[4:]; len(r) > 0; r = r[4:] {
		word := binary.BigEndian.Uint32(r)
		if at += int(word & 0xffffff); at > end {
			return nil
		}
		next, ok := pl.outputPlace(at)
		if !ok || next-out > 0xffffff {
			return nil
		}
		dst = put32(dst, word&0xff000000|uint32(next-out))
		out = next
	}
	return dst
}
