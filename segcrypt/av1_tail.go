package segcrypt

// This file reads what follows tile_info in uncompressed_header (AV1, 5.9.12 to 5.9.30): nothing of it matters but its length
// and what later headers inherit.

func (p *av1Parser) quantization() {
	planes := !p.seq.MonoChrome
	p.baseQIdx = p.u(8)
	p.deltaQ()
	if planes {
		separate := p.seq.SeparateUVDeltaQ && p.flag()
		p.deltaQ()
		p.deltaQ()
		if separate {
			p.deltaQ()
			p.deltaQ()
		}
	}
	if p.flag() {
		p.u(8)
		if p.seq.SeparateUVDeltaQ {
			p.u(4)
		}
	}
}

// deltaQ reads read_delta_q; a frame with any is not lossless.
func (p *av1Parser) deltaQ() {
	if p.flag() && p.u(7) != 0 {
		p.anyDeltaQ = true
	}
}

// segmentationParams reads segmentation_params (AV1, 5.9.14). Without new data the quantizers of the primary reference stay.
func (p *av1Parser) segmentationParams() {
	if p.segmentation = p.flag(); !p.segmentation {
		p.altQ = av1AltQ{}
		return
	}
	if p.primaryRef != av1PrimaryRefNone {
		if p.flag() {
			p.skip(1)
		}
		if !p.flag() {
			return
		}
	}
	p.altQ = av1AltQ{}
	featureBits := [8]uint{8, 6, 6, 6, 6, 3, 0, 0}
	for segment := range p.altQ.data {
		for feature, n := range featureBits {
			if !p.flag() {
				continue
			}
			if feature < 5 {
				n++ // signed
			}
			v := p.u(n)
			if feature == 0 {
				p.altQ.enabled[segment] = true
				p.altQ.data[segment] = int32(v<<23) >> 23 // su(9)
			}
		}
	}
}

// deltas reads delta_q_params and delta_lf_params.
func (p *av1Parser) deltas() {
	if p.baseQIdx == 0 || !p.flag() {
		return
	}
	p.u(2)
	if !p.intraBC && p.flag() {
		p.u(3)
	}
}

// losslessness derives CodedLossless: every segment's quantizer index is zero and nothing shifts it.
func (p *av1Parser) losslessness() {
	p.codedLossless = !p.anyDeltaQ
	for segment := range p.altQ.data {
		index := int32(p.baseQIdx)
		if p.segmentation && p.altQ.enabled[segment] {
			index += p.altQ.data[segment]
		}
		if index > 0 {
			p.codedLossless = false
		}
	}
}

// filters reads loop_filter_params, cdef_params and lr_params.
func (p *av1Parser) filters() {
	planes := 3
	if p.seq.MonoChrome {
		planes = 1
	}
	if !p.codedLossless && !p.intraBC {
		p.loopFilter(planes)
		if p.seq.EnableCdef {
			p.u(2)
			perStrength := uint64(6)
			if planes > 1 {
				perStrength = 12
			}
			p.skip(perStrength << p.u(2))
		}
	}
	allLossless := p.codedLossless && p.frameWidth == p.upscaledWidth
	if allLossless || p.intraBC || !p.seq.EnableRestoration {
		return
	}
	luma := p.u(2) != 0
	chroma := false
	for range planes - 1 {
		chroma = p.u(2) != 0 || chroma
	}
	if !luma && !chroma {
		return
	}
	if shift := p.flag(); shift && !p.seq.Use128x128Superblock {
		p.skip(1)
	}
	if p.seq.SubsamplingX == 1 && p.seq.SubsamplingY == 1 && chroma {
		p.skip(1)
	}
}

func (p *av1Parser) loopFilter(planes int) {
	if level := p.u(12); planes > 1 && level != 0 {
		p.u(12)
	}
	p.u(3)
	if !p.flag() || !p.flag() {
		return
	}
	for range 8 + 2 {
		if p.flag() {
			p.u(7)
		}
	}
}

// modes reads from read_tx_mode to reduced_tx_set.
func (p *av1Parser) modes() {
	if !p.codedLossless {
		p.skip(1)
	}
	if !p.intra {
		referenceSelect := p.flag()
		if referenceSelect && p.skipModeAllowed() {
			p.skip(1)
		}
		if !p.errorResilient && p.seq.EnableWarpedMotion {
			p.skip(1)
		}
	}
	p.skip(1)
}

// skipModeAllowed is skipModeAllowed of AV1, 5.9.22: there is a reference on either side, or there are two in the past.
func (p *av1Parser) skipModeAllowed() bool {
	if !p.seq.EnableOrderHint {
		return false
	}
	var forward, second uint32
	hasForward, hasBackward, hasSecond := false, false, false
	for _, i := range p.refIdx {
		hint := p.ref(i).orderHint
		switch d := p.distance(hint, p.orderHint); {
		case d < 0 && (!hasForward || p.distance(hint, forward) > 0):
			forward, hasForward = hint, true
		case d > 0:
			hasBackward = true
		}
	}
	if !hasForward || hasBackward {
		return hasForward
	}
	for _, i := range p.refIdx {
		hint := p.st.refs[i].orderHint
		if p.distance(hint, forward) < 0 && (!hasSecond || p.distance(hint, second) > 0) {
			second, hasSecond = hint, true
		}
	}
	return hasSecond
}

// globalMotion reads global_motion_params (AV1, 5.9.24).
func (p *av1Parser) globalMotion() {
	for range av1RefsPerFrame {
		if !p.flag() {
			continue
		}
		rotZoom := p.flag()
		translation := !rotZoom && p.flag()
		if translation {
			bits := uint32(9)
			if !p.highPrecisionMV {
				bits--
			}
			p.motionParam(bits)
			p.motionParam(bits)
			continue
		}
		params := 4
		if !rotZoom {
			params = 6
		}
		for range params {
			p.motionParam(12)
		}
	}
}

// motionParam reads decode_signed_subexp_with_ref for a parameter of absBits; its length does not depend on the reference.
func (p *av1Parser) motionParam(absBits uint32) {
	symbols := uint32(2)<<absBits + 1
	for i, mk := uint(0), uint32(0); p.err == nil; i++ {
		b := uint(3)
		if i > 0 {
			b = 3 + i - 1
		}
		if symbols <= mk+3<<b {
			p.ns(symbols - mk)
			return
		}
		if !p.flag() {
			p.u(b)
			return
		}
		mk += 1 << b
	}
}

// filmGrain reads film_grain_params (AV1, 5.9.30).
func (p *av1Parser) filmGrain() {
	if !p.seq.FilmGrainParamsPresent || !p.showFrame && !p.showable || !p.flag() {
		return
	}
	p.u(16)
	if p.frameType == av1Inter && !p.flag() {
		p.u(3)
		return
	}
	points := func() uint64 {
		n := uint64(p.u(4))
		p.skip(16 * n)
		return n
	}
	luma := points()
	fromLuma := !p.seq.MonoChrome && p.flag()
	var cb, cr uint64
	subsampled := p.seq.SubsamplingX == 1 && p.seq.SubsamplingY == 1
	if !p.seq.MonoChrome && !fromLuma && !(subsampled && luma == 0) {
		cb = points()
		cr = points()
	}
	p.u(2)
	lag := uint64(p.u(2))
	coefficients := 2 * lag * (lag + 1)
	if luma > 0 {
		p.skip(8 * coefficients)
		coefficients++
	}
	for _, n := range [...]uint64{cb, cr} {
		if fromLuma || n > 0 {
			p.skip(8 * coefficients)
		}
	}
	p.u(4)
	for _, n := range [...]uint64{cb, cr} {
		if n > 0 {
			p.u(25)
		}
	}
	p.u(2)
}

// updateRefs stores the frame in the slots that it refreshes (AV1, 7.20).
func (p *av1Parser) updateRefs() {
	if p.err != nil {
		return
	}
	for i := range p.st.refs {
		if p.refresh>>i&1 == 1 {
			p.st.refs[i] = av1Ref{
				filled: true, frameType: p.frameType, orderHint: p.orderHint, altQ: p.altQ,
				upscaledWidth: p.upscaledWidth, frameWidth: p.frameWidth, frameHeight: p.height,
			}
		}
	}
}
