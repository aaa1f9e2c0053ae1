package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// renamed returns the init segment of a fixture with another type of sample entry.
func renamed(t testing.TB, m *media, from, to string) Clear {
	t.Helper()
	init := bytes.Clone(m.init)
	stsd := max(bytes.Index(init, []byte("stsd")), 0) // brands have the same names
	at := bytes.Index(init[stsd:], []byte(from))
	if at < 0 {
		t.Fatalf("no %s in the fixture", from)
	}
	copy(init[stsd+at:], to)
	return init
}

// withoutSets empties the lists of parameter sets in avcC or hvcC.
func withoutSets(init Clear) Clear {
	init = bytes.Clone(init)
	if at := bytes.Index(init, []byte("avcC")); at >= 0 {
		init[at+4+5], init[at+4+6] = 0xe0, 0
	}
	if at := bytes.Index(init, []byte("hvcC")); at >= 0 {
		init[at+4+22] = 0
	}
	return init
}

// TestDolbyVision: entries of Dolby Vision have the rules of their base codec, and frma keeps their own type. There is no
// encoder; the base layers are those of x265, x264 and SVT-AV1.
func TestDolbyVision(t *testing.T) {
	for _, tc := range []struct{ fixture, from, to string }{
		{"hevc", "hvc1", "dvh1"}, {"hevc-slices", "hev1", "dvhe"}, {"avc", "avc1", "dva1"}, {"avc", "avc1", "dvav"},
		{"av1-tiles", "av01", "dav1"},
	} {
		for _, scheme := range drm.Schemes {
			t.Run(tc.to+"/"+scheme.String(), func(t *testing.T) {
				m := loadMedia(t, tc.fixture)
				base := newTestProtector(t, m.init, testProtection(scheme))
				want, err := readProtected(mustProtect(t, base, m.all()), scheme, 0)
				if err != nil {
					t.Fatal(err)
				}
				init := renamed(t, m, tc.from, tc.to)
				pr := newTestProtector(t, init, testProtection(scheme))
				if !bytes.Contains(pr.Init(), []byte("frma"+tc.to)) || bytes.Contains(pr.Init(), []byte("frma"+tc.from)) {
					t.Error("frma does not name the entry's own type")
				}
				out := mustProtect(t, pr, m.all())
				got, err := readProtected(out, scheme, 0)
				if err != nil || len(got) != len(want) {
					t.Fatalf("%d samples, %v", len(got), err)
				}
				for i := range got {
					if !slices.Equal(got[i].subs, want[i].subs) {
						t.Fatalf("sample %d: %v, as %s %v", i, got[i].subs, tc.from, want[i].subs)
					}
				}
				clear := packetHashes(t, slices.Concat(init, m.all()))
				if got := packetHashes(t, slices.Concat(pr.Init(), out), "-decryption_key", testKeyHex); !slices.Equal(got, clear) {
					t.Errorf("ffmpeg: %d of %d packets differ", countDiffer(got, clear), len(clear))
				}
				if got := packetHashes(t, decryptByMP4FF(t, slices.Concat(pr.Init(), out), "")); !slices.Equal(got, clear) {
					t.Errorf("mp4ff: %d of %d packets differ", countDiffer(got, clear), len(clear))
				}
			})
		}
	}
}

// TestDolbyVisionMetadata: the configuration box stays as it is, and RPU and enhancement layer (NAL unit types 62 and 63) stay
// clear, whatever layer they say. Synthetic, around a slice of x265.
func TestDolbyVisionMetadata(t *testing.T) {
	sample := readTestdata(t, "hevc-sample")
	hvcC := mk("hvcC", append(append([]byte{1}, make([]byte, 20)...), 3, 0))
	dvcC := mk("dvcC", []byte{1, 0, 0x10, 0x35}, make([]byte, 20))
	init := initParts{handler: "vide", entries: [][]byte{entryVideo("dvhe", hvcC, dvcC)}}.build()
	rpu := nal(append([]byte{62 << 1, 1}, pattern(90, 3)...)...)
	layer := nal(append([]byte{63<<1 | 1, 1}, pattern(200, 4)...)...)
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, init, testProtection(scheme))
		plain, err := readProtected(mustProtect(t, pr, videoChunk(sample)), scheme, 0)
		if err != nil {
			t.Fatal(err)
		}
		seg := videoChunk(slices.Concat(sample, layer, rpu))
		clear, got, err := decryptSegment(mustProtect(t, pr, seg), scheme, 0)
		want := append(slices.Clone(plain[0].subs), subsample{uint16(len(layer) + len(rpu)), 0})
		if err != nil || !bytes.Equal(clear, mdatPayload(seg)) || !slices.Equal(got[0].subs, want) {
			t.Errorf("%s: %v, %v, want %v", scheme, got[0].subs, err, want)
		}
		if !bytes.Contains(pr.Init(), dvcC) {
			t.Errorf("%s: dvcC changed", scheme)
		}
	}
}

// TestWholeSampleEntries: sound of codecs without an encoder here, too, is protected in whole samples. Synthetic samples.
func TestWholeSampleEntries(t *testing.T) {
	n := 0
	for typ, known := range sampleCodecs {
		if known.codec != codecWhole {
			continue
		}
		n++
		for _, scheme := range drm.Schemes {
			init := initParts{entries: [][]byte{entryAudio(typ.String())}}.build()
			pr := newTestProtector(t, init, testProtection(scheme))
			seg := videoChunk(pattern(100, 1), nil, pattern(33, 2))
			clear, samples, err := decryptSegment(mustProtect(t, pr, seg), scheme, 0)
			if err != nil || !bytes.Equal(clear, mdatPayload(seg)) || countProtected(samples) != 2 {
				t.Errorf("%s, %s: %v, %d samples protected", typ, scheme, err, countProtected(samples))
			}
			if !bytes.Contains(pr.Init(), []byte("frma"+typ.String())) {
				t.Errorf("%s: no frma", typ)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d entries", n)
	}
}

// TestQuickTimeSound: sound entries of version 1 have fields before their children, and the children of a version-1 stsd have not.
func TestQuickTimeSound(t *testing.T) {
	m := loadMedia(t, "aac-quicktime")
	at := bytes.Index(m.init, []byte("mp4a"))
	if at < 0 || m.init[at+4+9] != 1 || !bytes.Contains(m.init, []byte("wave")) {
		t.Fatal("the fixture has no entry of version 1")
	}
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, m.init, testProtection(scheme))
		protected := slices.Concat(pr.Init(), mustProtect(t, pr, m.all()))
		want := packetHashes(t, slices.Concat(m.init, m.all()))
		if got := packetHashes(t, protected, "-decryption_key", testKeyHex); !slices.Equal(got, want) {
			t.Errorf("%s: ffmpeg: %d of %d packets differ", scheme, countDiffer(got, want), len(want))
		}
	}
}

// TestChunksInside: chunks that do not begin with what they depend on say so, and go with a stream that has seen it.
func TestChunksInside(t *testing.T) {
	for _, name := range []string{"av1-tiles", "vp9-hidden", "avc3", "hevc-in-band"} {
		t.Run(name, func(t *testing.T) {
			m := loadMedia(t, name)
			pr := newTestProtector(t, withoutSets(m.init), testProtection(drm.SchemeCenc))
			whole, err := readProtected(mustProtect(t, pr, m.fragments[0]), drm.SchemeCenc, 0)
			if err != nil {
				t.Fatal(err)
			}
			samples := cutSamples(t, pr, m.fragments[0])
			stream := pr.NewStream()
			for i, sample := range samples {
				chunk := videoChunk(sample)
				if i == 1 {
					if _, err := pr.ProtectSegment(nil, chunk); !errors.Is(err, ErrParameterSets) {
						t.Errorf("a chunk inside, alone: %v", err)
					}
				}
				segment, err := stream.Plan(chunk)
				if err != nil {
					t.Fatalf("sample %d: %v", i, err)
				}
				got, err := readProtected(segment.AppendTo(nil), drm.SchemeCenc, 0)
				segment.Release()
				if err != nil || !slices.Equal(got[0].subs, whole[i].subs) {
					t.Fatalf("sample %d: %v, %v, in the whole segment %v", i, got, err, whole[i].subs)
				}
			}
			primed := pr.NewStream()
			if err := primed.Prime(videoChunk(samples[0])); err != nil {
				t.Fatal(err)
			}
			if _, err := primed.Plan(videoChunk(samples[1])); err != nil {
				t.Errorf("a primed stream: %v", err)
			}
		})
	}
}

// cutSamples returns the clear samples of a segment.
func cutSamples(t testing.TB, pr *Protector, seg Clear) [][]byte {
	t.Helper()
	clear, read, err := decryptSegment(mustProtect(t, pr, seg), pr.scheme, 0)
	if err != nil {
		t.Fatal(err)
	}
	var samples [][]byte
	for _, s := range read {
		samples = append(samples, clear[:len(s.data)])
		clear = clear[len(s.data):]
	}
	return samples
}

// TestHeadersAllocateNothing: parsers of headers run for every picture.
func TestHeadersAllocateNothing(t *testing.T) {
	vvcClear, vvcFragments := vvcFile(t)
	for name, tc := range map[string]struct {
		pr  *Protector
		seg Clear
	}{
		"vvc":  {newVVCProtector(t, vvcClear, drm.SchemeCbcs), vvcFragments[0]},
		"vp9":  {newTestProtector(t, loadMedia(t, "vp9-hidden").init, testProtection(drm.SchemeCbcs)), loadMedia(t, "vp9-hidden").fragments[0]},
		"av1":  {newTestProtector(t, loadMedia(t, "av1-tiles").init, testProtection(drm.SchemeCbcs)), loadMedia(t, "av1-tiles").fragments[0]},
		"hevc": {newTestProtector(t, loadMedia(t, "hevc").init, testProtection(drm.SchemeCbcs)), loadMedia(t, "hevc").fragments[0]},
	} {
		samples := cutSamples(t, tc.pr, tc.seg)
		var state codecState
		entry := &tc.pr.init.tracks[0].entries[0]
		subs := make([]subsample, 0, 4096)
		run := func() {
			state.use(entry, drm.SchemeCbcs)
			subs = subs[:0]
			for _, b := range samples {
				var err error
				if subs, err = state.mapSample(b, subs); err != nil {
					t.Fatal(err)
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s: %.1f allocations for %d samples", name, n, len(samples))
		}
	}
}
