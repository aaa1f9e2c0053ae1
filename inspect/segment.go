package inspect

import (
	"fmt"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
)

// explainSegment explains the fragments of a media segment.
func (m *media) explainSegment(w *writer, i int, segment *mp4.MediaSegment) {
	w.line("media segment %d, %s", i+1, plural(len(segment.Fragments), "fragment"))
	for _, fragment := range segment.Fragments {
		w.below(func() { m.explainFragment(w, fragment) })
	}
}

func (m *media) explainFragment(w *writer, fragment *mp4.Fragment) {
	if fragment.Moof == nil || fragment.Mdat == nil {
		w.fault("a moof without its mdat")
		return
	}
	if m.init != nil {
		if err := fragment.ParseSenc(m.init); err != nil {
			w.fault("%v", err)
			return
		}
	}
	w.line("moof %d", fragment.Moof.Mfhd.SequenceNumber)
	w.below(func() {
		for _, box := range fragment.Moof.Psshs {
			explainPssh(w, vocabulary(box))
		}
		for _, traf := range fragment.Moof.Trafs {
			m.explainTraf(w, fragment, traf)
		}
		m.tryKeys(w, fragment)
	})
}

// explainTraf summarizes the samples of one track in a fragment.
func (m *media) explainTraf(w *writer, fragment *mp4.Fragment, traf *mp4.TrafBox) {
	t, known := m.tracks[traf.Tfhd.TrackID]
	samples, bytes := 0, uint64(0)
	if list, err := samplesOf(fragment, traf, t.trex); err == nil {
		samples = len(list)
		for _, sample := range list {
			bytes += uint64(len(sample.Data))
		}
	} else {
		samples = int(traf.Trun.SampleCount())
	}
	time := ""
	if traf.Tfdt != nil {
		time = fmt.Sprintf(" from tick %d", traf.Tfdt.BaseMediaDecodeTime())
	}
	w.line("track %d, %s, %s%s", traf.Tfhd.TrackID, plural(samples, "sample"), plural(bytes, "byte"), time)
	w.below(func() {
		if traf.Sgpd != nil && traf.Sgpd.GroupingType == "seig" {
			for _, entry := range traf.Sgpd.SampleGroupEntries {
				if seig, ok := entry.(*mp4.SeigSampleGroupEntry); ok {
					var kid drm.KID
					copy(kid[:], seig.KID)
					w.line("a sample group (seig) with KID %s", kid)
				}
			}
		}
		senc := sencOf(traf)
		switch {
		case senc == nil && known && t.protected && t.tenc != nil && len(t.tenc.DefaultConstantIV) > 0:
			w.line("no senc: samples are encrypted whole, under the constant IV")
		case senc == nil && known && t.protected:
			w.fault("no senc, and the track is protected")
		case senc == nil:
			w.line("clear, by what it says itself")
		case known && !t.protected:
			w.fault("senc in a track that the init segment calls clear")
		default:
			explainSenc(w, senc, samples, bytes)
		}
	})
}

func explainSenc(w *writer, senc *mp4.SencBox, samples int, bytes uint64) {
	if senc.ReadButNotParsed() {
		w.line("senc for %s; what is in it needs the init segment", plural(senc.SampleCount, "sample"))
		return
	}
	if int(senc.SampleCount) != samples {
		w.fault("senc speaks of %s, and there are %d", plural(senc.SampleCount, "sample"), samples)
	}
	ivs := "under the constant IV"
	if len(senc.IVs) > 0 && len(senc.IVs[0]) > 0 {
		ivs = fmt.Sprintf("IVs of %d bytes, the first %x", len(senc.IVs[0]), []byte(senc.IVs[0]))
	}
	var count int
	var clear, protected uint64
	for _, list := range senc.SubSamples {
		count += len(list)
		for _, sub := range list {
			clear += uint64(sub.BytesOfClearData)
			protected += uint64(sub.BytesOfProtectedData)
		}
	}
	if count == 0 {
		w.line("encrypted whole, %s", ivs)
		return
	}
	w.line("%s: %s clear, %s protected; %s", plural(count, "subsample"), plural(clear, "byte"), plural(protected, "byte"), ivs)
	if bytes > 0 && clear+protected != bytes {
		w.fault("the subsamples cover %d bytes of %d", clear+protected, bytes)
	}
}

// sencOf returns the senc of a track fragment, also that of PIFF.
func sencOf(traf *mp4.TrafBox) *mp4.SencBox {
	switch {
	case traf.Senc != nil:
		return traf.Senc
	case traf.UUIDSenc != nil:
		return traf.UUIDSenc.Senc
	}
	return nil
}
