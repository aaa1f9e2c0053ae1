package segcrypt

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// fragment is one chunk of the input: a moof and its mdat.
type fragment struct {
	number     int // from 1, for error texts
	moof, mdat box
	traf, sdtp box
	tfhd       tfhd
	entry      *sampleEntry
	first      int // index of the first sample in plan.samples
	count      int

	// Sizes in the output, set by layout.
	moofSize, trafSize             int
	saizSize, saioSize, sencSize   int
	defaultInfoSize, sampleInfoSum int
}

// tfhd is the track fragment header (14496-12, 8.8.7).
type tfhd struct {
	box      box
	flags    uint32
	base     uint64 // base_data_offset, if flags has tfhdBaseOffset
	defaults trackDefaults
}

const (
	tfhdBaseOffset, tfhdDescription, tfhdDuration, tfhdSize, tfhdFlags = 0x1, 0x2, 0x8, 0x10, 0x20
	tfhdBaseIsMoof                                                     = 0x020000

	trunDataOffset, trunFirstFlags                  = 0x1, 0x4
	trunDuration, trunSize, trunFlags, trunComposed = 0x100, 0x200, 0x400, 0x800
)

// maxSamples bounds the samples of one segment; an hour of AAC has 168,750 at most and segments are seconds long. It keeps a
// trun without per-sample fields from asking for 2³² samples.
const maxSamples = 1 << 16

var (
	errMoofBox     = errors.New("this box is not allowed in a moof")
	errTrafBox     = errors.New("this box is not allowed in a traf")
	errNoTraf      = errors.New("moof has no traf")
	errNoTfhd      = errors.New("traf does not start with tfhd")
	errSampleCount = errors.New("too many samples")
	errDataPlace   = errors.New("samples do not lie one behind the other from the start of mdat")
	errDataPast    = errors.New("samples reach past the end of mdat")
	errDataUnused  = errors.New("bytes of mdat belong to no sample")
)

// moofTreatment and trafTreatment are the allow-lists inside a moof. What is not listed may hold anything, and is refused;
// sample groups, sub-sample and dependency information describe samples without holding them.
var (
	moofTreatment = map[fourCC]treatment{typMfhd: treatCopy, typTraf: treatFragment, typFree: treatDrop, typSkip: treatDrop}
	trafTreatment = map[fourCC]treatment{
		typTfhd: treatFragment, typTrun: treatFragment, typTfdt: treatCopy, typSdtp: treatCopy, typSubs: treatCopy,
		typSbgp: treatCopy, typSgpd: treatCopy, typFree: treatDrop, typSkip: treatDrop,
	}
)

// piffTypes are the extended types of the encryption boxes of PIFF 1.1, which protected Smooth Streaming files carry.
var piffTypes = [...][16]byte{
	{0xa2, 0x39, 0x4f, 0x52, 0x5a, 0x9b, 0x4f, 0x14, 0xa2, 0x44, 0x6c, 0x42, 0x7c, 0x64, 0x8d, 0xf4},
	{0x89, 0x74, 0xdb, 0xce, 0x7b, 0xe7, 0x4c, 0x51, 0x84, 0xf9, 0x71, 0x48, 0xf9, 0x88, 0x25, 0x54},
	{0xd0, 0x8a, 0x4f, 0x18, 0x10, 0xf3, 0x4a, 0x82, 0xb6, 0xc8, 0x32, 0xd8, 0xab, 0xa1, 0x83, 0xd3},
}

// isProtection reports whether a box in a moof or traf belongs to encryption.
func isProtection(seg []byte, b box) bool {
	switch b.typ {
	case typSenc, typSaiz, typSaio, typPssh, typTenc, typSinf:
		return true
	case typSbgp, typSgpd:
		return b.end-b.payload() >= 8 && fourCC(be32(seg, b.payload()+4)) == typSeig
	case typUUID:
		for _, id := range piffTypes {
			if b.end-b.payload() >= 16 && [16]byte(seg[b.payload():]) == id {
				return true
			}
		}
	}
	return false
}

// read parses the moof of f and appends its samples to pl (14496-12, 8.8).
func (f *fragment) read(seg []byte, in *Init, pl *plan) error {
	trafs := 0
	err := eachBox(seg, f.moof.payload(), f.moof.end, "moof", func(b box) error {
		if isProtection(seg, b) {
			return formatErrorf("moof/"+b.typ.String(), b.off, "%w", ErrAlreadyProtected)
		}
		if _, ok := moofTreatment[b.typ]; !ok {
			return formatErrorf("moof/"+b.typ.String(), b.off, "%w", errMoofBox)
		}
		switch b.typ {
		case typMfhd:
			if b.size() != 16 {
				return formatErrorf("moof/mfhd", b.off, "%w", errBoxLength)
			}
		case typTraf:
			f.traf = b
			if trafs++; trafs > 1 {
				return formatErrorf("moof/traf", b.off, "%w: a second traf", ErrMuxed)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if trafs == 0 {
		return formatErrorf("moof", f.moof.off, "%w", errNoTraf)
	}
	return f.readTraf(seg, in, pl)
}

func (f *fragment) readTraf(seg []byte, in *Init, pl *plan) error {
	f.first = len(pl.samples)
	at := f.mdat.payload()
	err := eachBox(seg, f.traf.payload(), f.traf.end, "moof/traf", func(b box) error {
		if isProtection(seg, b) {
			return formatErrorf("moof/traf/"+b.typ.String(), b.off, "%w", ErrAlreadyProtected)
		}
		if _, ok := trafTreatment[b.typ]; !ok {
			return formatErrorf("moof/traf/"+b.typ.String(), b.off, "%w", errTrafBox)
		}
		if (b.typ == typTfhd) != (b.off == f.traf.payload()) {
			return formatErrorf("moof/traf", b.off, "%w", errNoTfhd)
		}
		var err error
		switch b.typ {
		case typTfhd:
			err = f.readTfhd(seg, b, in)
		case typTfdt:
			if want := 16 + 4*int(seg[b.payload()]&1); b.header != 8 || b.size() != want {
				err = errBoxLength
			}
		case typSdtp:
			f.sdtp = b
		case typTrun:
			at, err = f.readTrun(seg, b, at, pl)
		}
		if err != nil {
			return atPath("moof/traf/"+b.typ.String(), b.off, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.entry == nil {
		return formatErrorf("moof/traf", f.traf.off, "%w", errNoTfhd)
	}
	if at != f.mdat.end {
		return formatErrorf("mdat", at, "%w", errDataUnused)
	}
	f.count = len(pl.samples) - f.first
	if f.sdtp.end > 0 && f.sdtp.size() != 12+f.count {
		return formatErrorf("moof/traf/sdtp", f.sdtp.off, "%w", errBoxLength)
	}
	return nil
}

func (f *fragment) readTfhd(seg []byte, b box, in *Init) error {
	p := b.payload()
	if b.end-p < 8 {
		return errBoxLength
	}
	h := tfhd{box: b, flags: be32(seg, p) & 0xffffff, defaults: in.trex}
	want := 8
	for _, field := range [...]struct {
		flag uint32
		size int
	}{{tfhdBaseOffset, 8}, {tfhdDescription, 4}, {tfhdDuration, 4}, {tfhdSize, 4}, {tfhdFlags, 4}} {
		if h.flags&field.flag == 0 {
			continue
		}
		if b.end-p < want+field.size {
			return errBoxLength
		}
		switch field.flag {
		case tfhdBaseOffset:
			h.base = be64(seg, p+want)
		case tfhdDescription:
			h.defaults.description = be32(seg, p+want)
		case tfhdSize:
			h.defaults.sampleSize = be32(seg, p+want)
		}
		want += field.size
	}
	if b.header != 8 || b.end-p != want {
		return errBoxLength
	}
	if id := be32(seg, p+4); id != in.track.ID {
		return fmt.Errorf("%w: track_ID %d, the init segment's is %d", ErrTrackMismatch, id, in.track.ID)
	}
	i := h.defaults.description
	if i == 0 || uint64(i) > uint64(len(in.entries)) {
		return errDescriptions
	}
	f.tfhd, f.entry = h, &in.entries[i-1]
	return nil
}

// readTrun appends the samples of one track run, which starts at byte at of the segment, and returns where it ends.
//
//	version(1) flags(3) sample_count(4) [data_offset(4)] [first_sample_flags(4)]
//	( [duration(4)] [size(4)] [flags(4)] [composition_time_offset(4)] ) × sample_count
func (f *fragment) readTrun(seg []byte, b box, at int, pl *plan) (int, error) {
	p := b.payload()
	if b.header != 8 || b.end-p < 8 {
		return 0, errBoxLength
	}
	flags, count := be32(seg, p)&0xffffff, be32(seg, p+4)
	p += 8
	if flags&trunDataOffset != 0 {
		if b.end-p < 4 {
			return 0, errBoxLength
		}
		if !f.startsAt(at, int64(int32(be32(seg, p)))) {
			return 0, errDataPlace
		}
		p += 4
	}
	if flags&trunFirstFlags != 0 {
		p += 4
	}
	stride, sizeAt := trunStride(flags)
	if p > b.end || uint64(b.end-p) != uint64(stride)*uint64(count) {
		return 0, errBoxLength
	}
	if uint64(count) > uint64(maxSamples-len(pl.samples)) {
		return 0, errSampleCount
	}
	for range count {
		size := f.tfhd.defaults.sampleSize
		if sizeAt >= 0 {
			size = be32(seg, p+sizeAt)
		}
		p += stride
		if uint64(size) > uint64(f.mdat.end-at) {
			return 0, errDataPast
		}
		pl.samples = append(pl.samples, sample{size: int(size)})
		at += int(size)
	}
	return at, nil
}

// trunStride returns the bytes per sample of a trun, and where the size is among them; -1 for nowhere.
func trunStride(flags uint32) (stride, sizeAt int) {
	sizeAt = -1
	for _, field := range [...]uint32{trunDuration, trunSize, trunFlags, trunComposed} {
		if flags&field == 0 {
			continue
		}
		if field == trunSize {
			sizeAt = stride
		}
		stride += 4
	}
	return stride, sizeAt
}

// startsAt reports whether a data_offset means byte at of the segment. With base_data_offset, a position in a file that we
// see only part of, the data may also be counted from where the moof is here.
func (f *fragment) startsAt(at int, dataOffset int64) bool {
	if int64(f.moof.off)+dataOffset == int64(at) {
		return true
	}
	return f.tfhd.flags&tfhdBaseOffset != 0 && f.tfhd.base < 1<<62 && int64(f.tfhd.base)+dataOffset == int64(at)
}

// trunSampleCount reads sample_count of a trun that readTrun has checked.
func trunSampleCount(seg []byte, b box) int { return int(binary.BigEndian.Uint32(seg[b.payload()+4:])) }
