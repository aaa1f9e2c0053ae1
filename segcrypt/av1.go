package segcrypt

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
)

const (
	obuSequenceHeader, obuTemporalDelimiter, obuFrameHeader, obuTileGroup = 1, 2, 3, 4
	obuFrame, obuRedundantFrameHeader, obuTileList                        = 6, 7, 8
)

var (
	errOBUHeader    = errors.New("an OBU header is broken")
	errOBUSize      = errors.New("an OBU reaches past the end of the sample")
	errAV1Sequence  = errors.New("a sequence header cannot be read")
	errAV1NoHeader  = errors.New("a tile group without a frame header")
	errAV1NoSeq     = fmt.Errorf("%w: a frame without a sequence header", ErrParameterSets)
	errAV1Tiles     = errors.New("the tile sizes do not add up to the tile group")
	errAV1TileList  = errors.New("tile list OBUs (large scale tiles) are not supported")
	errAV1Reference = fmt.Errorf("%w: a frame header depends on a frame that was not read", ErrParameterSets)
	errAV1Value     = errors.New("a frame header has a value out of range")
)

// av1State is what frame headers hand on to later ones. Without the state of an earlier chunk it starts empty, and then the
// samples must start with a random access point, as segments do in CMAF. Copying it takes a snapshot.
type av1State struct {
	raw      []byte // payload of the sequence header in force
	seq      *av1.SequenceHeader
	refs     [av1NumRefs]av1Ref
	frame    av1Frame
	inHeader bool // SeenFrameHeader
}

// reset starts over with the sequence header of the init segment, which may be nil.
func (st *av1State) reset(raw []byte, seq *av1.SequenceHeader) { *st = av1State{raw: raw, seq: seq} }

// parseAV1Sequence reads a sequence header OBU's payload.
func parseAV1Sequence(payload []byte) (seq *av1.SequenceHeader, err error) {
	// The library panics on no input known to us; origins are not trusted to keep it so.
	defer func() {
		if recover() != nil {
			seq, err = nil, errAV1Sequence
		}
	}()
	if len(payload) < 2 || len(payload) > 1024 {
		return nil, errAV1Sequence
	}
	if seq, err = av1.ParseSequenceHeader(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", errAV1Sequence, err)
	}
	return seq, nil
}

// obu is the place of one OBU's payload.
type obu struct {
	typ                 byte
	temporal, spatial   uint
	payload, payloadEnd int
}

// nextOBU reads obu_header and obu_size at b[pos:] (AV1, 5.3).
func nextOBU(b []byte, pos int) (obu, error) {
	h := b[pos]
	if h&0x80 != 0 {
		return obu{}, errOBUHeader
	}
	o := obu{typ: h >> 3 & 15}
	pos++
	if h&4 != 0 {
		if pos == len(b) {
			return obu{}, errOBUHeader
		}
		o.temporal, o.spatial = uint(b[pos]>>5), uint(b[pos]>>3&3)
		pos++
	}
	size := uint64(len(b) - pos)
	if h&2 != 0 {
		var n int
		if size, n = leb128(b[pos:]); n == 0 {
			return obu{}, errOBUHeader
		}
		pos += n
	}
	if size > uint64(len(b)-pos) {
		return obu{}, errOBUSize
	}
	o.payload, o.payloadEnd = pos, pos+int(size)
	return o, nil
}

// leb128 reads a number of at most 8 bytes (AV1, 4.10.5); n = 0 when it does not end.
func leb128(b []byte) (v uint64, n int) {
	for n < 8 && n < len(b) {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			return v, n
		}
	}
	return 0, 0
}

// av1ConfigSequence finds the sequence header in the configOBUs of av1C; nil when there is none.
func av1ConfigSequence(config []byte) (raw []byte, seq *av1.SequenceHeader, err error) {
	for pos := 0; pos < len(config); {
		o, err := nextOBU(config, pos)
		if err != nil {
			return nil, nil, err
		}
		if o.typ == obuSequenceHeader {
			raw = bytes.Clone(config[o.payload:o.payloadEnd])
			seq, err = parseAV1Sequence(raw)
			return raw, seq, err
		}
		pos = o.payloadEnd
	}
	return nil, nil, nil
}

// walk finds the tile data of one sample (a temporal unit) and adds it to runs. Samples are given in decode order. Everything
// outside tiles stays clear (AV1 in ISO BMFF, Common Encryption).
func (st *av1State) walk(sample []byte, runs *subsampleBuilder) error {
	for pos := 0; pos < len(sample); {
		o, err := nextOBU(sample, pos)
		if err != nil {
			return err
		}
		switch o.typ {
		case obuSequenceHeader:
			err = st.sequence(sample[o.payload:o.payloadEnd])
		case obuTemporalDelimiter:
			st.inHeader = false
		case obuFrameHeader, obuRedundantFrameHeader:
			_, err = st.header(sample[o.payload:o.payloadEnd], o)
		case obuFrame:
			var n int
			if n, err = st.header(sample[o.payload:o.payloadEnd], o); err == nil {
				err = st.tileGroup(sample, o.payload+n, o.payloadEnd, runs)
			}
		case obuTileGroup:
			err = st.tileGroup(sample, o.payload, o.payloadEnd, runs)
		case obuTileList:
			err = errAV1TileList
		}
		if err != nil {
			return err
		}
		pos = o.payloadEnd
	}
	runs.protect(len(sample), len(sample))
	return nil
}

// sequence takes over an in-band sequence header; nearly always it repeats the one in force.
func (st *av1State) sequence(payload []byte) error {
	if st.seq != nil && bytes.Equal(payload, st.raw) {
		return nil
	}
	raw := bytes.Clone(payload)
	seq, err := parseAV1Sequence(raw)
	if err != nil {
		return err
	}
	st.reset(raw, seq)
	return nil
}

// header reads a frame header OBU or the head of a frame OBU and returns its bytes (AV1, 5.9.1). A repeated header is a copy
// of the first and only skipped.
func (st *av1State) header(payload []byte, o obu) (int, error) {
	if st.seq == nil {
		return 0, errAV1NoSeq
	}
	if st.inHeader {
		if o.typ == obuFrame {
			return 0, errAV1Value
		}
		return len(payload), nil
	}
	p := av1Parser{bitReader: bitReader{buf: payload}, st: st, seq: st.seq, temporal: o.temporal, spatial: o.spatial}
	p.uncompressedHeader()
	if p.err != nil {
		return 0, p.err
	}
	if p.showExisting && o.typ == obuFrame {
		return 0, errAV1Value
	}
	st.frame = p.av1Frame
	st.inHeader = !p.showExisting
	return p.bytesRead(), nil
}

// tileGroup finds the tiles in sample[pos:end] (AV1, 5.11.1).
func (st *av1State) tileGroup(sample []byte, pos, end int, runs *subsampleBuilder) error {
	if !st.inHeader {
		return errAV1NoHeader
	}
	f := &st.frame
	tiles := f.tileCols * f.tileRows
	first, last := uint32(0), tiles-1
	if tiles > 1 {
		r := bitReader{buf: sample[pos:end]}
		if r.flag() {
			first, last = r.u(f.tileBits), r.u(f.tileBits)
		}
		if r.err != nil {
			return r.err
		}
		pos += r.bytesRead()
	}
	if last >= tiles || first > last {
		return errAV1Tiles
	}
	for i := first; i <= last; i++ {
		size := end - pos
		if i < last {
			if size < f.tileSizeBytes {
				return errAV1Tiles
			}
			size = 1
			for j := range f.tileSizeBytes {
				size += int(sample[pos+j]) << (8 * j)
			}
			pos += f.tileSizeBytes
		}
		if size > end-pos || size == 0 {
			return errAV1Tiles
		}
		runs.protect(pos, pos+size)
		pos += size
	}
	if last == tiles-1 {
		st.inHeader = false
	}
	return nil
}
