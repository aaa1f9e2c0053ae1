package segcrypt

import (
	"bytes"
	"testing"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/caddy-drm/caddy-drm/drm"
)

// TestAllocations: a cbcs segment costs next to nothing, a cenc segment the key stream of each sample.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("pools lose buffers under the race detector; the count holds without it")
	}
	seg := readTestdata(t, "avc-1.m4s")
	for scheme, limit := range map[drm.ProtectionScheme]float64{drm.SchemeCbcs: 2, drm.SchemeCenc: 10 + 10} {
		pr := newTestProtector(t, readTestdata(t, "avc-init.mp4"), testProtection(scheme))
		buf := make([]byte, 0, 2*len(seg))
		allocs := testing.AllocsPerRun(200, func() {
			if _, err := pr.ProtectSegment(buf, seg); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %.0f allocations for 10 samples", scheme, allocs)
		if allocs > limit {
			t.Errorf("%s: %.0f allocations, want at most %.0f", scheme, allocs, limit)
		}
	}
}

// BenchmarkProtect compares, on one 1-second fragment: ours, mp4ff decoding, encrypting and encoding the same, and the floor:
// a copy and the bare cipher over as many bytes as ours encrypts.
func BenchmarkProtect(b *testing.B) {
	for _, name := range []string{"avc", "avc-large", "hevc", "av1-tiles", "aac"} {
		for _, scheme := range drm.Schemes {
			m := benchmarkMedia(b, name)
			seg := m.fragments[0]
			pr := newTestProtector(b, m.init, testProtection(scheme))
			b.Run(name+"/"+scheme.String()+"/ours", func(b *testing.B) {
				b.SetBytes(int64(len(seg)))
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					out, err := pr.ProtectSegment(buf[:0], seg)
					if err != nil {
						b.Fatal(err)
					}
					buf = out
				}
			})
			b.Run(name+"/"+scheme.String()+"/mp4ff", func(b *testing.B) { benchmarkMP4FF(b, m, scheme) })
			b.Run(name+"/"+scheme.String()+"/floor", func(b *testing.B) { benchmarkFloor(b, pr, seg, scheme) })
		}
	}
}

// benchmarkMedia is loadMedia; "avc-large" is the first fragment of "avc" with every slice made longer, 1.5 MB in all, since
// 1-second fragments of small test pictures are mostly headers. Nobody decodes it.
func benchmarkMedia(b *testing.B, name string) *media {
	if name != "avc-large" {
		return loadMedia(b, name)
	}
	m := loadMedia(b, "avc")
	in, err := ParseInit(m.init)
	if err != nil {
		b.Fatal(err)
	}
	pl := new(plan)
	if err := pl.build(m.fragments[0], in, drm.SchemeCenc); err != nil {
		b.Fatal(err)
	}
	var samples [][]byte
	at := pl.fragments[0].mdat.payload()
	for _, s := range pl.samples {
		nals := splitNALs(m.fragments[0][at : at+s.size])
		at += s.size
		var sample []byte
		for i, n := range nals {
			if i == len(nals)-1 {
				n = append(bytes.Clone(n), pattern(1_500_000/len(pl.samples), byte(i))...)
			}
			sample = append(sample, nal(n...)...)
		}
		samples = append(samples, sample)
	}
	return &media{init: m.init, fragments: []Clear{videoChunk(samples...)}}
}

func benchmarkMP4FF(b *testing.B, m *media, scheme drm.ProtectionScheme) {
	b.SetBytes(int64(len(m.fragments[0])))
	b.ReportAllocs()
	file, err := mp4.DecodeFile(bytes.NewReader(m.init))
	if err != nil {
		b.Fatal(err)
	}
	iv := mustHex(testIVHex)
	if scheme == drm.SchemeCenc {
		iv = iv[:8]
	}
	protect, err := mp4.InitProtect(file.Init, mustHex(testKeyHex), iv, scheme.String(), mp4.UUID(mustHex(testKIDHex)), nil)
	if err != nil {
		b.Skip("mp4ff:", err)
	}
	out := bits.NewFixedSliceWriter(2 * len(m.fragments[0]))
	for b.Loop() {
		sr := bits.NewFixedSliceReader(bytes.Clone(m.fragments[0]))
		parsed, err := mp4.DecodeFileSR(sr)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range parsed.Segments {
			for _, f := range s.Fragments {
				if _, err := mp4.EncryptFragment(f, mustHex(testKeyHex), iv, protect); err != nil {
					b.Skip("mp4ff:", err)
				}
			}
		}
		out = bits.NewFixedSliceWriterFromSlice(out.Bytes()[: 0 : 2*len(m.fragments[0])])
		_ = parsed.EncodeSW(out)
	}
}

func benchmarkFloor(b *testing.B, pr *Protector, seg Clear, scheme drm.ProtectionScheme) {
	samples, err := readProtected(mustProtect(b, pr, seg), scheme, pr.init.trex.sampleSize)
	if err != nil {
		b.Fatal(err)
	}
	protected := 0
	for _, s := range samples {
		if s.subs == nil {
			protected += len(s.data)
		}
		for _, sub := range s.subs {
			protected += int(sub.protected)
		}
	}
	b.SetBytes(int64(len(seg)))
	b.ReportAllocs()
	buf := make([]byte, len(seg))
	stride := 16
	if pr.init.track.Kind == KindVideo {
		stride = cbcsVideoStride
	}
	for b.Loop() {
		copy(buf, seg)
		if scheme == drm.SchemeCenc {
			cencStream(pr.block, new([16]byte), 1).XORKeyStream(buf[:protected], buf[:protected])
		} else {
			encryptCbcs(pr.block, &pr.constantIV, buf[:protected], stride)
		}
	}
}
