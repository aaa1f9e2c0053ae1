package cat

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// Algorithm is one of the algorithms that CTA-5007-B, 4.3.1.1.1, names, as COSE numbers them (RFC 9053).
type Algorithm int64

// The algorithms. Which one a token uses is fixed by its key.
const (
	HS256 Algorithm = 5   // HMAC 256/256, in COSE_Mac0
	ES256 Algorithm = -7  // ECDSA on P-256, in COSE_Sign1
	PS256 Algorithm = -37 // RSASSA-PSS, in COSE_Sign1
)

var algorithmNames = map[Algorithm]string{HS256: "HS256", ES256: "ES256", PS256: "PS256"}

// ParseAlgorithm reads HS256, ES256 or PS256.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a, n := range algorithmNames {
		if n == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("algorithm %q: want HS256, ES256 or PS256", name)
}

// String returns the algorithm's name in JOSE.
func (a Algorithm) String() string {
	if name, ok := algorithmNames[a]; ok {
		return name
	}
	return fmt.Sprintf("algorithm %d", int64(a))
}

const (
	macBytes     = 32
	minSecret    = 32 // RFC 9053, 3.1: as long as the hash
	es256Bytes   = 64
	minRSABits   = 2048
	maxRSABits   = 8192
	maxKIDBytes  = 64
	maxKeys      = 64
	pssSaltBytes = 32 // RFC 8230, 2: as long as the hash
)

// Key checks tokens, and makes them if it has a secret or a private key. It prints as its kid only.
type Key struct {
	kid       string
	algorithm Algorithm
	secret    []byte
	ecdsa     *ecdsa.PublicKey
	rsa       *rsa.PublicKey
	signer    crypto.Signer
	digest    [sha256.Size]byte
}

// SecretKey returns a key for HS256: at least 32 random bytes, which are copied.
func SecretKey(kid string, secret []byte) (Key, error) {
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(secret), []byte("-----BEGIN")):
		return Key{}, errors.New("the secret is a PEM file; an HMAC secret is random bytes")
	case len(secret) < minSecret:
		return Key{}, fmt.Errorf("the secret has %d bytes; HS256 needs at least %d", len(secret), minSecret)
	case bytes.Count(secret, secret[:1]) == len(secret):
		return Key{}, errors.New("the secret is one byte repeated; it must be random")
	}
	return secretKey(kid, secret)
}

func secretKey(kid string, secret []byte) (Key, error) {
	return finishKey(Key{kid: kid, algorithm: HS256, secret: bytes.Clone(secret)}, secret)
}

// PublicKeyPEM returns a key for ES256 or PS256 from one PEM block PUBLIC KEY or CERTIFICATE. It only checks tokens; private keys
// are refused.
func PublicKeyPEM(kid string, algorithm Algorithm, pemBytes []byte) (Key, error) {
	block, err := onePEM(pemBytes)
	if err != nil {
		return Key{}, err
	}
	var public any
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		return Key{}, fmt.Errorf("PEM block %q: want PUBLIC KEY or CERTIFICATE", block.Type)
	}
	if err != nil {
		return Key{}, fmt.Errorf("parsing public key: %w", err)
	}
	return publicKey(Key{kid: kid, algorithm: algorithm}, public)
}

// PrivateKeyPEM returns a key for ES256 or PS256 from one PEM block PRIVATE KEY (PKCS #8), which makes tokens and checks them.
func PrivateKeyPEM(kid string, algorithm Algorithm, pemBytes []byte) (Key, error) {
	block, err := onePEM(pemBytes)
	if err != nil {
		return Key{}, err
	}
	if block.Type != "PRIVATE KEY" {
		return Key{}, fmt.Errorf("PEM block %q: want PRIVATE KEY", block.Type)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, errors.New("parsing private key: not PKCS #8") // the cause may quote the key
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Key{}, errors.New("the private key signs nothing")
	}
	return publicKey(Key{kid: kid, algorithm: algorithm, signer: signer}, signer.Public())
}

func onePEM(pemBytes []byte) (*pem.Block, error) {
	block, rest := pem.Decode(pemBytes)
	if block == nil {
		return nil, errors.New("no PEM block found")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("more than one PEM block; one key each")
	}
	return block, nil
}

func publicKey(k Key, public any) (Key, error) {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if k.algorithm != ES256 || public.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("an elliptic curve key is for ES256, on P-256, and not for %s", k.algorithm)
		}
		k.ecdsa = public
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); k.algorithm != PS256 || bits < minRSABits || bits > maxRSABits {
			return Key{}, fmt.Errorf("an RSA key of %d to %d bits is for PS256; this one has %d bits, for %s", minRSABits, maxRSABits, bits, k.algorithm)
		}
		k.rsa = public
	default:
		return Key{}, fmt.Errorf("key of type %T: want ECDSA or RSA", public)
	}
	encoded, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("encoding public key: %w", err)
	}
	return finishKey(k, encoded)
}

func finishKey(k Key, encoded []byte) (Key, error) {
	if len(k.kid) > maxKIDBytes {
		return Key{}, fmt.Errorf("a kid of over %d bytes", maxKIDBytes)
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %d %t ", k.kid, k.algorithm, k.signer != nil)
	_, _ = h.Write(encoded)
	h.Sum(k.digest[:0])
	return k, nil
}

// KID returns the key's name.
func (k Key) KID() string { return k.kid }

// CanSign reports whether the key makes tokens.
func (k Key) CanSign() bool { return k.secret != nil || k.signer != nil }

// Fits reports whether what k signs is good for other, the public key.
func (k Key) Fits(other Key) bool {
	switch {
	case k.algorithm != other.algorithm:
		return false
	case k.ecdsa != nil:
		return k.ecdsa.Equal(other.ecdsa)
	case k.rsa != nil:
		return k.rsa.Equal(other.rsa)
	default:
		return hmac.Equal(k.secret, other.secret)
	}
}

// String returns the name of the key, so that no format verb prints its material.
func (k Key) String() string { return fmt.Sprintf("key %q for %s", k.kid, k.algorithm) }

// Format keeps every verb from reaching the fields.
func (k Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.String()) }

// verify reports whether seal is the MAC or signature over message.
func (k Key) verify(message, seal []byte) bool {
	if k.algorithm == HS256 {
		return len(seal) == macBytes && hmac.Equal(seal, k.mac(message))
	}
	digest := sha256.Sum256(message)
	switch {
	case k.ecdsa != nil:
		if len(seal) != es256Bytes { // r ‖ s (RFC 9053, 2.1), never ASN.1
			return false
		}
		r, s := new(big.Int).SetBytes(seal[:32]), new(big.Int).SetBytes(seal[32:])
		return ecdsa.Verify(k.ecdsa, digest[:], r, s)
	case k.rsa != nil:
		return rsa.VerifyPSS(k.rsa, crypto.SHA256, digest[:], seal, &rsa.PSSOptions{SaltLength: pssSaltBytes}) == nil
	default:
		return false
	}
}

// sign returns the MAC or signature over message.
func (k Key) sign(message []byte) ([]byte, error) {
	if k.secret != nil {
		return k.mac(message), nil
	}
	digest := sha256.Sum256(message)
	switch private := k.signer.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		seal := make([]byte, es256Bytes)
		r.FillBytes(seal[:32])
		s.FillBytes(seal[32:])
		return seal, nil
	case *rsa.PrivateKey:
		seal, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: pssSaltBytes})
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		return seal, nil
	default:
		return nil, errors.New("the key only checks tokens")
	}
}

func (k Key) mac(message []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	_, _ = h.Write(message)
	return h.Sum(nil)
}
