package packedaudio

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
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

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func testEncryptor(tb testing.TB) *Encryptor {
	tb.Helper()
	key, err := drm.NewContentKey(drm.KID(mustHex(testKIDHex)), mustHex(testKeyHex), mustHex(testIVHex))
	if err != nil {
		tb.Fatal(err)
	}
	return New(key)
}

func readFixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// timestampTag is the tag of the fixtures.
func timestampTag(version byte) []byte {
	b := append([]byte{'I', 'D', '3', version, 0, 0, 0, 0, 0, 63}, "PRIV\x00\x00\x00\x35\x00\x00com.apple.streaming.transportStreamTimestamp\x00"...)
	return append(b, 0, 0, 0, 0, 0, 0x0D, 0xBB, 0xA0)
}

// readSegment takes a segment apart as a player does: the PRIV frames of its first tag by owner, and the audio behind all tags.
func readSegment(b []byte) (private map[string][]byte, audio []byte, err error) {
	private = map[string][]byte{}
	for first := true; bytes.HasPrefix(b, []byte("ID3")); first = false {
		size := int(b[6])<<21 | int(b[7])<<14 | int(b[8])<<7 | int(b[9])
		frames := b[10 : 10+size]
		b = b[10+size:]
		for first && len(frames) > 10 && frames[0] != 0 {
			n := int(binary.BigEndian.Uint32(frames[4:])) // below 128 in tests
			if owner, data, ok := bytes.Cut(frames[10:10+n], []byte{0}); ok && string(frames[:4]) == "PRIV" {
				private[string(owner)] = data
			}
			frames = frames[10+n:]
		}
	}
	return private, b, nil
}

// decrypt is the decoder's side of SAMPLE-AES for audio.
func decrypt(audio []byte) ([]byte, error) {
	block, err := aes.NewCipher(mustHex(testKeyHex))
	if err != nil {
		return nil, err
	}
	audio = bytes.Clone(audio)
	for rest := audio; len(rest) > 0; {
		if len(rest) < 6 {
			return nil, errors.New("rest of a frame")
		}
		var header, size int
		switch {
		case rest[0] == 0xFF:
			header, size = 9-2*int(rest[1]&1), int(binary.BigEndian.Uint32(rest[2:])>>5&0x1FFF)
		case rest[5]>>3 > 10:
			size = 2 * (int(binary.BigEndian.Uint16(rest[2:])&0x7FF) + 1)
		default:
			words := []int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}[rest[4]&63/2]
			size = []int{words * 4, (words*320/147 + int(rest[4]&1)) * 2, words * 6}[rest[4]>>6]
		}
		if n := (size - header - 16) / 16 * 16; n > 0 {
			run := rest[header+16 : header+16+n]
			cipher.NewCBCDecrypter(block, mustHex(testIVHex)).CryptBlocks(run, run)
		}
		rest = rest[size:]
	}
	return audio, nil
}

func checkProtected(seg, protected []byte) error {
	wantPrivate, want, err := readSegment(seg)
	if err != nil {
		return err
	}
	private, got, err := readSegment(protected)
	if err != nil {
		return err
	}
	if !bytes.Equal(private[timestampOwner], wantPrivate[timestampOwner]) {
		return errors.New("the timestamp differs")
	}
	if len(private[descriptionOwner]) < 10 {
		return errors.New("no description")
	}
	got, err = decrypt(got)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the frames decrypt to something else")
	}
	return err
}

func TestProtectSegment(t *testing.T) {
	for name, description := range map[string]string{
		"tone.aac": hex.EncodeToString([]byte("zaac")) + "00000102" + "1190",
		"tone.ac3": hex.EncodeToString([]byte("zac3")) + "0000010a" + "0b77",
		"tone.ec3": hex.EncodeToString([]byte("zec3")) + "00000105" + "0300200400",
	} {
		t.Run(name, func(t *testing.T) {
			seg := readFixture(t, name)
			for rule, seg := range map[string][]byte{
				"as it is":       seg,
				"version 2.3":    slices.Concat(timestampTag(3), seg[73:]),
				"a second tag":   slices.Concat(timestampTag(4), []byte("ID3\x04\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"), seg[73:]),
				"padding":        slices.Concat([]byte("ID3\x04\x00\x00\x00\x00\x00\x45"), timestampTag(4)[10:], make([]byte, 6), seg[73:]),
				"another frame":  slices.Concat([]byte("ID3\x04\x00\x00\x00\x00\x00\x4c"), []byte("TXXX\x00\x00\x00\x03\x00\x00abc"), timestampTag(4)[10:], seg[73:]),
				"footer, second": slices.Concat(timestampTag(4), []byte("ID3\x04\x00\x10\x00\x00\x00\x003DI\x04\x00\x10\x00\x00\x00\x00"), seg[73:]),
			} {
				input := bytes.Clone(seg)
				out, err := testEncryptor(t).ProtectSegment([]byte("prefix"), seg)
				if err != nil {
					t.Fatalf("%s: %v", rule, err)
				}
				if !bytes.Equal(input, seg) || !bytes.HasPrefix(out, []byte("prefix")) {
					t.Errorf("%s: the input or dst was written to", rule)
				}
				protected := out[len("prefix"):]
				if strings.HasPrefix(rule, "footer") {
					continue // the reader above knows no footers
				}
				if err := checkProtected(seg, protected); err != nil {
					t.Errorf("%s: %v", rule, err)
				}
				private, audio, _ := readSegment(protected)
				if got := hex.EncodeToString(private[descriptionOwner]); !strings.HasPrefix(got, description) {
					t.Errorf("%s: description %s, want %s", rule, got, description)
				}
				if bytes.Contains(audio, seg[73+100:73+164]) {
					t.Errorf("%s: clear bytes of a frame in the output", rule)
				}
				if _, err := testEncryptor(t).ProtectSegment(nil, protected); !errors.Is(err, segcrypt.ErrAlreadyProtected) {
					t.Errorf("%s: the output as input: %v", rule, err)
				}
			}
		})
	}
}

func TestProtectSegmentRefuses(t *testing.T) {
	seg := readFixture(t, "tone.aac")
	tagged := func(head string, more ...byte) []byte {
		return slices.Concat([]byte(head), more, seg[73:])
	}
	change := func(at int, x byte) []byte {
		b := bytes.Clone(seg)
		b[at] = x
		return b
	}
	for name, test := range map[string]struct {
		seg    []byte
		offset int64
	}{
		"nothing":                 {nil, 0},
		"no tag":                  {seg[73:], 0},
		"a page of HTML":          {[]byte("<!DOCTYPE html><html></html>"), 0},
		"half a tag":              {seg[:40], 0},
		"a header cut":            {[]byte("ID3\x04"), 0},
		"tag longer than all":     {change(7, 0x7F), 0},
		"size with a high bit":    {change(9, 0xFF), 0},
		"version 2.2":             {change(3, 2), 0},
		"extended header":         {change(5, 0x40), 0},
		"frame longer than tag":   {change(17, 0x36), 0},
		"no timestamp":            {tagged("ID3\x04\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"), 0},
		"bytes in the padding":    {tagged("ID3\x04\x00\x00\x00\x00\x00\x43", append(timestampTag(4)[10:], 0, 0, 0, 1)...), 0},
		"no frames":               {seg[:73], 73},
		"text for frames":         {slices.Concat(seg[:73], []byte("clear text, and no frame at all")), 73},
		"the last frame is cut":   {seg[:len(seg)-1], -1},
		"bytes behind the frames": {slices.Concat(seg, []byte{1, 2, 3}), int64(len(seg))},
		"second tag cut":          {slices.Concat(seg[:73], []byte("ID3\x04\x00\x00\x00\x00\x00\x04")), 73},
		"frame size zero":         {slices.Concat(seg[:73], []byte{0xFF, 0xF1, 0x4C, 0x80, 0, 0x1F, 0xFC, 0, 0}), 73},
		"AAC Main":                {slices.Concat(seg[:73], []byte{0xFF, 0xF1, 0x0C, 0x80, 1, 0x3F, 0xFC, 0, 0}), 73},
		"channels in the frame":   {slices.Concat(seg[:73], []byte{0xFF, 0xF1, 0x4C, 0, 1, 0x3F, 0xFC, 0, 0}), 73},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := testEncryptor(t).ProtectSegment([]byte("prefix"), test.seg)
			var fe *segcrypt.FormatError
			if out != nil || !errors.As(err, &fe) {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			if test.offset >= 0 && fe.Offset != test.offset {
				t.Errorf("%v, want offset %d", err, test.offset)
			}
		})
	}
}

// FuzzProtectSegment: whatever an origin sends, it is an error with a place, or something that decrypts to what it was.
func FuzzProtectSegment(f *testing.F) {
	for _, name := range []string{"tone.aac", "tone.ac3", "tone.ec3"} {
		f.Add(readFixture(f, name)[:73+2000])
		seg := readFixture(f, name)
		rest := seg[73:]
		frames := 0
		for i := 1; i < len(rest)-1 && frames == 0; i++ {
			if bytes.Equal(rest[i:i+2], rest[:2]) && i > 100 {
				frames = i
			}
		}
		f.Add(seg[:73+frames])
	}
	e := testEncryptor(f)
	f.Fuzz(func(t *testing.T, seg []byte) {
		out, err := e.ProtectSegment(nil, seg)
		if err != nil {
			var fe *segcrypt.FormatError
			if out != nil || !errors.As(err, &fe) || fe.Offset > int64(len(seg)) {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			return
		}
		n := int(seg[6])<<21 | int(seg[7])<<14 | int(seg[8])<<7 | int(seg[9]) + 10
		m := int(out[6])<<21 | int(out[7])<<14 | int(out[8])<<7 | int(out[9]) + 10
		behind, got := seg[n:], out[m:]
		for bytes.HasPrefix(behind, []byte("ID3")) {
			size := int(behind[6])<<21 | int(behind[7])<<14 | int(behind[8])<<7 | int(behind[9]) + 10
			if behind[5]&0x10 != 0 {
				size += 10
			}
			if !bytes.Equal(got[:size], behind[:size]) {
				t.Fatal("a further tag differs")
			}
			behind, got = behind[size:], got[size:]
		}
		if clear, err := decrypt(got); err != nil || !bytes.Equal(clear, behind) {
			t.Fatalf("the frames decrypt to something else: %v", err)
		}
	})
}
