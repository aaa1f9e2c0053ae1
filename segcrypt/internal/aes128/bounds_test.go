//go:build unix

package aes128

import (
	"bytes"
	"syscall"
	"testing"
)

// guarded returns memory of n pages between two that cannot be touched: a kernel that reads or writes outside of its slice
// crashes the test.
func guarded(t *testing.T, pages int) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	b, err := syscall.Mmap(-1, 0, (pages+2)*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	for _, guard := range [][]byte{b[:page], b[(pages+1)*page:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return b[page : (pages+1)*page : (pages+1)*page]
}

// TestBounds runs everything at the very start and the very end of memory, in all short lengths and some longer ones.
func TestBounds(t *testing.T) {
	src, dst := guarded(t, 1), guarded(t, 1)
	copy(src, fill(len(src), 1))
	var lengths []int
	for n := range 200 {
		lengths = append(lengths, n)
	}
	lengths = append(lengths, 511, 512, 513, 575, 576, 577, 1023, 2000, len(src)-1, len(src))
	eachKernel(t, func(t *testing.T, makeKey func([16]byte) *Key) {
		k := makeKey(testKey)
		for _, n := range lengths {
			for _, at := range []int{0, len(src) - n} {
				s, d := src[at:at+n], dst[len(dst)-at-n:][:n]
				for _, off := range []uint64{0, 5} {
					k.CTR(d, s, 1, off)
					if !bytes.Equal(d, standardCTR(testKey, s, 1, off)) {
						t.Fatalf("CTR of %d bytes: wrong", n)
					}
				}
				for _, stride := range []int{BlockSize, PatternStride} {
					copy(d, s)
					k.cbcOrNothing(d, stride)
					want, _ := standardCBC(testKey, s, [16]byte{}, stride)
					if !bytes.Equal(d, want) {
						t.Fatalf("CBC of %d bytes: wrong", n)
					}
					copy(d, s)
					lanes := k.Lanes(d, new([16]byte), stride)
					lanes.Add(0, n/2)
					lanes.Add(n/2, n-n/2)
					lanes.Finish()
				}
			}
		}
	})
}

// cbcOrNothing is CBCEncrypt or CBCPattern from a zero IV.
func (k *Key) cbcOrNothing(b []byte, stride int) {
	if stride == BlockSize {
		k.CBCEncrypt(b, new([16]byte))
		return
	}
	k.CBCPattern(b, new([16]byte))
}
