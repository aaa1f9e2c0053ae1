package segcrypt

// DecodeTime returns when the first sample of the segment is decoded, in ticks of its track, and false if the segment does not say
// (14496-12, 8.8.12).
func (s *Segment) DecodeTime() (ticks uint64, ok bool) {
	if len(s.trafs) == 0 {
		return 0, false
	}
	return s.decodeTime(&s.trafs[0])
}

// decodeTime is DecodeTime for one track fragment.
func (pl *plan) decodeTime(t *trackFragment) (ticks uint64, ok bool) {
	traf := t.box
	_ = eachBox(pl.seg, traf.payload(), traf.end, "moof/traf", func(b box) error { // it was read before
		if b.typ != typTfdt || ok {
			return nil
		}
		ok = true
		if p := b.payload(); pl.seg[p] == 1 {
			ticks = be64(pl.seg, p+4)
		} else {
			ticks = uint64(be32(pl.seg, p+4))
		}
		return nil
	})
	return ticks, ok
}
