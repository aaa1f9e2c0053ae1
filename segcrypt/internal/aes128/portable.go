package aes128

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// newPortableKey makes a Key that uses crypto/aes.
func newPortableKey(key [BlockSize]byte) *Key {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	return &Key{kernel: kernelPortable, block: block}
}

// ctrPortable is ctr with the standard library's counter mode, whose multi-block loop makes up for its allocation.
func (k *Key) ctrPortable(dst, src []byte, iv, off uint64) {
	var counter [BlockSize]byte
	binary.BigEndian.PutUint64(counter[:8], iv)
	binary.BigEndian.PutUint64(counter[8:], off/BlockSize)
	stream := cipher.NewCTR(k.block, counter[:])
	if used := off % BlockSize; used > 0 {
		stream.XORKeyStream(counter[:used], counter[:used])
	}
	stream.XORKeyStream(dst, src)
}

// minStandardCBC is from how many blocks in a row the object that the standard library's mode needs is worth its speed.
const minStandardCBC = 256

// cbcPortable is cbc with crypto/aes.
func (k *Key) cbcPortable(b []byte, iv *[BlockSize]byte, blocks, stride int) {
	if stride == BlockSize && blocks >= minStandardCBC {
		first := *iv // a copy, which escapes, so that no caller's does
		b = b[:blocks*BlockSize]
		cipher.NewCBCEncrypter(k.block, first[:]).CryptBlocks(b, b)
		*iv = [BlockSize]byte(b[len(b)-BlockSize:])
		return
	}
	// XOR does not care for byte order, so the halves are loaded in the machine's usual one.
	p0, p1 := binary.LittleEndian.Uint64(iv[:8]), binary.LittleEndian.Uint64(iv[8:])
	for i := range blocks {
		x := b[i*stride : i*stride+BlockSize : i*stride+BlockSize]
		binary.LittleEndian.PutUint64(x[:8], binary.LittleEndian.Uint64(x[:8])^p0)
		binary.LittleEndian.PutUint64(x[8:], binary.LittleEndian.Uint64(x[8:])^p1)
		k.block.Encrypt(x, x)
		p0, p1 = binary.LittleEndian.Uint64(x[:8]), binary.LittleEndian.Uint64(x[8:])
	}
	binary.LittleEndian.PutUint64(iv[:8], p0)
	binary.LittleEndian.PutUint64(iv[8:], p1)
}

// cbcLanesPortable is cbcLanes, one lane after the other.
func (k *Key) cbcLanesPortable(buf []byte, s *laneState, active, steps, stride int) {
	for i := range active {
		k.cbcPortable(buf[s.next[i]:], &s.chain[i], steps, stride)
	}
}
