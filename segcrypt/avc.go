package segcrypt

import (
	"bytes"
	"errors"
	"fmt"
)

// avcSPS and avcPPS hold what the length of a slice header depends on, and the NAL unit that they were read from.
type avcSPS struct {
	raw                     []byte
	separateColourPlane     bool
	chromaArrayType         uint32
	log2MaxFrameNum         uint
	picOrderCntType         uint32
	log2MaxPicOrderCntLsb   uint
	deltaPicOrderAlwaysZero bool
	frameMbsOnly            bool
	picSizeInMapUnits       uint64
}

type avcPPS struct {
	raw                     []byte
	spsID                   uint32
	entropyCodingMode       bool
	bottomFieldPicOrder     bool
	numSliceGroups          uint32
	sliceGroupMapType       uint32
	sliceGroupChangeRate    uint64
	numRefIdxDefault        [2]uint32
	weightedPred            bool
	weightedBipredIDC       uint32
	deblockingFilterControl bool
	redundantPicCntPresent  bool
}

// avcParams are the parameter sets in force. Values are never changed once stored, so a copy of the struct is a snapshot.
type avcParams struct {
	sps [32]*avcSPS
	pps [256]*avcPPS
}

var (
	errAVCParam     = errors.New("a parameter set has a value out of range")
	errAVCSlice     = errors.New("a slice header has a value out of range")
	errAVCNoParam   = fmt.Errorf("%w: a slice refers to one that is not there", ErrParameterSets)
	errAVCPartition = errors.New("slice data partitioning is not supported")
	errAVCExtension = errors.New("slice extensions (SVC, MVC) are not supported")
)

// Limits of the standard that also bound loops (H.264, 7.4.2 and 7.4.3).
const (
	avcMaxRefIdx       = 31
	avcMaxSliceGroups  = 7
	avcMaxListCommands = 67 // num_ref_idx_active + 1 modifications, or as many marking commands as frames and fields
)

const (
	avcSlice, avcPartitionA, avcPartitionC, avcIDR, avcSPSType, avcPPSType = 1, 2, 4, 5, 7, 8
	avcAuxiliary, avcExtension, avcExtension3D                             = 19, 20, 21
)

// avcHighProfile reports whether profile_idc has the chroma fields (H.264, 7.3.2.1.1).
func avcHighProfile(profile uint32) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

// addSPS reads a sequence parameter set NAL unit as far as the picture size (H.264, 7.3.2.1.1).
func (p *avcParams) addSPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	r.skip(8)
	s := &avcSPS{chromaArrayType: 1}
	profile := r.u(8)
	r.skip(16)
	id := r.ueMax(31, errAVCParam)
	if avcHighProfile(profile) {
		s.chromaArrayType = r.ueMax(3, errAVCParam)
		if s.chromaArrayType == 3 {
			if s.separateColourPlane = r.flag(); s.separateColourPlane {
				s.chromaArrayType = 0
			}
		}
		r.ue()
		r.ue()
		r.skip(1)
		if r.flag() {
			avcScalingLists(&r, s.chromaArrayType == 3 || s.separateColourPlane)
		}
	}
	s.log2MaxFrameNum = uint(r.ueMax(12, errAVCParam)) + 4
	s.picOrderCntType = r.ueMax(2, errAVCParam)
	switch s.picOrderCntType {
	case 0:
		s.log2MaxPicOrderCntLsb = uint(r.ueMax(12, errAVCParam)) + 4
	case 1:
		s.deltaPicOrderAlwaysZero = r.flag()
		r.se()
		r.se()
		for n := r.ueMax(255, errAVCParam); n > 0 && r.err == nil; n-- {
			r.se()
		}
	}
	r.ue()
	r.skip(1)
	width, height := r.ueMax(1<<14, errAVCParam)+1, r.ueMax(1<<14, errAVCParam)+1
	s.frameMbsOnly = r.flag()
	if r.err != nil {
		return r.err
	}
	s.picSizeInMapUnits = uint64(width) * uint64(height)
	s.raw = bytes.Clone(nal)
	p.sps[id] = s
	return nil
}

// avcScalingLists reads past the scaling lists (H.264, 7.3.2.1.1.1).
func avcScalingLists(r *bitReader, chroma444 bool) {
	lists := 8
	if chroma444 {
		lists = 12
	}
	for i := 0; i < lists && r.err == nil; i++ {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for j := 0; j < size && r.err == nil; j++ {
			if next != 0 {
				next = (last + r.se() + 256) & 255
			}
			if next != 0 {
				last = next
			}
		}
	}
}

// addPPS reads a picture parameter set NAL unit as far as redundant_pic_cnt_present_flag (H.264, 7.3.2.2).
func (p *avcParams) addPPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	r.skip(8)
	q := &avcPPS{}
	id := r.ueMax(255, errAVCParam)
	q.spsID = r.ueMax(31, errAVCParam)
	q.entropyCodingMode = r.flag()
	q.bottomFieldPicOrder = r.flag()
	q.numSliceGroups = r.ueMax(avcMaxSliceGroups, errAVCParam) + 1
	if q.numSliceGroups > 1 {
		q.sliceGroups(&r)
	}
	q.numRefIdxDefault[0] = r.ueMax(avcMaxRefIdx, errAVCParam)
	q.numRefIdxDefault[1] = r.ueMax(avcMaxRefIdx, errAVCParam)
	q.weightedPred = r.flag()
	q.weightedBipredIDC = r.u(2)
	r.se()
	r.se()
	r.se()
	q.deblockingFilterControl = r.flag()
	r.skip(1)
	q.redundantPicCntPresent = r.flag()
	if r.err != nil {
		return r.err
	}
	q.raw = bytes.Clone(nal)
	p.pps[id] = q
	return nil
}

func (q *avcPPS) sliceGroups(r *bitReader) {
	q.sliceGroupMapType = r.ueMax(6, errAVCParam)
	switch q.sliceGroupMapType {
	case 0:
		for range q.numSliceGroups {
			r.ue()
		}
	case 2:
		for range q.numSliceGroups - 1 {
			r.ue()
			r.ue()
		}
	case 3, 4, 5:
		r.skip(1)
		q.sliceGroupChangeRate = uint64(r.ue()) + 1
	case 6:
		n := uint64(r.ue()) + 1
		r.skip(n * uint64(ceilLog2(q.numSliceGroups)))
	}
}

// sliceHeaderSize returns the bytes that must stay clear in front of slice data: the NAL unit header and the slice
// header, rounded up to a whole byte, emulation prevention included (H.264, 7.3.3; 23001-7, 9.5). nal has at least 1 byte.
func (p *avcParams) sliceHeaderSize(nal []byte) (int, error) {
	r := bitReader{buf: nal, escaped: true}
	refIDC, typ := nal[0]>>5&3, nal[0]&31
	r.skip(8)
	r.ue()
	sliceType := r.ueMax(9, errAVCSlice) % 5
	pps := p.pps[r.ueMax(255, errAVCSlice)]
	if r.err != nil {
		return 0, r.err
	}
	if pps == nil || p.sps[pps.spsID] == nil {
		return 0, errAVCNoParam
	}
	sps := p.sps[pps.spsID]
	avcSliceOrder(&r, sps, pps, typ == avcIDR)
	lists := avcReferences(&r, sps, pps, sliceType)
	if refIDC != 0 {
		avcMarking(&r, typ == avcIDR)
	}
	if pps.entropyCodingMode && lists > 0 {
		r.ueMax(2, errAVCSlice)
	}
	avcQuantization(&r, sps, pps, sliceType)
	return r.bytesRead(), r.err
}

// Slice types modulo 5 (H.264, table 7-6).
const avcSliceP, avcSliceB, avcSliceSP, avcSliceSI = 0, 1, 3, 4

// avcReferences reads from direct_spatial_mv_pred_flag to pred_weight_table and returns the number of reference lists.
func avcReferences(r *bitReader, sps *avcSPS, pps *avcPPS, sliceType uint32) (lists int) {
	switch sliceType {
	case avcSliceP, avcSliceSP:
		lists = 1
	case avcSliceB:
		lists = 2
		r.skip(1)
	}
	active := pps.numRefIdxDefault
	if lists > 0 && r.flag() {
		for i := range lists {
			active[i] = r.ueMax(avcMaxRefIdx, errAVCSlice)
		}
	}
	for range lists {
		avcListModification(r)
	}
	if pps.weightedPred && lists == 1 || pps.weightedBipredIDC == 1 && lists == 2 {
		avcWeights(r, active[:lists], sps.chromaArrayType != 0)
	}
	return lists
}

// avcQuantization reads from slice_qp_delta to the end of the slice header.
func avcQuantization(r *bitReader, sps *avcSPS, pps *avcPPS, sliceType uint32) {
	r.se()
	if sliceType == avcSliceSP || sliceType == avcSliceSI {
		if sliceType == avcSliceSP {
			r.skip(1)
		}
		r.se()
	}
	if pps.deblockingFilterControl && r.ueMax(2, errAVCSlice) != 1 {
		r.se()
		r.se()
	}
	if pps.numSliceGroups > 1 && pps.sliceGroupMapType >= 3 && pps.sliceGroupMapType <= 5 {
		n := uint(0)
		for (uint64(1)<<n-1)*pps.sliceGroupChangeRate < sps.picSizeInMapUnits {
			n++
		}
		r.u(n)
	}
}

// avcSliceOrder reads from colour_plane_id to redundant_pic_cnt.
func avcSliceOrder(r *bitReader, sps *avcSPS, pps *avcPPS, idr bool) {
	if sps.separateColourPlane {
		r.skip(2)
	}
	r.u(sps.log2MaxFrameNum)
	field := false
	if !sps.frameMbsOnly {
		if field = r.flag(); field {
			r.skip(1)
		}
	}
	if idr {
		r.ue()
	}
	switch {
	case sps.picOrderCntType == 0:
		r.u(sps.log2MaxPicOrderCntLsb)
		if pps.bottomFieldPicOrder && !field {
			r.se()
		}
	case sps.picOrderCntType == 1 && !sps.deltaPicOrderAlwaysZero:
		r.se()
		if pps.bottomFieldPicOrder && !field {
			r.se()
		}
	}
	if pps.redundantPicCntPresent {
		r.ue()
	}
}

// avcListModification reads ref_pic_list_modification for one list (H.264, 7.3.3.1).
func avcListModification(r *bitReader) {
	if !r.flag() {
		return
	}
	for range avcMaxListCommands {
		if r.ueMax(3, errAVCSlice) == 3 || r.err != nil {
			return
		}
		r.ue()
	}
	r.fail(errAVCSlice)
}

// avcWeights reads pred_weight_table (H.264, 7.3.3.2).
func avcWeights(r *bitReader, active []uint32, chroma bool) {
	r.ue()
	if chroma {
		r.ue()
	}
	for _, last := range active {
		for i := uint32(0); i <= last && r.err == nil; i++ {
			if r.flag() {
				r.se()
				r.se()
			}
			if chroma && r.flag() {
				for range 4 {
					r.se()
				}
			}
		}
	}
}

// avcMarking reads dec_ref_pic_marking (H.264, 7.3.3.3).
func avcMarking(r *bitReader, idr bool) {
	if idr {
		r.skip(2)
		return
	}
	if !r.flag() {
		return
	}
	for range avcMaxListCommands {
		switch op := r.ueMax(6, errAVCSlice); op {
		case 0:
			return
		case 3:
			r.ue()
			r.ue()
		case 1, 2, 4, 6:
			r.ue()
		}
		if r.err != nil {
			return
		}
	}
	r.fail(errAVCSlice)
}
