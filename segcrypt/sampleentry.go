package segcrypt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
)

// codec is how the clear parts of a sample are found.
type codec uint8

const (
	codecWhole codec = iota + 1 // whole samples: audio
	codecAVC
	codecHEVC
	codecAV1
	codecVP9
	codecVVC // if ParseOptions has it
	codecAC4
	codecPassing // text, captions, metadata
)

// sampleEntry is one entry of stsd, and what its codec configuration says. It is immutable.
type sampleEntry struct {
	box           box
	kind          TrackKind
	codec         codec
	width, height uint32
	configured    bool // the codec configuration box is there
	lengthSize    int  // bytes of a NAL unit length
	avc           *avcParams
	hevc          *hevcParams
	vvc           *vvcParams
	av1Raw        []byte
	av1           *av1.SequenceHeader
	check         func(sample []byte) error // of a track that passes
}

// ParseOptions switch on what is not understood by default.
type ParseOptions struct {
	// VVC accepts vvc1 and vvi1. How VVC is protected is taken from one implementation, and no player at hand confirms it.
	VVC bool
	// Protected accepts init segments whose video and audio is protected already: Init.Protected tells them from clear ones, and
	// their segments can only pass, see Init.Pass.
	Protected bool
}

// sampleCodecs lists every sample entry that is protected here. Dolby Vision entries follow the rules of their base codec: its
// RPU and enhancement layer are NAL units of unspecified types (62, 63), or metadata OBUs, and stay clear.
var sampleCodecs = map[fourCC]struct {
	kind  TrackKind
	codec codec
}{
	cc("avc1"): {KindVideo, codecAVC}, cc("avc3"): {KindVideo, codecAVC},
	cc("dva1"): {KindVideo, codecAVC}, cc("dvav"): {KindVideo, codecAVC},
	cc("hvc1"): {KindVideo, codecHEVC}, cc("hev1"): {KindVideo, codecHEVC},
	cc("dvh1"): {KindVideo, codecHEVC}, cc("dvhe"): {KindVideo, codecHEVC},
	cc("av01"): {KindVideo, codecAV1}, cc("dav1"): {KindVideo, codecAV1},
	cc("vp09"): {KindVideo, codecVP9},
	cc("vvc1"): {KindVideo, codecVVC}, cc("vvi1"): {KindVideo, codecVVC},
	cc("mp4a"): {KindAudio, codecWhole}, // AAC in all profiles, MP3
	cc("Opus"): {KindAudio, codecWhole}, cc("fLaC"): {KindAudio, codecWhole}, cc("alac"): {KindAudio, codecWhole},
	cc("ac-3"): {KindAudio, codecWhole}, cc("ec-3"): {KindAudio, codecWhole}, cc("ac-4"): {KindAudio, codecAC4},
	cc("mhm1"): {KindAudio, codecWhole}, cc("mhm2"): {KindAudio, codecWhole}, // MPEG-H
	cc("mha1"): {KindAudio, codecWhole}, cc("mha2"): {KindAudio, codecWhole},
	cc("dtsc"): {KindAudio, codecWhole}, cc("dtse"): {KindAudio, codecWhole}, cc("dtsh"): {KindAudio, codecWhole},
	cc("dtsl"): {KindAudio, codecWhole}, cc("dtsx"): {KindAudio, codecWhole},
}

// protectedEntries are the sample entries of protected tracks (14496-12, 8.12).
var protectedEntries = map[fourCC]bool{
	cc("encv"): true, cc("enca"): true, cc("enct"): true, cc("encs"): true, cc("encm"): true, cc("encu"): true,
}

// Fixed parts of a sample entry after its box header (14496-12, 12.1.3, 12.2.3, 12.5.3).
const (
	visualEntryBytes, audioEntryBytes  = 78, 28
	quickTimeV1Bytes, quickTimeV2Bytes = 16, 36
)

var (
	errEntryHandler = errors.New("the handler type does not fit the sample entry")
	errCodecConfig  = errors.New("the codec configuration box is missing or broken")
	errLengthSize   = errors.New("the NAL unit length field must have 1, 2 or 4 bytes")
)

// parseSampleEntry reads the entry x of an stsd of the given version.
func parseSampleEntry(buf []byte, x box, stsdVersion byte, handler fourCC, o ParseOptions) (sampleEntry, error) {
	if protectedEntries[x.typ] {
		return sampleEntry{}, ErrAlreadyProtected
	}
	e, err := findCodec(x, o)
	if err != nil {
		return sampleEntry{}, err
	}
	if x.header != 8 {
		return sampleEntry{}, errBoxSize
	}
	if !handlerFits(handler, e.kind) {
		return sampleEntry{}, errEntryHandler
	}
	p := x.payload()
	switch e.kind {
	case KindText:
		return e, nil
	case KindVideo:
		if x.end-p < visualEntryBytes {
			return sampleEntry{}, errBoxLength
		}
		e.width = uint32(binary.BigEndian.Uint16(buf[p+24:]))
		e.height = uint32(binary.BigEndian.Uint16(buf[p+26:]))
		p += visualEntryBytes
	case KindAudio:
		n, err := audioFixedBytes(buf, x, stsdVersion)
		if err != nil {
			return sampleEntry{}, err
		}
		p += n
	}
	err = eachBox(buf, p, x.end, x.typ.String(), func(c box) error {
		if c.typ == typSinf {
			return ErrAlreadyProtected
		}
		return e.configure(buf, c)
	})
	if err != nil {
		return sampleEntry{}, err
	}
	if e.kind == KindVideo && !e.configured {
		return sampleEntry{}, errCodecConfig
	}
	return e, nil
}

// findCodec looks a sample entry up.
func findCodec(x box, o ParseOptions) (sampleEntry, error) {
	if known, ok := sampleCodecs[x.typ]; ok && (known.codec != codecVVC || o.VVC) {
		return sampleEntry{box: x, kind: known.kind, codec: known.codec}, nil
	}
	if check, ok := passingChecks[x.typ]; ok {
		return sampleEntry{box: x, kind: KindText, codec: codecPassing, check: check}, nil
	}
	return sampleEntry{}, fmt.Errorf("%w %q", ErrUnsupportedSampleEntry, x.typ.String())
}

// handlerFits keeps a track of one kind from carrying the sample entry of another.
func handlerFits(handler fourCC, kind TrackKind) bool {
	switch kind {
	case KindVideo:
		return handler == cc("vide")
	case KindAudio:
		return handler == cc("soun")
	case KindText:
	}
	switch handler {
	case cc("text"), cc("subt"), cc("sbtl"), cc("clcp"), cc("meta"):
		return true
	}
	return false
}

// audioFixedBytes is where the boxes of a sound entry begin. QuickTime's versions 1 and 2 have more fields; in an stsd of
// version 1 an entry of version 1 has the ISO layout.
func audioFixedBytes(buf []byte, x box, stsdVersion byte) (int, error) {
	n := audioEntryBytes
	if x.end-x.payload() < n {
		return 0, errBoxLength
	}
	switch version := binary.BigEndian.Uint16(buf[x.payload()+8:]); {
	case version == 1 && stsdVersion == 0:
		n += quickTimeV1Bytes
	case version == 2 && stsdVersion == 0:
		n += quickTimeV2Bytes
	case version > 1:
		return 0, errBoxLength
	}
	if x.end-x.payload() < n {
		return 0, errBoxLength
	}
	return n, nil
}

// configure reads the codec configuration box, if c is one. A second one is refused: readers differ in which they use.
func (e *sampleEntry) configure(buf []byte, c box) error {
	record := buf[c.payload():c.end]
	var err error
	switch {
	case e.codec == codecAVC && c.typ == cc("avcC"):
		e.avc = &avcParams{}
		e.lengthSize, err = e.avc.addConfig(record)
	case e.codec == codecHEVC && c.typ == cc("hvcC"):
		e.hevc = &hevcParams{}
		e.lengthSize, err = e.hevc.addConfig(record)
	case e.codec == codecVVC && c.typ == cc("vvcC"):
		e.vvc = &vvcParams{}
		e.lengthSize, err = e.vvc.addConfig(record)
	case e.codec == codecAV1 && c.typ == cc("av1C"):
		if len(record) < 4 || record[0] != 0x81 {
			return atPath("av1C", c.off, errCodecConfig)
		}
		e.av1Raw, e.av1, err = av1ConfigSequence(record[4:])
	case e.codec == codecVP9 && c.typ == cc("vpcC"):
		if len(record) < 12 {
			return atPath("vpcC", c.off, errCodecConfig)
		}
	default:
		return nil
	}
	if err == nil && e.configured {
		err = errRepeated
	}
	if err != nil {
		return atPath(c.typ.String(), c.off, err)
	}
	e.configured = true
	return nil
}

// nalArray cuts count length-prefixed NAL units off b and hands them to add.
func nalArray(b []byte, count int, add func(nal []byte) error) ([]byte, error) {
	for range count {
		if len(b) < 2 {
			return nil, errCodecConfig
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > len(b)-2 || n < 2 {
			return nil, errCodecConfig
		}
		if err := add(b[2 : 2+n]); err != nil {
			return nil, err
		}
		b = b[2+n:]
	}
	return b, nil
}

// addConfig reads AVCDecoderConfigurationRecord (14496-15, 5.3.3.1).
func (p *avcParams) addConfig(b []byte) (lengthSize int, err error) {
	if len(b) < 7 || b[0] != 1 {
		return 0, errCodecConfig
	}
	if lengthSize = int(b[4]&3) + 1; lengthSize == 3 {
		return 0, errLengthSize
	}
	rest, err := nalArray(b[6:], int(b[5]&31), p.addSPS)
	if err != nil {
		return 0, err
	}
	if len(rest) == 0 {
		return 0, errCodecConfig
	}
	_, err = nalArray(rest[1:], int(rest[0]), p.addPPS)
	return lengthSize, err
}

// addConfig reads HEVCDecoderConfigurationRecord (14496-15, 8.3.3.1).
func (p *hevcParams) addConfig(b []byte) (lengthSize int, err error) {
	if len(b) < 23 || b[0] != 1 {
		return 0, errCodecConfig
	}
	if lengthSize = int(b[21]&3) + 1; lengthSize == 3 {
		return 0, errLengthSize
	}
	arrays := int(b[22])
	b = b[23:]
	for range arrays {
		if len(b) < 3 {
			return 0, errCodecConfig
		}
		add := func([]byte) error { return nil }
		switch b[0] & 63 {
		case hevcSPSType:
			add = p.addSPS
		case hevcPPSType:
			add = p.addPPS
		}
		if b, err = nalArray(b[3:], int(binary.BigEndian.Uint16(b[1:])), add); err != nil {
			return 0, err
		}
	}
	return lengthSize, nil
}
