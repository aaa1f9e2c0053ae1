package caddymodule

import (
	"bytes"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
)

// explainCAT knows Common Access Tokens by their form.
func explainCAT(p presented, _ time.Time) *explanation {
	for _, raw := range p.tokens() {
		text, err := cat.Explain(raw)
		if err != nil {
			continue
		}
		e := &explanation{kind: "a Common Access Token, for `token cat`", raw: raw}
		_, claims, _ := strings.Cut(text, "\n") // the first line says what it is
		for claim := range strings.Lines(claims) {
			name, value, _ := strings.Cut(strings.TrimSpace(claim), " ")
			e.say(name, "%s", strings.TrimSpace(value))
		}
		e.verifier = func(_ explainOptions, key []byte) (token.Verifier, error) { return catVerifierOf(key) }
		return e
	}
	return nil
}

// catVerifierOf takes a PEM block for the public key of the algorithm that the token names, and all else for a secret. A site
// fixes the algorithm of each key; here there is one token and one key, and a key of another kind does not fit.
func catVerifierOf(file []byte) (token.Verifier, error) {
	key, err := cat.SecretKey("", file)
	if bytes.HasPrefix(file, []byte("-----BEGIN ")) {
		for _, algorithm := range []cat.Algorithm{cat.ES256, cat.PS256} {
			if key, err = cat.PublicKeyPEM("", algorithm, file); err == nil {
				break
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return cat.New(cat.Config{Keys: []cat.Key{key}})
}
