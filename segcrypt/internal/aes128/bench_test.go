package aes128

import (
	"crypto/cipher"
	"fmt"
	"testing"
)

// BenchmarkCTR compares the kernels with the standard library on samples in place: an audio sample, a slice, an I picture.
func BenchmarkCTR(b *testing.B) {
	for _, n := range []int{352, 4096, 30_000, 1 << 20} {
		buf := make([]byte, n)
		for kind := kernelAESNI; kind <= fastestKernel(); kind++ {
			k := newKey(testKey, kind)
			b.Run(fmt.Sprintf("%d/%s", n, names[kind]), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					k.CTR(buf, buf, 1, 0)
				}
			})
		}
		block, iv := standard(testKey), make([]byte, 16)
		b.Run(fmt.Sprintf("%d/standard", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				cipher.NewCTR(block, iv).XORKeyStream(buf, buf)
			}
		})
	}
}

// BenchmarkCBC compares one chain over whole segments; `openssl speed -evp aes-128-cbc -bytes 16384` belongs beside it.
func BenchmarkCBC(b *testing.B) {
	for _, n := range []int{16384, 1 << 20} {
		buf := make([]byte, n)
		for _, kind := range []kernel{kernelPortable, kernelAESNI} {
			if kind > fastestKernel() {
				continue
			}
			k, iv := newKey(testKey, kind), new([16]byte)
			b.Run(fmt.Sprintf("%d/%s", n, names[kind]), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					k.CBCEncrypt(buf, iv)
				}
			})
		}
		mode := cipher.NewCBCEncrypter(standard(testKey), make([]byte, 16))
		b.Run(fmt.Sprintf("%d/standard", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				mode.CryptBlocks(buf, buf)
			}
		})
	}
}

// BenchmarkPattern compares one chain after the other with several at once on the runs of one second of video, and with
// crypto/aes. Bytes are those of the runs, of which a tenth is encrypted.
func BenchmarkPattern(b *testing.B) {
	const runs, size = 25, 30_000
	buf := make([]byte, runs*size)
	iv := new([16]byte)
	for kind := kernelPortable; kind <= min(fastestKernel(), kernelAESNI); kind++ {
		k := newKey(testKey, kind)
		b.Run(names[kind]+"/chain", func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				for off := 0; off < len(buf); off += size {
					from := *iv
					k.CBCPattern(buf[off:off+size], &from)
				}
			}
		})
		b.Run(names[kind]+"/lanes", func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				lanes := k.Lanes(buf, iv, PatternStride)
				for off := 0; off < len(buf); off += size {
					lanes.Add(off, size)
				}
				lanes.Finish()
			}
		})
	}
}
