package segcrypt

import (
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/drm"
)

// appendMoof appends the moof of f with its new offsets. It cannot fail: all checks are in the plan.
func (pl *plan) appendMoof(dst []byte, f *fragment) []byte {
	start := len(dst)
	dst = putHeader(dst, f.moofSize, typMoof)
	traf, run := f.firstTraf, f.firstRun
	for off := f.moof.payload(); off < f.moof.end; {
		b, _ := nextBox(pl.seg, off, f.moof.end)
		switch {
		case b.typ == typTraf:
			dst, run = pl.appendTraf(dst, f, &pl.trafs[traf], run, start)
			traf++
		case moofTreatment[b.typ] == treatCopy:
			dst = append(dst, pl.seg[b.off:b.end]...)
		}
		off = b.end
	}
	return dst
}

// appendTraf appends a traf with, last in it, saiz, saio and senc. Its runs begin with pl.runs[run]; it returns the index of
// the run after them.
func (pl *plan) appendTraf(dst []byte, f *fragment, t *trackFragment, run, moofStart int) ([]byte, int) {
	dst = putHeader(dst, t.size, typTraf)
	for off := t.box.payload(); off < t.box.end; {
		b, _ := nextBox(pl.seg, off, t.box.end)
		switch {
		case b.typ == typTfhd:
			dst = t.appendTfhd(dst, pl.seg)
		case b.typ == typTrun:
			// data_offset counts from the start of moof. The contents of mdat keep their order and size.
			data := f.moofSize + int(pl.runs[run].at) - f.mdat.off
			dst = appendTrun(dst, pl.seg, b, data)
			run++
		case trafTreatment[b.typ] == treatCopy:
			dst = append(dst, pl.seg[b.off:b.end]...)
		}
		off = b.end
	}
	if !pl.hasAuxiliary(t) {
		return dst, run
	}
	dst = pl.appendSaiz(dst, t)
	dst = putHeader(dst, saioBytes, typSaio)
	dst = put32(dst, 0)
	dst = put32(dst, 1)
	// saio points at the first byte of auxiliary information, which is senc's first sample (23001-7, 7.1).
	dst = put32(dst, uint32(len(dst)+4-moofStart+sencFixedBytes))
	return pl.appendSenc(dst, t), run
}

// appendTfhd appends tfhd without base_data_offset and with default-base-is-moof, which CMAF demands (23000-19, 7.5.16). That of
// clear samples names the clear twin of their sample entry.
func (t *trackFragment) appendTfhd(dst, seg []byte) []byte {
	b := t.tfhd.box
	rest, flags := b.payload()+8, t.tfhd.flags
	if flags&tfhdBaseOffset != 0 {
		rest += 8
	}
	if t.clear && flags&tfhdDescription != 0 {
		rest += 4
	}
	if t.clear {
		flags |= tfhdDescription
	}
	dst = putHeader(dst, t.tfhdSize(), typTfhd)
	dst = put32(dst, uint32(seg[b.payload()])<<24|flags&^tfhdBaseOffset|tfhdBaseIsMoof)
	dst = append(dst, seg[b.payload()+4:b.payload()+8]...)
	if t.clear {
		dst = put32(dst, t.clearDescription)
	}
	return append(dst, seg[rest:b.end]...)
}

// tfhdSize is the size of the tfhd that appendTfhd appends.
func (t *trackFragment) tfhdSize() int {
	size := t.tfhd.box.size()
	if t.tfhd.flags&tfhdBaseOffset != 0 {
		size -= 8
	}
	if t.clear && t.tfhd.flags&tfhdDescription == 0 {
		size += 4
	}
	return size
}

// appendTrun appends a trun whose data_offset, added where there is none, is data.
func appendTrun(dst, seg []byte, b box, data int) []byte {
	flags := be32(seg, b.payload())
	size, rest := b.size(), b.payload()+8
	if flags&trunDataOffset == 0 {
		size += 4
	} else {
		rest += 4
	}
	dst = putHeader(dst, size, typTrun)
	dst = put32(dst, flags|trunDataOffset)
	dst = append(dst, seg[b.payload()+4:b.payload()+8]...)
	dst = put32(dst, uint32(data))
	return append(dst, seg[rest:b.end]...)
}

// appendSaiz appends saiz (14496-12, 8.7.8), with a table only where sizes differ.
func (pl *plan) appendSaiz(dst []byte, t *trackFragment) []byte {
	dst = putHeader(dst, t.saizSize, typSaiz)
	dst = put32(dst, 0)
	dst = append(dst, byte(t.defaultInfoSize))
	dst = put32(dst, uint32(t.count))
	if t.defaultInfoSize == 0 {
		for _, s := range pl.samplesOf(t) {
			dst = append(dst, byte(pl.infoSize(t, s)))
		}
	}
	return dst
}

// appendSenc appends senc (23001-7, 7.2).
func (pl *plan) appendSenc(dst []byte, t *trackFragment) []byte {
	const useSubsamples = 2
	flags := uint32(0)
	if t.entry.subsampled() {
		flags = useSubsamples
	}
	dst = putHeader(dst, t.sencSize, typSenc)
	dst = put32(dst, flags)
	dst = put32(dst, uint32(t.count))
	for i, s := range pl.samplesOf(t) {
		if pl.scheme == drm.SchemeCenc {
			dst = binary.BigEndian.AppendUint64(dst, t.iv+uint64(i))
		}
		if flags == useSubsamples {
			dst = binary.BigEndian.AppendUint16(dst, uint16(s.numSubs))
			dst = appendSubsamples(dst, pl.subsOf(s))
		}
	}
	return dst
}
