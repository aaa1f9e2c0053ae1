package segcrypt

import (
	"math"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Fixed sizes of the boxes that protection adds to a traf (23001-7, 7.2; 14496-12, 8.7.8 and 8.7.9).
const (
	sencFixedBytes = 16 // header, version and flags, sample_count
	saizFixedBytes = 17 // header, version and flags, default_sample_info_size, sample_count
	saioBytes      = 20 // header, version and flags, entry_count, one 32-bit offset
)

// layout sizes every box of the output and places the top-level ones.
func (pl *plan) layout() error {
	for i := range pl.fragments {
		f := &pl.fragments[i]
		for j := range f.trafs {
			t := &pl.trafs[f.firstTraf+j]
			pl.layoutAuxiliary(t)
			t.layoutTraf(pl.seg)
		}
		pl.layoutMoof(f)
	}
	if err := pl.place(); err != nil {
		return err
	}
	dropped := false
	for i := range pl.boxes {
		// Whether an index can be corrected depends on the input's layout and on the sizes of what it describes, so leaving
		// one out does not change the answer for another, only where things lie.
		if b := &pl.boxes[i]; b.treatment == treatSidx && pl.correctSidx(pl.digest[:0], b) == nil ||
			b.treatment == treatSsix && pl.correctSsix(pl.digest[:0], i) == nil {
			b.treatment, dropped = treatDrop, true
		}
	}
	if dropped {
		return pl.place()
	}
	return nil
}

// place computes where every top-level box lies in the output.
func (pl *plan) place() error {
	at := uint64(0)
	for i := range pl.boxes {
		b := &pl.boxes[i]
		b.outOff = int(at)
		switch b.treatment {
		case treatDrop:
		case treatFragment:
			f := &pl.fragments[b.fragment]
			at += uint64(f.moofSize) + uint64(f.mdat.size())
		default:
			at += uint64(b.size())
		}
		if at > math.MaxInt32 {
			return formatErrorf(b.typ.String(), b.off, "%w", errTooLarge)
		}
		b.outEnd = int(at)
	}
	pl.size = int(at)
	return nil
}

// hasAuxiliary reports whether t gets senc, saiz and saio. Whole-sample encryption under a constant IV needs none of them
// (23000-19, 8.2.2.1).
func (pl *plan) hasAuxiliary(t *trackFragment) bool {
	return t.entry.kind != KindText && !t.clear && t.count > 0 && (t.entry.subsampled() || pl.scheme == drm.SchemeCenc)
}

// layoutAuxiliary sizes senc, saiz and saio.
func (pl *plan) layoutAuxiliary(t *trackFragment) {
	if !pl.hasAuxiliary(t) {
		return
	}
	samples, same := pl.samplesOf(t), true
	first := pl.infoSize(t, samples[0])
	for _, s := range samples {
		n := pl.infoSize(t, s)
		t.sampleInfoSum += n
		same = same && n == first
	}
	t.saizSize, t.saioSize, t.sencSize = saizFixedBytes, saioBytes, sencFixedBytes+t.sampleInfoSum
	if same {
		t.defaultInfoSize = first
	} else {
		t.saizSize += t.count
	}
}

// infoSize is the size of the auxiliary information of one sample, at most 255 (see maxSubsamplesCenc).
func (pl *plan) infoSize(t *trackFragment, s sample) int {
	n := pl.scheme.PerSampleIVSize()
	if t.entry.subsampled() {
		n += 2 + 6*s.numSubs
	}
	return n
}

// layoutTraf sizes the traf of the output.
func (t *trackFragment) layoutTraf(seg []byte) {
	t.size = 8 + t.saizSize + t.saioSize + t.sencSize
	_ = eachBox(seg, t.box.payload(), t.box.end, "", func(b box) error {
		switch {
		case trafTreatment[b.typ] == treatDrop:
		case b.typ == typTfhd:
			t.size += t.tfhdSize()
		case b.typ == typTrun && be32(seg, b.payload())&trunDataOffset == 0:
			t.size += b.size() + 4
		default:
			t.size += b.size()
		}
		return nil
	})
}

// layoutMoof sizes the moof of the output.
func (pl *plan) layoutMoof(f *fragment) {
	f.moofSize = 8
	for i := range f.trafs {
		f.moofSize += pl.trafs[f.firstTraf+i].size
	}
	_ = eachBox(pl.seg, f.moof.payload(), f.moof.end, "", func(b box) error {
		if moofTreatment[b.typ] == treatCopy {
			f.moofSize += b.size()
		}
		return nil
	})
}
