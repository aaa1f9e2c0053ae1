package segcrypt

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// FuzzMuxed: segments of several tracks with a key each decrypt to what they were, however they are laid out, in one piece, in
// windows and chunk by chunk.
func FuzzMuxed(f *testing.F) {
	f.Add(muxedChunk(muxedData(),
		trafParts{1, 0, 0, []placedRun{{0, []uint32{100}, true}, {100, []uint32{60}, true}}, mk("senc", n32(0, 0))},
		trafParts{3, 0, 0, []placedRun{{160, []uint32{8}, true}}, nil},
		trafParts{2, tfhdBaseIsMoof, 0, []placedRun{{168, []uint32{40}, false}}, nil}), false)
	r := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		seg, _ := randomMuxed(r)
		f.Add(slices.Concat(sidxBox(0, 24, uint32(len(seg))), ssixBox([]uint32{level(0, uint32(len(seg)))}), seg, seg), true)
	}
	f.Fuzz(func(t *testing.T, seg []byte, cbcs bool) {
		scheme := drm.SchemeCenc
		if cbcs {
			scheme = drm.SchemeCbcs
		}
		pr := twoAndText(t, scheme)
		out, err := pr.ProtectSegment(nil, seg)
		if err != nil {
			var fe *FormatError
			if out != nil || !errors.As(err, &fe) || fe.Offset > int64(len(seg)) {
				t.Fatalf("%d bytes with %v", len(out), err)
			}
			return
		}
		checkWriteTo(t, pr, seg, out)
		clear, samples, err := decryptTracks(out, scheme, 0, keysOfTwo)
		if err != nil || !bytes.Equal(clear, mdatPayload(seg)) {
			t.Fatalf("decrypting: %v", err)
		}
		covered := 0
		for _, s := range samples {
			covered += len(s.data)
		}
		if covered != len(clear) {
			t.Fatalf("samples cover %d of %d bytes", covered, len(clear))
		}
		// Sound without senc is judged by its first bytes, of which the fuzzer may have any.
		if err := CheckProtected(Clear(pr.Init()), Clear(out)); err != nil && !errors.Is(err, errWholeSamples) && !errors.Is(err, errClearFrames) {
			t.Fatalf("the output does not pass as protected: %v", err)
		}
		if !bytes.Contains(seg, []byte("sidx")) && !bytes.Contains(seg, []byte("ssix")) {
			if got := streamed(t, pr.NewStream(), seg); !bytes.Equal(got, out) {
				t.Fatal("chunk by chunk the bytes differ")
			}
		}
		checkClearLead(t, leadOf(pr), seg)
	})
}

// FuzzNextChunk: a chunk that is found lies within the limit and can be planned or refused; what is found does not depend on
// how much follows it.
func FuzzNextChunk(f *testing.F) {
	f.Add(slices.Concat(mk("styp", n32(0)), defaultChunk().build(), defaultChunk().build()), uint16(1000), uint16(300))
	f.Add(with(func(c *chunkParts) { c.largeMdat = true }), uint16(1000), uint16(200))
	f.Fuzz(func(t *testing.T, b []byte, limit, cut uint16) {
		n, err := NextChunk(b, int(limit))
		if err != nil {
			var fe *FormatError
			if n != 0 || !errors.As(err, &fe) || fe.Offset > int64(len(b)) {
				t.Fatalf("%d with %v", n, err)
			}
			return
		}
		if n > len(b) || n > int(limit) {
			t.Fatalf("%d of %d bytes, the limit is %d", n, len(b), limit)
		}
		part := b[:min(int(cut), len(b))]
		m, err := NextChunk(part, int(limit))
		if err != nil || m != 0 && m != n || m == 0 && n > 0 && n <= len(part) {
			t.Fatalf("%d of %d bytes, but %d of %d: %v", n, len(b), m, len(part), err)
		}
	})
}

// FuzzCheckProtected: init segments and segments from anywhere are judged in bounded time, and a clear init segment never
// passes.
func FuzzCheckProtected(f *testing.F) {
	pr := twoAndText(f, drm.SchemeCenc)
	seg := muxedChunk(muxedData(), trafParts{1, tfhdBaseIsMoof, 0, []placedRun{{0, []uint32{208}, false}}, nil})
	f.Add([]byte(pr.Init()), []byte(mustProtect(f, pr, seg)))
	video := newTestProtector(f, readTestdata(f, "avc-init.mp4"), testProtection(drm.SchemeCbcs))
	f.Add([]byte(video.Init()), []byte(mustProtect(f, video, readTestdata(f, "avc-1.m4s"))))
	f.Add([]byte(readTestdata(f, "avc-init.mp4")), []byte(readTestdata(f, "avc-1.m4s")))
	f.Fuzz(func(t *testing.T, init, seg []byte) {
		err := CheckProtected(init, seg)
		var fe *FormatError
		if err != nil && !errors.As(err, &fe) {
			t.Fatal(err)
		}
		if _, parseErr := ParseInit(init); parseErr == nil && (err == nil || IsProtected(init)) {
			t.Fatal("a clear init segment passed as protected")
		}
	})
}
