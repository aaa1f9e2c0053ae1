package segcrypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// The vectors use KID 0123…ef, key 00112233445566778899aabbccddeeff and constant IV 000102…0f. They were computed with
// another implementation of AES and of 23001-7.

func testBlock(t testing.TB) cipher.Block {
	t.Helper()
	block, err := aes.NewCipher(mustHex(testKeyHex))
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestVectorCencKeyStream(t *testing.T) {
	got := make([]byte, 40)
	cencStream(testBlock(t), new([16]byte), 1).XORKeyStream(got, got)
	want := "b8c09bdba7378ff2499cf18537901d0b75312ceef13588a50550d782e78fd6ac3212910fed226734"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

func TestVectorCbcsVideo(t *testing.T) {
	clear := counting(400)
	p := Protector{block: testBlock(t), constantIV: [16]byte(mustHex(testIVHex))}
	got := bytes.Clone(clear)
	p.encryptCbcsSample(got, []subsample{{0, 400}})
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
	got := counting(40)
	p := Protector{block: testBlock(t), constantIV: [16]byte(mustHex(testIVHex))}
	p.encryptCbcsSample(got, nil)
	want := "fde4fbae4a09e020eff722969f83832b6ca0d9272c9a8b060f929ee29b5934142021222324252627"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

// TestCbcsRestarts: each subsample starts from the constant IV again.
func TestCbcsRestarts(t *testing.T) {
	p := Protector{block: testBlock(t), constantIV: [16]byte(mustHex(testIVHex))}
	b := bytes.Repeat(counting(32), 2)
	p.encryptCbcsSample(b, []subsample{{0, 32}, {0, 32}})
	if !bytes.Equal(b[:32], b[32:]) {
		t.Error("equal subsamples differ")
	}
}
