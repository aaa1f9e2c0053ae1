package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Track is what an init segment says of a track.
type Track struct {
	ID uint32
	// Handler is that of hdlr, such as `vide`, Format the sample entry without encryption, such as `avc1`.
	Handler, Format string
	// Timescale is ticks a second.
	Timescale uint32
	// Protected says that the sample entry is that of protected media. Scheme is then that of schm, and KID that of tenc; both may be missing.
	Protected bool
	Scheme    string
	KID       drm.KID
	// Text says that the track holds text or metadata, which schemes of Common Encryption leave alone.
	Text bool
}

// Media is an init segment that was read, for looking at media segments.
type Media struct {
	raw    []byte
	tracks []Track
	pssh   []drm.Pssh
}

// Verdict says how decrypted samples look.
type Verdict uint8

const (
	// NotOpened is of samples that no key was tried on.
	NotOpened Verdict = iota
	// Unproven samples show no sign of a wrong key, which seldom leaves one in so little.
	Unproven
	// Fits is of samples that no wrong key would have left.
	Fits
	// Wrong is of samples that cannot be media.
	Wrong
)

// Run is what a media segment holds of one track in one fragment.
type Run struct {
	Track Track
	// Box is the path of the track fragment, such as `moof[1]/traf[0]`.
	Box string
	// Time is the decode time of the first sample, if Timed, and Duration that of all; both in ticks.
	Time, Duration uint64
	Timed          bool
	Samples        int
	// Bytes are those of the samples, Protected those of them that are said to be encrypted.
	Bytes, Protected uint64
	// Marked says that the fragment says itself how its samples are encrypted, or that a constant IV makes that unnecessary.
	Marked bool
	// Groups says that sample groups have keys of their own, which are not tried.
	Groups bool
	// Faults are what cannot be as it is.
	Faults []string
	// Verdict is that of the key; Evidence says what was seen.
	Verdict  Verdict
	Evidence string
	// Clear says that the samples are media without any decryption.
	Clear bool
	// Changed says that decryption changed the samples.
	Changed bool
	// Short says that the scheme encrypts whole blocks, and that no sample has one: all of it stays clear (23001-7, 10.4).
	Short bool

	first int // bytes of the first sample
}

// ReadInit reads an init segment. b is not kept.
func ReadInit(b []byte) (m *Media, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errBoxes
		}
	}()
	known, _, err := readMedia(b, nil)
	if err != nil {
		return nil, err
	}
	m = &Media{raw: bytes.Clone(b), pssh: known.pssh}
	for _, id := range known.order {
		m.tracks = append(m.tracks, known.tracks[id].public())
	}
	return m, nil
}

// Tracks are those of the init segment, in its order.
func (m *Media) Tracks() []Track { return m.tracks }

// Pssh are the pssh boxes of the init segment.
func (m *Media) Pssh() []drm.Pssh { return m.pssh }

// Open looks at a media segment, and tries the keys on what they are for. Nothing of what comes out is in the result. The error says where
// the segment breaks off. b is not changed.
func (m *Media) Open(b []byte, keys []drm.ContentKey) (runs []Run, err error) {
	return m.open(b, keys, false)
}

// OpenIFrame is Open for a range of an I-frame playlist (8216, 4.3.3.6): the beginning of a segment, which holds the first sample of its
// fragment in full. The verdict is on that sample alone.
func (m *Media) OpenIFrame(b []byte, keys []drm.ContentKey) ([]Run, error) {
	whole, payload, err := completeMdat(b)
	if err != nil {
		return nil, err
	}
	runs, err := m.open(whole, keys, true)
	for i := range runs {
		if runs[i].first > payload {
			runs[i].Faults = append(runs[i].Faults, "the range ends within its I-frame")
		}
	}
	return runs, err
}

func (m *Media) open(b []byte, keys []drm.ContentKey, iframe bool) (runs []Run, err error) {
	defer func() {
		if recover() != nil {
			runs, err = nil, errBoxes
		}
	}()
	known, file, err := readMedia(m.raw, b)
	if err != nil {
		return nil, err
	}
	known.keys, known.iframe = keys, iframe
	moofs := 0
	for _, segment := range file.Segments {
		for _, fragment := range segment.Fragments {
			if fragment.Moof == nil || fragment.Mdat == nil {
				return nil, errors.New("a moof without its mdat")
			}
			if err := fragment.ParseSenc(known.init); err != nil {
				return nil, fmt.Errorf("moof[%d]: %s", moofs, visible(err.Error()))
			}
			for i, traf := range fragment.Moof.Trafs {
				run := known.openRun(fragment, traf)
				run.Box = fmt.Sprintf("moof[%d]/traf[%d]", moofs, i)
				runs = append(runs, run)
			}
			moofs++
		}
	}
	if moofs == 0 {
		return nil, errors.New("no moof: it is no media segment")
	}
	return runs, nil
}

// readMedia reads an init segment with a media segment behind it.
func readMedia(init, segment []byte) (*media, *mp4.File, error) {
	for _, part := range [...][]byte{init, segment} {
		if len(part) > MaxBytes {
			return nil, nil, fmt.Errorf("more than %d bytes", MaxBytes)
		}
		if err := checkBoxes(part, 0); err != nil {
			return nil, nil, err
		}
	}
	all := append(bytes.Clone(init), segment...) // what is decrypted is decrypted in place
	file, err := mp4.DecodeFileSR(bits.NewFixedSliceReader(all))
	if err != nil {
		return nil, nil, errors.New("reading boxes: " + visible(err.Error()))
	}
	if file.Init == nil || file.Init.Moov == nil {
		return nil, nil, errors.New("no moov with mvex: it is no init segment")
	}
	m := &media{init: file.Init, tracks: make(map[uint32]track)}
	m.readTracks()
	return m, file, nil
}

func (t track) public() Track {
	return Track{
		ID: t.id, Handler: t.handler, Format: t.format, Timescale: t.timescale, Protected: t.protected, Scheme: t.scheme, KID: t.kid(),
		Text: t.handler != "vide" && t.handler != "soun",
	}
}

// openRun looks at one track fragment.
func (m *media) openRun(fragment *mp4.Fragment, traf *mp4.TrafBox) Run {
	t, known := m.tracks[traf.Tfhd.TrackID]
	r := Run{Track: t.public(), Groups: traf.Sgpd != nil && traf.Sgpd.GroupingType == "seig"}
	if !known {
		r.Track.ID = traf.Tfhd.TrackID
		r.Faults = append(r.Faults, "the init segment has no such track")
		return r
	}
	if traf.Tfdt != nil {
		r.Time, r.Timed = traf.Tfdt.BaseMediaDecodeTime(), true
	}
	samples, err := samplesOf(fragment, traf, t.trex)
	if err != nil {
		r.Faults = append(r.Faults, visible(err.Error()))
		return r
	}
	if r.Samples = len(samples); r.Samples > 0 {
		r.first = len(samples[0].Data)
	}
	for _, sample := range samples {
		r.Bytes += uint64(len(sample.Data))
		r.Duration += uint64(sample.Dur)
	}
	r.Short = strings.HasPrefix(t.scheme, "cbc") && !slices.ContainsFunc(samples, func(s mp4.FullSample) bool { return len(s.Data) >= drm.KeySize })
	r.readSenc(sencOf(traf), t)
	if t.protected && len(r.Faults) == 0 {
		m.openSamples(&r, traf, t, samples)
	}
	return r
}

// readSenc compares what the fragment says of its encryption with its samples.
func (r *Run) readSenc(senc *mp4.SencBox, t track) {
	switch {
	case senc == nil:
		if r.Marked = t.protected && t.tenc != nil && len(t.tenc.DefaultConstantIV) > 0; r.Marked {
			r.Protected = r.Bytes
		}
		return
	case !t.protected:
		r.Faults = append(r.Faults, "senc in a track that the init segment calls clear")
		return
	}
	r.Marked = true
	if int(senc.SampleCount) != r.Samples {
		r.Faults = append(r.Faults, fmt.Sprintf("senc speaks of %s, and there are %d", plural(senc.SampleCount, "sample"), r.Samples))
		return
	}
	if len(senc.SubSamples) == 0 {
		r.Protected = r.Bytes
		return
	}
	covered := uint64(0)
	for _, list := range senc.SubSamples {
		for _, sub := range list {
			r.Protected += uint64(sub.BytesOfProtectedData)
			covered += uint64(sub.BytesOfClearData) + uint64(sub.BytesOfProtectedData)
		}
	}
	if covered != r.Bytes {
		r.Faults = append(r.Faults, fmt.Sprintf("the subsamples of senc cover %d bytes of %d", covered, r.Bytes))
	}
}

// openSamples tries the key of a track, if it was given.
func (m *media) openSamples(r *Run, traf *mp4.TrafBox, t track, samples []mp4.FullSample) {
	// Of pictures the framing stays clear, so that only what proves itself says anything before decryption. So it is for samples whose
	// beginnings stay clear.
	all := samples
	if m.iframe {
		samples = all[:min(1, len(all))]
	}
	r.Clear = !r.Groups && !beginsClear(sencOf(traf)) && verdictOf(t.looks, samples) == Fits
	key, given := m.keyOf(t)
	if !given || r.Groups || !r.Marked {
		return
	}
	saved := make([]byte, 0, r.Bytes)
	for _, sample := range samples {
		saved = append(saved, sample.Data...)
	}
	if err := decrypt(traf, t, all, key); err != nil {
		r.Faults = append(r.Faults, "it does not decrypt: "+visible(err.Error()))
		return
	}
	at := 0
	for _, sample := range samples {
		if !bytes.Equal(saved[at:at+len(sample.Data)], sample.Data) {
			r.Changed = true
			break
		}
		at += len(sample.Data)
	}
	r.Verdict, r.Evidence = verdictOf(t.looks, samples), evidence(t.looks, samples)
	switch sum := m.checksum(key); {
	case strings.HasPrefix(sum, wrongKey):
		r.Verdict, r.Evidence = Wrong, sum
	case sum != "" && r.Verdict == Unproven:
		r.Verdict, r.Evidence = Fits, sum
	}
}

// beginsClear reports whether a sample begins with bytes that stay clear.
func beginsClear(senc *mp4.SencBox) bool {
	if senc == nil {
		return false
	}
	for _, list := range senc.SubSamples {
		if len(list) > 0 && list[0].BytesOfClearData > 0 {
			return true
		}
	}
	return false
}

// verdictOf is what evidence comes to. NAL units that do not fill their samples are evidence, too: their lengths stay clear, but a packager
// that encrypts them as well leaves noise under a wrong key.
func verdictOf(format string, samples []mp4.FullSample) Verdict {
	switch strings.ToLower(format) {
	case "mp4a", "opus", "ac-3", "ec-3", "flac":
		if len(differing(samples)) < alikeSamples {
			return Unproven
		}
		if strings.HasPrefix(evidence(format, samples), wrongKey) {
			return Wrong
		}
		return Fits
	case "avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe":
		if !fillWithUnits(samples) || strings.HasPrefix(evidence(format, samples), wrongKey) {
			return Wrong
		}
	}
	return Unproven
}

// fillWithUnits reports whether NAL units with lengths of four bytes fill each sample exactly.
func fillWithUnits(samples []mp4.FullSample) bool {
	for _, sample := range samples {
		for b := sample.Data; len(b) > 0; {
			if len(b) < 4 {
				return false
			}
			size := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
			if size == 0 || size > uint64(len(b)-4) {
				return false
			}
			b = b[4+size:]
		}
	}
	return true
}
