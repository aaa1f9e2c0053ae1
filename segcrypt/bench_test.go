package segcrypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/Eyevinn/mp4ff/bits"
	"github.com/Eyevinn/mp4ff/mp4"
	"github.com/zeebo/xxh3"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
)

// TestAllocations: a segment costs next to nothing, however many samples it has; without AES instructions, what the standard
// library's key stream costs for each of them.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("pools lose buffers under the race detector; the count holds without it")
	}
	seg := readTestdata(t, "avc-1.m4s")
	key, block := aes128.NewKey([16]byte{}), make([]byte, 512)
	limit := 4 + 10*testing.AllocsPerRun(10, func() { key.CTR(block, block, 1, 0) })
	for _, scheme := range drm.Schemes {
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

// BenchmarkProtect compares, on one fragment and side by side: ours; mp4ff as its users call it; mp4ff on its faster path,
// which decodes and encrypts in one slice; and the floor, which is the least that has to happen to the same bytes.
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
			b.Run(name+"/"+scheme.String()+"/mp4ff", func(b *testing.B) { newMP4FF(b, m, scheme).benchmark(b) })
			b.Run(name+"/"+scheme.String()+"/mp4ff-sr", func(b *testing.B) { newMP4FF(b, m, scheme).benchmarkSliceReader(b) })
			b.Run(name+"/"+scheme.String()+"/floor", func(b *testing.B) { benchmarkFloor(b, pr, seg, scheme) })
		}
	}
}

// benchmarkMedia is loadMedia; "avc-large" is all 50 samples of "avc" in one fragment, with every slice made longer, 1.5 MB in
// all: the shape of 2 seconds of 1080p at 6 Mbit/s, where the test pictures are mostly headers. Nobody decodes it.
func benchmarkMedia(b testing.TB, name string) *media {
	if name != "avc-large" {
		return loadMedia(b, name)
	}
	m := loadMedia(b, "avc")
	longer := (1_500_000 - len(m.all())) / 50
	pr := newTestProtector(b, m.init, testProtection(drm.SchemeCenc))
	var samples [][]byte
	for _, fragment := range m.fragments {
		clear, protected, err := decryptSegment(mustProtect(b, pr, fragment), drm.SchemeCenc, pr.init.tracks[0].trex.sampleSize)
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range protected {
			nals := splitNALs(clear[:len(s.data)])
			clear = clear[len(s.data):]
			var sample []byte
			for i, n := range nals {
				if i == len(nals)-1 {
					n = slices.Concat(n, pattern(longer, byte(len(samples))))
				}
				sample = append(sample, nal(n...)...)
			}
			samples = append(samples, sample)
		}
	}
	if len(samples) != 50 {
		b.Fatalf("%d samples", len(samples))
	}
	return &media{init: m.init, fragments: []Clear{videoChunk(samples...)}}
}

// mp4ffCase is one segment that mp4ff protects.
type mp4ffCase struct {
	seg, key, iv []byte
	protect      *mp4.InitProtectData
}

func newMP4FF(b *testing.B, m *media, scheme drm.ProtectionScheme) mp4ffCase {
	file, err := mp4.DecodeFile(bytes.NewReader(m.init))
	if err != nil {
		b.Fatal(err)
	}
	c := mp4ffCase{seg: m.fragments[0], key: mustHex(testKeyHex), iv: mustHex(testIVHex)}
	if scheme == drm.SchemeCenc {
		c.iv = c.iv[:8]
	}
	if c.protect, err = mp4.InitProtect(file.Init, c.key, c.iv, scheme.String(), mp4.UUID(mustHex(testKIDHex)), nil); err != nil {
		b.Skip("mp4ff:", err)
	}
	return c
}

// benchmark decodes from a reader and encodes to a buffer that is used again.
func (c mp4ffCase) benchmark(b *testing.B) {
	b.SetBytes(int64(len(c.seg)))
	b.ReportAllocs()
	var out bytes.Buffer
	for b.Loop() {
		parsed, err := mp4.DecodeFile(bytes.NewReader(c.seg))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range parsed.Segments {
			if _, err := mp4.EncryptFragments(s.Fragments, c.key, c.iv, c.protect); err != nil {
				b.Skip("mp4ff:", err)
			}
		}
		out.Reset()
		if err := parsed.Encode(&out); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkSliceReader decodes in place in a copy of its own, since mp4ff encrypts there, and encodes to a slice that is used
// again.
func (c mp4ffCase) benchmarkSliceReader(b *testing.B) {
	b.SetBytes(int64(len(c.seg)))
	b.ReportAllocs()
	private, out := make([]byte, len(c.seg)), make([]byte, 2*len(c.seg)+1<<16)
	for b.Loop() {
		copy(private, c.seg)
		parsed, err := mp4.DecodeFileSR(bits.NewFixedSliceReader(private))
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range parsed.Segments {
			for _, f := range s.Fragments {
				if _, err := mp4.EncryptFragment(f, c.key, c.iv, c.protect); err != nil {
					b.Skip("mp4ff:", err)
				}
			}
		}
		if err := parsed.EncodeSW(bits.NewFixedSliceWriterFromSlice(out)); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkFloor is the least that has to happen to seg, with the standard library and one key schedule: a copy, and for cenc
// the digest that its IVs are derived from and one key stream per sample, for cbcs one chain of blocks per protected run.
func benchmarkFloor(b *testing.B, pr *Protector, seg Clear, scheme drm.ProtectionScheme) {
	block, err := aes.NewCipher(mustHex(testKeyHex))
	if err != nil {
		b.Fatal(err)
	}
	out := mustProtect(b, pr, seg)
	samples, err := readProtected(out, scheme, pr.init.tracks[0].trex.sampleSize)
	if err != nil {
		b.Fatal(err)
	}
	stride := aes.BlockSize
	if samples[0].subs != nil {
		stride = 10 * aes.BlockSize
	}
	buf := make([]byte, len(seg))
	payload := len(seg) - len(mdatPayload(seg))
	b.SetBytes(int64(len(seg)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, seg)
		if scheme == drm.SchemeCenc {
			_ = xxh3.Hash128(buf)
		}
		at := payload
		var iv [aes.BlockSize]byte
		for i, s := range samples {
			binary.BigEndian.PutUint64(iv[:8], uint64(i))
			whole := [1]subsample{{0, uint32(len(s.data))}}
			subs := s.subs
			if subs == nil {
				subs = whole[:]
			}
			if scheme == drm.SchemeCenc {
				stream := cipher.NewCTR(block, iv[:])
				for _, sub := range subs {
					at += int(sub.clear)
					stream.XORKeyStream(buf[at:at+int(sub.protected)], buf[at:at+int(sub.protected)])
					at += int(sub.protected)
				}
				continue
			}
			for _, sub := range subs {
				at += int(sub.clear)
				floorChain(block, buf[at:at+int(sub.protected)], stride)
				at += int(sub.protected)
			}
		}
	}
}

// floorChain encrypts one block of every stride bytes, chained.
func floorChain(block cipher.Block, b []byte, stride int) {
	var p0, p1 uint64
	for off := 0; len(b)-off >= aes.BlockSize; off += stride {
		x := b[off : off+aes.BlockSize : off+aes.BlockSize]
		binary.LittleEndian.PutUint64(x[:8], binary.LittleEndian.Uint64(x[:8])^p0)
		binary.LittleEndian.PutUint64(x[8:], binary.LittleEndian.Uint64(x[8:])^p1)
		block.Encrypt(x, x)
		p0, p1 = binary.LittleEndian.Uint64(x[:8]), binary.LittleEndian.Uint64(x[8:])
	}
}

// BenchmarkWhole compares one chain over all bytes, as METHOD=AES-128 has it, with the standard library, on pieces of the size
// that openssl speed is asked for.
func BenchmarkWhole(b *testing.B) {
	buf := make([]byte, 16<<10)
	key := [16]byte(mustHex(testKeyHex))
	b.Run("ours", func(b *testing.B) {
		k, iv := aes128.NewKey(key), new([16]byte)
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			k.CBCEncrypt(buf, iv)
		}
	})
	b.Run("floor", func(b *testing.B) {
		block, err := aes.NewCipher(key[:])
		if err != nil {
			b.Fatal(err)
		}
		mode := cipher.NewCBCEncrypter(block, make([]byte, 16))
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			mode.CryptBlocks(buf, buf)
		}
	})
}
