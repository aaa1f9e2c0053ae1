package wholesegment

import (
	"encoding/binary"
	"slices"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/aes128"
)

const blockSize = aes128.BlockSize

// Encryptor encrypts segments under one content key. It is safe for concurrent use.
type Encryptor struct {
	key *aes128.Key
}

// New returns an Encryptor with the secret of key. Its constant IV is not used: each segment has one of its own.
func New(key drm.ContentKey) *Encryptor { return &Encryptor{key: aes128.NewKey(key.Secret())} }

// Size returns the number of bytes that n clear bytes become: whole blocks, and one more if n is a multiple of 16.
func Size(n int) int { return n + blockSize - n%blockSize }

// Size returns the number of bytes that n clear bytes become.
func (e *Encryptor) Size(n int) int { return Size(n) }

// Append appends the encrypted form of clear, Size(len(clear)) bytes, to dst. dst and clear must not overlap.
//
// Source: RFC 8216, 4.3.2.4 and 5.2.
func (e *Encryptor) Append(dst, clear []byte, iv [16]byte) []byte {
	dst = slices.Grow(dst, Size(len(clear)))
	start := len(dst)
	dst = append(dst, clear...)
	return dst[:start+len(e.EncryptInPlace(dst[start:], iv))]
}

// EncryptInPlace encrypts the clear segment in buf, whose capacity has to be Size(len(buf)) at least, and returns the encrypted one
// in the same memory. It panics if the capacity is less: the segment would be left in clear.
func (e *Encryptor) EncryptInPlace(buf []byte, iv [16]byte) []byte {
	n := len(buf)
	buf = buf[:Size(n)]
	padding := byte(len(buf) - n)
	for i := n; i < len(buf); i++ {
		buf[i] = padding
	}
	e.key.CBCEncrypt(buf, &iv)
	return buf
}

// IVFromSequence returns the IV of a segment whose EXT-X-KEY has none: its media sequence number, big-endian (RFC 8216, 5.2).
func IVFromSequence(seq uint64) [16]byte {
	var iv [16]byte
	binary.BigEndian.PutUint64(iv[8:], seq)
	return iv
}
