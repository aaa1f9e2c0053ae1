package segcrypt

import (
	"bytes"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// fuzzSamples cuts b into two samples and protects them under both schemes: an error, or what decrypts to b again.
func fuzzSamples(t *testing.T, init *Init, b []byte, cut uint16) {
	n := min(int(cut), len(b))
	for _, scheme := range drm.Schemes {
		pr, err := NewProtector(init, testProtection(scheme))
		if err != nil {
			t.Fatal(err)
		}
		out, err := pr.ProtectSegment(nil, videoChunk(b[:n], b[n:]))
		if err != nil {
			if out != nil {
				t.Fatal("an error and bytes")
			}
			continue
		}
		clear, samples, err := decryptSegment(out, scheme, 0)
		if err != nil || !bytes.Equal(clear, b) || len(samples) != 2 {
			t.Fatalf("decrypting %d samples: %v", len(samples), err)
		}
		for _, s := range samples {
			if len(s.subs) == 0 || len(s.subs) > maxSubsamplesCbcs {
				t.Fatalf("%d subsamples", len(s.subs))
			}
		}
	}
}

func mustParse(tb testing.TB, init Clear) *Init {
	tb.Helper()
	in, err := ParseInitWith(init, ParseOptions{VVC: true})
	if err != nil {
		tb.Fatal(err)
	}
	return in
}

// FuzzVP9Sample reaches the superframe index and the uncompressed header.
func FuzzVP9Sample(f *testing.F) {
	in := mustParse(f, vp9Init())
	key, _ := vp9Frame(true, 1280, 64)
	inter, _ := vp9Frame(false, 1280, 40)
	f.Add(slices.Concat(key, inter), uint16(len(key)))
	f.Add(slices.Concat(superframe(key, inter), inter), uint16(len(superframe(key, inter))))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) { fuzzSamples(t, in, b, cut) })
}

// FuzzAC4Sample reaches the table of contents.
func FuzzAC4Sample(f *testing.F) {
	in := mustParse(f, ac4Init())
	for _, frame := range ac4Frames() {
		f.Add(frame.frame, uint16(len(frame.frame)))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) { fuzzSamples(t, in, b, cut) })
}

// FuzzVVCSample reaches slice and picture headers, with the parameter sets of a real stream and with those in the sample.
func FuzzVVCSample(f *testing.F) {
	init, fragments := vvcFile(f)
	in := mustParse(f, init)
	sets := in.tracks[0].entries[0].vvc
	samples := cutSamples(f, newVVCProtector(f, init, drm.SchemeCenc), fragments[0])
	for _, sample := range samples[:12] {
		var short []byte // the headers are in front, and small seeds are mutated faster
		for _, b := range splitNALs(sample) {
			short = append(short, nal(b[:min(len(b), 120)]...)...)
		}
		f.Add(short, uint16(len(short)))
	}
	f.Add(slices.Concat(nal(sets.sps[0].raw...), nal(sets.pps[0].raw...)), uint16(1<<15))
	f.Add(nal(vvcPartitions(func(w *bitWriter) { w.ue(0, 0, 4, 2).flags(0, 1, 0).ue(1).ue(1, 0).flags(0) })...), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) { fuzzSamples(t, in, b, cut) })
}

// FuzzPassing: whatever a track is said to be, AVC in four-byte lengths does not pass with it.
func FuzzPassing(f *testing.F) {
	for entry, row := range passingSamples(f) {
		for _, b := range slices.Concat(row.ok, row.not) {
			f.Add(entry, b)
		}
	}
	f.Fuzz(func(t *testing.T, entry string, b []byte) {
		if len(entry) != 4 || passingChecks[cc(entry)] == nil || len(b) == 0 {
			return
		}
		if err := passingChecks[cc(entry)](nal(append([]byte{0x65}, b...)...)); err == nil {
			t.Fatalf("%s passes a picture", entry)
		}
		_ = passingChecks[cc(entry)](b)
	})
}
