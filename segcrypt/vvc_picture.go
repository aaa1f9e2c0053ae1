package segcrypt

// picture reads picture_header_structure (H.266, 7.3.2.8).
func (h *vvcHeader) picture(p *vvcParams) {
	irap, unreferenced := h.flag(), h.flag()
	gdr := irap && h.flag()
	h.inter = h.flag()
	intra := !h.inter || h.flag()
	h.pps = p.pps[h.ueMax(63, errVVCSlice)]
	if h.err != nil {
		return
	}
	if h.pps == nil || p.sps[h.pps.spsID] == nil {
		h.fail(errVVCNoParam)
		return
	}
	h.sps = p.sps[h.pps.spsID]
	if !h.pps.noPartition && h.pps.ctuLog2 != h.sps.ctuLog2 {
		h.fail(errVVCParam)
		return
	}
	h.u(h.sps.pocBits)
	if gdr {
		h.ue()
	}
	h.skip(h.sps.extraPHBits)
	if h.sps.pocMSBBits > 0 && h.flag() {
		h.u(h.sps.pocMSBBits)
	}
	h.pictureFilters()
	if h.pps.outputFlag && !unreferenced {
		h.skip(1)
	}
	if h.pps.refListsInPH {
		h.refLists()
		h.refEntries = h.entries
	}
	h.pictureBlocks(intra)
	if h.inter {
		h.pictureInter()
	}
	if h.pps.qpDeltaInPH {
		h.se()
	}
	if h.sps.jointCbCr {
		h.skip(1)
	}
	if h.sps.sao && h.pps.saoInPH {
		h.saoFlags()
	}
	if h.pps.deblockInPH {
		h.deblocking()
	}
	if h.pps.phExtension {
		h.skip(8 * uint64(h.ueMax(256, errVVCSlice)))
	}
}

// pictureFilters reads from ph_alf_enabled_flag to the virtual boundaries.
func (h *vvcHeader) pictureFilters() {
	if h.sps.alf && h.pps.alfInPH {
		h.alf()
	}
	if h.sps.lmcs {
		if h.lmcs = h.flag(); h.lmcs {
			h.skip(2)
			if h.sps.chroma {
				h.skip(1)
			}
		}
	}
	if h.sps.scalingLists {
		if h.scalingList = h.flag(); h.scalingList {
			h.skip(3)
		}
	}
	if h.sps.virtualBoundariesInPH && h.flag() {
		vvcBoundaries(&h.bitReader)
	}
}

// pictureBlocks reads partition constraints and the granularity of quantizer changes, of intra and of inter slices.
func (h *vvcHeader) pictureBlocks(intra bool) {
	override := h.sps.partitionOverride && h.flag()
	for i, present := range [...]bool{intra, h.inter} {
		if !present {
			continue
		}
		if override {
			vvcPartition(&h.bitReader)
			if i == 0 && h.sps.dualTree {
				vvcPartition(&h.bitReader)
			}
		}
		if h.pps.cuQPDelta {
			h.ue()
		}
		if h.pps.chromaOffsetList {
			h.ue()
		}
	}
}

// pictureInter reads from ph_temporal_mvp_enabled_flag to pred_weight_table.
func (h *vvcHeader) pictureInter() {
	inPH := h.pps.refListsInPH
	if h.sps.temporalMVP {
		if h.temporalMVP = h.flag(); h.temporalMVP && inPH {
			list := 0
			if h.entries[1] > 0 && !h.flag() {
				list = 1
			}
			if h.entries[list] > 1 {
				h.ue()
			}
		}
	}
	if h.sps.fullPelMMVD {
		h.skip(1)
	}
	if !inPH || h.entries[1] > 0 {
		h.skip(1)
		if h.sps.bdofInPH {
			h.skip(1)
		}
		if h.sps.dmvrInPH {
			h.skip(1)
		}
	}
	if h.sps.profInPH {
		h.skip(1)
	}
	if h.pps.weightsInPH {
		h.weights(h.pps.weightedBi && h.entries[1] > 0)
	}
}
