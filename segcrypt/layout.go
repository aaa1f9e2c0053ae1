package segcrypt

import "github.com/caddy-drm/caddy-drm/drm"

// Fixed sizes of the boxes that protection adds to a traf (23001-7, 7.2; 14496-12, 8.7.8 and 8.7.9).
const (
	sencFixedBytes = 16 // header, version and flags, sample_count
	saizFixedBytes = 17 // header, version and flags, default_sample_info_size, sample_count
	saioBytes      = 20 // header, version and flags, entry_count, one 32-bit offset
)

// layout sizes every box of the output and places the top-level ones.
func (pl *plan) layout(seg []byte) error {
	for i := range pl.fragments {
		f := &pl.fragments[i]
		pl.layoutAuxiliary(f)
		if err := f.layoutMoof(seg); err != nil {
			return err
		}
	}
	pl.place()
	// Whether a sidx can be corrected depends on the input's layout alone, so leaving one out does not change the answer for
	// another, only where things lie.
	for i := range pl.boxes {
		if b := &pl.boxes[i]; b.treatment == treatSidx && pl.correctSidx(nil, seg, b) == nil {
			b.treatment = treatDrop
		}
	}
	pl.place()
	return nil
}

// place computes where every top-level box lies in the output.
func (pl *plan) place() {
	at := 0
	for i := range pl.boxes {
		b := &pl.boxes[i]
		b.outOff = at
		switch b.treatment {
		case treatDrop:
		case treatFragment:
			f := &pl.fragments[b.fragment]
			at += f.moofSize + f.mdat.size()
		default:
			at += b.size()
		}
		b.outEnd = at
	}
	pl.size = at
}

// hasAuxiliary reports whether f gets senc, saiz and saio. Whole-sample encryption under a constant IV needs none of them
// (23000-19, 8.2.2.1).
func (pl *plan) hasAuxiliary(f *fragment) bool {
	switch f.entry.kind {
	case KindVideo:
		return f.count > 0
	case KindAudio:
		return f.count > 0 && pl.scheme == drm.SchemeCenc
	default:
		return false
	}
}

// layoutAuxiliary sizes senc, saiz and saio.
func (pl *plan) layoutAuxiliary(f *fragment) {
	if !pl.hasAuxiliary(f) {
		return
	}
	same := true
	for i := range f.count {
		n := pl.infoSize(f, i)
		f.sampleInfoSum += n
		same = same && n == pl.infoSize(f, 0)
	}
	f.saizSize, f.saioSize, f.sencSize = saizFixedBytes, saioBytes, sencFixedBytes+f.sampleInfoSum
	if same {
		f.defaultInfoSize = pl.infoSize(f, 0)
	} else {
		f.saizSize += f.count
	}
}

// infoSize is the size of the auxiliary information of one sample, at most 255 (see maxSubsamplesCenc).
func (pl *plan) infoSize(f *fragment, i int) int {
	n := pl.scheme.PerSampleIVSize()
	if f.entry.kind == KindVideo {
		n += 2 + 6*pl.samples[f.first+i].numSubs
	}
	return n
}

// layoutMoof sizes the moof and traf of the output.
func (f *fragment) layoutMoof(seg []byte) error {
	f.trafSize = 8 + f.saizSize + f.saioSize + f.sencSize
	_ = eachBox(seg, f.traf.payload(), f.traf.end, "", func(b box) error {
		switch {
		case trafTreatment[b.typ] == treatDrop:
		case b.typ == typTfhd && f.tfhd.flags&tfhdBaseOffset != 0:
			f.trafSize += b.size() - 8
		case b.typ == typTrun && be32(seg, b.payload())&trunDataOffset == 0:
			f.trafSize += b.size() + 4
		default:
			f.trafSize += b.size()
		}
		return nil
	})
	f.moofSize = 8 + f.trafSize
	_ = eachBox(seg, f.moof.payload(), f.moof.end, "", func(b box) error {
		if b.typ != typTraf && moofTreatment[b.typ] != treatDrop {
			f.moofSize += b.size()
		}
		return nil
	})
	if uint64(f.moofSize)+uint64(f.mdat.size()) > 1<<31-1 {
		return formatErrorf("moof", f.moof.off, "%w", errTooLarge)
	}
	return nil
}
