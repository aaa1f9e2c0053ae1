package segcrypt

import (
	"errors"
	"fmt"
)

// fragment is one chunk of the input: a moof and its mdat.
type fragment struct {
	number     int // from 1, for error texts
	moof, mdat box
	firstTraf  int // index into plan.trafs
	trafs      int
	firstRun   int // index into plan.runs and, in the order of their data, plan.order
	runs       int

	moofSize int // in the output, set by layout
}

// trackFragment is one traf.
type trackFragment struct {
	box, sdtp box
	tfhd      tfhd
	track     int // index into Init.tracks
	entry     *sampleEntry
	first     int // index of the first sample in plan.samples
	count     int
	iv        uint64 // of the first sample, set when the fragment is written
	// clear is set where samples that could be protected leave clear, described by the sample entry clearDescription.
	clear            bool
	clearDescription uint32

	// Sizes in the output, set by layout.
	size                           int
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
)

// moofTreatment and trafTreatment are the allow-lists inside a moof. What is not listed may hold anything, and is refused;
// sample groups, sub-sample and dependency information describe samples without holding them. senc, saiz and saio in a
// segment whose init segment is clear are left over from another life of the file: no player looks at them, ours take their
// place.
var (
	moofTreatment = map[fourCC]treatment{
		typMfhd: treatCopy, typTraf: treatFragment, typFree: treatDrop, typSkip: treatDrop, typUUID: treatDrop,
	}
	trafTreatment = map[fourCC]treatment{
		typTfhd: treatFragment, typTrun: treatFragment, typTfdt: treatCopy, typSdtp: treatCopy, typSubs: treatCopy,
		typSbgp: treatCopy, typSgpd: treatCopy, typFree: treatDrop, typSkip: treatDrop,
		typSenc: treatDrop, typSaiz: treatDrop, typSaio: treatDrop, typUUID: treatDrop,
	}
)

// isProtection reports whether a box in a moof or traf says that the samples are encrypted.
func isProtection(seg []byte, b box) bool {
	switch b.typ {
	case typPssh, typTenc, typSinf:
		return true
	case typSbgp, typSgpd:
		return b.end-b.payload() >= 8 && fourCC(be32(seg, b.payload()+4)) == typSeig
	case typUUID:
		return isOneOf(seg, b, piffTypes[:])
	}
	return false
}

// readMoof parses the moof of f and appends its track fragments, runs and samples (14496-12, 8.8).
func (pl *plan) readMoof(f *fragment) error {
	f.firstTraf, f.firstRun = len(pl.trafs), len(pl.runs)
	err := eachBox(pl.seg, f.moof.payload(), f.moof.end, "moof", func(b box) error {
		if isProtection(pl.seg, b) && !pl.encrypted {
			return formatErrorf("moof/"+b.typ.String(), b.off, "%w", ErrAlreadyProtected)
		}
		if _, ok := moofTreatment[b.typ]; !ok && b.typ != typPssh || b.typ == typUUID && !isTimingUUID(pl.seg, b) {
			return formatErrorf("moof/"+b.typ.String(), b.off, "%w", errMoofBox)
		}
		switch b.typ {
		case typMfhd:
			if b.size() != 16 {
				return formatErrorf("moof/mfhd", b.off, "%w", errBoxLength)
			}
		case typTraf:
			f.trafs++
			if err := pl.readTraf(f, b); err != nil {
				return numberTraf(err, f.trafs)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.trafs == 0 {
		return formatErrorf("moof", f.moof.off, "%w", errNoTraf)
	}
	f.runs = len(pl.runs) - f.firstRun
	return pl.placeRuns(f)
}

// readTraf appends a track fragment with its runs and samples.
func (pl *plan) readTraf(f *fragment, traf box) error {
	t := trackFragment{box: traf, track: -1, first: len(pl.samples)}
	base := pl.implicitBase(f)
	err := eachBox(pl.seg, traf.payload(), traf.end, "moof/traf", func(b box) error {
		if isProtection(pl.seg, b) && !pl.encrypted {
			return formatErrorf("moof/traf/"+b.typ.String(), b.off, "%w", ErrAlreadyProtected)
		}
		if _, ok := trafTreatment[b.typ]; !ok || b.typ == typUUID && !isTimingUUID(pl.seg, b) {
			return formatErrorf("moof/traf/"+b.typ.String(), b.off, "%w", errTrafBox)
		}
		if (b.typ == typTfhd) != (b.off == traf.payload()) {
			return formatErrorf("moof/traf", b.off, "%w", errNoTfhd)
		}
		var err error
		switch b.typ {
		case typTfhd:
			if err = t.readTfhd(pl.seg, b, pl.init); err == nil {
				base, err = t.tfhd.dataBase(f, base)
			}
		case typTfdt:
			if want := 16 + 4*int(pl.seg[b.payload()]&1); b.header != 8 || b.size() != want {
				err = errBoxLength
			}
		case typSdtp:
			t.sdtp = b
		case typTrun:
			err = pl.readTrun(f, &t, b, base)
		}
		if err != nil {
			return atPath("moof/traf/"+b.typ.String(), b.off, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if t.track < 0 {
		return formatErrorf("moof/traf", traf.off, "%w", errNoTfhd)
	}
	t.count = len(pl.samples) - t.first
	if t.sdtp.end > 0 && t.sdtp.size() != 12+t.count {
		return formatErrorf("moof/traf/sdtp", t.sdtp.off, "%w", errBoxLength)
	}
	pl.trafs = append(pl.trafs, t)
	return nil
}

func (t *trackFragment) readTfhd(seg []byte, b box, in *Init) error {
	p := b.payload()
	if b.end-p < 8 {
		return errBoxLength
	}
	if t.track = in.findTrack(be32(seg, p+4)); t.track < 0 {
		return fmt.Errorf("%w: track_ID %d is not in the init segment", ErrTrackMismatch, be32(seg, p+4))
	}
	track := &in.tracks[t.track]
	h := tfhd{box: b, flags: be32(seg, p) & 0xffffff, defaults: track.trex}
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
	i := h.defaults.description
	if i == 0 || uint64(i) > uint64(len(track.entries)) {
		return errDescriptions
	}
	t.tfhd, t.entry = h, &track.entries[i-1]
	return nil
}
