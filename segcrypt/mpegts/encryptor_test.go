package mpegts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

const (
	testKIDHex = "11111111111111111111111111111101"
	testKeyHex = "7e577e577e577e577e577e577e577e57"
	testIVHex  = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
)

var testSecret, testIV = mustHex(testKeyHex), mustHex(testIVHex)

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func testKey(tb testing.TB) drm.ContentKey {
	tb.Helper()
	key, err := drm.NewContentKey(drm.KID(mustHex(testKIDHex)), testSecret, testIV)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func readFixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// fixtures are the test segments that can be protected, with the clear and the protected stream types.
var fixtures = []struct {
	name  string
	types map[byte]byte
}{
	{"avc-aac.ts", map[byte]byte{0x1B: 0xDB, 0x0F: 0xCF}},
	{"avc-b-slices.ts", map[byte]byte{0x1B: 0xDB, 0x0F: 0xCF}},
	{"avc-pcm.ts", map[byte]byte{0x1B: 0xDB}},
	{"aac.ts", map[byte]byte{0x0F: 0xCF}},
	{"aac-single.ts", map[byte]byte{0x0F: 0xCF}},
	{"avc-ac3.ts", map[byte]byte{0x1B: 0xDB, 0x81: 0xC1}},
	{"ac3.ts", map[byte]byte{0x81: 0xC1}},
	{"eac3.ts", map[byte]byte{0x87: 0xC2}},
	{"eac3-dvb.ts", map[byte]byte{0x06: 0xC2}},
}

func mustProtect(tb testing.TB, seg []byte) []byte {
	tb.Helper()
	input := bytes.Clone(seg)
	prefix := []byte("prefix")
	out, err := New(testKey(tb)).ProtectSegment(prefix, seg)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(seg, input) {
		tb.Fatal("the clear segment was written to")
	}
	rest, ok := bytes.CutPrefix(out, prefix)
	if !ok {
		tb.Fatal("what was in dst is gone")
	}
	return rest
}

func mustRead(tb testing.TB, seg []byte) *readSegment {
	tb.Helper()
	s, err := readTS(seg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// checkProtected compares a protected segment with the clear one: the streams decrypt to what they were, and all else is as it was.
func checkProtected(clearSegment, protected []byte) error {
	before, err := readTS(clearSegment)
	if err != nil {
		return err
	}
	after, err := readTS(protected)
	if err != nil {
		return err
	}
	for pid, want := range before.streams {
		got := after.streams[pid]
		switch {
		case got == nil:
			return errors.New("a stream is missing")
		case got.streamType == want.streamType:
			if !bytes.Equal(got.es(), want.es()) || got.packets != want.packets {
				return errors.New("a stream that passes differs")
			}
			continue
		case len(got.pes) != len(want.pes):
			return errors.New("the number of PES packets differs")
		case got.stray && !want.stray:
			return errors.New("a packet without payload has moved the continuity counter")
		case !bytes.Equal(got.adaptation, want.adaptation):
			return errors.New("adaptation fields differ")
		}
		for i := range want.pes {
			w, g := slices.Clone(want.pes[i].header), slices.Clone(got.pes[i].header)
			copy(w[4:6], []byte{0, 0})
			copy(g[4:6], []byte{0, 0})
			if !bytes.Equal(w, g) {
				return errors.New("PES headers differ")
			}
		}
		if err := checkStream(want, got); err != nil {
			return err
		}
		if err := checkCounters(want, got); err != nil {
			return err
		}
	}
	return nil
}

func checkStream(want, got *readStream) error {
	if got.streamType != 0xDB {
		es, err := decryptAudio(got.es(), testSecret, testIV)
		if err != nil {
			return err
		}
		if !bytes.Equal(es, want.es()) {
			return errors.New("audio decrypts to something else")
		}
		return nil
	}
	wantNALs, gotNALs := splitNALs(want.es()), splitNALs(got.es())
	if len(wantNALs) != len(gotNALs) {
		return errors.New("the number of NAL units differs")
	}
	for i, nal := range gotNALs {
		if !bytes.Equal(decryptNAL(nal, testSecret, testIV), wantNALs[i]) {
			return errors.New("a NAL unit decrypts to something else")
		}
	}
	return nil
}

// checkCounters: where the clear counters go on one by one, so do the protected ones, from the same one, and those of the segment
// behind fit on.
func checkCounters(want, got *readStream) error {
	if len(want.counters) == 0 {
		return nil
	}
	for i, c := range want.counters {
		if c != (want.counters[0]+byte(i))&15 {
			return nil // not continuous to begin with
		}
	}
	for i, c := range got.counters {
		if c != (want.counters[0]+byte(i))&15 {
			return errors.New("continuity counters jump")
		}
	}
	if last := want.pes[len(want.pes)-1]; len(last.data) > 18 && (len(got.counters)-len(want.counters))%16 != 0 {
		return errors.New("the counters of the next segment do not fit on")
	}
	return nil
}

func TestProtectSegment(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			seg := readFixture(t, f.name)
			protected := mustProtect(t, seg)
			if err := checkProtected(seg, protected); err != nil {
				t.Error(err)
			}
			if again := mustProtect(t, seg); !bytes.Equal(again, protected) {
				t.Error("another run gives other bytes")
			}
			before, after := mustRead(t, seg), mustRead(t, protected)
			if len(after.streams) != len(f.types) || before.pcrPID != after.pcrPID {
				t.Errorf("%d streams, PCR in %d", len(after.streams), after.pcrPID)
			}
			for pid, st := range before.streams {
				if got := after.streams[pid].streamType; got != f.types[st.streamType] {
					t.Errorf("stream type %#x became %#x", st.streamType, got)
				}
			}
			if _, err := New(testKey(t)).ProtectSegment(nil, protected); !errors.Is(err, segcrypt.ErrAlreadyProtected) {
				t.Errorf("the output as input: %v", err)
			}
			if i := leakedRun(before, after); i >= 0 {
				t.Errorf("64 clear bytes at %d of a stream stand in the output", i)
			}
		})
	}
}

// leakedRun searches frames of audio and, in video, the blocks that have to be encrypted.
func leakedRun(before, after *readSegment) int {
	for pid, st := range before.streams {
		es, out := st.es(), after.streams[pid].es()
		if st.streamType == 0x1B {
			for _, nal := range splitNALs(es) {
				if kind := nal[0] & 31; (kind == 1 || kind == 5) && len(nal) > 48 && bytes.Contains(out, nal[16:min(64, len(nal))]) {
					return 0
				}
			}
			continue
		}
		headers, sizes, err := audioFrames(es)
		for i, offset := 0, 0; err == nil && i < len(sizes); i++ {
			if from := offset + headers[i] + 16; sizes[i]-headers[i] >= 96 && bytes.Contains(out, es[from:from+64]) {
				return from
			}
			offset += sizes[i]
		}
	}
	return -1
}

func TestAudioPacketsStay(t *testing.T) {
	seg := readFixture(t, "avc-aac.ts")
	before, after := mustRead(t, seg), mustRead(t, mustProtect(t, seg))
	for pid, st := range before.streams {
		if st.streamType != 0x0F {
			continue
		}
		if got := after.streams[pid]; got.packets != st.packets || len(got.es()) != len(st.es()) {
			t.Errorf("%d packets became %d", st.packets, got.packets)
		}
	}
}

func TestPMT(t *testing.T) {
	for name, test := range map[string]struct {
		fixture string
		want    string // descriptors of the last stream
	}{
		"video":    {"avc-pcm.ts", "0f04" + hex.EncodeToString([]byte("zavc"))},
		"AAC":      {"aac.ts", "0f04" + hex.EncodeToString([]byte("aacd")) + "050e" + hex.EncodeToString([]byte("apadzaac")) + "000001021188"},
		"AC-3":     {"ac3.ts", "0f04" + hex.EncodeToString([]byte("ac3d")) + "0516" + hex.EncodeToString([]byte("apadzac3")) + "0000010a"},
		"E-AC-3":   {"eac3.ts", "0f04" + hex.EncodeToString([]byte("ec3d")) + "0511" + hex.EncodeToString([]byte("apadzec3")) + "00000105" + "0600200400"},
		"DVB type": {"eac3-dvb.ts", "7a0100" + "0f04" + hex.EncodeToString([]byte("ec3d")) + "0511" + hex.EncodeToString([]byte("apadzec3")) + "00000105" + "0600200400"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, st := range mustRead(t, mustProtect(t, readFixture(t, test.fixture))).streams {
				if got := hex.EncodeToString(st.descriptors); !strings.HasPrefix(got, test.want) {
					t.Errorf("descriptors %s, want %s", got, test.want)
				}
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	e := New(testKey(t))
	for _, f := range fixtures {
		seg := readFixture(t, f.name)
		want := mustProtect(t, seg)
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				if got, err := e.ProtectSegment(nil, seg); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("another result in a shared encryptor: %v", err)
				}
			}
		})
	}
}
