package cat

import (
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/token"
)

// Sign returns a token with the given claims by label, with the tags 61 and 17 or 18. Values are of the types that CBOR has: string,
// []byte, integers, floats, slices, and maps with int64 or string keys; see [Network] for catnip. Claims that no verifier of this
// package would understand are an error.
func Sign(key Key, claims map[int64]any) (string, error) {
	m := make(map[any]any, len(claims))
	for label, value := range claims {
		m[label] = value
	}
	text, err := seal(key, m)
	if err != nil {
		return "", err
	}
	e, err := openEnvelope(text)
	if err != nil {
		return "", err
	}
	v := &Verifier{config: Config{ExactAddresses: true}}
	// Whom a token is for and from is not for us to say.
	if _, err := v.readClaims(e, key); err != nil && !errors.Is(err, token.ErrAudience) {
		return "", err
	}
	return text, nil
}

// seal makes the token. kid stands in the unprotected header, where other implementations look for it.
func seal(key Key, claims map[any]any) (string, error) {
	if !key.CanSign() {
		return "", errors.New("the key only checks tokens")
	}
	e := &envelope{algorithm: key.algorithm, mac: key.algorithm == HS256}
	var err error
	if e.protected, err = encoder.Marshal(map[int64]any{headerAlg: int64(key.algorithm)}); err != nil {
		return "", fmt.Errorf("encoding headers: %w", err)
	}
	if e.payload, err = encoder.Marshal(claims); err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	if e.seal, err = key.sign(e.message()); err != nil {
		return "", err
	}
	unprotected := make(map[any]any)
	if key.kid != "" {
		unprotected[headerKID] = []byte(key.kid)
	}
	return e.text(unprotected)
}
