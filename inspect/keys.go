package inspect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
)

// samplesOf returns the samples of one track fragment, as views into the mdat.
func samplesOf(fragment *mp4.Fragment, traf *mp4.TrafBox, trex *mp4.TrexBox) ([]mp4.FullSample, error) {
	alone := &mp4.Fragment{Moof: &mp4.MoofBox{Mfhd: fragment.Moof.Mfhd, Traf: traf, Trafs: []*mp4.TrafBox{traf}, StartPos: fragment.Moof.StartPos}, Mdat: fragment.Mdat}
	return alone.GetFullSamples(trex)
}

// tryKeys decrypts a fragment and looks at what comes out, if there are keys for it.
func (m *media) tryKeys(w *writer, fragment *mp4.Fragment) {
	if len(m.keys) == 0 {
		return
	}
	if m.init == nil {
		w.line("the keys cannot be tried without the init segment")
		return
	}
	for _, traf := range fragment.Moof.Trafs {
		t, known := m.tracks[traf.Tfhd.TrackID]
		if !known || !t.protected {
			continue
		}
		key, given := m.keyOf(t)
		switch {
		case !given:
			w.line("track %d: no key was given for KID %s", t.id, t.kid())
		case traf.Sgpd != nil && traf.Sgpd.GroupingType == "seig":
			w.line("track %d: a sample group has keys of its own, which are not tried", t.id)
		default:
			m.tryKey(w, fragment, traf, t, key)
		}
	}
}

// keyOf returns the key for the track among those that were given.
func (m *media) keyOf(t track) (drm.ContentKey, bool) {
	for _, key := range m.keys {
		if key.KID() == t.kid() {
			return key, true
		}
	}
	return drm.ContentKey{}, false
}

func (m *media) tryKey(w *writer, fragment *mp4.Fragment, traf *mp4.TrafBox, t track, key drm.ContentKey) {
	if verdict := m.checksum(key); verdict != "" {
		w.verdict(t, verdict)
	}
	samples, err := samplesOf(fragment, traf, t.trex)
	if err != nil {
		w.fault("track %d: %v", t.id, err)
		return
	}
	if err := decrypt(traf, t, samples, key); err != nil {
		w.fault("track %d does not decrypt: %v", t.id, err)
		return
	}
	w.verdict(t, evidence(t.looks, samples))
}

// checksum compares the key with that of a PlayReady header, which is proof.
func (m *media) checksum(key drm.ContentKey) string {
	for _, box := range m.pssh {
		if box.System != drm.SystemPlayReady {
			continue
		}
		records, err := drm.ParsePlayReadyObject(box.Data)
		if err != nil {
			continue
		}
		for _, record := range records {
			if !record.IsHeader() {
				continue
			}
			header, err := drm.ParsePlayReadyHeader(record.Value)
			if err != nil {
				continue
			}
			for _, named := range header.Keys {
				if named.KID != key.KID() || named.Checksum == nil {
					continue
				}
				if bytes.Equal(named.Checksum, drm.NewPlayReadyKey(key).Checksum) {
					return "the key has the checksum of the PlayReady header"
				}
				return wrongKey + ": its checksum is not that of the PlayReady header"
			}
		}
	}
	return ""
}

// wrongKey is what a verdict against a key begins with.
const wrongKey = "WRONG KEY"

// verdict says how a key fares with a track.
func (w *writer) verdict(t track, text string) {
	if strings.HasPrefix(text, wrongKey) {
		w.wrongKey++
	}
	w.line("track %d under the key of KID %s: %s", t.id, t.kid(), text)
}

// decrypt decrypts samples in place. Subsamples are checked before the cipher trusts them.
func decrypt(traf *mp4.TrafBox, t track, samples []mp4.FullSample, key drm.ContentKey) error {
	if t.tenc == nil || t.scheme != "cenc" && t.scheme != "cbcs" {
		return fmt.Errorf("scheme %s", printable(t.scheme))
	}
	senc, secret := sencOf(traf), key.Secret()
	if senc != nil && (len(senc.IVs) > 0 && len(senc.IVs) != len(samples) || len(senc.SubSamples) > 0 && len(senc.SubSamples) != len(samples)) {
		return fmt.Errorf("senc speaks of other samples")
	}
	for i, sample := range samples {
		iv := make([]byte, drm.KeySize)
		copy(iv, t.tenc.DefaultConstantIV)
		var subsamples []mp4.SubSamplePattern
		if senc != nil {
			if len(senc.IVs) > 0 && len(senc.IVs[i]) > 0 {
				clear(iv)
				copy(iv, senc.IVs[i])
			}
			if len(senc.SubSamples) > 0 {
				subsamples = senc.SubSamples[i]
			}
		}
		if !covers(subsamples, len(sample.Data)) {
			return fmt.Errorf("sample %d: its subsamples have another length", i+1)
		}
		var err error
		if t.scheme == "cenc" {
			err = mp4.CryptSampleCenc(sample.Data, secret[:], iv, subsamples)
		} else {
			err = mp4.DecryptSampleCbcs(sample.Data, secret[:], iv, subsamples, t.tenc)
		}
		if err != nil {
			return fmt.Errorf("sample %d: %w", i+1, err)
		}
	}
	return nil
}

func covers(subsamples []mp4.SubSamplePattern, size int) bool {
	sum := uint64(0)
	for _, sub := range subsamples {
		sum += uint64(sub.BytesOfClearData) + uint64(sub.BytesOfProtectedData)
	}
	return len(subsamples) == 0 || sum == uint64(size)
}

// evidence looks for what no wrong key leaves behind. It says what it saw, and "WRONG KEY" where that cannot be media.
func evidence(format string, samples []mp4.FullSample) string {
	switch strings.ToLower(format) {
	case "mp4a": // a raw_data_block begins with the 3-bit name of its first element
		return alike(samples, "AAC element", func(b []byte) int { return int(b[0] >> 5) })
	case "opus": // the 5 bits of configuration in the TOC byte
		return alike(samples, "Opus configuration", func(b []byte) int { return int(b[0] >> 3) })
	case "ac-3", "ec-3":
		return alike(samples, "sync word", func(b []byte) int { return int(b[0])<<8 | int(b[1]) })
	case "flac":
		return alike(samples, "sync code", func(b []byte) int { return int(b[0])<<6 | int(b[1])>>2 })
	case "avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe":
		return nalEvidence(samples)
	default:
		return "what comes out cannot be told from noise for " + printable(format)
	}
}

// alikeSamples is how many samples it takes to tell media from noise by their first bits.
const alikeSamples = 8

// differing returns the samples of two bytes and more whose first blocks differ. Those that are the same, as silence is, are the same
// under a wrong key and a constant IV too, and prove nothing.
func differing(samples []mp4.FullSample) (all []mp4.FullSample) {
	seen := make(map[string]bool)
	for _, sample := range samples {
		if first := string(sample.Data[:min(drm.KeySize, len(sample.Data))]); len(first) >= 2 && !seen[first] {
			seen[first] = true
			all = append(all, sample)
		}
	}
	return all
}

// alike compares the beginnings of samples, which are nearly all the same in media: in noise an eighth of them at most.
func alike(samples []mp4.FullSample, what string, begin func(b []byte) int) string {
	counts, all, most := make(map[int]int), 0, 0
	for _, sample := range differing(samples) {
		all++
		value := begin(sample.Data)
		counts[value]++
		most = max(most, counts[value])
	}
	switch {
	case all < alikeSamples:
		return fmt.Sprintf("%s that differ are too few to tell", plural(all, "sample"))
	case most*10 >= all*9:
		return fmt.Sprintf("%d of %d samples begin with the same %s, as media does", most, all, what)
	default:
		return fmt.Sprintf(wrongKey+", or no such media: %d of %d samples begin with the same %s", most, all, what)
	}
}

// nalEvidence looks for start codes inside of NAL units and for zeros at their end, neither of which an encoder writes (14496-10, 7.4.1).
func nalEvidence(samples []mp4.FullSample) string {
	units, bytesSeen := 0, 0
	for _, sample := range samples {
		for b := sample.Data; len(b) > 0; {
			if len(b) < 4 {
				return "its NAL units have other lengths than 4 bytes can say"
			}
			size := binary.BigEndian.Uint32(b)
			if size == 0 || uint64(size) > uint64(len(b)-4) {
				return "its NAL units do not fit into the samples"
			}
			unit := b[4 : 4+size]
			if hasStartCode(unit) || unit[len(unit)-1] == 0 {
				return fmt.Sprintf(wrongKey+", or no such media: NAL unit %d has bytes that no encoder writes", units+1)
			}
			units++
			bytesSeen += len(unit)
			b = b[4+size:]
		}
	}
	return fmt.Sprintf("no sign of a wrong key in %s of %s, which is no proof: so little seldom shows one", plural(units, "NAL unit"), plural(bytesSeen, "byte"))
}

// hasStartCode reports whether b holds 00 00 00, 00 00 01 or 00 00 02.
func hasStartCode(b []byte) bool {
	for i := 2; i < len(b); i++ {
		if b[i] <= 2 && b[i-1] == 0 && b[i-2] == 0 {
			return true
		}
	}
	return false
}
