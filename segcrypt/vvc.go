package segcrypt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// VVC is off unless ParseOptions says otherwise: 23001-7 names no rule of its own for it in the editions at hand, so slices are
// treated as those of HEVC are, as GPAC does. Clauses here are of ITU-T H.266 (V3).

// vvcRefList is what of a ref_pic_list_struct decides the length of headers.
type vvcRefList struct {
	entries, longTerm uint8
	inHeader          bool // ltrp_in_header_flag
}

// vvcSPS holds what the length of picture and slice headers depends on, and the NAL unit that it was read from.
type vvcSPS struct {
	raw                     []byte
	chroma                  bool // sps_chroma_format_idc is not 0
	ctuLog2                 uint
	subpictures             bool // sps_subpic_info_present_flag, with one subpicture
	subpicIDBits            uint
	entropySync             bool
	entryPoints             bool
	pocBits                 uint
	pocMSBBits              uint // 0 without sps_poc_msb_cycle_flag
	extraPHBits             uint64
	extraSHBits             uint64
	partitionOverride       bool
	dualTree                bool
	transformSkip           bool
	jointCbCr               bool
	sao, alf, ccALF, lmcs   bool
	weighted                bool
	longTermRefs            bool
	idrRefLists             bool
	lists                   [2][]vvcRefList
	temporalMVP             bool
	bdofInPH, dmvrInPH      bool
	fullPelMMVD, profInPH   bool
	scalingLists            bool
	depQuant, signHiding    bool
	virtualBoundariesInPH   bool
	riceInSH, reverseLastSH bool
}

// vvcParams are the parameter sets in force. Values are never changed once stored, so a copy of the struct is a snapshot.
type vvcParams struct {
	sps [16]*vvcSPS
	pps [64]*vvcPPS
}

var (
	errVVCParam   = errors.New("a parameter set has a value out of range")
	errVVCSlice   = errors.New("a picture or slice header has a value out of range")
	errVVCNoParam = fmt.Errorf("%w: a picture header refers to one that is not there", ErrParameterSets)
	errVVCPicture = errors.New("a slice without a picture header in its sample")
	errVVCSubpics = errors.New("several subpictures are not supported")
	errVVCLayer   = errors.New("more than one layer is not supported")
	errVVCType    = errors.New("a coded slice of a reserved NAL unit type")
	errVVCAlign   = errors.New("a slice header does not end in its alignment bits")
)

const (
	vvcIDRWithRADL, vvcIDRNoLP, vvcCRA, vvcGDR        = 7, 8, 9, 10
	vvcFirstReserved, vvcLastVCL                      = 4, 11
	vvcOPI, vvcDCI, vvcSPSType, vvcPPSType, vvcPHType = 12, 13, 15, 16, 19
	vvcMaxRefEntries, vvcMaxLists                     = 29, 64
)

// has reports whether nal repeats a parameter set in force.
func (p *vvcParams) has(nal []byte) bool {
	if nal[1]>>3 == vvcSPSType {
		for _, s := range p.sps {
			if s != nil && string(s.raw) == string(nal) {
				return true
			}
		}
		return false
	}
	for _, q := range p.pps {
		if q != nil && string(q.raw) == string(nal) {
			return true
		}
	}
	return false
}

// addSPS reads a sequence parameter set NAL unit (7.3.2.4).
func (p *vvcParams) addSPS(nal []byte) error {
	r := bitReader{buf: nal, escaped: true}
	s := &vvcSPS{}
	r.skip(16)
	id := r.u(4)
	if r.u(4) != 0 { // sps_video_parameter_set_id
		r.fail(errVVCLayer)
	}
	subLayers := r.u(3)
	chromaFormat := r.u(2)
	s.chroma = chromaFormat != 0
	s.ctuLog2 = uint(r.u(2)) + 5
	full := r.flag() // sps_ptl_dpb_hrd_params_present_flag
	if full {
		vvcProfile(&r, subLayers)
	}
	r.skip(1)
	if r.flag() {
		r.skip(1)
	}
	r.ue()
	r.ue()
	if r.flag() {
		for range 4 {
			r.ue()
		}
	}
	s.subpictureInfo(&r)
	r.ueMax(8, errVVCParam)
	s.entropySync, s.entryPoints = r.flag(), r.flag()
	s.pocBits = uint(r.u(4)) + 4
	if r.flag() {
		s.pocMSBBits = uint(r.ueMax(31, errVVCParam)) + 1
	}
	s.extraPHBits, s.extraSHBits = vvcExtraBits(&r), vvcExtraBits(&r)
	if full {
		vvcDPB(&r, subLayers)
	}
	transform64 := s.partitioning(&r)
	s.tools(&r, chromaFormat, transform64)
	s.trailer(&r, full, subLayers)
	r.trailingBits(errVVCParam)
	if r.err != nil {
		return r.err
	}
	s.raw = bytes.Clone(nal)
	p.sps[id] = s
	return nil
}

// vvcProfile reads profile_tier_level with profileTierPresentFlag (7.3.3.1).
func vvcProfile(r *bitReader, subLayers uint32) {
	r.skip(8 + 8 + 2)
	if r.flag() { // gci_present_flag
		r.skip(71)
		r.skip(uint64(r.u(8)))
	}
	r.align()
	present := r.u(uint(subLayers))
	r.align()
	for ; present != 0; present &= present - 1 {
		r.skip(8)
	}
	r.skip(32 * uint64(r.u(8)))
}

// align skips to the next whole byte.
func (r *bitReader) align() { r.u(r.left) }

// trailingBits reads a one and zeros up to the next whole byte, as parameter sets and slice headers end in. Anything else means
// that the syntax before was misread.
func (r *bitReader) trailingBits(what error) {
	if !r.flag() || r.u(r.left) != 0 {
		r.fail(what)
	}
}

// subpictureInfo reads from sps_subpic_info_present_flag to sps_subpic_id.
func (s *vvcSPS) subpictureInfo(r *bitReader) {
	if s.subpictures = r.flag(); !s.subpictures {
		return
	}
	if r.ue() != 0 {
		r.fail(errVVCSubpics)
	}
	s.subpicIDBits = uint(r.ueMax(15, errVVCParam)) + 1
	if r.flag() && r.flag() {
		r.u(s.subpicIDBits)
	}
}

// vvcExtraBits counts the flags set in sps_num_extra_ph_bytes or sps_num_extra_sh_bytes bytes.
func vvcExtraBits(r *bitReader) (n uint64) {
	for range 8 * r.u(2) {
		if r.flag() {
			n++
		}
	}
	return n
}

func vvcDPB(r *bitReader, subLayers uint32) {
	n := uint32(1)
	if subLayers > 0 && r.flag() {
		n = subLayers + 1
	}
	for range 3 * n {
		r.ue()
	}
}

// partitioning reads from sps_log2_min_luma_coding_block_size_minus2 to sps_max_luma_transform_size_64_flag.
func (s *vvcSPS) partitioning(r *bitReader) (transform64 bool) {
	r.ue()
	s.partitionOverride = r.flag()
	vvcPartition(r)
	if s.chroma {
		if s.dualTree = r.flag(); s.dualTree {
			vvcPartition(r)
		}
	}
	vvcPartition(r)
	return s.ctuLog2 > 5 && r.flag()
}

// vvcPartition reads the constraints of one kind of coding tree: the least size of quadtree leaves, the depth of multi-type
// trees and, if there are any, the greatest sizes of their leaves.
func vvcPartition(r *bitReader) {
	r.ue()
	if r.ue() != 0 {
		r.ue()
		r.ue()
	}
}

// addConfig reads VvcDecoderConfigurationRecord behind version and flags (14496-15, 11.2.4.2).
func (p *vvcParams) addConfig(b []byte) (lengthSize int, err error) {
	if len(b) < 6 {
		return 0, errCodecConfig
	}
	r := bitReader{buf: b[4:]}
	r.skip(5)
	if lengthSize = int(r.u(2)) + 1; lengthSize == 3 {
		return 0, errLengthSize
	}
	if r.flag() { // ptl_present_flag
		r.skip(9)
		subLayers := r.u(3)
		r.skip(2 + 2 + 3 + 5 + 2)
		constraints := uint64(r.u(6))
		r.skip(7 + 1 + 8 + 2)
		if constraints > 0 {
			r.skip(8*constraints - 2)
		} else {
			r.align()
		}
		if subLayers > 1 {
			present := r.u(uint(subLayers) - 1)
			r.align()
			for ; present != 0; present &= present - 1 {
				r.skip(8)
			}
		}
		r.skip(32 * uint64(r.u(8)))
		r.skip(48)
	}
	arrays := int(r.u(8))
	if r.err != nil {
		return 0, errCodecConfig
	}
	return lengthSize, p.addArrays(b[4+r.bytesRead():], arrays)
}

// addArrays reads the NAL units of a configuration record. Those of types OPI and DCI come alone and have no count.
func (p *vvcParams) addArrays(b []byte, arrays int) (err error) {
	for range arrays {
		if len(b) < 1 {
			return errCodecConfig
		}
		typ, count := b[0]&31, 1
		b = b[1:]
		if typ != vvcOPI && typ != vvcDCI {
			if len(b) < 2 {
				return errCodecConfig
			}
			count, b = int(binary.BigEndian.Uint16(b)), b[2:]
		}
		add := func([]byte) error { return nil }
		switch typ {
		case vvcSPSType:
			add = p.addSPS
		case vvcPPSType:
			add = p.addPPS
		}
		if b, err = nalArray(b, count, add); err != nil {
			return err
		}
	}
	return nil
}
