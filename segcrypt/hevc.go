package segcrypt

import (
	"bytes"
	"errors"
	"fmt"
)

// hevcRPS is a short-term reference picture set: the POC distances of its negative pictures, then of its positive ones.
type hevcRPS struct {
	delta    [16]int32
	used     [16]bool
	negative int
	total    int
}

// numUsed counts the pictures that the current picture may refer to.
func (s *hevcRPS) numUsed() uint32 {
	n := uint32(0)
	for _, used := range s.used[:s.total] {
		if used {
			n++
		}
	}
	return n
}

// hevcSPS and hevcPPS hold what the length of a slice segment header depends on, and the NAL unit that they were read from.
type hevcSPS struct {
	raw                  []byte
	separateColourPlane  bool
	chromaArrayType      uint32
	log2MaxPicOrderCnt   uint
	sliceAddressBits     uint
	rps                  []hevcRPS
	longTermRefsPresent  bool
	longTermUsed         []bool
	temporalMVP          bool
	sampleAdaptiveOffset bool
}

type hevcPPS struct {
	raw                     []byte
	spsID                   uint32
	dependentSlices         bool
	outputFlagPresent       bool
	extraSliceHeaderBits    uint64
	cabacInitPresent        bool
	numRefIdxDefault        [2]uint32
	sliceChromaQPOffsets    bool
	weightedPred            bool
	weightedBipred          bool
	tilesOrSync             bool
	loopFilterAcrossSlices  bool
	deblockingOverride      bool
	deblockingDisabled      bool
	listsModification       bool
	sliceHeaderExtension    bool
	chromaQPOffsetListInUse bool
}

// hevcParams are the parameter sets in force. Values are never changed once stored, so a copy of the struct is a snapshot.
type hevcParams struct {
	sps [16]*hevcSPS
	pps [64]*hevcPPS
}

var (
	errHEVCParam   = errors.New("a parameter set has a value out of range")
	errHEVCSlice   = errors.New("a slice segment header has a value out of range")
	errHEVCNoParam = fmt.Errorf("%w: a slice segment refers to one that is not there", ErrParameterSets)
	errHEVCProfile = errors.New("the profile (scalable, multiview, 3D or screen content) is not supported")
	errHEVCLayer   = errors.New("coded slices of more than one layer are not supported")
	errHEVCType    = errors.New("a coded slice of a reserved NAL unit type")
	errHEVCAlign   = errors.New("a slice segment header does not end in its alignment bits")
)

// Limits of the standard that also bound loops (H.265, 7.4.3 and 7.4.7).
const (
	hevcMaxRefIdx   = 14
	hevcMaxRPS      = 64
	hevcMaxRefs     = 16
	hevcMaxLongTerm = 32
)

const (
	hevcFirstReserved, hevcBLA, hevcIDRWithRADL, hevcIDRNoLP, hevcCRA = 10, 16, 19, 20, 21
	hevcLastVCL, hevcSPSType, hevcPPSType                             = 31, 33, 34
)

// addSPS reads a sequence parameter set NAL unit as far as sps_temporal_mvp_enabled_flag (H.265, 7.3.2.2).
//
// Profiles whose extensions change the slice segment header are refused, so that the VUI need not be read.
func (p *hevcParams) addSPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	s := &hevcSPS{}
	r.skip(16 + 4)
	maxSubLayers := r.u(3)
	r.skip(1)
	r.skip(2 + 1)
	if profile := r.u(5); profile > 5 {
		r.fail(errHEVCProfile)
	}
	r.skip(80 + 8)
	hevcSubLayers(&r, maxSubLayers)
	id := r.ueMax(15, errHEVCParam)
	s.chromaArrayType = r.ueMax(3, errHEVCParam)
	if s.chromaArrayType == 3 {
		if s.separateColourPlane = r.flag(); s.separateColourPlane {
			s.chromaArrayType = 0
		}
	}
	width, height := r.ueMax(1<<16, errHEVCParam), r.ueMax(1<<16, errHEVCParam)
	if r.flag() {
		for range 4 {
			r.ue()
		}
	}
	r.ue()
	r.ue()
	s.log2MaxPicOrderCnt = uint(r.ueMax(12, errHEVCParam)) + 4
	log2CTB := hevcBlockSizes(&r, maxSubLayers)
	s.sliceAddressBits = ceilLog2((width + 1<<log2CTB - 1) >> log2CTB * ((height + 1<<log2CTB - 1) >> log2CTB))
	s.tools(&r)
	if r.err != nil {
		return r.err
	}
	s.raw = bytes.Clone(nal)
	p.sps[id] = s
	return nil
}

// hevcBlockSizes reads from sps_sub_layer_ordering_info_present_flag to max_transform_hierarchy_depth_intra.
func hevcBlockSizes(r *bitReader, maxSubLayers uint32) (log2CTB uint32) {
	first := maxSubLayers
	if r.flag() {
		first = 0
	}
	for range maxSubLayers - first + 1 {
		r.ue()
		r.ue()
		r.ue()
	}
	log2CTB = r.ueMax(3, errHEVCParam) + 3
	log2CTB += r.ueMax(3, errHEVCParam)
	for range 4 {
		r.ue()
	}
	return log2CTB
}

// tools reads from scaling_list_enabled_flag to sps_temporal_mvp_enabled_flag.
func (s *hevcSPS) tools(r *bitReader) {
	if r.flag() && r.flag() {
		hevcScalingLists(r)
	}
	r.skip(1)
	s.sampleAdaptiveOffset = r.flag()
	if r.flag() {
		r.skip(8)
		r.ue()
		r.ue()
		r.skip(1)
	}
	n := r.ueMax(hevcMaxRPS, errHEVCParam)
	for i := uint32(0); i < n && r.err == nil; i++ {
		var set hevcRPS
		set.read(r, s.rps, false)
		s.rps = append(s.rps, set)
	}
	if s.longTermRefsPresent = r.flag(); s.longTermRefsPresent {
		n := r.ueMax(hevcMaxLongTerm, errHEVCParam)
		for i := uint32(0); i < n && r.err == nil; i++ {
			r.u(s.log2MaxPicOrderCnt)
			s.longTermUsed = append(s.longTermUsed, r.flag())
		}
	}
	s.temporalMVP = r.flag()
}

// hevcSubLayers reads the sub-layer part of profile_tier_level (H.265, 7.3.3).
func hevcSubLayers(r *bitReader, maxSubLayers uint32) {
	var present [8]uint32
	for i := range maxSubLayers {
		present[i] = r.u(2)
	}
	if maxSubLayers > 0 {
		r.skip(uint64(8-maxSubLayers) * 2)
	}
	for i := range maxSubLayers {
		if present[i]&2 != 0 {
			r.skip(88)
		}
		if present[i]&1 != 0 {
			r.skip(8)
		}
	}
}

// hevcScalingLists reads past scaling_list_data (H.265, 7.3.4).
func hevcScalingLists(r *bitReader) {
	for size := 0; size < 4; size++ {
		step := 1
		if size == 3 {
			step = 3
		}
		for matrix := 0; matrix < 6 && r.err == nil; matrix += step {
			if !r.flag() {
				r.ue()
				continue
			}
			if size > 1 {
				r.se()
			}
			for range min(64, 1<<(4+2*size)) {
				r.se()
			}
		}
	}
}

// read reads st_ref_pic_set; earlier are the sets of the SPS before this one, all of them in a slice header (H.265, 7.3.7
// and 7.4.8).
func (s *hevcRPS) read(r *bitReader, earlier []hevcRPS, inSlice bool) {
	if len(earlier) > 0 && r.flag() {
		s.predict(r, earlier, inSlice)
		return
	}
	s.negative = int(r.ueMax(hevcMaxRefs, errHEVCParam))
	s.total = s.negative + int(r.ueMax(hevcMaxRefs, errHEVCParam))
	if s.total > hevcMaxRefs {
		r.fail(errHEVCParam)
		s.negative, s.total = 0, 0
		return
	}
	poc := int32(0)
	for i := range s.total {
		step := int32(r.ueMax(1<<15, errHEVCParam)) + 1
		switch {
		case i < s.negative:
			poc -= step
		case i == s.negative:
			poc = step
		default:
			poc += step
		}
		s.delta[i], s.used[i] = poc, r.flag()
	}
}

// predict derives the set from an earlier one. The spec keeps negative and positive distances in lists of their own, each
// from the nearest picture outward; here they lie behind one another.
func (s *hevcRPS) predict(r *bitReader, earlier []hevcRPS, inSlice bool) {
	back := 1
	if inSlice {
		back += int(r.ueMax(hevcMaxRPS, errHEVCParam))
	}
	negativeStep := r.flag()
	deltaRPS := int32(r.ueMax(1<<15, errHEVCParam)) + 1
	if negativeStep {
		deltaRPS = -deltaRPS
	}
	if back > len(earlier) {
		r.fail(errHEVCParam)
		return
	}
	ref := &earlier[len(earlier)-back]
	var used, keep [hevcMaxRefs + 1]bool
	for j := range ref.total + 1 {
		if used[j], keep[j] = r.flag(), true; !used[j] {
			keep[j] = r.flag()
		}
	}
	add := func(poc int32, j int, negative bool) {
		if !keep[j] || poc == 0 || poc < 0 != negative || s.total == hevcMaxRefs {
			return
		}
		s.delta[s.total], s.used[s.total] = poc, used[j]
		s.total++
	}
	for j := ref.total - 1; j >= ref.negative; j-- {
		add(ref.delta[j]+deltaRPS, j, true)
	}
	add(deltaRPS, ref.total, true)
	for j := range ref.negative {
		add(ref.delta[j]+deltaRPS, j, true)
	}
	s.negative = s.total
	for j := ref.negative - 1; j >= 0; j-- {
		add(ref.delta[j]+deltaRPS, j, false)
	}
	add(deltaRPS, ref.total, false)
	for j := ref.negative; j < ref.total; j++ {
		add(ref.delta[j]+deltaRPS, j, false)
	}
}

// addPPS reads a picture parameter set NAL unit (H.265, 7.3.2.3).
func (p *hevcParams) addPPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	q := &hevcPPS{}
	r.skip(16)
	id := r.ueMax(63, errHEVCParam)
	q.spsID = r.ueMax(15, errHEVCParam)
	q.dependentSlices = r.flag()
	q.outputFlagPresent = r.flag()
	q.extraSliceHeaderBits = uint64(r.u(3))
	r.skip(1)
	q.cabacInitPresent = r.flag()
	q.numRefIdxDefault[0] = r.ueMax(hevcMaxRefIdx, errHEVCParam)
	q.numRefIdxDefault[1] = r.ueMax(hevcMaxRefIdx, errHEVCParam)
	r.se()
	r.skip(1)
	transformSkip := r.flag()
	if r.flag() {
		r.ue()
	}
	r.se()
	r.se()
	q.sliceChromaQPOffsets = r.flag()
	q.weightedPred = r.flag()
	q.weightedBipred = r.flag()
	r.skip(1)
	tiles, sync := r.flag(), r.flag()
	q.tilesOrSync = tiles || sync
	if tiles {
		hevcTiles(&r)
	}
	q.filters(&r)
	if r.flag() {
		hevcScalingLists(&r)
	}
	q.listsModification = r.flag()
	r.ue()
	q.sliceHeaderExtension = r.flag()
	if r.flag() {
		q.extensions(&r, transformSkip)
	}
	if r.err != nil {
		return r.err
	}
	q.raw = bytes.Clone(nal)
	p.pps[id] = q
	return nil
}

// filters reads from pps_loop_filter_across_slices_enabled_flag to pps_tc_offset_div2.
func (q *hevcPPS) filters(r *bitReader) {
	q.loopFilterAcrossSlices = r.flag()
	if !r.flag() {
		return
	}
	q.deblockingOverride = r.flag()
	if q.deblockingDisabled = r.flag(); !q.deblockingDisabled {
		r.se()
		r.se()
	}
}

func hevcTiles(r *bitReader) {
	columns, rows := r.ueMax(1<<10, errHEVCParam), r.ueMax(1<<10, errHEVCParam)
	if !r.flag() {
		for i := uint32(0); i < columns+rows && r.err == nil; i++ {
			r.ue()
		}
	}
	r.skip(1)
}

// extensions reads the extension flags and the range extension, the one that may reach the slice header of a single layer.
func (q *hevcPPS) extensions(r *bitReader, transformSkip bool) {
	inRange := r.flag()
	multilayer, in3D, screenContent := r.flag(), r.flag(), r.flag()
	r.skip(4)
	if screenContent || multilayer || in3D {
		r.fail(errHEVCProfile)
	}
	if inRange {
		if transformSkip {
			r.ue()
		}
		r.skip(1)
		q.chromaQPOffsetListInUse = r.flag()
	}
}
