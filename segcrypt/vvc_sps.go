package segcrypt

// This file reads the second half of a VVC sequence parameter set (H.266, 7.3.2.4).

// tools reads from sps_transform_skip_enabled_flag to sps_sign_data_hiding_enabled_flag.
func (s *vvcSPS) tools(r *bitReader, chromaFormat uint32, transform64 bool) {
	if s.transformSkip = r.flag(); s.transformSkip {
		r.ue()
		r.skip(1)
	}
	if r.flag() { // sps_mts_enabled_flag
		r.skip(2)
	}
	lfnst := r.flag()
	if s.chroma {
		s.chromaTables(r)
	}
	s.sao = r.flag()
	s.alf = r.flag()
	s.ccALF = s.alf && s.chroma && r.flag()
	s.lmcs = r.flag()
	weighted, bipred := r.flag(), r.flag()
	s.weighted = weighted || bipred
	s.longTermRefs = r.flag()
	s.idrRefLists = r.flag()
	s.refLists(r)
	s.interTools(r)
	r.skip(3) // ISP, MRL, MIP
	if s.chroma {
		r.skip(1)
	}
	if chromaFormat == 1 {
		r.skip(2)
	}
	palette := r.flag()
	act := chromaFormat == 3 && !transform64 && r.flag()
	if s.transformSkip || palette {
		r.ue()
	}
	if r.flag() { // sps_ibc_enabled_flag
		r.ue()
	}
	if r.flag() { // sps_ladf_enabled_flag
		n := r.u(2) + 1
		r.se()
		for range n {
			r.se()
			r.ue()
		}
	}
	if s.scalingLists = r.flag(); s.scalingLists {
		if lfnst {
			r.skip(1)
		}
		if act && r.flag() {
			r.skip(1)
		}
	}
	s.depQuant, s.signHiding = r.flag(), r.flag()
}

// chromaTables reads sps_joint_cbcr_enabled_flag and the tables of chroma quantizers.
func (s *vvcSPS) chromaTables(r *bitReader) {
	s.jointCbCr = r.flag()
	tables := 2
	switch {
	case r.flag():
		tables = 1
	case s.jointCbCr:
		tables = 3
	}
	for range tables {
		r.se()
		n := r.ueMax(63, errVVCParam) + 1
		for range n {
			r.ue()
			r.ue()
		}
	}
}

// refLists reads the reference picture lists of the sequence.
func (s *vvcSPS) refLists(r *bitReader) {
	same := r.flag() // sps_rpl1_same_as_rpl0_flag
	for i := range s.lists {
		if i == 1 && same {
			s.lists[1] = s.lists[0]
			return
		}
		n := r.ueMax(vvcMaxLists, errVVCParam)
		for j := uint32(0); j < n && r.err == nil; j++ {
			s.lists[i] = append(s.lists[i], s.refList(r, true))
		}
	}
}

// refList reads ref_pic_list_struct (7.3.10); inSPS tells those of the sequence from those in headers.
func (s *vvcSPS) refList(r *bitReader, inSPS bool) vvcRefList {
	list := vvcRefList{entries: uint8(r.ueMax(vvcMaxRefEntries, errVVCParam)), inHeader: true}
	if s.longTermRefs && inSPS && list.entries > 0 {
		list.inHeader = r.flag()
	}
	for i := uint8(0); i < list.entries && r.err == nil; i++ {
		if s.longTermRefs && !r.flag() { // st_ref_pic_flag
			list.longTerm++
			if !list.inHeader {
				r.u(s.pocBits)
			}
			continue
		}
		distance := r.ueMax(1<<15-1, errVVCParam)
		if !s.weighted || i == 0 {
			distance++
		}
		if distance > 0 {
			r.skip(1)
		}
	}
	return list
}

// interTools reads from sps_ref_wraparound_enabled_flag to sps_log2_parallel_merge_level_minus2.
func (s *vvcSPS) interTools(r *bitReader) {
	r.skip(1)
	if s.temporalMVP = r.flag(); s.temporalMVP {
		r.skip(1)
	}
	amvr := r.flag()
	s.bdofInPH = r.flag() && r.flag()
	r.skip(1) // sps_smvd_enabled_flag
	s.dmvrInPH = r.flag() && r.flag()
	s.fullPelMMVD = r.flag() && r.flag()
	mergeCandidates := 6 - r.ueMax(5, errVVCParam)
	r.skip(1)     // sps_sbt_enabled_flag
	if r.flag() { // sps_affine_enabled_flag
		r.ue()
		r.skip(1)
		if amvr {
			r.skip(1)
		}
		s.profInPH = r.flag() && r.flag()
	}
	r.skip(2) // BCW, CIIP
	if mergeCandidates >= 2 && r.flag() && mergeCandidates >= 3 {
		r.ue()
	}
	r.ue()
}

// trailer reads from sps_virtual_boundaries_enabled_flag to the range extension. Other extensions could change slice headers.
func (s *vvcSPS) trailer(r *bitReader, full bool, subLayers uint32) {
	if r.flag() {
		if s.virtualBoundariesInPH = !r.flag(); !s.virtualBoundariesInPH {
			vvcBoundaries(r)
		}
	}
	if full && r.flag() {
		vvcTiming(r, subLayers)
	}
	r.skip(1)     // sps_field_seq_flag
	if r.flag() { // sps_vui_parameters_present_flag
		n := uint64(r.ueMax(1023, errVVCParam)) + 1
		r.align()
		r.skip(8 * n)
	}
	if !r.flag() { // sps_extension_flag
		return
	}
	inRange := r.flag()
	if r.u(7) != 0 {
		r.fail(errVVCParam)
	}
	if inRange {
		r.skip(1)
		s.riceInSH = s.transformSkip && r.flag()
		r.skip(2)
		s.reverseLastSH = r.flag()
	}
}

// vvcBoundaries reads the virtual boundaries of a sequence or a picture.
func vvcBoundaries(r *bitReader) {
	for range 2 {
		n := r.ueMax(3, errVVCParam)
		for range n {
			r.ue()
		}
	}
}

// vvcTiming reads general_timing_hrd_parameters and ols_timing_hrd_parameters (7.3.5).
func vvcTiming(r *bitReader, subLayers uint32) {
	r.skip(64)
	nal, vcl := r.flag(), r.flag()
	units, buffers := false, uint32(1)
	if nal || vcl {
		r.skip(1)
		if units = r.flag(); units {
			r.skip(8)
		}
		r.skip(8)
		if units {
			r.skip(4)
		}
		buffers = r.ueMax(31, errVVCParam) + 1
	}
	first := subLayers
	if subLayers > 0 && r.flag() {
		first = 0
	}
	for range subLayers - first + 1 {
		switch {
		case r.flag() || r.flag(): // fixed_pic_rate_general_flag, or within a sequence
			r.ue()
		case (nal || vcl) && buffers == 1:
			r.skip(1)
		}
		for _, present := range [...]bool{nal, vcl} {
			for i := uint32(0); present && i < buffers; i++ {
				r.ue()
				r.ue()
				if units {
					r.ue()
					r.ue()
				}
				r.skip(1)
			}
		}
	}
}
