package wholesegment

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

const testKeyHex = "7e577e577e577e577e577e577e577e57"

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func newEncryptor(tb testing.TB, secret string) *Encryptor {
	tb.Helper()
	key, err := drm.NewContentKey(drm.KID{1}, mustHex(secret), make([]byte, 16))
	if err != nil {
		tb.Fatal(err)
	}
	return New(key)
}

// TestVectors are F.2.1 of NIST SP 800-38A, whose last block is the padding that PKCS #7 adds to four whole blocks.
func TestVectors(t *testing.T) {
	clear := mustHex("6bc1bee22e409f96e93d7e117393172a" + "ae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52ef" + "f69f2445df4f9b17ad2b417be66c3710")
	want := mustHex("7649abac8119b246cee98e9b12e9197d" + "5086cb9b507219ee95db113a917678b2" +
		"73bed6b8e3c1743b7116e69e22229516" + "3ff1caa1681fac09120eca307586e1a7" + "8cb82807230e1321d3fae00d18cc2012")
	got := newEncryptor(t, "2b7e151628aed2a6abf7158809cf4f3c").Append(nil, clear, [16]byte(mustHex("000102030405060708090a0b0c0d0e0f")))
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func decrypt(tb testing.TB, b []byte, iv [16]byte) []byte {
	tb.Helper()
	block, err := aes.NewCipher(mustHex(testKeyHex))
	if err != nil {
		tb.Fatal(err)
	}
	out := make([]byte, len(b))
	cipher.NewCBCDecrypter(block, iv[:]).CryptBlocks(out, b)
	padding := int(out[len(out)-1])
	if padding == 0 || padding > 16 || !bytes.Equal(out[len(out)-padding:], bytes.Repeat([]byte{byte(padding)}, padding)) {
		tb.Fatal("wrong padding")
	}
	return out[:len(out)-padding]
}

func TestRoundTrip(t *testing.T) {
	e := newEncryptor(t, testKeyHex)
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 188, 188 * 16, 100_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			clear := bytes.Repeat([]byte("clear media "), n/12+1)[:n]
			input := bytes.Clone(clear)
			iv := IVFromSequence(uint64(n))
			out := e.Append([]byte("prefix"), clear, iv)
			if !bytes.Equal(clear, input) || !bytes.HasPrefix(out, []byte("prefix")) {
				t.Error("the input or dst was written to")
			}
			out = out[len("prefix"):]
			if len(out) != Size(n) || len(out) != e.Size(n) || len(out)%16 != 0 || len(out) <= n {
				t.Errorf("%d bytes, want %d", len(out), Size(n))
			}
			if got := decrypt(t, out, iv); !bytes.Equal(got, clear) {
				t.Error("decrypts to something else")
			}
			buf := append(make([]byte, 0, n+16), clear...)
			in := e.EncryptInPlace(buf, iv)
			if !bytes.Equal(in, out) || &in[0] != &buf[:1][0] {
				t.Error("in place gives something else, or elsewhere")
			}
		})
	}
}

func TestEncryptInPlacePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a segment without room for the padding was accepted")
		}
	}()
	newEncryptor(t, testKeyHex).EncryptInPlace(make([]byte, 16, 31), [16]byte{})
}

func TestIVFromSequence(t *testing.T) {
	if got := hex.EncodeToString(bytes.Clone(func() []byte { iv := IVFromSequence(0x0102030405060708); return iv[:] }())); got != "00000000000000000102030405060708" {
		t.Error(got)
	}
}

func readFixture(tb testing.TB, elem ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{".."}, elem...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestSniff(t *testing.T) {
	ts := readFixture(t, "mpegts", "testdata", "avc-aac.ts")
	aac := readFixture(t, "packedaudio", "testdata", "tone.aac")
	m4s := readFixture(t, "testdata", "avc-1.m4s")
	scrambled := bytes.Clone(ts)
	scrambled[3+188*5] |= 0x80
	box := func(name string, body int) []byte {
		return append([]byte{0, 0, 0, byte(8 + body), name[0], name[1], name[2], name[3]}, make([]byte, body)...)
	}
	// 128 kbit/s at 48 kHz: 384 bytes each.
	mp3 := bytes.Repeat(slices.Concat([]byte{0xFF, 0xFB, 0x94, 0xC4}, make([]byte, 380)), 3)
	e := newEncryptor(t, testKeyHex)
	for name, test := range map[string]struct {
		b    []byte
		want Container
	}{
		"transport stream":                    {ts, TS},
		"other streams than those we protect": {readFixture(t, "mpegts", "testdata", "hevc.ts"), TS},
		"packed AAC":                          {aac, PackedAAC},
		"packed AAC without a tag":            {aac[73:], PackedAAC},
		"packed AC-3":                         {readFixture(t, "packedaudio", "testdata", "tone.ac3"), PackedAC3},
		"packed E-AC-3":                       {readFixture(t, "packedaudio", "testdata", "tone.ec3"), PackedEC3},
		"packed MP3":                          {mp3, PackedMP3},
		"packed MP3 behind a tag":             {slices.Concat([]byte("ID3\x04\x00\x00\x00\x00\x00\x01\x00"), mp3), PackedMP3},
		"packed MP3 of MPEG-2, 24 kHz":        {slices.Concat([]byte{0xFF, 0xF3, 0x84, 0xC4}, make([]byte, 188)), PackedMP3},
		"packed MP3 of MPEG-2.5, 8 kHz":       {slices.Concat([]byte{0xFF, 0xE3, 0x18, 0xC4}, make([]byte, 68)), PackedMP3},
		"CMAF":                                {m4s, FMP4},
		"CMAF behind other boxes":             {slices.Concat(box("styp", 8), box("prft", 4), box("emsg", 4), box("sidx", 4), m4s), FMP4},
		"last box up to the end":              {slices.Concat(box("moof", 8), []byte{0, 0, 0, 0, 'm', 'd', 'a', 't'}, []byte("media")), FMP4},
		"large box":                           {slices.Concat(box("moof", 8), []byte{0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0, 0, 0, 18, 1, 2}), FMP4},
		"WebVTT":                              {[]byte("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n"), WebVTT},
		"WebVTT with a mark":                  {[]byte("\xEF\xBB\xBFWEBVTT - title\r\n"), WebVTT},
		"empty WebVTT":                        {[]byte("WEBVTT"), WebVTT},

		"nothing":                    {nil, Unknown},
		"a page of HTML":             {[]byte("<!DOCTYPE html><title>502 Bad Gateway</title>"), Unknown},
		"JSON":                       {[]byte(`{"error":"not found"}`), Unknown},
		"another word":               {[]byte("WEBVTTX"), Unknown},
		"cut transport stream":       {ts[:len(ts)-1], Unknown},
		"transport stream, one byte": {ts[:1], Unknown},
		"scrambled transport stream": {scrambled, Unknown},
		"lost sync":                  {slices.Concat(ts[:188*3], make([]byte, 188)), Unknown},
		"encrypted transport stream": {e.Append(nil, ts, [16]byte{}), Unknown},
		"encrypted CMAF":             {e.Append(nil, m4s, [16]byte{}), Unknown},
		"encrypted packed audio":     {e.Append(nil, aac, [16]byte{}), Unknown},
		"cut packed MP3":             {mp3[:len(mp3)-1], Unknown},
		"MPEG audio, layer II":       {slices.Concat([]byte{0xFF, 0xFD, 0x94, 0xC4}, make([]byte, 380)), Unknown},
		"MP3 of a free format":       {slices.Concat([]byte{0xFF, 0xFB, 0x04, 0xC4}, make([]byte, 380)), Unknown},
		"encrypted packed MP3":       {e.Append(nil, mp3, [16]byte{}), Unknown},
		"cut packed audio":           {aac[:len(aac)-1], Unknown},
		"cut tag":                    {aac[:50], Unknown},
		"a tag alone":                {aac[:73], Unknown},
		"an init segment":            {readFixture(t, "testdata", "avc-init.mp4"), Unknown},
		"cut CMAF":                   {m4s[:len(m4s)-1], Unknown},
		"no moof":                    {box("styp", 8), Unknown},
		"box size 4":                 {append([]byte{0, 0, 0, 4}, "moof"...), Unknown},
		"box size 2^64-1":            {append(append([]byte{0, 0, 0, 1}, "moof"...), bytes.Repeat([]byte{0xFF}, 8)...), Unknown},
		"large box, size 8":          {append(append([]byte{0, 0, 0, 1}, "moof"...), 0, 0, 0, 0, 0, 0, 0, 8), Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Sniff(test.b); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// FuzzSniff: what is taken for media is not taken for it once it is encrypted.
func FuzzSniff(f *testing.F) {
	f.Add(readFixture(f, "mpegts", "testdata", "aac.ts")[:188*4])
	f.Add(readFixture(f, "packedaudio", "testdata", "tone.aac")[:73])
	f.Add(readFixture(f, "testdata", "avc-1.m4s"))
	f.Add([]byte("WEBVTT\n"))
	f.Add([]byte("\x00\x00\x00\x08moof"))
	e := newEncryptor(f, testKeyHex)
	f.Fuzz(func(t *testing.T, b []byte) {
		if Sniff(b) == Unknown {
			return
		}
		out := e.Append(nil, b, IVFromSequence(7))
		if c := Sniff(out); c != Unknown {
			t.Errorf("encrypted, it is %v", c)
		}
		if !bytes.Equal(decrypt(t, out, IVFromSequence(7)), b) {
			t.Error("decrypts to something else")
		}
	})
}
