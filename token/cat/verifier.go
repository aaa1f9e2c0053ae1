package cat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// DefaultRenewLimit is how long renewals of one token go on, counted from when it was issued.
const DefaultRenewLimit = 24 * time.Hour

// Config is what a verifier demands. Keys is required.
type Config struct {
	// Keys is the closed set that kid selects from, each with its one algorithm. One key alone may go without a kid, and then
	// answers to every one.
	Keys []Key
	// Issuers, if set, must have iss.
	Issuers []string
	// Audience, if set, must have a value in common with aud. If it is empty, a token that has an aud is refused.
	Audience []string
	// Leeway is added to exp and taken from nbf: none by default (CTA-5007-B, 4.6.3), at most token.MaxLeeway.
	Leeway time.Duration
	// Ignore lists labels of claims that the operator knows to demand nothing here. Only labels that this package does not know
	// can be among them.
	Ignore []int64
	// ExactAddresses accepts addresses and long prefixes in catnip, which the standard wants encrypted.
	ExactAddresses bool
	// AnswerHeaders are fields that catif may set besides Location and Retry-After.
	AnswerHeaders []string
	// Renew makes the tokens that catr asks for. Zero: none are made.
	Renew Key
	// RenewLimit is how long after iat, or nbf without it, the last renewal may end: zero is DefaultRenewLimit, negative no limit.
	// With a limit, tokens that have neither are not renewed.
	RenewLimit time.Duration
	// RenewHeaders are the fields in which a renewed token may be sent.
	RenewHeaders []string
}

// Verifier implements token.Verifier and token.Identified. It is safe for concurrent use.
type Verifier struct {
	config   Config
	byKID    map[string]Key
	identity string
}

// New checks config and returns its verifier.
func New(config Config) (*Verifier, error) {
	if len(config.Keys) == 0 || len(config.Keys) > maxKeys {
		return nil, fmt.Errorf("key: want 1 to %d, not %d", maxKeys, len(config.Keys))
	}
	if config.Leeway < 0 || config.Leeway > token.MaxLeeway {
		return nil, fmt.Errorf("leeway of %s: want at most %s", config.Leeway, token.MaxLeeway)
	}
	for _, label := range config.Ignore {
		if _, known := claimNames[label]; known {
			return nil, fmt.Errorf("claim %d is %s, which is never ignored", label, claimName(label))
		}
	}
	if config.Renew.algorithm != 0 && !config.Renew.CanSign() {
		return nil, errors.New("the key for renewals makes no tokens")
	}
	if config.RenewLimit == 0 {
		config.RenewLimit = DefaultRenewLimit
	}
	v := &Verifier{config: config, byKID: make(map[string]Key, len(config.Keys))}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %d %d %t %q %d %q %x", config.Issuers, config.Audience, config.Leeway, config.Ignore, config.ExactAddresses,
		config.AnswerHeaders, config.RenewLimit, config.RenewHeaders, config.Renew.digest)
	for _, k := range config.Keys {
		switch _, taken := v.byKID[k.kid]; {
		case k.algorithm == 0:
			return nil, errors.New("a key without material")
		case k.kid == "" && len(config.Keys) > 1:
			return nil, errors.New("a key without a kid among several; each needs its own")
		case taken:
			return nil, fmt.Errorf("two keys with kid %q", k.kid)
		}
		v.byKID[k.kid] = k
		_, _ = h.Write(k.digest[:])
	}
	v.identity = "cat|" + hex.EncodeToString(h.Sum(nil))
	return v, nil
}

// Identity implements token.Identified.
func (v *Verifier) Identity() string { return v.identity }

// Verify implements token.Verifier. A refusal to which the token has an answer is a *token.AnsweredError.
func (v *Verifier) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	if raw == "" {
		return token.Claims{}, token.ErrMissing
	}
	e, err := openEnvelope(raw)
	if err != nil {
		return token.Claims{}, err
	}
	key, err := v.authenticate(e)
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := v.readClaims(e, key)
	if err != nil {
		return token.Claims{}, err
	}
	if err := claims.Check(req); err != nil {
		return token.Claims{}, err
	}
	return claims, nil
}

// authenticate checks the seal with the one key that kid selects, and returns it.
func (v *Verifier) authenticate(e *envelope) (Key, error) {
	key, found := v.byKID[e.kid]
	if len(v.config.Keys) == 1 && (!e.hasKID || v.config.Keys[0].kid == "") {
		key, found = v.config.Keys[0], true
	}
	switch {
	case !found:
		return Key{}, fmt.Errorf("%w: no key of that kid", token.ErrSignature)
	case key.algorithm != e.algorithm:
		return Key{}, fmt.Errorf("%w: algorithm not allowed for its key", token.ErrSignature)
	case !key.verify(e.message(), e.seal):
		return Key{}, token.ErrSignature
	}
	return key, nil
}

// checkParties judges iss and aud.
func (v *Verifier) checkParties(m map[any]any) error {
	issuer, _ := m[Issuer].(string) // readClaims has checked its type
	if len(v.config.Issuers) > 0 && !slices.Contains(v.config.Issuers, issuer) {
		return token.ErrIssuer
	}
	value, found := m[Audience]
	if !found && len(v.config.Audience) == 0 {
		return nil
	}
	audience, _ := readTextOrTexts(value) // as above
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.config.Audience, a) }) {
		return token.ErrAudience
	}
	return nil
}
