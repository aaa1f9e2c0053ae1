package segcrypt

import (
	"crypto/aes"
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/drm"
)

// write appends the protected segment that pl describes. It cannot fail: all checks are in the plan.
func (p *Protector) write(dst, seg []byte, pl *plan) []byte {
	for i := range pl.boxes {
		b := &pl.boxes[i]
		switch b.treatment {
		case treatDrop:
		case treatCopy:
			dst = append(dst, seg[b.off:b.end]...)
		case treatBlank:
			dst = append(dst, seg[b.off:b.payload()]...)
			n := len(dst)
			dst = dst[:n+b.end-b.payload()]
			clear(dst[n:])
		case treatSidx:
			dst = pl.correctSidx(dst, seg, b)
		case treatFragment:
			f := &pl.fragments[b.fragment]
			var iv uint64
			if p.ivs.enabled {
				iv = p.ivs.first(seg, pl, f)
			}
			dst = p.writeMoof(dst, seg, pl, f, iv)
			dst = append(dst, seg[f.mdat.off:f.mdat.payload()]...)
			dst = p.writeSamples(dst, seg, pl, f, iv)
		}
	}
	return dst
}

// writeMoof appends the moof with its new offsets and, last in traf, saiz, saio and senc.
func (p *Protector) writeMoof(dst, seg []byte, pl *plan, f *fragment, iv uint64) []byte {
	start := len(dst)
	dst = putHeader(dst, f.moofSize, typMoof)
	for off := f.moof.payload(); off < f.moof.end; {
		b, _ := nextBox(seg, off, f.moof.end)
		switch {
		case b.typ == typTraf:
			dst = p.writeTraf(dst, seg, pl, f, iv, start)
		case moofTreatment[b.typ] == treatCopy:
			dst = append(dst, seg[b.off:b.end]...)
		}
		off = b.end
	}
	return dst
}

func (p *Protector) writeTraf(dst, seg []byte, pl *plan, f *fragment, iv uint64, moofStart int) []byte {
	dst = putHeader(dst, f.trafSize, typTraf)
	data := f.moofSize + f.mdat.header // where the next run's data lies, from the start of moof
	next := f.first
	for off := f.traf.payload(); off < f.traf.end; {
		b, _ := nextBox(seg, off, f.traf.end)
		switch {
		case b.typ == typTfhd:
			dst = f.writeTfhd(dst, seg)
		case b.typ == typTrun:
			dst = writeTrun(dst, seg, b, data)
			for range trunSampleCount(seg, b) {
				data += pl.samples[next].size
				next++
			}
		case trafTreatment[b.typ] == treatCopy:
			dst = append(dst, seg[b.off:b.end]...)
		}
		off = b.end
	}
	if !pl.hasAuxiliary(f) {
		return dst
	}
	dst = pl.writeSaiz(dst, f)
	dst = putHeader(dst, saioBytes, typSaio)
	dst = put32(dst, 0)
	dst = put32(dst, 1)
	// saio points at the first byte of auxiliary information, which is senc's first sample (23001-7, 7.1).
	dst = put32(dst, uint32(len(dst)+4-moofStart+sencFixedBytes))
	return pl.writeSenc(dst, f, iv)
}

// writeTfhd appends tfhd without base_data_offset and with default-base-is-moof, which CMAF demands (23000-19, 7.5.16).
func (f *fragment) writeTfhd(dst, seg []byte) []byte {
	b := f.tfhd.box
	size, rest := b.size(), b.payload()+8
	if f.tfhd.flags&tfhdBaseOffset != 0 {
		size, rest = size-8, rest+8
	}
	dst = putHeader(dst, size, typTfhd)
	dst = put32(dst, uint32(seg[b.payload()])<<24|f.tfhd.flags&^tfhdBaseOffset|tfhdBaseIsMoof)
	dst = append(dst, seg[b.payload()+4:b.payload()+8]...)
	return append(dst, seg[rest:b.end]...)
}

// writeTrun appends a trun whose data_offset, added where there is none, is data.
func writeTrun(dst, seg []byte, b box, data int) []byte {
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

// writeSaiz appends saiz (14496-12, 8.7.8), with a table only where sizes differ.
func (pl *plan) writeSaiz(dst []byte, f *fragment) []byte {
	dst = putHeader(dst, f.saizSize, typSaiz)
	dst = put32(dst, 0)
	dst = append(dst, byte(f.defaultInfoSize))
	dst = put32(dst, uint32(f.count))
	if f.defaultInfoSize == 0 {
		for i := range f.count {
			dst = append(dst, byte(pl.infoSize(f, i)))
		}
	}
	return dst
}

// writeSenc appends senc (23001-7, 7.2).
func (pl *plan) writeSenc(dst []byte, f *fragment, iv uint64) []byte {
	const useSubsamples = 2
	flags := uint32(0)
	if f.entry.kind == KindVideo {
		flags = useSubsamples
	}
	dst = putHeader(dst, f.sencSize, typSenc)
	dst = put32(dst, flags)
	dst = put32(dst, uint32(f.count))
	for i, s := range pl.samples[f.first : f.first+f.count] {
		if pl.scheme == drm.SchemeCenc {
			dst = binary.BigEndian.AppendUint64(dst, iv+uint64(i))
		}
		if flags == useSubsamples {
			dst = binary.BigEndian.AppendUint16(dst, uint16(s.numSubs))
			dst = appendSubsamples(dst, pl.subs[s.firstSub:s.firstSub+s.numSubs])
		}
	}
	return dst
}

// writeSamples appends the mdat payload of f, encrypted. dst has the room.
func (p *Protector) writeSamples(dst, seg []byte, pl *plan, f *fragment, iv uint64) []byte {
	at := f.mdat.payload()
	if f.entry.kind == KindText {
		return append(dst, seg[at:f.mdat.end]...)
	}
	for i, s := range pl.samples[f.first : f.first+f.count] {
		src := seg[at : at+s.size]
		n := len(dst)
		dst = dst[:n+s.size]
		out := dst[n:]
		subs := pl.subs[s.firstSub : s.firstSub+s.numSubs]
		if pl.scheme == drm.SchemeCenc {
			p.encryptCencSample(out, src, subs, &pl.counter, iv+uint64(i))
		} else {
			copy(out, src)
			p.encryptCbcsSample(out, subs)
		}
		at += s.size
	}
	return dst
}

// encryptCencSample writes src to out, protected where subs say so, or whole without subs.
func (p *Protector) encryptCencSample(out, src []byte, subs []subsample, counter *[aes.BlockSize]byte, iv uint64) {
	if len(src) == 0 {
		return
	}
	stream := cencStream(p.block, counter, iv)
	if len(subs) == 0 {
		stream.XORKeyStream(out, src)
		return
	}
	at := 0
	for _, s := range subs {
		at += copy(out[at:at+int(s.clear)], src[at:])
		if n := int(s.protected); n > 0 {
			stream.XORKeyStream(out[at:at+n], src[at:at+n])
			at += n
		}
	}
}

// encryptCbcsSample protects b in place; every subsample starts again from the constant IV.
func (p *Protector) encryptCbcsSample(b []byte, subs []subsample) {
	if len(subs) == 0 {
		encryptCbcs(p.block, &p.constantIV, b, aes.BlockSize)
		return
	}
	at := 0
	for _, s := range subs {
		at += int(s.clear)
		encryptCbcs(p.block, &p.constantIV, b[at:at+int(s.protected)], cbcsVideoStride)
		at += int(s.protected)
	}
}
