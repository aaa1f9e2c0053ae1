package token

import (
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Algorithm is a JWS signature algorithm (JWA, 3.1; RFC 8037 for EdDSA). `none` is not among them.
type Algorithm string

// The algorithms that a key may be used with.
const (
	HS256 Algorithm = "HS256"
	HS384 Algorithm = "HS384"
	HS512 Algorithm = "HS512"
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	EdDSA Algorithm = "EdDSA"
)

// keyKind is what an algorithm demands of its key. One key fits one kind, so an HMAC algorithm never meets a public key.
type keyKind uint8

const (
	kindNone keyKind = iota
	kindSecret
	kindRSA
	kindP256
	kindP384
	kindP521
	kindEd25519
)

// kind returns kindNone for anything that is not an Algorithm of ours, `none` in every spelling included.
func (a Algorithm) kind() keyKind {
	switch a {
	case HS256, HS384, HS512:
		return kindSecret
	case RS256, RS384, RS512, PS256, PS384, PS512:
		return kindRSA
	case ES256:
		return kindP256
	case ES384:
		return kindP384
	case ES512:
		return kindP521
	case EdDSA:
		return kindEd25519
	default:
		return kindNone
	}
}

// minSecretBytes is the size of the hash, below which a secret weakens it (JWA, 3.2).
func (a Algorithm) minSecretBytes() int {
	switch a {
	case HS384:
		return 48
	case HS512:
		return 64
	default:
		return 32
	}
}

// ParseAlgorithm reads the name of an algorithm exactly as JWA spells it.
func ParseAlgorithm(s string) (Algorithm, error) {
	if Algorithm(s).kind() == kindNone {
		return "", fmt.Errorf("algorithm %q: want HS256, RS256, PS256, ES256 (or their 384 and 512 forms) or EdDSA", s)
	}
	return Algorithm(s), nil
}

func (a Algorithm) jose() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(a) }
