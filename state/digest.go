package state

import (
	"crypto/sha256"
	"fmt"
)

// Digest is what a store knows a viewer, a playback or a revoked thing by.
type Digest [16]byte

// Digester makes keyed digests: HMAC-SHA-256 (RFC 2104), cut to 128 bits. Whoever reads a store without the key cannot tell whom
// an entry is about, not even by trying names. It is safe for concurrent use, allocates nothing for short values, and prints
// without its key.
//
// The two halves of HMAC are written out, because this runs on requests, and hash.Hash would allocate for each.
type Digester struct {
	inner, outer [sha256.BlockSize]byte
}

// NewDigester returns a Digester for 32 secret bytes that are used for nothing else.
func NewDigester(key [32]byte) *Digester {
	d := new(Digester)
	for i := range d.inner {
		d.inner[i], d.outer[i] = 0x36, 0x5c
	}
	for i, b := range key {
		d.inner[i] ^= b
		d.outer[i] ^= b
	}
	return d
}

// Digest returns the digest of a value of a kind. Kinds hold no zero byte, so that none runs into a value.
func (d *Digester) Digest(kind, value string) Digest {
	var buffer [sha256.BlockSize + 256]byte
	b := append(buffer[:0], d.inner[:]...)
	b = append(b, kind...)
	b = append(b, 0)
	sum := sha256.Sum256(append(b, value...))
	var second [sha256.BlockSize + sha256.Size]byte
	copy(second[:], d.outer[:])
	copy(second[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(second[:])
	return Digest(sum[:len(Digest{})])
}

// String keeps the key out of every log.
func (d *Digester) String() string { return "digester" }

// Format keeps every verb from reaching the fields.
func (d *Digester) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, d.String()) }
