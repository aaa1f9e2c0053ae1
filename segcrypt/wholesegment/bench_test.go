package wholesegment

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

// BenchmarkEncrypt is a TS segment of 4.7 MB, six seconds at 6 Mbit/s: ours, and the same with the standard library.
func BenchmarkEncrypt(b *testing.B) {
	seg := make([]byte, 25_000*188)
	b.Run("ours", func(b *testing.B) {
		e := newEncryptor(b, testKeyHex)
		var dst []byte
		b.SetBytes(int64(len(seg)))
		b.ReportAllocs()
		for b.Loop() {
			dst = e.Append(dst[:0], seg, [16]byte{1})
		}
	})
	b.Run("floor", func(b *testing.B) {
		block, err := aes.NewCipher(mustHex(testKeyHex))
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, 0, Size(len(seg)))
		b.SetBytes(int64(len(seg)))
		for b.Loop() {
			dst = append(dst[:0], seg...)
			dst = append(dst, make([]byte, 16-len(seg)%16)...)
			cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(dst, dst)
		}
	})
}
