package segcrypt

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
	for slot := range p.refIdx {
		if !assigned[slot] {
			p.refIdx[slot] = earliestOf(shifted)
		}
	}
}

// earliestOf returns the first of the references with the smallest order hint.
func earliestOf(shifted [av1NumRefs]int32) uint32 {
	oldest := 0
	for i, hint := range shifted {
		if hint < shifted[oldest] {
			oldest = i
		}
	}
	return uint32(oldest)
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
