// Package aes128 encrypts media with AES-128 in the modes that Common Encryption and HLS use: counter mode for `cenc`, and
// cipher block chaining for `cbcs`, SAMPLE-AES and whole segments.
//
// The standard library's cipher modes are right and safe, but made for other shapes: counter mode allocates for each message,
// of which a segment has one per sample, and chaining handles one block per call, so that the processor waits for each block
// before it begins the next. The kernels here allocate nothing and keep the processor's AES units busy; how much that pays is
// measured by the benchmarks of this package and of segcrypt.
//
// On amd64 the kernels are assembly for AES-NI and, in counter mode, for VAES with AVX-512; what the processor has is asked
// once. Everywhere else, and with the build tag purego, they are loops around crypto/aes. All give the same bytes. All are
// as free of secret-dependent tables and branches as the processor's AES instructions are, or crypto/aes is.
package aes128

import (
	"crypto/cipher"
	"fmt"
)

// BlockSize is the size of a block and of a key in bytes.
const BlockSize = 16

// kernel says which implementation a Key uses.
type kernel uint8

const (
	kernelPortable kernel = iota // crypto/aes
	kernelAESNI                  // AES-NI
	kernelVAES                   // AES-NI; counter mode with VAES and AVX-512
)

// schedule is the key of each round, the whitening key first (FIPS 197, 5.2).
type schedule [11][BlockSize]byte

// Key is an expanded key. It is immutable and safe for concurrent use.
type Key struct {
	kernel   kernel
	schedule schedule     // not for kernelPortable
	block    cipher.Block // for kernelPortable only
}

// NewKey expands a key, with the fastest kernel that the processor has.
func NewKey(key [BlockSize]byte) *Key { return newKey(key, fastestKernel()) }

// Format prints what it is and no secret, under every verb.
func (k *Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, "AES-128 key") }

// CTR writes src, encrypted or decrypted by the key stream of one `cenc` sample, to dst, which must have the length of src and
// either be the same memory or share none.
//
// iv is the sample's 8-byte initialization vector, big-endian. off says how many bytes of the key stream the sample's earlier
// protected runs have used; it need not be a multiple of 16, so a run can be encrypted in pieces. The counter block of byte off
// is iv ‖ off/16, each 8 bytes and big-endian: the counter starts at zero with each sample, and no sample is long enough for
// it to leave its half.
//
// The caller guarantees that no iv meets two samples under one key. It allocates nothing, unless the kernel is the portable
// one.
//
// Source: ISO/IEC 23001-7, 9.2 and 10.1; NIST SP 800-38A, 6.5.
func (k *Key) CTR(dst, src []byte, iv, off uint64) {
	if len(dst) != len(src) {
		panic("aes128: dst and src differ in length")
	}
	if len(src) > 0 {
		k.ctr(dst, src, iv, off)
	}
}

// CBCEncrypt encrypts b in place, its blocks chained one to the next from iv, and leaves the last block of the result in iv, so
// that the next call goes on with the chain. What is left of less than a block at the end of b stays as it is.
//
// It is for what is encrypted as one chain: segments of METHOD=AES-128, and audio samples. It allocates nothing, but for an
// object per call where the kernel is the portable one.
//
// Source: NIST SP 800-38A, 6.2.
func (k *Key) CBCEncrypt(b []byte, iv *[BlockSize]byte) {
	if n := len(b) / BlockSize; n > 0 {
		k.cbc(b, iv, n, BlockSize)
	}
}

// PatternStride is the distance of encrypted blocks in bytes under the pattern of one encrypted and nine clear blocks.
const PatternStride = (1 + 9) * BlockSize

// CBCPattern encrypts b in place under the pattern 1:9: the first block of every 160 bytes, chained from iv over the encrypted
// blocks alone; all else stays as it is, also the rest of less than a block. The last encrypted block is left in iv.
// It allocates nothing.
//
// Runs that begin with the same iv are faster together, see [Key.Lanes].
//
// Source: ISO/IEC 23001-7, 9.6 and 10.4.
func (k *Key) CBCPattern(b []byte, iv *[BlockSize]byte) {
	if n := blocksIn(len(b), PatternStride); n > 0 {
		k.cbc(b, iv, n, PatternStride)
	}
}

// blocksIn is how many blocks that lie stride apart are whole within n bytes.
func blocksIn(n, stride int) int {
	if n < BlockSize {
		return 0
	}
	return (n-BlockSize)/stride + 1
}
