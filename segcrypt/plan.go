package segcrypt

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/caddy-drm/caddy-drm/drm"
)

// plan is everything about one segment that is decided before a byte is written. It is plain data, refers to the input by
// offsets only, and is used again for the next segment.
type plan struct {
	boxes     []placedBox
	fragments []fragment
	samples   []sample
	subs      []subsample
	size      int // bytes of the output

	// State while samples are read in decode order.
	scheme  drm.ProtectionScheme
	entry   *sampleEntry // whose parameter sets are in force
	avcOwn  avcParams    // with what came in-band; the entry's own are shared and stay as they are
	hevcOwn hevcParams
	avc     *avcParams
	hevc    *hevcParams
	av1     av1State
	runs    subsampleBuilder
	digest  []byte
	counter [aes.BlockSize]byte
}

// sample is one coded sample: its bytes, and its subsamples in plan.subs. Samples lie one behind the other.
type sample struct {
	size     int
	firstSub int
	numSubs  int
}

// plans keeps plans for reuse. Their slices are bounded by maxSamples and by what release drops.
var plans = sync.Pool{New: func() any { return new(plan) }}

// maxKept bounds what an idle plan keeps of each list; the longest elements have under 300 bytes. Real segments stay below.
const maxKept = 1 << 13

func (pl *plan) release() {
	if max(cap(pl.boxes), cap(pl.fragments), cap(pl.samples), cap(pl.subs)/8, cap(pl.runs.runs), cap(pl.digest)/64) > maxKept {
		plans.Put(new(plan))
		return
	}
	pl.boxes, pl.fragments, pl.samples, pl.subs = pl.boxes[:0], pl.fragments[:0], pl.samples[:0], pl.subs[:0]
	if pl.avc == &pl.avcOwn {
		pl.avcOwn = avcParams{}
	}
	if pl.hevc == &pl.hevcOwn {
		pl.hevcOwn = hevcParams{}
	}
	if pl.av1.seq != nil {
		pl.av1 = av1State{}
	}
	pl.entry, pl.avc, pl.hevc = nil, nil, nil
	pl.size = 0
	plans.Put(pl)
}

var (
	errNALLength  = errors.New("a NAL unit length is zero or reaches past the sample")
	errSubsamples = errors.New("the clear parts need more subsamples than saiz can describe")
	errText       = errors.New("a sample of a text track does not look like text")
	errTooLarge   = errors.New("the protected fragment would exceed 2 GiB")
)

// build plans the whole segment. On error pl holds nothing of use.
func (pl *plan) build(seg []byte, in *Init, scheme drm.ProtectionScheme) error {
	pl.scheme = scheme
	if err := pl.scan(seg); err != nil {
		return err
	}
	for i := range pl.fragments {
		f := &pl.fragments[i]
		err := f.read(seg, in, pl)
		if err == nil {
			err = pl.mapSamples(seg, f)
		}
		if err != nil {
			return numberMoof(err, f.number)
		}
	}
	return pl.layout(seg)
}

// numberMoof puts the number of the moof into the path of err.
func numberMoof(err error, number int) error {
	var fe *FormatError
	if !errors.As(err, &fe) {
		return err
	}
	path := fe.Path
	if len(path) >= 4 && path[:4] == "moof" {
		path = fmt.Sprintf("moof[%d]%s", number, path[4:])
	}
	return &FormatError{Path: path, Offset: fe.Offset, Err: fe.Err}
}

// mapSamples finds the subsamples of every sample of f.
func (pl *plan) mapSamples(seg []byte, f *fragment) error {
	if pl.entry != f.entry {
		pl.entry, pl.avc, pl.hevc = f.entry, f.entry.avc, f.entry.hevc
		if f.entry.codec == codecAV1 {
			pl.av1.reset(f.entry.av1Raw, f.entry.av1)
		}
	}
	at := f.mdat.payload()
	for i := range f.count {
		s := &pl.samples[f.first+i]
		b := seg[at : at+s.size]
		if err := pl.mapSample(b, s); err != nil {
			return formatErrorf(fmt.Sprintf("moof/traf/trun/sample[%d]", i+1), at, "%w", err)
		}
		at += s.size
	}
	return nil
}

func (pl *plan) mapSample(b []byte, s *sample) error {
	s.firstSub = len(pl.subs)
	switch pl.entry.codec {
	case codecWhole:
		return nil
	case codecText:
		return checkText(pl.entry.box.typ, b)
	}
	pl.runs.reset(pl.scheme)
	var err error
	switch pl.entry.codec {
	case codecAVC:
		err = pl.eachNAL(b, 1, pl.addAVC)
	case codecHEVC:
		err = pl.eachNAL(b, 2, pl.addHEVC)
	case codecAV1:
		err = pl.av1.walk(b, &pl.runs)
	}
	if err != nil {
		return err
	}
	if pl.subs, err = pl.runs.appendTo(pl.subs); err != nil {
		return err
	}
	s.numSubs = len(pl.subs) - s.firstSub
	return nil
}

// eachNAL walks the NAL units of a sample. add returns how many bytes of the NAL unit stay clear.
func (pl *plan) eachNAL(b []byte, headerBytes int, add func(nal []byte) (int, error)) error {
	lengthSize := pl.entry.lengthSize
	for len(b) > 0 {
		if len(b) < lengthSize {
			return errNALLength
		}
		n := uint64(0)
		for _, c := range b[:lengthSize] {
			n = n<<8 | uint64(c)
		}
		if n < uint64(headerBytes) || n > uint64(len(b)-lengthSize) {
			return errNALLength
		}
		nal := b[lengthSize : lengthSize+int(n)]
		clear, err := add(nal)
		if err != nil {
			return err
		}
		pl.runs.add(lengthSize+clear, len(nal)-clear)
		b = b[lengthSize+int(n):]
	}
	return nil
}

// addAVC says how much of a NAL unit stays clear: slices up to their data, everything else whole.
func (pl *plan) addAVC(nal []byte) (int, error) {
	switch typ := nal[0] & 31; typ {
	case avcSlice, avcIDR, avcAuxiliary:
		return pl.avc.sliceHeaderSize(nal)
	case avcPartitionA, avcPartitionA + 1, avcPartitionC:
		return 0, errAVCPartition
	case avcExtension, avcExtension3D:
		return 0, errAVCExtension
	case avcSPSType, avcPPSType:
		if pl.avc.has(nal) {
			break
		}
		if pl.avc != &pl.avcOwn {
			pl.avcOwn, pl.avc = *pl.avc, &pl.avcOwn
		}
		if typ == avcSPSType {
			return len(nal), pl.avc.addSPS(nal)
		}
		return len(nal), pl.avc.addPPS(nal)
	}
	return len(nal), nil
}

// addHEVC is addAVC for HEVC. Slices of reserved types and of other layers are refused: left clear they would give a
// picture away, and how long their headers are is not known.
func (pl *plan) addHEVC(nal []byte) (int, error) {
	typ := nal[0] >> 1 & 63
	layer := nal[0]&1<<5 | nal[1]>>3
	switch {
	case typ > hevcLastVCL && layer > 0:
	case layer > 0:
		return 0, errHEVCLayer
	case typ < hevcFirstReserved || typ >= hevcBLA && typ <= hevcCRA:
		return pl.hevc.sliceHeaderSize(nal)
	case typ <= hevcLastVCL:
		return 0, errHEVCType
	case typ == hevcSPSType || typ == hevcPPSType:
		if pl.hevc.has(nal) {
			break
		}
		if pl.hevc != &pl.hevcOwn {
			pl.hevcOwn, pl.hevc = *pl.hevc, &pl.hevcOwn
		}
		if typ == hevcSPSType {
			return len(nal), pl.hevc.addSPS(nal)
		}
		return len(nal), pl.hevc.addPPS(nal)
	}
	return len(nal), nil
}

// has reports whether nal repeats a parameter set in force, as most in-band ones do.
func (p *avcParams) has(nal []byte) bool {
	if nal[0]&31 == avcSPSType {
		return slices.ContainsFunc(p.sps[:], func(s *avcSPS) bool { return s != nil && string(s.raw) == string(nal) })
	}
	return slices.ContainsFunc(p.pps[:], func(s *avcPPS) bool { return s != nil && string(s.raw) == string(nal) })
}

func (p *hevcParams) has(nal []byte) bool {
	if nal[0]>>1&63 == hevcSPSType {
		return slices.ContainsFunc(p.sps[:], func(s *hevcSPS) bool { return s != nil && string(s.raw) == string(nal) })
	}
	return slices.ContainsFunc(p.pps[:], func(s *hevcPPS) bool { return s != nil && string(s.raw) == string(nal) })
}

// checkText keeps media of another kind from passing as text, which alone leaves in clear.
func checkText(typ fourCC, b []byte) error {
	if typ == cc("wvtt") {
		return eachBox(b, 0, len(b), "wvtt", func(x box) error {
			switch x.typ {
			case cc("vttc"), cc("vtte"), cc("vtta"):
				return nil
			}
			return errText
		})
	}
	for i, c := range b {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || i < 3 && c == "\xef\xbb\xbf"[i]:
		case c == '<':
			return nil
		default:
			return errText
		}
	}
	return nil
}

// appendDigestInput appends the sample sizes and the subsamples of f in a form that no other plan shares.
func (pl *plan) appendDigestInput(dst []byte, f *fragment) []byte {
	for _, s := range pl.samples[f.first : f.first+f.count] {
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.size))
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.numSubs))
		dst = appendSubsamples(dst, pl.subs[s.firstSub:s.firstSub+s.numSubs])
	}
	return dst
}
