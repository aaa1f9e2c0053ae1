package segcrypt

// vvcPicture is what a picture header decides for the slices of its picture.
type vvcPicture struct {
	sps               *vvcSPS
	pps               *vvcPPS
	inter             bool // ph_inter_slice_allowed_flag
	temporalMVP       bool
	lmcs, scalingList bool
	refEntries        [2]uint32 // num_ref_entries, with pps_rpl_info_in_ph_flag
}

// vvcHeader is the state of reading one picture or slice header.
type vvcHeader struct {
	bitReader
	vvcPicture
	entries   [2]uint32 // num_ref_entries of the lists read last
	active    [2]uint32 // NumRefIdxActive
	sliceType uint32
}

const vvcSliceB, vvcSliceP, vvcSliceI = 0, 1, 2

// pictureHeader reads a picture header NAL unit (7.3.2.7).
func (p *vvcParams) pictureHeader(nal []byte) (vvcPicture, error) {
	h := vvcHeader{bitReader: bitReader{buf: nal, escaped: true}}
	h.skip(16)
	h.picture(p)
	h.trailingBits(errVVCAlign)
	return h.vvcPicture, h.err
}

// sliceHeaderSize returns the bytes that must stay clear in front of slice data: the NAL unit header and the slice header with
// its alignment, emulation prevention included (7.3.7). nal has at least 2 bytes; picture is that of the sample's picture header
// NAL unit, and is replaced by one inside the slice header.
func (p *vvcParams) sliceHeaderSize(nal []byte, picture *vvcPicture) (int, error) {
	h := vvcHeader{bitReader: bitReader{buf: nal, escaped: true}}
	typ := nal[1] >> 3
	h.skip(16)
	inSlice := h.flag()
	if inSlice {
		h.picture(p)
	} else {
		h.vvcPicture = *picture
	}
	if h.err != nil {
		return 0, h.err
	}
	if h.sps == nil {
		return 0, errVVCPicture
	}
	*picture = h.vvcPicture
	substreams := h.address()
	h.sliceType = vvcSliceI
	if h.inter {
		h.sliceType = h.ueMax(vvcSliceI, errVVCSlice)
	}
	if typ >= vvcIDRWithRADL && typ <= vvcGDR {
		h.skip(1)
	}
	if h.sps.alf && !h.pps.alfInPH {
		h.alf()
	}
	if h.lmcs && !inSlice {
		h.skip(1)
	}
	if h.scalingList && !inSlice {
		h.skip(1)
	}
	h.references(typ == vvcIDRWithRADL || typ == vvcIDRNoLP)
	h.quantization()
	h.residual()
	if h.pps.shExtension {
		h.skip(8 * uint64(h.ueMax(256, errVVCSlice)))
	}
	h.entryPoints(substreams)
	h.trailingBits(errVVCAlign)
	return h.bytesRead(), h.err
}

// address reads from sh_subpic_id to sh_num_tiles_in_slice_minus1 and says what the slice consists of.
func (h *vvcHeader) address() vvcSubstreams {
	if h.sps.subpictures {
		h.u(h.sps.subpicIDBits)
	}
	q := h.pps
	switch {
	case q.noPartition:
		h.skip(h.sps.extraSHBits)
		return vvcSubstreams{1, (q.height + 1<<h.sps.ctuLog2 - 1) >> h.sps.ctuLog2}
	case q.rectSlices:
		i := h.u(ceilLog2(uint32(len(q.slices))))
		h.skip(h.sps.extraSHBits)
		if i >= uint32(len(q.slices)) {
			h.fail(errVVCSlice)
			return vvcSubstreams{}
		}
		return q.slices[i]
	}
	first := h.u(ceilLog2(q.tiles()))
	h.skip(h.sps.extraSHBits)
	n := uint32(1)
	if first >= q.tiles() {
		h.fail(errVVCSlice)
		return vvcSubstreams{}
	}
	if q.tiles()-first > 1 {
		n += h.ueMax(q.tiles()-first-1, errVVCSlice)
	}
	s := vvcSubstreams{tiles: n}
	for i := first; i < first+n; i++ {
		s.rows += q.rowHeights[i/q.columns]
	}
	return s
}

// alf reads the parameters of the adaptive loop filter, which a picture or a slice header has.
func (h *vvcHeader) alf() {
	if !h.flag() {
		return
	}
	h.skip(3 * uint64(h.u(3)))
	if h.sps.chroma {
		if cb, cr := h.flag(), h.flag(); cb || cr {
			h.skip(3)
		}
	}
	if h.sps.ccALF {
		for range 2 {
			if h.flag() {
				h.skip(3)
			}
		}
	}
}

// refLists reads ref_pic_lists (7.3.9) into h.entries.
func (h *vvcHeader) refLists() {
	var fromSPS [2]bool
	var index [2]uint32
	for i := range 2 {
		lists := h.sps.lists[i]
		own := i == 0 || h.pps.list1Index
		switch {
		case len(lists) == 0:
		case own:
			fromSPS[i] = h.flag()
		default:
			fromSPS[i] = fromSPS[0]
		}
		var list vvcRefList
		switch {
		case !fromSPS[i]:
			list = h.sps.refList(&h.bitReader, false)
		default:
			if own {
				index[i] = h.u(ceilLog2(uint32(len(lists))))
			} else {
				index[i] = index[0]
			}
			if index[i] >= uint32(len(lists)) {
				h.fail(errVVCSlice)
				return
			}
			list = lists[index[i]]
		}
		for range list.longTerm {
			if list.inHeader {
				h.u(h.sps.pocBits)
			}
			if h.flag() {
				h.ue()
			}
		}
		h.entries[i] = uint32(list.entries)
	}
}

// references reads what a slice header says about reference pictures.
func (h *vvcHeader) references(idr bool) {
	switch {
	case h.pps.refListsInPH:
		h.entries = h.refEntries
	case !idr || h.sps.idrRefLists:
		h.refLists()
	default:
		h.entries = [2]uint32{}
	}
	if h.sliceType == vvcSliceI {
		return
	}
	lists := 1
	if h.sliceType == vvcSliceB {
		lists = 2
	}
	override := true
	if h.entries[0] > 1 || lists == 2 && h.entries[1] > 1 {
		override = h.flag()
	}
	for i := range lists {
		switch {
		case !override:
			h.active[i] = min(h.entries[i], h.pps.refIdxDefault[i])
		case h.entries[i] > 1:
			h.active[i] = h.ueMax(14, errVVCSlice) + 1
		default:
			h.active[i] = 1
		}
	}
	if h.pps.cabacInit {
		h.skip(1)
	}
	if h.temporalMVP && !h.pps.refListsInPH {
		list := 0
		if lists == 2 && !h.flag() {
			list = 1
		}
		if h.active[list] > 1 {
			h.ue()
		}
	}
	if !h.pps.weightsInPH && (h.pps.weightedPred && lists == 1 || h.pps.weightedBi && lists == 2) {
		h.weights(lists == 2)
	}
}

// weights reads pred_weight_table (7.3.8). In a picture header the numbers of weights are explicit.
func (h *vvcHeader) weights(second bool) {
	h.ue()
	if h.sps.chroma {
		h.se()
	}
	for list := range 2 {
		if list == 1 && !second {
			return
		}
		n := h.active[list]
		if h.pps.weightsInPH {
			n = h.ueMax(15, errVVCSlice)
		}
		luma, chroma := h.u(uint(n)), uint32(0)
		if h.sps.chroma {
			chroma = h.u(uint(n))
		}
		for i := n; i > 0 && h.err == nil; i-- {
			if luma>>(i-1)&1 == 1 {
				h.se()
				h.se()
			}
			if chroma>>(i-1)&1 == 1 {
				for range 4 {
					h.se()
				}
			}
		}
	}
}

// quantization reads from sh_qp_delta to the deblocking offsets.
func (h *vvcHeader) quantization() {
	q := h.pps
	if !q.qpDeltaInPH {
		h.se()
	}
	if q.sliceChromaOffsets {
		h.se()
		h.se()
		if h.sps.jointCbCr {
			h.se()
		}
	}
	if q.chromaOffsetList {
		h.skip(1)
	}
	if h.sps.sao && !q.saoInPH {
		h.saoFlags()
	}
	if q.deblockOverride && !q.deblockInPH {
		h.deblocking()
	}
}

func (h *vvcHeader) saoFlags() {
	h.skip(1)
	if h.sps.chroma {
		h.skip(1)
	}
}

// deblocking reads from ph_deblocking_params_present_flag, or its like in a slice header.
func (h *vvcHeader) deblocking() {
	if !h.flag() {
		return
	}
	if disabled := !h.pps.deblockDisabled && h.flag(); !disabled {
		h.pps.deblockOffsets(&h.bitReader)
	}
}

// residual reads from sh_dep_quant_used_flag to sh_reverse_last_sig_coeff_flag.
func (h *vvcHeader) residual() {
	depQuant := h.sps.depQuant && h.flag()
	hiding := h.sps.signHiding && !depQuant && h.flag()
	disabled := h.sps.transformSkip && !depQuant && !hiding && h.flag()
	if !disabled && h.sps.riceInSH {
		h.skip(3)
	}
	if h.sps.reverseLastSH {
		h.skip(1)
	}
}

func (h *vvcHeader) entryPoints(s vvcSubstreams) {
	n := uint64(s.tiles)
	if h.sps.entropySync {
		n = uint64(s.rows)
	}
	if !h.sps.entryPoints || n <= 1 {
		return
	}
	h.skip((n - 1) * uint64(h.ueMax(31, errVVCSlice)+1))
}
