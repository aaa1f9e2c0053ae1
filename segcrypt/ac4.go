package segcrypt

import "errors"

// An AC-4 sample is one raw_ac4_frame: the table of contents, which stays clear, and the substreams (23001-7, 2023, AC-4).
// Clauses here are of ETSI TS 103 190-2 V1.2.1. Bitstream versions 0 and 1 are deprecated there and have another syntax; no
// packager writes them, and they are refused.

var (
	errAC4Version = errors.New("AC-4 bitstream versions before 2 are not supported")
	errAC4Value   = errors.New("an AC-4 table of contents has a value out of range")
	errAC4Sizes   = errors.New("the substreams of an AC-4 frame reach past its end")
)

// ac4MaxGroups bounds the substream groups of a frame; level 3 streams have at most 6 (Annex F).
const ac4MaxGroups = 64

// ac4TOC reads one ac4_toc (6.2.1.1) for its length. Names follow the specification.
type ac4TOC struct {
	bitReader
	fsIndex     bool
	frameRate   uint32
	groups      int                // total_n_substream_groups
	rateFactors [ac4MaxGroups]byte // frame_rate_factor of the presentation that a group belongs to
}

// ac4TOCSize returns the bytes of the table of contents of a sample, its byte_align included.
func ac4TOCSize(sample []byte) (int, error) {
	t := ac4TOC{bitReader: bitReader{buf: sample}}
	version := t.u(2)
	if version == 3 {
		version += t.variable(2)
	}
	if version < 2 {
		t.fail(errAC4Version)
	}
	t.skip(10)                   // sequence_counter
	if t.flag() && t.u(3) != 0 { // b_wait_frames, wait_frames
		t.skip(2)
	}
	t.fsIndex = t.flag()
	t.frameRate = t.u(4)
	t.skip(1) // b_iframe_global
	presentations := uint32(1)
	if !t.flag() { // b_single_presentation
		presentations = 0
		if t.flag() {
			presentations = t.variable(2) + 2
		}
	}
	payloadBase := uint32(0)
	if t.flag() {
		if payloadBase = t.u(5) + 1; payloadBase == 32 {
			payloadBase += t.variable(3)
		}
	}
	if t.flag() { // b_program_id
		t.skip(16)
		if t.flag() {
			t.skip(128)
		}
	}
	for ; presentations > 0 && t.err == nil; presentations-- {
		t.presentation()
	}
	for i := 0; i < t.groups && t.err == nil; i++ {
		t.group(int(t.rateFactors[i]))
	}
	sizes := t.substreamSizes()
	if t.err != nil {
		return 0, t.err
	}
	if uint64(payloadBase)+sizes > uint64(len(sample)-t.bytesRead()) {
		return 0, errAC4Sizes
	}
	return t.bytesRead(), nil
}

// mapAC4 adds a sample to runs: its table of contents stays clear, the rest is protected.
func mapAC4(sample []byte, runs *subsampleBuilder) error {
	if len(sample) == 0 {
		return nil
	}
	n, err := ac4TOCSize(sample)
	if err != nil {
		return err
	}
	runs.add(n, len(sample)-n)
	return nil
}

// variable reads variable_bits(n) (ETSI TS 103 190-1, 4.2.2).
func (t *ac4TOC) variable(n uint) uint32 {
	v := uint64(0)
	for {
		v += uint64(t.u(n))
		if t.err != nil || !t.flag() {
			return uint32(v)
		}
		if v = (v + 1) << n; v > 1<<31 {
			t.fail(errAC4Value)
			return 0
		}
	}
}

// escape reads n bits; the largest value is followed by variable_bits(more), which is added.
func (t *ac4TOC) escape(n, more uint) uint32 {
	v := t.u(n)
	if v == 1<<n-1 {
		v += t.variable(more)
	}
	return v
}

// presentation reads ac4_presentation_v1_info (6.2.1.3).
func (t *ac4TOC) presentation() {
	single := t.flag()
	config := uint32(0)
	if !single {
		config = t.escape(3, 2)
	}
	for t.flag() { // presentation_version
	}
	moreEMDF := !single && config == 6
	if !moreEMDF {
		t.skip(3)     // mdcompat
		if t.flag() { // b_presentation_id
			t.variable(2)
		}
		factor := t.frameRateInfo()
		t.emdfInfo()
		if t.flag() { // b_presentation_filter
			t.skip(1)
		}
		t.presentationGroups(single, config, factor)
		t.skip(1) // b_pre_virtualized
		moreEMDF = t.flag()
		t.skip(2)      // b_alternative, b_pres_ndot
		t.escape(2, 2) // substream_index
	}
	if !moreEMDF {
		return
	}
	n := t.u(2)
	if n == 0 {
		n = t.variable(2) + 4
	}
	for ; n > 0 && t.err == nil; n-- {
		t.emdfInfo()
	}
}

// frameRateInfo reads frame_rate_multiply_info and frame_rate_fractions_info (6.2.1.4) and returns frame_rate_factor.
func (t *ac4TOC) frameRateInfo() (factor byte) {
	factor = 1
	switch t.frameRate {
	case 2, 3, 4:
		if t.flag() {
			factor = 2
			if t.flag() {
				factor = 4
			}
		}
	case 0, 1, 7, 8, 9:
		if t.flag() {
			factor = 2
		}
	}
	switch {
	case t.frameRate >= 5 && t.frameRate <= 9 && factor == 1:
		t.skip(1)
	case t.frameRate >= 10 && t.frameRate <= 12:
		if t.flag() {
			t.skip(1)
		}
	}
	return factor
}

// emdfInfo reads emdf_info (ETSI TS 103 190-1, 4.2.3.6).
func (t *ac4TOC) emdfInfo() {
	t.escape(2, 2) // emdf_version
	t.escape(3, 3) // key_id
	if t.flag() {  // b_emdf_payloads_substream_info
		t.escape(2, 2)
	}
	protectionBits := [4]uint64{0, 8, 32, 128}
	primary, secondary := t.u(2), t.u(2)
	t.skip(protectionBits[primary])
	t.skip(protectionBits[secondary])
}

// presentationGroups reads which substream groups a presentation has, from ac4_sgi_specifier to presentation_config_ext_info.
func (t *ac4TOC) presentationGroups(single bool, config uint32, factor byte) {
	n := uint32(1)
	if !single {
		t.skip(1) // b_multi_pid
		switch config {
		case 0, 1, 2:
			n = 2
		case 3, 4:
			n = 3
		case 5:
			n = t.escape(2, 2) + 2
		default:
			n = 0
			bytes := t.u(5)
			if t.flag() {
				bytes += t.variable(2) << 5
			}
			t.skip(8 * uint64(bytes))
		}
	}
	for ; n > 0 && t.err == nil; n-- {
		i := int(t.escape(3, 2))
		switch {
		case i >= ac4MaxGroups || t.err != nil:
			t.fail(errAC4Value)
			return
		case t.rateFactors[i] != 0 && t.rateFactors[i] != factor:
			t.fail(errAC4Value) // the group's length would depend on which presentation is meant
			return
		}
		t.rateFactors[i] = factor
		t.groups = max(t.groups, i+1)
	}
}

// substreamSizes reads substream_index_table and returns the sum of the sizes that it lists.
func (t *ac4TOC) substreamSizes() (sum uint64) {
	n := t.u(2)
	if n == 0 {
		n = t.variable(2) + 4
	}
	if n == 1 && !t.flag() { // b_size_present
		return 0
	}
	for ; n > 0 && t.err == nil; n-- {
		more := t.flag()
		size := uint64(t.u(10))
		if more {
			size += uint64(t.variable(2)) << 10
		}
		sum += size
	}
	return sum
}
