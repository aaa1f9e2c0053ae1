package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// Sizes of RSA keys, in bits: the least that JWA 3.3 allows, and the most that verifies well within a millisecond or two.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is one verification key: its name, its material and the fixed list of algorithms that it may be used with. Make it
// with SecretKey or PublicKeyPEM. It prints as its name only.
type Key struct {
	id         string
	algorithms []Algorithm
	material   any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	digest     [sha256.Size]byte
}

// SecretKey returns an HMAC key. secret is raw bytes, at least as many as the hash of each algorithm has (32 for HS256); it is
// copied. Without algorithms it is for HS256. A PEM file is refused: whoever configures a public key as a secret has published
// the secret.
func SecretKey(id string, secret []byte, algorithms ...Algorithm) (Key, error) {
	if len(algorithms) == 0 {
		algorithms = []Algorithm{HS256}
	}
	if bytes.HasPrefix(bytes.TrimSpace(secret), []byte("-----BEGIN")) {
		return Key{}, errors.New("the secret is a PEM file; an HMAC secret is random bytes")
	}
	for _, a := range algorithms {
		if len(secret) < a.minSecretBytes() {
			return Key{}, fmt.Errorf("the secret has %d bytes; %s needs at least %d", len(secret), a, a.minSecretBytes())
		}
	}
	if isRepeated(secret) {
		return Key{}, errors.New("the secret is one byte repeated; it must be random")
	}
	return newKey(id, bytes.Clone(secret), secret, kindSecret, algorithms)
}

// PublicKeyPEM returns the key in one PEM block: PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE (of which only the key counts).
// Without algorithms it is for RS256, ES256, ES384, ES512 or EdDSA, as the key demands. Private keys are refused: a verifier
// must not hold one.
func PublicKeyPEM(id string, pemBytes []byte, algorithms ...Algorithm) (Key, error) {
	block, rest := pem.Decode(pemBytes)
	if block == nil {
		return Key{}, errors.New("no PEM block found")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, errors.New("more than one PEM block; one key each")
	}
	public, err := parsePublicKey(block)
	if err != nil {
		return Key{}, err
	}
	return publicKey(id, public, algorithms)
}

func parsePublicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing public key: %w", err)
		}
		return public, nil
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing RSA public key: %w", err)
		}
		return public, nil
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate: %w", err)
		}
		return certificate.PublicKey, nil
	default:
		return nil, fmt.Errorf("PEM block %q: want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
	}
}

// publicKey accepts the key types of crypto packages; an empty algorithms stands for the usual one of the type.
func publicKey(id string, public any, algorithms []Algorithm) (Key, error) {
	kind, usual, err := kindOf(public)
	if err != nil {
		return Key{}, err
	}
	if len(algorithms) == 0 {
		algorithms = []Algorithm{usual}
	}
	encoded, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("encoding public key: %w", err)
	}
	return newKey(id, public, encoded, kind, algorithms)
}

func kindOf(public any) (keyKind, Algorithm, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return kindNone, "", fmt.Errorf("RSA key of %d bits: want %d to %d", bits, minRSABits, maxRSABits)
		}
		if isROCA(k.N) {
			return kindNone, "", errors.New("RSA key of a generator whose keys can be factored (CVE-2017-15361)")
		}
		return kindRSA, RS256, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return kindP256, ES256, nil
		case elliptic.P384():
			return kindP384, ES384, nil
		case elliptic.P521():
			return kindP521, ES512, nil
		}
		return kindNone, "", errors.New("elliptic curve key: want P-256, P-384 or P-521")
	case ed25519.PublicKey:
		return kindEd25519, EdDSA, nil
	default:
		return kindNone, "", fmt.Errorf("public key of type %T: want RSA, ECDSA or Ed25519", public)
	}
}

// newKey refuses algorithms of another kind: this is where an HMAC algorithm on a public key dies, before any token is seen.
func newKey(id string, material any, encoded []byte, kind keyKind, algorithms []Algorithm) (Key, error) {
	for _, a := range algorithms {
		if a.kind() != kind {
			return Key{}, fmt.Errorf("algorithm %q does not fit this type of key", string(a))
		}
	}
	k := Key{id: id, algorithms: slices.Clone(algorithms), material: material}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %d ", id, algorithms, kind)
	_, _ = h.Write(encoded)
	h.Sum(k.digest[:0])
	return k, nil
}

func isRepeated(b []byte) bool {
	return len(b) > 0 && bytes.Count(b, b[:1]) == len(b)
}

// ID returns the key's name, the kid of tokens that are signed with it.
func (k Key) ID() string { return k.id }

// allows reports whether a token with this alg may be checked with k.
func (k Key) allows(a Algorithm) bool { return slices.Contains(k.algorithms, a) }

// String returns the name of the key, so that no format verb prints its material.
func (k Key) String() string { return fmt.Sprintf("key %q", k.id) }

// Format keeps every verb from reaching the fields.
func (k Key) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.String()) }

// LogValue makes slog print the name.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
