package caddymodule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
)

func init() {
	caddy.RegisterModule(CATVerifier{})
}

// catField is the registered header field of Common Access Tokens, and the name of their cookie.
const catField = "CTA-Common-Access-Token"

// CATVerifier accepts Common Access Tokens (CTA-5007-B). What a token demands is judged as it says, or the token is refused; see
// docs/tokens-cat.md for each claim.
type CATVerifier struct {
	// Keys check the tokens, each with one algorithm.
	Keys []CATKey `json:"keys,omitempty"`
	// Issuers must have iss, if set.
	Issuers []string `json:"issuers,omitempty"`
	// Audience must have a value in common with aud. Without it, tokens that have an aud are refused.
	Audience []string `json:"audience,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default none, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
	// IgnoreClaims are the numbers of claims, not known to this module, that demand nothing here.
	IgnoreClaims []int64 `json:"ignore_claims,omitempty"`
	// ExactAddresses accepts whole addresses, and prefixes longer than /24 and /56, in catnip. The standard wants them encrypted,
	// since whoever sees the token sees them.
	ExactAddresses bool `json:"exact_addresses,omitempty"`
	// AnswerHeaders are fields that catif may set besides Location and Retry-After.
	AnswerHeaders []string `json:"answer_headers,omitempty"`
	// Renew issues the tokens that catr asks for.
	Renew *CATRenewal `json:"renew,omitempty"`
}

// CATKey is one key for Common Access Tokens.
type CATKey struct {
	// ID is what kid in the token selects. It may be empty if there is one key.
	ID string `json:"id,omitempty"`
	// Algorithm is HS256, ES256 or PS256.
	Algorithm string `json:"algorithm"`
	// Secret is a placeholder {env.*} or {file.*} for the HMAC secret of HS256: 64 hexadecimal digits or more, else the text itself.
	Secret string `json:"secret,omitempty"`
	// PublicKey is the path of a PEM file with the public key of ES256 or PS256. Placeholders expand when the configuration is loaded.
	PublicKey string `json:"public_key,omitempty"`
}

// CATRenewal says how tokens are renewed.
type CATRenewal struct {
	// Key is the ID of the key that renewed tokens are made with. One of HS256 needs no more; for ES256 and PS256 PrivateKey goes
	// with it.
	Key string `json:"key,omitempty"`
	// PrivateKey is a placeholder {env.*} or {file.*} for the private key, a PEM block PRIVATE KEY.
	PrivateKey string `json:"private_key,omitempty"`
	// Limit is how long after it was issued the last renewal of a token may end. Default 24h.
	Limit caddy.Duration `json:"limit,omitempty"`
	// Headers are fields in which catr may ask for the token besides CTA-Common-Access-Token.
	Headers []string `json:"headers,omitempty"`
}

// CaddyModule returns the module's registration.
func (CATVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.cat", New: func() caddy.Module { return new(CATVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *CATVerifier) Verifier() (token.Verifier, error) {
	config := cat.Config{
		Issuers: v.Issuers, Audience: v.Audience, Leeway: time.Duration(v.Leeway), Ignore: v.IgnoreClaims, ExactAddresses: v.ExactAddresses,
		AnswerHeaders: v.AnswerHeaders, RenewHeaders: []string{catField},
	}
	for i, configured := range v.Keys {
		key, err := configured.load()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		config.Keys = append(config.Keys, key)
	}
	for _, name := range v.AnswerHeaders {
		if isReservedField(name) {
			return nil, fmt.Errorf("answer_headers: %q is not for a token to set", name)
		}
	}
	if v.Renew != nil {
		if err := v.configureRenewal(&config); err != nil {
			return nil, fmt.Errorf("renew: %w", err)
		}
	}
	return cat.New(config)
}

func (k CATKey) load() (cat.Key, error) {
	algorithm, err := cat.ParseAlgorithm(k.Algorithm)
	switch {
	case err != nil:
		return cat.Key{}, err
	case (algorithm == cat.HS256) != (k.Secret != "") || countSet(k.Secret, k.PublicKey) != 1:
		return cat.Key{}, errors.New("HS256 wants a secret, ES256 and PS256 want a public key")
	case algorithm == cat.HS256:
		text, err := resolveSecretText(k.Secret)
		if err != nil {
			return cat.Key{}, err
		}
		return cat.SecretKey(k.ID, catSecret(text))
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(k.PublicKey, true, true)
	if err != nil {
		return cat.Key{}, err
	}
	pem, err := readBounded(path, maxKeyFile)
	if err != nil {
		return cat.Key{}, err
	}
	return cat.PublicKeyPEM(k.ID, algorithm, pem)
}

// catSecret returns the bytes of a secret: of 32 or more in hexadecimal, as these keys are mostly handed around, or of the text.
func catSecret(text string) []byte {
	if secret, err := hex.DecodeString(text); err == nil && len(secret) >= 32 {
		return secret
	}
	return []byte(text)
}

func (v *CATVerifier) configureRenewal(config *cat.Config) error {
	for _, name := range v.Renew.Headers {
		if isReservedField(name) {
			return fmt.Errorf("headers: %q is not for a token", name)
		}
	}
	config.RenewLimit = time.Duration(v.Renew.Limit)
	config.RenewHeaders = append(config.RenewHeaders, v.Renew.Headers...)
	for i, key := range config.Keys {
		if key.KID() != v.Renew.Key {
			continue
		}
		config.Renew = key
		if v.Renew.PrivateKey == "" {
			if !key.CanSign() {
				return errors.New("a public key makes no tokens: want the private_key that goes with it")
			}
			return nil
		}
		pem, err := resolveSecretText(v.Renew.PrivateKey)
		if err != nil {
			return err
		}
		algorithm, _ := cat.ParseAlgorithm(v.Keys[i].Algorithm) // load has read it
		if config.Renew, err = cat.PrivateKeyPEM(key.KID(), algorithm, []byte(pem)); err != nil {
			return err
		}
		if !config.Renew.Fits(key) {
			return errors.New("the private key is not that of the public key")
		}
		return nil
	}
	return fmt.Errorf("no key has the ID %q", v.Renew.Key)
}

// isReservedField reports whether a header field is ours, a cache's, a proxy's or a browser's, so that no token may set it.
func isReservedField(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"access-control-", "content-", "cross-origin-", "proxy-", "sec-", "x-accel-"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return !isFieldName(name) || isOneOf(lower, "set-cookie", "cache-control", "connection", "transfer-encoding", "upgrade", "date", "server", "vary", "age",
		"expires", "etag", "last-modified", "link", "allow", "refresh", "x-sendfile", "clear-site-data", "strict-transport-security", "alt-svc",
		"trailer", "keep-alive", "te", "www-authenticate", strings.ToLower(headerReason))
}

func isFieldName(name string) bool {
	for _, c := range name {
		if (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// DefaultPlaces are where these tokens come from if the configuration does not say.
func (v *CATVerifier) DefaultPlaces() []TokenPlace {
	return []TokenPlace{
		{In: tokenInHeader, Name: catField}, {In: tokenInCookie, Name: catField}, {In: tokenInQuery, Name: "CAT"}, {In: tokenInQuery, Name: "cat"},
	}
}

// UnmarshalCaddyfile reads
//
//	token cat {
//		key             [<kid>] HS256 {env.NAME}|{file./path}
//		key             [<kid>] ES256|PS256 <public.pem>
//		issuer          <text...>
//		audience        <text...>
//		leeway          <duration>
//		ignore_claims   <number...>
//		exact_addresses
//		answer_headers  <name...>
//		renew [<kid>] {
//			private_key {env.NAME}|{file./path}
//			limit       <duration>
//			headers     <name...>
//		}
//	}
func (v *CATVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *CATVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"key":             repeatable(func() error { return v.unmarshalKey(d) }),
		"issuer":          func() error { return someArgs(d, &v.Issuers) },
		"audience":        func() error { return someArgs(d, &v.Audience) },
		"leeway":          func() error { return durationArg(d, &v.Leeway) },
		"ignore_claims":   func() error { return v.unmarshalIgnored(d) },
		"exact_addresses": func() error { return flagArg(d, &v.ExactAddresses) },
		"answer_headers":  func() error { return someArgs(d, &v.AnswerHeaders) },
		"renew":           func() error { return v.unmarshalRenewal(d) },
	}
}

func (v *CATVerifier) unmarshalKey(d *caddyfile.Dispenser) error {
	var key CATKey
	args := d.RemainingArgs()
	if len(args) == 3 {
		key.ID, args = args[0], args[1:]
	}
	if len(args) != 2 {
		return d.ArgErr()
	}
	key.Algorithm = args[0]
	algorithm, err := cat.ParseAlgorithm(key.Algorithm)
	if err != nil {
		return d.Err(err.Error())
	}
	if algorithm != cat.HS256 {
		key.PublicKey = args[1]
	} else if key.Secret = args[1]; checkSecretPlaceholder(strings.TrimSpace(key.Secret)) != nil {
		return d.Err(errSecretLiteral.Error())
	}
	v.Keys = append(v.Keys, key)
	return nil
}

func (v *CATVerifier) unmarshalIgnored(d *caddyfile.Dispenser) error {
	var words []string
	if err := someArgs(d, &words); err != nil {
		return err
	}
	for _, word := range words {
		label, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return d.Errf("%q: want the number of a claim", word)
		}
		v.IgnoreClaims = append(v.IgnoreClaims, label)
	}
	return nil
}

func (v *CATVerifier) unmarshalRenewal(d *caddyfile.Dispenser) error {
	v.Renew = new(CATRenewal)
	switch args := d.RemainingArgs(); len(args) {
	case 0:
	case 1:
		v.Renew.Key = args[0]
	default:
		return d.ArgErr()
	}
	return eachOption(d, options{
		"private_key": func() error { return secretArg(d, &v.Renew.PrivateKey) },
		"limit":       func() error { return durationArg(d, &v.Renew.Limit) },
		"headers":     func() error { return someArgs(d, &v.Renew.Headers) },
	})
}

// Interface guards
var (
	_ TokenVerifier         = (*CATVerifier)(nil)
	_ caddyfile.Unmarshaler = (*CATVerifier)(nil)
)
