package segcrypt

const hevcSliceB, hevcSliceP = 0, 1

// hevcSlice is the state of reading one slice segment header.
type hevcSlice struct {
	bitReader
	sps         *hevcSPS
	pps         *hevcPPS
	typ         byte // nal_unit_type
	sliceType   uint32
	pictures    uint32 // NumPicTotalCurr
	temporalMVP bool
	saoLuma     bool
	saoChroma   bool
	active      [2]uint32 // num_ref_idx_lX_active_minus1
}

// sliceHeaderSize returns the bytes that must stay clear in front of slice segment data: the NAL unit header and the slice
// segment header with its alignment, emulation prevention included (H.265, 7.3.6.1; 23001-7, 9.5). nal has at least 2 bytes.
func (p *hevcParams) sliceHeaderSize(nal []byte) (int, error) {
	s := hevcSlice{bitReader: bitReader{buf: nal, escaped: true}, typ: nal[0] >> 1 & 63}
	s.skip(16)
	first := s.flag()
	if s.typ >= hevcBLA && s.typ <= 23 {
		s.skip(1)
	}
	s.pps = p.pps[s.ueMax(63, errHEVCSlice)]
	if s.err != nil {
		return 0, s.err
	}
	if s.pps == nil || p.sps[s.pps.spsID] == nil {
		return 0, errHEVCNoParam
	}
	s.sps = p.sps[s.pps.spsID]
	dependent := false
	if !first {
		dependent = s.pps.dependentSlices && s.flag()
		s.u(s.sps.sliceAddressBits)
	}
	if !dependent {
		s.independent()
	}
	s.entryPoints()
	if s.pps.sliceHeaderExtension {
		s.skip(8 * uint64(s.ueMax(256, errHEVCSlice)))
	}
	// byte_alignment: a one, then zeros to the end of the byte.
	s.trailingBits(errHEVCAlign)
	return s.bytesRead(), s.err
}

// independent reads what a dependent slice segment takes over from the segment before.
func (s *hevcSlice) independent() {
	s.skip(s.pps.extraSliceHeaderBits)
	s.sliceType = s.ueMax(2, errHEVCSlice)
	if s.pps.outputFlagPresent {
		s.skip(1)
	}
	if s.sps.separateColourPlane {
		s.skip(2)
	}
	if s.typ != hevcIDRWithRADL && s.typ != hevcIDRNoLP {
		s.referencePictures()
	}
	if s.sps.sampleAdaptiveOffset {
		s.saoLuma = s.flag()
		s.saoChroma = s.sps.chromaArrayType != 0 && s.flag()
	}
	if s.sliceType == hevcSliceP || s.sliceType == hevcSliceB {
		s.interPrediction()
	}
	s.se()
	if s.pps.sliceChromaQPOffsets {
		s.se()
		s.se()
	}
	if s.pps.chromaQPOffsetListInUse {
		s.skip(1)
	}
	deblockingDisabled := s.pps.deblockingDisabled
	if s.pps.deblockingOverride && s.flag() {
		if deblockingDisabled = s.flag(); !deblockingDisabled {
			s.se()
			s.se()
		}
	}
	if s.pps.loopFilterAcrossSlices && (s.saoLuma || s.saoChroma || !deblockingDisabled) {
		s.skip(1)
	}
}

// referencePictures reads from slice_pic_order_cnt_lsb to slice_temporal_mvp_enabled_flag and counts NumPicTotalCurr.
func (s *hevcSlice) referencePictures() {
	s.u(s.sps.log2MaxPicOrderCnt)
	if !s.flag() {
		var set hevcRPS
		set.read(&s.bitReader, s.sps.rps, true)
		s.pictures = set.numUsed()
	} else {
		i := s.u(ceilLog2(uint32(len(s.sps.rps))))
		if int(i) >= len(s.sps.rps) {
			s.fail(errHEVCSlice)
			return
		}
		s.pictures = s.sps.rps[i].numUsed()
	}
	if s.sps.longTermRefsPresent {
		s.longTerm()
	}
	if s.sps.temporalMVP {
		s.temporalMVP = s.flag()
	}
}

func (s *hevcSlice) longTerm() {
	inSPS := uint32(len(s.sps.longTermUsed))
	fromSPS := uint32(0)
	if inSPS > 0 {
		fromSPS = s.ueMax(inSPS, errHEVCSlice)
	}
	total := fromSPS + s.ueMax(hevcMaxLongTerm, errHEVCSlice)
	for i := uint32(0); i < total && s.err == nil; i++ {
		var used bool
		if i < fromSPS {
			j := s.u(ceilLog2(inSPS))
			if j >= inSPS {
				s.fail(errHEVCSlice)
				return
			}
			used = s.sps.longTermUsed[j]
		} else {
			s.u(s.sps.log2MaxPicOrderCnt)
			used = s.flag()
		}
		if used {
			s.pictures++
		}
		if s.flag() {
			s.ue()
		}
	}
}

// interPrediction reads what only P and B slices have.
func (s *hevcSlice) interPrediction() {
	lists := 1
	if s.sliceType == hevcSliceB {
		lists = 2
	}
	s.active = s.pps.numRefIdxDefault
	if s.flag() {
		for i := range lists {
			s.active[i] = s.ueMax(hevcMaxRefIdx, errHEVCSlice)
		}
	}
	if s.pps.listsModification && s.pictures > 1 {
		for i := range lists {
			if s.flag() {
				s.skip(uint64(s.active[i]+1) * uint64(ceilLog2(s.pictures)))
			}
		}
	}
	if lists == 2 {
		s.skip(1)
	}
	if s.pps.cabacInitPresent {
		s.skip(1)
	}
	if s.temporalMVP {
		list := 0
		if lists == 2 && !s.flag() {
			list = 1
		}
		if s.active[list] > 0 {
			s.ueMax(hevcMaxRefIdx, errHEVCSlice)
		}
	}
	if s.pps.weightedPred && lists == 1 || s.pps.weightedBipred && lists == 2 {
		s.weights(lists)
	}
	s.ueMax(4, errHEVCSlice)
}

// weights reads pred_weight_table (H.265, 7.3.6.3).
func (s *hevcSlice) weights(lists int) {
	s.ue()
	chroma := s.sps.chromaArrayType != 0
	if chroma {
		s.se()
	}
	for list := range lists {
		n := uint(s.active[list]) + 1
		luma := s.u(n)
		color := uint32(0)
		if chroma {
			color = s.u(n)
		}
		for i := uint(0); i < n && s.err == nil; i++ {
			if luma>>(n-1-i)&1 == 1 {
				s.se()
				s.se()
			}
			if color>>(n-1-i)&1 == 1 {
				for range 4 {
					s.se()
				}
			}
		}
	}
}

func (s *hevcSlice) entryPoints() {
	if !s.pps.tilesOrSync {
		return
	}
	if n := s.ue(); n > 0 {
		s.skip(uint64(n) * uint64(s.ueMax(31, errHEVCSlice)+1))
	}
}
