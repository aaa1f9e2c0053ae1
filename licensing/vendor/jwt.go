package vendor

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
)

// Algorithms of signed tokens (RFC 7518, 3.2), with the least size of a secret.
var jwtAlgorithms = map[string]struct {
	hash func() hash.Hash
	size int
}{
	"HS256": {sha256.New, 32},
	"HS384": {sha512.New384, 48},
	"HS512": {sha512.New, 64},
}

// jwtSigner signs JSON Web Tokens with a secret.
type jwtSigner struct {
	algorithm, keyID string
	secret           []byte
}

func newJWTSigner(algorithm, keyID string, secret []byte) (*jwtSigner, error) {
	alg, known := jwtAlgorithms[algorithm]
	if !known {
		return nil, fmt.Errorf("algorithm %q: want HS256, HS384 or HS512", algorithm)
	}
	if len(secret) < alg.size {
		return nil, fmt.Errorf("%s needs a secret of at least %d bytes", algorithm, alg.size)
	}
	return &jwtSigner{algorithm, keyID, secret}, nil
}

// sign returns the compact form (RFC 7515, 7.1).
func (s *jwtSigner) sign(claims any) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid,omitempty"`
	}{s.algorithm, "JWT", s.keyID})
	if err != nil {
		return "", fmt.Errorf("writing the header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("writing the claims: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(jwtAlgorithms[s.algorithm].hash, s.secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
