package segcrypt

// group reads ac4_substream_group_info (6.2.1.7).
func (t *ac4TOC) group(rateFactor int) {
	if rateFactor == 0 { // a group of no presentation: how long it is cannot be known
		t.fail(errAC4Value)
		return
	}
	indexed, highFrequency := t.flag(), t.flag() // b_substreams_present, b_hsf_ext
	n := uint32(1)
	if !t.flag() { // b_single_substream
		n = t.escape(2, 2) + 2
	}
	channels := t.flag() // b_channel_coded
	if !channels && t.flag() {
		t.skip(1) // oamd_substream_info: b_oamd_ndot
		t.index(indexed)
	}
	for ; n > 0 && t.err == nil; n-- {
		added := false
		switch {
		case channels:
			added = t.channelSubstream()
		case t.flag(): // b_ajoc
			t.ajocSubstream()
		default:
			t.objectSubstream()
		}
		t.substreamTail(added, rateFactor, indexed)
		if highFrequency {
			t.index(indexed)
		}
	}
	if t.flag() { // b_content_type
		t.contentType()
	}
}

// substreamTail reads what the three kinds of substream info end in: sf_multiplier, bitrate_indicator, add_ch_base,
// b_audio_ndot and substream_index.
func (t *ac4TOC) substreamTail(addedBase bool, rateFactor int, indexed bool) {
	if t.fsIndex && t.flag() {
		t.skip(1)
	}
	if t.flag() && t.u(3)&1 == 1 { // bitrate_indicator has 3 or 5 bits
		t.skip(2)
	}
	if addedBase {
		t.skip(1)
	}
	t.skip(uint64(rateFactor))
	t.index(indexed)
}

// index reads substream_index, which is there when the group lists its substreams.
func (t *ac4TOC) index(present bool) {
	if present {
		t.escape(2, 2)
	}
}

// channelSubstream reads the head of ac4_substream_info_chan (6.2.1.8) and reports whether add_ch_base follows.
//
// channel_mode is a prefix code (6.3.2.7.2, Table 78): 0, 10, then 1100 to 1110, then seven bits to 1111101, then 7.0.4 and
// 7.1.4 with eight, 9.0.4, 9.1.4 and 22.2 with nine, and an escape.
func (t *ac4TOC) channelSubstream() (addedBase bool) {
	if !t.flag() || !t.flag() || t.u(2) != 3 {
		return false
	}
	switch code := t.u(3); code {
	case 0, 1: // 3/4/0
		return false
	case 2, 3, 4, 5: // 5/2/0 and 3/2/2
		return true
	case 6: // 7.0.4 and 7.1.4
		t.skip(1 + 4)
	default:
		switch t.u(2) {
		case 0, 1: // 9.0.4 and 9.1.4
			t.skip(4)
		case 2: // 22.2
		default:
			t.variable(2)
		}
	}
	return false
}

// ajocSubstream reads the head of ac4_substream_info_ajoc (6.2.1.9).
func (t *ac4TOC) ajocSubstream() {
	t.skip(1)      // b_lfe
	if !t.flag() { // b_static_dmx
		t.bedAssignment(t.u(4) + 1)
	}
	if t.flag() {
		t.oamdCommon()
	}
	signals := t.u(4) + 1
	if signals == 16 {
		signals += t.variable(3)
	}
	t.bedAssignment(signals)
}

// bedAssignment reads bed_dyn_obj_assignment (6.2.1.10).
func (t *ac4TOC) bedAssignment(signals uint32) {
	switch {
	case t.flag(): // b_dyn_objects_only
	case t.flag(): // b_isf
		t.skip(3)
	case t.flag(): // b_ch_assign_code
		t.skip(3)
	case t.flag(): // b_chan_assign_mask
		t.assignmentMask()
	default:
		n := uint64(1)
		if signals > 1 {
			n += uint64(t.u(ceilLog2(signals)))
		}
		t.skip(4 * n)
	}
}

// assignmentMask reads a nonstandard or standard bed channel assignment.
func (t *ac4TOC) assignmentMask() {
	if t.flag() {
		t.skip(17)
	} else {
		t.skip(10)
	}
}

// oamdCommon reads oamd_common_data (6.2.8.1). Trim and rendering data lie within the counted bytes.
func (t *ac4TOC) oamdCommon() {
	if !t.flag() {
		t.skip(5)
	}
	t.skip(1)
	if t.flag() {
		bytes := t.u(1) + 1
		if bytes == 2 {
			bytes += t.variable(2)
		}
		t.skip(8 * uint64(bytes))
	}
}

// objectSubstream reads the head of ac4_substream_info_obj (6.2.1.11).
func (t *ac4TOC) objectSubstream() {
	t.skip(3) // n_objects_code
	switch {
	case t.flag(): // b_dynamic_objects
		t.skip(1)
	case t.flag(): // b_bed_objects
		if !t.flag() { // b_bed_start
			return
		}
		if t.flag() { // b_ch_assign_code
			t.skip(3)
		} else {
			t.assignmentMask()
		}
	case t.flag(): // b_isf
		if t.flag() {
			t.skip(3)
		}
	default:
		t.skip(8 * uint64(t.u(4)))
	}
}

// contentType reads content_type (ETSI TS 103 190-1, 4.2.3.7).
func (t *ac4TOC) contentType() {
	t.skip(3)
	if !t.flag() { // b_language_indicator
		return
	}
	if t.flag() { // b_serialized_language_tag
		t.skip(17)
		return
	}
	t.skip(8 * uint64(t.u(6)))
}
