package segcrypt

import (
	"encoding/binary"
	"slices"
)

// mk builds a box.
func mk(typ string, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append(putHeader(nil, 8+len(body), cc(typ)), body...)
}

// n32 is a list of 32-bit numbers.
func n32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = put32(b, v)
	}
	return b
}

// entryAudio is a sound sample entry with the given children.
func entryAudio(typ string, children ...[]byte) []byte {
	fixed := make([]byte, audioEntryBytes)
	fixed[7], fixed[17], fixed[19] = 1, 2, 16
	return mk(typ, append([][]byte{fixed}, children...)...)
}

// entryVideo is a visual sample entry.
func entryVideo(typ string, children ...[]byte) []byte {
	fixed := make([]byte, visualEntryBytes)
	fixed[7] = 1
	binary.BigEndian.PutUint16(fixed[24:], 640)
	binary.BigEndian.PutUint16(fixed[26:], 360)
	return mk(typ, append([][]byte{fixed}, children...)...)
}

// initParts are what an init segment is built from; zero fields have sensible values.
type initParts struct {
	handler  string
	entries  [][]byte
	stts     uint32 // entries in stts
	trexSize uint32
	trexID   uint32
	trackID  uint32
	traks    int
	noMvex   bool
	moov     []byte // further children of moov
	after    []byte // further top-level boxes
}

// fill sets what is zero.
func (p *initParts) fill() {
	if p.handler == "" {
		p.handler = "soun"
	}
	if p.entries == nil {
		p.entries = [][]byte{entryAudio("mp4a", mk("esds", n32(0)))}
	}
	if p.trackID == 0 {
		p.trackID = 1
	}
	if p.trexID == 0 {
		p.trexID = p.trackID
	}
}

func (p initParts) trex() []byte { return mk("trex", n32(0, p.trexID, 1, 1024, p.trexSize, 0)) }

func (p initParts) trak() []byte {
	stsd := mk("stsd", n32(0, uint32(len(p.entries))), slices.Concat(p.entries...))
	stbl := mk("stbl", stsd, mk("stts", n32(0, p.stts)), mk("stsc", n32(0, 0)), mk("stsz", n32(0, 0, 0)), mk("stco", n32(0, 0)))
	tkhd := mk("tkhd", n32(7, 0, 0, p.trackID), make([]byte, 68))
	mdia := mk("mdia", mk("mdhd", n32(0, 0, 0, 48000, 0, 0)), mk("hdlr", n32(0, 0), []byte(p.handler), make([]byte, 13)),
		mk("minf", stbl))
	return mk("trak", tkhd, mdia)
}

func (p initParts) build() Clear {
	p.fill()
	moov := mk("mvhd", make([]byte, 100))
	for range max(p.traks, 1) {
		moov = append(moov, p.trak()...)
	}
	if !p.noMvex {
		moov = append(moov, mk("mvex", p.trex())...)
	}
	return slices.Concat(mk("ftyp", []byte("cmfc"), n32(0)), mk("moov", moov, p.moov), p.after)
}

// muxedInit is an init segment of several tracks, which are numbered from 1.
func muxedInit(tracks ...initParts) Clear {
	moov, mvex := mk("mvhd", make([]byte, 100)), []byte(nil)
	for i, p := range tracks {
		p.trackID = uint32(i + 1)
		p.fill()
		moov, mvex = append(moov, p.trak()...), append(mvex, p.trex()...)
	}
	return slices.Concat(mk("ftyp", []byte("iso6"), n32(0)), mk("moov", moov, mk("mvex", mvex)))
}

// placedRun is a trun of a trafParts: samples from byte at of mdat's contents on.
type placedRun struct {
	at       int
	sizes    []uint32
	noOffset bool
}

// trafParts is one traf of a muxed chunk.
type trafParts struct {
	trackID uint32
	flags   uint32
	base    uint64 // with tfhdBaseOffset: where in a file the moof is
	runs    []placedRun
	boxes   []byte // further children, after tfhd
}

// muxedChunk is a chunk of several trafs. Their data_offsets count from where tfhd's flags say.
func muxedChunk(data []byte, trafs ...trafParts) []byte {
	moof := muxedMoof(0, trafs)
	return append(muxedMoof(len(moof), trafs), mk("mdat", data)...)
}

func muxedMoof(size int, trafs []trafParts) []byte {
	moof := mk("mfhd", n32(0, 1))
	end := 0 // of the data before, from the start of moof
	for i, p := range trafs {
		base := 0
		tfhd := n32(p.flags, p.trackID)
		switch {
		case p.flags&tfhdBaseOffset != 0:
			tfhd = binary.BigEndian.AppendUint64(tfhd, p.base)
		case p.flags&tfhdBaseIsMoof == 0 && i > 0:
			base = end
		}
		traf := append(mk("tfhd", tfhd), p.boxes...)
		for _, r := range p.runs {
			at := size + 8 + r.at
			trun := n32(trunSize, uint32(len(r.sizes)))
			if !r.noOffset {
				trun = n32(trunSize|trunDataOffset, uint32(len(r.sizes)), uint32(at-base))
			}
			end = at
			for _, n := range r.sizes {
				trun, end = put32(trun, n), end+int(n)
			}
			traf = append(traf, mk("trun", trun)...)
		}
		moof = append(moof, mk("traf", traf)...)
	}
	return mk("moof", moof)
}

// runParts is one trun.
type runParts struct {
	flags    uint32 // of the per-sample fields; data_offset is added unless noOffset
	sizes    []uint32
	count    uint32 // sample_count, if not len(sizes)
	noOffset bool
	shift    int32 // added to the right data_offset
}

// chunkParts are what a moof and mdat are built from.
type chunkParts struct {
	trackID   uint32
	tfhdFlags uint32
	base      *uint64
	desc      uint32
	size      uint32 // default_sample_size, with tfhdFlags
	runs      []runParts
	traf      []byte // further children of traf, after tfhd
	moof      []byte // further children of moof
	largeMdat bool
	noMdat    bool
	data      []byte
	tail      []byte // bytes of mdat behind the samples
}

// build makes the chunk; data_offsets are right unless a run shifts them.
func (c chunkParts) build() []byte {
	moof := c.buildMoof(0)
	moof = c.buildMoof(len(moof))
	if c.noMdat {
		return moof
	}
	payload := slices.Concat(c.data, c.tail)
	if !c.largeMdat {
		return append(moof, mk("mdat", payload)...)
	}
	moof = putHeader(moof, 1, typMdat)
	moof = binary.BigEndian.AppendUint64(moof, uint64(16+len(payload)))
	return append(moof, payload...)
}

func (c chunkParts) buildMoof(moofSize int) []byte {
	at := moofSize + 8
	if c.largeMdat {
		at += 8
	}
	trackID := c.trackID
	if trackID == 0 {
		trackID = 1
	}
	tfhd := n32(c.tfhdFlags, trackID)
	if c.base != nil {
		tfhd = binary.BigEndian.AppendUint64(tfhd, *c.base)
	}
	if c.tfhdFlags&tfhdDescription != 0 {
		tfhd = put32(tfhd, c.desc)
	}
	if c.tfhdFlags&tfhdSize != 0 {
		tfhd = put32(tfhd, c.size)
	}
	traf := slices.Concat(mk("tfhd", tfhd), mk("tfdt", n32(0, 0)), c.traf)
	for _, r := range c.runs {
		count := uint32(len(r.sizes))
		flags := r.flags | trunDataOffset
		if r.noOffset {
			flags = r.flags
		}
		trun := n32(flags, count)
		if r.count != 0 {
			trun = n32(flags, r.count)
		}
		if !r.noOffset {
			trun = put32(trun, uint32(int32(at)+r.shift))
		}
		for _, size := range r.sizes {
			if r.flags&trunSize != 0 {
				trun = put32(trun, size)
			}
			at += int(size)
		}
		traf = append(traf, mk("trun", trun)...)
	}
	return mk("moof", mk("mfhd", n32(0, 1)), mk("traf", traf), c.moof)
}

// pattern is n bytes that differ from place to place.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// simpleRun is a run with explicit sizes.
func simpleRun(sizes ...uint32) []runParts { return []runParts{{flags: trunSize, sizes: sizes}} }
