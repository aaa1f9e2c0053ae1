package segcrypt

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// FuzzParseInit: whatever an origin sends, it is an error with a place or an init segment that can be protected; and what was
// protected is recognized as such.
func FuzzParseInit(f *testing.F) {
	f.Add([]byte(readTestdata(f, "avc-init.mp4")))
	f.Add([]byte(initParts{}.build()))
	f.Add([]byte(initParts{entries: [][]byte{entryAudio("mp4a"), entryAudio("Opus")}}.build()))
	f.Add([]byte(initParts{handler: "text", entries: [][]byte{mk("wvtt", make([]byte, 8))}}.build()))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := ParseInit(b)
		if err != nil {
			var fe *FormatError
			if in != nil || !errors.As(err, &fe) || fe.Offset > int64(len(b)) {
				t.Fatalf("%v with %v", in, err)
			}
			return
		}
		pr, err := NewProtector(in, testProtection(drm.SchemeCbcs))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseInit(Clear(pr.Init()))
		switch in.Tracks()[0].Kind {
		case KindText:
			if err != nil || again.Digest() != in.Digest() {
				t.Fatalf("text: %v", err)
			}
		default:
			if !errors.Is(err, ErrAlreadyProtected) {
				t.Fatalf("the output as input: %v", err)
			}
		}
	})
}

// fuzzInits are the init segments that FuzzProtectSegment tries a segment with.
func fuzzInits(tb testing.TB) []Clear {
	av1C := mk("av1C", []byte{0x81, 0, 0, 0})
	hvcC := mk("hvcC", append(append([]byte{1}, make([]byte, 20)...), 3, 0))
	return []Clear{
		readTestdata(tb, "avc-init.mp4"),
		initParts{trexSize: 16}.build(),
		initParts{handler: "vide", entries: [][]byte{entryVideo("av01", av1C)}}.build(),
		initParts{handler: "vide", entries: [][]byte{entryVideo("hev1", hvcC)}}.build(),
		initParts{handler: "subt", entries: [][]byte{mk("stpp", make([]byte, 8))}}.build(),
	}
}

// FuzzProtectSegment: an error leaves nothing; otherwise the output decrypts to the input's samples, and all ways to
// write it give the same bytes.
func FuzzProtectSegment(f *testing.F) {
	inits := fuzzInits(f)
	f.Add([]byte(readTestdata(f, "avc-1.m4s")), uint8(0), false)
	f.Add(defaultChunk().build(), uint8(1), true)
	f.Add(with(func(c *chunkParts) { c.runs = []runParts{{sizes: []uint32{16, 16}}}; c.data = c.data[:32] }), uint8(1), false)
	f.Add(slices.Concat(sidxBox(0, 0, 100), defaultChunk().build(), mk("free", make([]byte, 9))), uint8(1), false)
	for i, name := range []string{"av1-sample", "hevc-sample"} {
		f.Add([]byte(videoChunk(readTestdata(f, name))), uint8(2+i), true)
	}
	f.Fuzz(func(t *testing.T, seg []byte, which uint8, cbcs bool) {
		scheme := drm.SchemeCenc
		if cbcs {
			scheme = drm.SchemeCbcs
		}
		in, err := ParseInit(inits[int(which)%len(inits)])
		if err != nil {
			t.Fatal(err)
		}
		pr, err := NewProtector(in, testProtection(scheme))
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(seg)
		out, err := pr.ProtectSegment(nil, seg)
		if !bytes.Equal(before, seg) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			var fe *FormatError
			if out != nil || !errors.As(err, &fe) || fe.Offset > int64(len(seg)) {
				t.Fatalf("%d bytes with %v", len(out), err)
			}
			return
		}
		checkWriteTo(t, pr, seg, out)
		// A sample without bytes may cost 16 bytes in senc and one in saiz.
		if len(out) > 3*len(seg)+18*maxSamples {
			t.Fatalf("%d bytes of %d", len(out), len(seg))
		}
		if in.Tracks()[0].Kind == KindText {
			return
		}
		clear, _, err := decryptSegment(out, scheme, in.tracks[0].trex.sampleSize)
		if err != nil || !bytes.Equal(clear, mdatPayload(seg)) {
			t.Fatalf("decrypting: %v", err)
		}
	})
}

// FuzzProtectSample puts hostile samples into sound boxes, so that the codec parsers are reached: the sample is cut into two.
func FuzzProtectSample(f *testing.F) {
	inits := fuzzInits(f)
	_, samples := tinySamples(f)
	f.Add(samples[0], uint16(len(samples[0])), uint8(0), false)
	f.Add(slices.Concat(samples[1], samples[2]), uint16(len(samples[1])), uint8(0), true)
	f.Add([]byte(readTestdata(f, "av1-sample")), uint16(1<<15), uint8(2), false)
	f.Add([]byte(readTestdata(f, "hevc-sample")), uint16(1<<15), uint8(3), true)
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, which uint8, cbcs bool) {
		scheme := drm.SchemeCenc
		if cbcs {
			scheme = drm.SchemeCbcs
		}
		in, err := ParseInit(inits[int(which)%len(inits)])
		if err != nil || in.tracks[0].Kind == KindText {
			return
		}
		pr, err := NewProtector(in, testProtection(scheme))
		if err != nil {
			t.Fatal(err)
		}
		n := min(int(cut), len(b))
		seg := videoChunk(b[:n], b[n:])
		out, err := pr.ProtectSegment(nil, seg)
		if err != nil {
			if out != nil {
				t.Fatal("an error and bytes")
			}
			return
		}
		clear, samples, err := decryptSegment(out, scheme, 0)
		if err != nil || !bytes.Equal(clear, b) || len(samples) != 2 {
			t.Fatalf("decrypting %d samples: %v", len(samples), err)
		}
	})
}

// TestFuzzSeedsAccepted keeps the seeds useful: each reaches the end of its parser.
func TestFuzzSeedsAccepted(t *testing.T) {
	for which, name := range map[int]string{2: "av1-sample", 3: "hevc-sample"} {
		pr := newTestProtector(t, fuzzInits(t)[which], testProtection(drm.SchemeCenc))
		samples, err := readProtected(mustProtect(t, pr, videoChunk(readTestdata(t, name))), drm.SchemeCenc, 0)
		if err != nil || countProtected(samples) != 1 {
			t.Errorf("%s: %d samples protected, %v", name, countProtected(samples), err)
		}
	}
}
