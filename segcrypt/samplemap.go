package segcrypt

import (
	"errors"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
)

// codecState is what the samples of one track hand on to later ones, and scratch for the one at hand. It goes from fragment
// to fragment and, in a Stream, from chunk to chunk.
type codecState struct {
	scheme drm.ProtectionScheme
	entry  *sampleEntry // whose parameter sets are in force; what came in-band is added to copies of them
	avc    avcParams
	hevc   hevcParams
	av1    av1State
	vp9    vp9State
	vvc    vvcParams
	vvcPic vvcPicture // of the sample at hand
	runs   subsampleBuilder
}

var (
	errNALLength  = errors.New("a NAL unit length is zero or reaches past the sample")
	errSubsamples = errors.New("the clear parts need more subsamples than saiz can describe")
)

// use makes e the sample entry of the samples that follow. Another entry than before begins with its own parameter sets alone.
func (c *codecState) use(e *sampleEntry, scheme drm.ProtectionScheme) {
	c.scheme = scheme
	if c.entry == e {
		return
	}
	c.reset()
	c.entry = e
	switch e.codec {
	case codecAVC:
		c.avc = *e.avc
	case codecHEVC:
		c.hevc = *e.hevc
	case codecVVC:
		c.vvc = *e.vvc
	case codecAV1:
		c.av1.reset(e.av1Raw, e.av1)
	case codecVP9, codecAC4, codecWhole, codecPassing: // samples need nothing of the entry
	}
}

// reset forgets everything but the scratch, so that the state can serve another track.
func (c *codecState) reset() {
	if c.entry == nil {
		return
	}
	switch c.entry.codec {
	case codecAVC:
		c.avc = avcParams{}
	case codecHEVC:
		c.hevc = hevcParams{}
	case codecAV1:
		c.av1 = av1State{}
	case codecVP9:
		c.vp9 = vp9State{}
	case codecVVC:
		c.vvc, c.vvcPic = vvcParams{}, vvcPicture{}
	case codecAC4, codecWhole, codecPassing: // have no state
	}
	c.entry = nil
}

// take makes c a copy of from; each keeps scratch of its own. Parameter sets are shared, since they never change.
func (c *codecState) take(from *codecState) {
	runs := c.runs
	*c = *from
	c.runs = runs
}

// kept is how long the scratch lists have become, for the bound of what is kept for reuse.
func (c *codecState) kept() int { return cap(c.runs.runs) }

// subsampled reports whether samples of e have subsamples; without them they are protected whole, or pass.
func (e *sampleEntry) subsampled() bool { return e.codec != codecWhole && e.codec != codecPassing }

// mapSample appends the subsamples of one sample to subs: none for samples that are protected whole, or pass.
func (c *codecState) mapSample(b []byte, subs []subsample) ([]subsample, error) {
	if c.entry.codec == codecPassing {
		return subs, c.entry.check(b)
	}
	if !c.entry.subsampled() {
		return subs, nil
	}
	c.runs.reset(c.scheme)
	var err error
	switch c.entry.codec {
	case codecAVC:
		err = c.eachNAL(b, 1, c.addAVC)
	case codecHEVC:
		err = c.eachNAL(b, 2, c.addHEVC)
	case codecVVC:
		c.vvcPic = vvcPicture{}
		err = c.eachNAL(b, 2, c.addVVC)
	case codecAV1:
		err = c.av1.walk(b, &c.runs)
	case codecVP9:
		// The binding wants whole blocks in every frame of a superframe, under every scheme.
		c.runs.align = true
		err = c.vp9.walk(b, &c.runs)
	case codecAC4:
		err = mapAC4(b, &c.runs)
	case codecWhole, codecPassing: // above
	}
	if err != nil {
		return nil, err
	}
	return c.runs.appendTo(subs)
}

// eachNAL walks the NAL units of a sample. add returns how many bytes of the NAL unit stay clear.
func (c *codecState) eachNAL(b []byte, headerBytes int, add func(nal []byte) (int, error)) error {
	lengthSize := c.entry.lengthSize
	for len(b) > 0 {
		if len(b) < lengthSize {
			return errNALLength
		}
		n := uint64(0)
		for _, digit := range b[:lengthSize] {
			n = n<<8 | uint64(digit)
		}
		if n < uint64(headerBytes) || n > uint64(len(b)-lengthSize) {
			return errNALLength
		}
		nal := b[lengthSize : lengthSize+int(n)]
		clear, err := add(nal)
		if err != nil {
			return err
		}
		c.runs.add(lengthSize+clear, len(nal)-clear)
		b = b[lengthSize+int(n):]
	}
	return nil
}

// addAVC says how much of a NAL unit stays clear: slices up to their data, everything else whole.
func (c *codecState) addAVC(nal []byte) (int, error) {
	switch typ := nal[0] & 31; typ {
	case avcSlice, avcIDR, avcAuxiliary:
		return c.avc.sliceHeaderSize(nal)
	case avcPartitionA, avcPartitionA + 1, avcPartitionC:
		return 0, errAVCPartition
	case avcExtension, avcExtension3D:
		return 0, errAVCExtension
	case avcSPSType, avcPPSType:
		if c.avc.has(nal) {
			break
		}
		if typ == avcSPSType {
			return len(nal), c.avc.addSPS(nal)
		}
		return len(nal), c.avc.addPPS(nal)
	}
	return len(nal), nil
}

// addHEVC is addAVC for HEVC. Slices of reserved types and of other layers are refused: left clear they would give a
// picture away, and how long their headers are is not known.
func (c *codecState) addHEVC(nal []byte) (int, error) {
	typ := nal[0] >> 1 & 63
	layer := nal[0]&1<<5 | nal[1]>>3
	switch {
	case typ > hevcLastVCL && layer > 0:
	case layer > 0:
		return 0, errHEVCLayer
	case typ < hevcFirstReserved || typ >= hevcBLA && typ <= hevcCRA:
		return c.hevc.sliceHeaderSize(nal)
	case typ <= hevcLastVCL:
		return 0, errHEVCType
	case typ == hevcSPSType || typ == hevcPPSType:
		if c.hevc.has(nal) {
			break
		}
		if typ == hevcSPSType {
			return len(nal), c.hevc.addSPS(nal)
		}
		return len(nal), c.hevc.addPPS(nal)
	}
	return len(nal), nil
}

// addVVC is addHEVC for VVC, whose picture headers are NAL units of their own or lie in the slice header.
func (c *codecState) addVVC(nal []byte) (int, error) {
	typ := nal[1] >> 3
	switch {
	case typ <= vvcLastVCL && nal[0]&63 > 0:
		return 0, errVVCLayer
	case typ < vvcFirstReserved || typ >= vvcIDRWithRADL && typ <= vvcGDR:
		return c.vvc.sliceHeaderSize(nal, &c.vvcPic)
	case typ <= vvcLastVCL:
		return 0, errVVCType
	case nal[0]&63 > 0:
	case typ == vvcPHType:
		var err error
		c.vvcPic, err = c.vvc.pictureHeader(nal)
		return len(nal), err
	case (typ == vvcSPSType || typ == vvcPPSType) && !c.vvc.has(nal):
		if typ == vvcSPSType {
			return len(nal), c.vvc.addSPS(nal)
		}
		return len(nal), c.vvc.addPPS(nal)
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
