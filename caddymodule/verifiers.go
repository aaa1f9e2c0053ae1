package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/token"
)

func init() {
	caddy.RegisterModule(JWTVerifier{})
	caddy.RegisterModule(SignedVerifier{})
}

// maxKeyFile bounds a file of keys, jwksWatchInterval is how often it is looked at.
const (
	maxKeyFile        = 1 << 20
	jwksWatchInterval = 10 * time.Second
)

// JWTVerifier accepts signed JWTs. Exactly one of Secret, PublicKey and JWKS names the keys. Claims understood: exp
// (required), nbf, sub, jti, iss, aud, and those of docs/tokens.md on paths, hosts, countries and what the viewer has a right to.
type JWTVerifier struct {
	// Algorithms are the ones that tokens may use, for instance `ES256`. None is ever taken from the token alone.
	Algorithms []string `json:"algorithms,omitempty"`
	// Secret is the HMAC secret, from a placeholder {env.*} or {file.*}: at least 32 bytes.
	Secret string `json:"secret,omitempty"`
	// PublicKey is the path of a PEM file with a public key. Placeholders expand when the configuration is loaded.
	PublicKey string `json:"public_key,omitempty"`
	// JWKS is the path or the URL of a JSON Web Key Set, placeholders as above. A file is read again when it changes, a URL is asked as
	// its Cache-Control says; while the new one is bad, the old one stays. A URL is https, or http on this machine.
	JWKS string `json:"jwks,omitempty"`
	// Issuer must equal iss, if set.
	Issuer string `json:"issuer,omitempty"`
	// Audience must have a value in common with aud. Without it, tokens that have an aud are refused.
	Audience []string `json:"audience,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`

	keys   *token.KeySet
	remote *remoteKeys // if the keys come from a URL
	logger *zap.Logger
}

// CaddyModule returns the module's registration.
func (JWTVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.jwt", New: func() caddy.Module { return new(JWTVerifier) }}
}

// Provision reads the keys, and watches a key set for changes until the configuration ends.
func (v *JWTVerifier) Provision(ctx caddy.Context) (err error) {
	v.logger = ctx.Logger()
	algorithms := make([]token.Algorithm, len(v.Algorithms))
	for i, name := range v.Algorithms {
		if algorithms[i], err = token.ParseAlgorithm(name); err != nil {
			return err
		}
	}
	if len(algorithms) == 0 {
		return errors.New("algorithms: want at least one, such as ES256")
	}
	for _, path := range []*string{&v.PublicKey, &v.JWKS} {
		if *path, err = caddy.NewReplacer().ReplaceOrErr(*path, true, true); err != nil {
			return err
		}
	}
	if isURL(v.JWKS) && countSet(v.Secret, v.PublicKey) == 0 {
		return v.followKeys(ctx, algorithms)
	}
	if v.keys, err = v.readKeys(algorithms); err != nil {
		return err
	}
	if v.JWKS != "" {
		go v.watch(ctx)
	}
	return nil
}

func (v *JWTVerifier) readKeys(algorithms []token.Algorithm) (*token.KeySet, error) {
	switch named := countSet(v.Secret, v.PublicKey, v.JWKS); {
	case named != 1:
		return nil, errors.New("want exactly one of secret, public_key and jwks")
	case v.Secret != "":
		secret, err := resolveSecretText(v.Secret)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		key, err := token.SecretKey("", []byte(secret), algorithms...)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		return token.NewKeySet(key)
	case v.PublicKey != "":
		pem, err := readBounded(v.PublicKey, maxKeyFile)
		if err != nil {
			return nil, fmt.Errorf("public_key: %w", err)
		}
		key, err := token.PublicKeyPEM("", pem, algorithms...)
		if err != nil {
			return nil, fmt.Errorf("public_key: %w", err)
		}
		return token.NewKeySet(key)
	default:
		jwks, err := readBounded(v.JWKS, maxKeyFile)
		if err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
		return token.ParseKeySet(jwks, algorithms...)
	}
}

// watch reads the key set again whenever its size or time of change differs.
func (v *JWTVerifier) watch(ctx context.Context) {
	last, _ := os.Stat(v.JWKS)
	ticker := time.NewTicker(jwksWatchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := os.Stat(v.JWKS)
		if err == nil && last != nil && now.Size() == last.Size() && now.ModTime().Equal(last.ModTime()) {
			continue
		}
		if err == nil {
			err = v.reload()
			last = now
		}
		if err != nil {
			v.logger.Error("key set not reloaded; the old keys stay", zap.Error(err))
		}
	}
}

func (v *JWTVerifier) reload() error {
	jwks, err := readBounded(v.JWKS, maxKeyFile)
	if err != nil {
		return err
	}
	return v.keys.Reload(jwks)
}

// Verifier implements TokenVerifier.
func (v *JWTVerifier) Verifier() (token.Verifier, error) {
	config := token.JWTConfig{Keys: v.keys, Issuer: v.Issuer, Audience: v.Audience, Leeway: time.Duration(v.Leeway)}
	if v.remote != nil {
		config.Refresh = v.remote.refresh
	}
	return token.NewJWT(config)
}

// UnmarshalCaddyfile reads
//
//	token jwt {
//		algorithms <name...>
//		secret     {env.NAME}|{file./path}
//		public_key <file.pem>
//		jwks       <file.json>|<url>
//		issuer     <text>
//		audience   <text...>
//		leeway     <duration>
//	}
func (v *JWTVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *JWTVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"algorithms": func() error { return someArgs(d, &v.Algorithms) },
		"secret":     func() error { return secretArg(d, &v.Secret) },
		"public_key": func() error { return oneArg(d, &v.PublicKey) },
		"jwks":       func() error { return oneArg(d, &v.JWKS) },
		"issuer":     func() error { return oneArg(d, &v.Issuer) },
		"audience":   func() error { return someArgs(d, &v.Audience) },
		"leeway":     func() error { return durationArg(d, &v.Leeway) },
	}
}

// SignedVerifier accepts signed prefixes of our own: HMAC-SHA-256 over the path prefixes and the expiry that they are for.
// See docs/tokens.md for the grammar.
type SignedVerifier struct {
	// Keys are the secrets that tokens may be signed with, at least 32 bytes each.
	Keys []SignedKey `json:"keys,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// SignedKey is one secret for signed prefixes.
type SignedKey struct {
	// ID is what kid in the token selects. It may be empty if there is one key.
	ID string `json:"id,omitempty"`
	// Secret is a placeholder {env.*} or {file.*}.
	Secret string `json:"secret"`
}

// CaddyModule returns the module's registration.
func (SignedVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.signed", New: func() caddy.Module { return new(SignedVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *SignedVerifier) Verifier() (token.Verifier, error) {
	keys := make([]token.Key, len(v.Keys))
	for i, configured := range v.Keys {
		secret, err := resolveSecretText(configured.Secret)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if keys[i], err = token.SecretKey(configured.ID, []byte(secret)); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return nil, err
	}
	return token.NewSignedPrefix(token.SignedPrefixConfig{Keys: set, Leeway: time.Duration(v.Leeway)})
}

// UnmarshalCaddyfile reads
//
//	token signed {
//		key    [<id>] {env.NAME}|{file./path}
//		leeway <duration>
//	}
func (v *SignedVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *SignedVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"leeway": func() error { return durationArg(d, &v.Leeway) },
		"key": repeatable(func() error {
			var key SignedKey
			switch args := d.RemainingArgs(); len(args) {
			case 1:
				key.Secret = args[0]
			case 2:
				key.ID, key.Secret = args[0], args[1]
			default:
				return d.ArgErr()
			}
			if err := checkSecretPlaceholder(strings.TrimSpace(key.Secret)); err != nil {
				return d.Err(err.Error())
			}
			v.Keys = append(v.Keys, key)
			return nil
		}),
	}
}

// Interface guards
var (
	_ TokenVerifier         = (*JWTVerifier)(nil)
	_ TokenVerifier         = (*SignedVerifier)(nil)
	_ caddy.Provisioner     = (*JWTVerifier)(nil)
	_ caddyfile.Unmarshaler = (*JWTVerifier)(nil)
	_ caddyfile.Unmarshaler = (*SignedVerifier)(nil)
)
