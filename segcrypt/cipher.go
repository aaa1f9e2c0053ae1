package segcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// cencStream returns the key stream of one sample: its 8-byte IV, then a block counter from zero that runs on over all
// protected runs of the sample (23001-7, 9.2 and 10.1). It is the one allocation that a sample costs; counter is scratch.
func cencStream(block cipher.Block, counter *[aes.BlockSize]byte, iv uint64) cipher.Stream {
	*counter = [aes.BlockSize]byte{}
	binary.BigEndian.PutUint64(counter[:], iv)
	return cipher.NewCTR(block, counter[:])
}

// encryptCbcs encrypts one protected run in place: one block of every stride bytes, chained over the encrypted blocks alone
// from iv. What is left of less than a block stays clear. Stride is 160 for the 1:9 pattern of video and 16 for audio.
//
// Source: 23001-7, 9.4.4 (pattern) and 10.4 (cbcs).
func encryptCbcs(block cipher.Block, iv *[aes.BlockSize]byte, b []byte, stride int) {
	// XOR does not care for byte order, so the halves are loaded in the machine's.
	p0, p1 := binary.LittleEndian.Uint64(iv[:8]), binary.LittleEndian.Uint64(iv[8:])
	for off := 0; len(b)-off >= aes.BlockSize; off += stride {
		x := b[off : off+aes.BlockSize : off+aes.BlockSize]
		binary.LittleEndian.PutUint64(x[:8], binary.LittleEndian.Uint64(x[:8])^p0)
		binary.LittleEndian.PutUint64(x[8:], binary.LittleEndian.Uint64(x[8:])^p1)
		block.Encrypt(x, x)
		p0, p1 = binary.LittleEndian.Uint64(x[:8]), binary.LittleEndian.Uint64(x[8:])
	}
}
