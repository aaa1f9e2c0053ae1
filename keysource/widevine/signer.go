package widevine

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the API signs SHA-1 digests
	"errors"
	"fmt"
	"io"
)

// Signer signs requests in the name of a provider.
type Signer struct {
	name string
	sign func(digest []byte) ([]byte, error)
}

// NewAESSigner returns the signer with the 32-byte key and 16-byte IV that the service issued. The signature is AES-256-CBC, with
// padding, over the SHA-1 of the message.
func NewAESSigner(name string, key, iv []byte) (*Signer, error) {
	if len(key) != 32 || len(iv) != aes.BlockSize {
		return nil, errors.New("want a signing key of 32 bytes and an IV of 16")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errors.New("want a signing key of 32 bytes")
	}
	iv = append([]byte(nil), iv...)
	return newSigner(name, func(digest []byte) ([]byte, error) {
		pad := aes.BlockSize - len(digest)%aes.BlockSize
		padded := append([]byte(nil), digest...)
		for range pad {
			padded = append(padded, byte(pad))
		}
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
		return padded, nil
	})
}

// NewRSASigner returns the signer with a private key: RSASSA-PSS over SHA-1, with a salt of 20 bytes.
func NewRSASigner(name string, key *rsa.PrivateKey) (*Signer, error) {
	if key == nil || key.N.BitLen() < 2048 {
		return nil, errors.New("want an RSA key of at least 2048 bits")
	}
	return newSigner(name, func(digest []byte) ([]byte, error) {
		return rsa.SignPSS(rand.Reader, key, crypto.SHA1, digest, &rsa.PSSOptions{SaltLength: sha1.Size, Hash: crypto.SHA1})
	})
}

func newSigner(name string, sign func([]byte) ([]byte, error)) (*Signer, error) {
	if name == "" {
		return nil, errors.New("want the name of the signer")
	}
	return &Signer{name: name, sign: sign}, nil
}

// Name returns the name of the provider.
func (s *Signer) Name() string { return s.name }

// Sign returns the signature of a message, for requests other than those for keys.
func (s *Signer) Sign(message []byte) ([]byte, error) { return s.signature(message) }

func (s *Signer) signature(message []byte) ([]byte, error) {
	digest := sha1.Sum(message) //nolint:gosec // see the import
	return s.sign(digest[:])
}

// Format keeps every verb from reaching the fields.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "signer of Widevine requests") }
