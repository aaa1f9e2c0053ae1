package segcrypt

import (
	"github.com/Eyevinn/mp4ff/av1"
)

// Constants of the AV1 specification, section 3.
const (
	av1NumRefs, av1RefsPerFrame, av1PrimaryRefNone = 8, 7, 7
	av1MaxTileWidth, av1MaxTileArea                = 4096, 4096 * 2304
	av1MaxTiles                                    = 64 // columns, and rows
	av1Select                                      = 2  // SELECT_SCREEN_CONTENT_TOOLS, SELECT_INTEGER_MV
)

const av1Key, av1Inter, av1IntraOnly, av1Switch = 0, 1, 2, 3

// av1Ref is what a reference slot hands on (AV1, 7.20).
type av1Ref struct {
	filled                  bool
	frameType               uint32
	upscaledWidth           uint32
	frameWidth, frameHeight uint32
	orderHint               uint32
	altQ                    av1AltQ
}

// av1AltQ is the quantizer feature of every segment, the one feature of segmentation that reaches the header's length.
type av1AltQ struct {
	enabled [8]bool
	data    [8]int32
}

// av1Frame is what tile groups need of their frame header.
type av1Frame struct {
	tileCols, tileRows uint32
	tileBits           uint
	tileSizeBytes      int
}

// av1Parser reads one uncompressed_header (AV1, 5.9.2) for its length and its tiling. Names follow the specification.
type av1Parser struct {
	bitReader
	av1Frame
	st                *av1State
	seq               *av1.SequenceHeader
	temporal, spatial uint

	showExisting, showFrame, showable  bool
	frameType                          uint32
	intra, errorResilient              bool
	disableCDF                         bool
	screenContentTools, forceIntegerMV bool
	sizeOverride                       bool
	orderHint, primaryRef, refresh     uint32
	upscaledWidth, frameWidth, height  uint32
	intraBC, highPrecisionMV           bool
	refIdx                             [av1RefsPerFrame]uint32
	baseQIdx                           uint32
	anyDeltaQ                          bool
	segmentation                       bool
	altQ                               av1AltQ
	codedLossless                      bool
}

// ref returns a reference slot; one that this segment has not filled stops the parse, since guessing would misplace tiles.
func (p *av1Parser) ref(i uint32) *av1Ref {
	ref := &p.st.refs[i]
	if !ref.filled {
		p.fail(errAV1Reference)
	}
	return ref
}

func (p *av1Parser) uncompressedHeader() {
	if p.seq.ReducedStillPictureHeader {
		p.frameType, p.showFrame, p.errorResilient = av1Key, true, true
	} else if p.showExisting = p.flag(); p.showExisting {
		p.showExistingFrame()
		return
	} else {
		p.frameKind()
	}
	p.intra = p.frameType == av1Key || p.frameType == av1IntraOnly
	p.identity()
	if p.intra {
		p.frameSize()
		p.renderSize()
		if p.screenContentTools && p.upscaledWidth == p.frameWidth {
			p.intraBC = p.flag()
		}
	} else {
		p.interFrame()
	}
	if p.err != nil {
		return
	}
	if !p.seq.ReducedStillPictureHeader && !p.disableCDF {
		p.skip(1)
	}
	if p.primaryRef != av1PrimaryRefNone {
		p.altQ = p.ref(p.refIdx[p.primaryRef]).altQ
	}
	p.tileInfo()
	p.quantization()
	p.segmentationParams()
	p.deltas()
	p.losslessness()
	p.filters()
	p.modes()
	if !p.intra {
		p.globalMotion()
	}
	p.filmGrain()
	p.updateRefs()
}

// showExistingFrame repeats a stored frame. A key frame shown so starts afresh: it fills all slots (AV1, 7.21).
func (p *av1Parser) showExistingFrame() {
	shown := p.u(3)
	if p.seq.DecoderModelInfoPresent && !p.seq.EqualPictureInterval {
		p.u(uint(p.seq.FramePresentationTimeLengthMinus1) + 1)
	}
	if p.seq.FrameIDNumbersPresent {
		p.u(p.frameIDBits())
	}
	if ref := p.st.refs[shown]; p.err == nil && ref.filled && ref.frameType == av1Key {
		for i := range p.st.refs {
			p.st.refs[i] = ref
		}
	}
}

func (p *av1Parser) frameIDBits() uint {
	return uint(p.seq.AdditionalFrameIDLengthMinus1) + uint(p.seq.DeltaFrameIDLengthMinus2) + 3
}

// frameKind reads from frame_type to error_resilient_mode.
func (p *av1Parser) frameKind() {
	p.frameType = p.u(2)
	p.showFrame = p.flag()
	if p.showFrame && p.seq.DecoderModelInfoPresent && !p.seq.EqualPictureInterval {
		p.u(uint(p.seq.FramePresentationTimeLengthMinus1) + 1)
	}
	if p.showFrame {
		p.showable = p.frameType != av1Key
	} else {
		p.showable = p.flag()
	}
	p.errorResilient = p.frameType == av1Switch || p.frameType == av1Key && p.showFrame || p.flag()
}

// identity reads from disable_cdf_update to ref_order_hint.
func (p *av1Parser) identity() {
	seq := p.seq
	p.disableCDF = p.flag()
	if p.screenContentTools = seq.SeqForceScreenContentTools == 1; seq.SeqForceScreenContentTools == av1Select {
		p.screenContentTools = p.flag()
	}
	if p.screenContentTools {
		if p.forceIntegerMV = seq.SeqForceIntegerMV == 1; seq.SeqForceIntegerMV == av1Select {
			p.forceIntegerMV = p.flag()
		}
	}
	if seq.FrameIDNumbersPresent {
		p.u(p.frameIDBits())
	}
	switch {
	case p.frameType == av1Switch:
		p.sizeOverride = true
	case !seq.ReducedStillPictureHeader:
		p.sizeOverride = p.flag()
	}
	p.orderHint = p.u(uint(seq.OrderHintBits))
	p.primaryRef = av1PrimaryRefNone
	if !p.intra && !p.errorResilient {
		p.primaryRef = p.u(3)
	}
	if seq.DecoderModelInfoPresent && p.flag() {
		p.bufferRemovalTimes()
	}
	p.refresh = 0xff
	if p.frameType != av1Switch && !(p.frameType == av1Key && p.showFrame) {
		p.refresh = p.u(8)
	}
	if (!p.intra || p.refresh != 0xff) && p.errorResilient && seq.EnableOrderHint {
		for i := range p.st.refs {
			if hint := p.u(uint(seq.OrderHintBits)); hint != p.st.refs[i].orderHint {
				p.st.refs[i] = av1Ref{orderHint: hint}
			}
		}
	}
}

func (p *av1Parser) bufferRemovalTimes() {
	for i, idc := range p.seq.OperatingPointIdc {
		if i >= len(p.seq.DecoderModelPresentForOp) || !p.seq.DecoderModelPresentForOp[i] {
			continue
		}
		if idc == 0 || idc>>p.temporal&1 == 1 && idc>>(p.spatial+8)&1 == 1 {
			p.u(uint(p.seq.BufferRemovalTimeLengthMinus1) + 1)
		}
	}
}

// interFrame reads the part of an inter frame from frame_refs_short_signaling to use_ref_frame_mvs.
func (p *av1Parser) interFrame() {
	short := p.seq.EnableOrderHint && p.flag()
	if short {
		last, gold := p.u(3), p.u(3)
		p.setFrameRefs(last, gold)
	}
	for i := range p.refIdx {
		if !short {
			p.refIdx[i] = p.u(3)
		}
		if p.seq.FrameIDNumbersPresent {
			p.u(uint(p.seq.DeltaFrameIDLengthMinus2) + 2)
		}
	}
	if p.sizeOverride && !p.errorResilient {
		p.frameSizeWithRefs()
	} else {
		p.frameSize()
		p.renderSize()
	}
	if !p.forceIntegerMV {
		p.highPrecisionMV = p.flag()
	}
	if !p.flag() {
		p.u(2)
	}
	p.skip(1)
	if !p.errorResilient && p.seq.EnableRefFrameMvs {
		p.skip(1)
	}
}

func (p *av1Parser) frameSize() {
	if p.sizeOverride {
		p.upscaledWidth = p.u(uint(p.seq.FrameWidthBitsMinus1)+1) + 1
		p.height = p.u(uint(p.seq.FrameHeightBitsMinus1)+1) + 1
	} else {
		p.upscaledWidth, p.height = p.seq.MaxFrameWidthMinus1+1, p.seq.MaxFrameHeightMinus1+1
	}
	p.superres()
}

// superres reads superres_params and derives FrameWidth (AV1, 5.9.8).
func (p *av1Parser) superres() {
	p.frameWidth = p.upscaledWidth
	if p.seq.EnableSuperres && p.flag() {
		denom := p.u(3) + 9
		p.frameWidth = (p.upscaledWidth*8 + denom/2) / denom
	}
	if p.upscaledWidth > 1<<16 || p.height > 1<<16 || p.frameWidth == 0 || p.height == 0 {
		p.fail(errAV1Value)
	}
}

func (p *av1Parser) renderSize() {
	if p.flag() {
		p.u(32)
	}
}

func (p *av1Parser) frameSizeWithRefs() {
	for _, i := range p.refIdx {
		if p.flag() {
			ref := p.ref(i)
			p.upscaledWidth, p.height = ref.upscaledWidth, ref.frameHeight
			p.superres()
			return
		}
	}
	p.frameSize()
	p.renderSize()
}
