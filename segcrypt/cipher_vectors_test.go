package segcrypt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
)

// The vectors use KID 0123…ef, key 00112233445566778899aabbccddeeff and constant IV 000102…0f. They were computed with
// another implementation of AES and of 23001-7.

func testCipher() sampleCipher {
	return sampleCipher{key: aes128.NewKey([16]byte(mustHex(testKeyHex))), constantIV: [16]byte(mustHex(testIVHex))}
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestVectorCencKeyStream(t *testing.T) {
	c := testCipher()
	got := make([]byte, 40)
	c.encryptCenc(got, got, []sample{{size: 40}}, nil, 1)
	want := "b8c09bdba7378ff2499cf18537901d0b75312ceef13588a50550d782e78fd6ac3212910fed226734"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

// TestCencRunsOn: the key stream goes on over the protected runs of a sample, and begins anew with the next.
func TestCencRunsOn(t *testing.T) {
	c := testCipher()
	first, second := make([]byte, 37), make([]byte, 37)
	c.encryptCenc(first, first, []sample{{size: 37}}, nil, 7)
	c.encryptCenc(second, second, []sample{{size: 37}}, nil, 8)
	want := slices.Concat([]byte("ab"), first[:5], []byte("c"), first[5:], []byte("d"), second)
	src := slices.Concat([]byte("ab"), make([]byte, 5), []byte("c"), make([]byte, 32), []byte("d"), make([]byte, 37))
	samples := []sample{{size: 41, firstSub: 1, numSubs: 3}, {size: 37, firstSub: 4, numSubs: 1}}
	subs := []subsample{{9, 9}, {2, 5}, {1, 32}, {1, 0}, {0, 37}}
	for _, out := range [][]byte{make([]byte, len(src)), src} {
		c.encryptCenc(out, src, samples, subs, 7)
		if !bytes.Equal(out, want) {
			t.Errorf("got %x, want %x", out, want)
		}
	}
}

func TestVectorCbcsVideo(t *testing.T) {
	c := testCipher()
	got := make([]byte, 400)
	c.encryptCbcs(got, counting(400), []sample{{size: 400, numSubs: 1}}, []subsample{{0, 400}})
	for at, want := range map[int]string{
		0: "fde4fbae4a09e020eff722969f83832b", 160: "6ef87b69255de019fbabcaf4f8b54b58", 320: "8cd82953ed9e986197594039cbeef195",
	} {
		if hex.EncodeToString(got[at:at+16]) != want {
			t.Errorf("block at %d: got %x, want %s", at, got[at:at+16], want)
		}
	}
	sum := sha256.Sum256(got)
	if want := "900b979d8dce4397251571ac993804c0b64f9e56d3514a6b4f00269ae948d0b3"; hex.EncodeToString(sum[:]) != want {
		t.Errorf("SHA-256 %x, want %s", sum, want)
	}
}

func TestVectorCbcsAudio(t *testing.T) {
	c := testCipher()
	got := counting(40)
	c.encryptCbcs(got, got, []sample{{size: 40}}, nil)
	want := "fde4fbae4a09e020eff722969f83832b6ca0d9272c9a8b060f929ee29b5934142021222324252627"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

// TestCbcsRestarts: each subsample and each sample starts from the constant IV again, and clear bytes stay.
func TestCbcsRestarts(t *testing.T) {
	c := testCipher()
	src := bytes.Repeat(counting(35), 3)
	out := make([]byte, len(src))
	c.encryptCbcs(out, src, []sample{{size: 70, numSubs: 2}, {size: 35, firstSub: 2, numSubs: 1}}, []subsample{{3, 32}, {3, 32}, {3, 32}})
	if !bytes.Equal(out[:35], out[35:70]) || !bytes.Equal(out[:35], out[70:]) {
		t.Error("equal subsamples differ")
	}
	if !bytes.Equal(out[:3], src[:3]) || bytes.Equal(out[3:19], src[3:19]) || !bytes.Equal(out[19:35], src[19:35]) {
		t.Errorf("got %x of %x", out[:35], src[:35])
	}
}
