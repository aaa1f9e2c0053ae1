package segcrypt

import (
	"math/bits"

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

// ns reads ns(n) (AV1, 4.10.7).
func (p *av1Parser) ns(n uint32) uint32 {
	w := uint(bits.Len32(n))
	if w == 0 {
		return 0
	}
	m := uint32(1)<<w - n
	v := p.u(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + p.u(1)
}

// tileLog2 is the smallest k with blk << k ≥ target (AV1, 5.9.16).
func tileLog2(blk, target uint32) uint32 {
	k := uint32(0)
	for uint64(blk)<<k < uint64(target) {
		k++
	}
	return k
}

// tileInfo reads tile_info (AV1, 5.9.15).
func (p *av1Parser) tileInfo() {
	sbLog2 := uint32(6)
	if p.seq.Use128x128Superblock {
		sbLog2 = 7
	}
	// Superblocks are counted in whole 8×8 units first, as MiCols and MiRows are.
	sbs := func(samples uint32) uint32 { return ((samples+7)&^7 + 1<<sbLog2 - 1) >> sbLog2 }
	cols, rows := sbs(p.frameWidth), sbs(p.height)
	if p.err != nil {
		return
	}
	maxWidth := uint32(av1MaxTileWidth) >> sbLog2
	minLog2Cols := tileLog2(maxWidth, cols)
	minLog2 := max(minLog2Cols, tileLog2(av1MaxTileArea>>(2*sbLog2), rows*cols))
	var colsLog2, rowsLog2 uint32
	if p.flag() {
		p.tileCols, colsLog2 = p.uniformTiles(cols, minLog2Cols)
		p.tileRows, rowsLog2 = p.uniformTiles(rows, minLog2-min(minLog2, colsLog2))
	} else {
		var widest uint32
		p.tileCols, widest = p.explicitTiles(cols, maxWidth)
		area := rows * cols
		if minLog2 > 0 {
			area >>= minLog2 + 1
		}
		p.tileRows, _ = p.explicitTiles(rows, max(area/max(widest, 1), 1))
		colsLog2, rowsLog2 = tileLog2(1, p.tileCols), tileLog2(1, p.tileRows)
	}
	if p.tileCols > av1MaxTiles || p.tileRows > av1MaxTiles {
		p.fail(errAV1Value)
	}
	if p.tileBits = uint(colsLog2 + rowsLog2); p.tileBits > 0 {
		p.u(p.tileBits)
		p.tileSizeBytes = int(p.u(2)) + 1
	}
}

func (p *av1Parser) uniformTiles(sbs, minLog2 uint32) (tiles, log2 uint32) {
	log2 = minLog2
	for limit := tileLog2(1, min(sbs, av1MaxTiles)); log2 < limit && p.flag(); {
		log2++
	}
	size := (sbs + 1<<log2 - 1) >> log2
	return (sbs + size - 1) / size, log2
}

func (p *av1Parser) explicitTiles(sbs, maxSize uint32) (tiles, widest uint32) {
	for start := uint32(0); start < sbs && p.err == nil; tiles++ {
		size := p.ns(min(sbs-start, maxSize)) + 1
		widest = max(widest, size)
		start += size
	}
	return tiles, widest
}

// setFrameRefs is set_frame_refs (AV1, 7.8): the references that short signaling leaves to the order hints.
func (p *av1Parser) setFrameRefs(last, gold uint32) {
	if !p.seq.EnableOrderHint || p.seq.OrderHintBits == 0 {
		p.fail(errAV1Value)
		return
	}
	const refLast, refLast2, refLast3, refGold, refBwd, refAlt2, refAlt = 0, 1, 2, 3, 4, 5, 6
	var assigned [av1RefsPerFrame]bool
	var used [av1NumRefs]bool
	current := int32(1) << (p.seq.OrderHintBits - 1)
	var shifted [av1NumRefs]int32
	for i := range shifted {
		shifted[i] = current + p.distance(p.ref(uint32(i)).orderHint, p.orderHint)
	}
	assign := func(slot int, i int32) {
		if i >= 0 {
			p.refIdx[slot], assigned[slot], used[i] = uint32(i), true, true
		}
	}
	// pick returns the unused reference that is best by better; -1 if none fits.
	pick := func(fits func(hint int32) bool, better func(hint, best int32) bool) int32 {
		found := int32(-1)
		for i, hint := range shifted {
			if !used[i] && fits(hint) && (found < 0 || better(hint, shifted[found])) {
				found = int32(i)
			}
		}
		return found
	}
	assign(refLast, int32(last))
	assign(refGold, int32(gold))
	later := func(hint int32) bool { return hint >= current }
	before := func(hint int32) bool { return hint < current }
	latest := func(hint, best int32) bool { return hint >= best }
	earliest := func(hint, best int32) bool { return hint < best }
	assign(refAlt, pick(later, latest))
	assign(refBwd, pick(later, earliest))
	assign(refAlt2, pick(later, earliest))
	for _, slot := range [...]int{refLast2, refLast3, refBwd, refAlt2, refAlt} {
		if !assigned[slot] {
			assign(slot, pick(before, latest))
		}
	}
	// What is still open takes the earliest reference of all, used or not.
	oldest := uint32(0)
	for i, hint := range shifted {
		if hint < shifted[oldest] {
			oldest = uint32(i)
		}
	}
	for slot := range p.refIdx {
		if !assigned[slot] {
			p.refIdx[slot] = oldest
		}
	}
}

// distance is get_relative_dist (AV1, 7.9.3).
func (p *av1Parser) distance(a, b uint32) int32 {
	if !p.seq.EnableOrderHint || p.seq.OrderHintBits == 0 {
		return 0
	}
	diff := int32(a) - int32(b)
	m := int32(1) << (p.seq.OrderHintBits - 1)
	return diff&(m-1) - diff&m
}
