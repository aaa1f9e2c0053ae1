package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

func init() {
	caddy.RegisterModule(AkamaiVerifier{})
	caddy.RegisterModule(SecureLinkVerifier{})
	caddy.RegisterModule(FlussonicVerifier{})
	caddy.RegisterModule(BunnyVerifier{})
}

// minVendorKey is the least that a key of these formats may have, in bytes: what can be guessed can be found from one URL.
const minVendorKey = 16

// resolveKeys expands placeholders of keys that are text.
func resolveKeys(placeholders []string) ([][]byte, error) {
	keys := make([][]byte, len(placeholders))
	for i, placeholder := range placeholders {
		text, err := resolveSecretText(placeholder)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys[i] = []byte(text)
	}
	return keys, checkVendorKeys(keys)
}

func checkVendorKeys(keys [][]byte) error {
	for i, key := range keys {
		if len(key) < minVendorKey {
			return fmt.Errorf("key %d has %d bytes: want at least %d", i+1, len(key), minVendorKey)
		}
	}
	return nil
}

// keyArgs reads `key <placeholder>`, which may stand several times.
func keyArgs(d *caddyfile.Dispenser, into *[]string) option {
	return repeatable(func() error {
		var key string
		if err := secretArg(d, &key); err != nil {
			return err
		}
		*into = append(*into, key)
		return nil
	})
}

// flagArg reads a word that stands alone.
func flagArg(d *caddyfile.Dispenser, into *bool) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	*into = true
	return nil
}

// AkamaiVerifier accepts Akamai's tokens (edge authorization 2.0), in a query parameter, cookie or field of one of Names.
type AkamaiVerifier struct {
	// Keys are hexadecimal, each from a placeholder {env.*} or {file.*}: at least 16 bytes. Several while they are changed.
	Keys []string `json:"keys,omitempty"`
	// Hash is `sha256` (default), or `sha1` or `md5`, which are weak.
	Hash string `json:"hash,omitempty"`
	// Salt is a further secret, from a placeholder, if tokens are made with one.
	Salt string `json:"salt,omitempty"`
	// EscapeEarly is for tokens whose values are percent-encoded before they are signed.
	EscapeEarly bool `json:"escape_early,omitempty"`
	// Names are what the token is called where it stands. Default: `hdnts`, `hdnea` and `__token__`.
	Names []string `json:"names,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// CaddyModule returns the module's registration.
func (AkamaiVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.akamai", New: func() caddy.Module { return new(AkamaiVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *AkamaiVerifier) Verifier() (token.Verifier, error) {
	keys, err := resolveKeys(v.Keys)
	if err != nil {
		return nil, err
	}
	if keys, err = decodeHexKeys(keys); err != nil {
		return nil, err
	}
	salt := ""
	if v.Salt != "" {
		if salt, err = resolveSecretText(v.Salt); err != nil {
			return nil, fmt.Errorf("salt: %w", err)
		}
	}
	return signedurl.NewAkamai(signedurl.AkamaiConfig{
		Keys: keys, Hash: v.Hash, Salt: salt, EscapeEarly: v.EscapeEarly, Names: v.Names, Leeway: timeOf(v.Leeway),
	})
}

// UnmarshalCaddyfile reads
//
//	token akamai {
//		key   {env.NAME}|{file./path}
//		hash  sha256|sha1|md5
//		salt  {env.NAME}|{file./path}
//		escape_early
//		name  <name...>
//		leeway <duration>
//	}
func (v *AkamaiVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *AkamaiVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"key":          keyArgs(d, &v.Keys),
		"hash":         func() error { return wordArg(d, &v.Hash, "sha256", "sha1", "md5") },
		"salt":         func() error { return secretArg(d, &v.Salt) },
		"escape_early": func() error { return flagArg(d, &v.EscapeEarly) },
		"name":         func() error { return someArgs(d, &v.Names) },
		"leeway":       func() error { return durationArg(d, &v.Leeway) },
	}
}

// SecureLinkVerifier accepts the links of nginx's secure_link and secure_link_md5. MD5 is part of that format, and weak.
type SecureLinkVerifier struct {
	// Expression is that of secure_link_md5, with `$secret` for the secret words. It needs `$secure_link_expires`, `$uri` and
	// `$secret`, and may have `$remote_addr`, `$host`, `$scheme` and `$arg_<name>`.
	Expression string `json:"expression,omitempty"`
	// Keys are the words for `$secret`, each from a placeholder: at least 16 bytes. Several while they are changed.
	Keys []string `json:"keys,omitempty"`
	// MD5 and Expires are the query parameters. Default: `md5` and `expires`.
	MD5     string `json:"md5,omitempty"`
	Expires string `json:"expires,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// CaddyModule returns the module's registration.
func (SecureLinkVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.secure_link", New: func() caddy.Module { return new(SecureLinkVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *SecureLinkVerifier) Verifier() (token.Verifier, error) {
	keys, err := resolveKeys(v.Keys)
	if err != nil {
		return nil, err
	}
	return signedurl.NewSecureLink(signedurl.SecureLinkConfig{
		Expression: v.Expression, Secrets: keys, MD5Name: v.MD5, ExpiresName: v.Expires, Leeway: timeOf(v.Leeway),
	})
}

// UnmarshalCaddyfile reads
//
//	token secure_link {
//		expression "$secure_link_expires$uri$remote_addr $secret"
//		key        {env.NAME}|{file./path}
//		parameters <md5> <expires>
//		leeway     <duration>
//	}
func (v *SecureLinkVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *SecureLinkVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"expression": func() error { return oneArg(d, &v.Expression) },
		"key":        keyArgs(d, &v.Keys),
		"parameters": func() error {
			args := d.RemainingArgs()
			if len(args) != 2 {
				return d.ArgErr()
			}
			v.MD5, v.Expires = args[0], args[1]
			return nil
		},
		"leeway": func() error { return durationArg(d, &v.Leeway) },
	}
}

// FlussonicVerifier accepts Flussonic's securetoken, in a query parameter. SHA-1 is part of that format, and weak.
type FlussonicVerifier struct {
	// Keys are the keys of securetoken://, each from a placeholder: at least 16 bytes. Several while they are changed.
	Keys []string `json:"keys,omitempty"`
	// NoCheckIP is for tokens that are made without the client's address.
	NoCheckIP bool `json:"no_check_ip,omitempty"`
	// Name is the query parameter. Default: `token`.
	Name string `json:"name,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// CaddyModule returns the module's registration.
func (FlussonicVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.flussonic", New: func() caddy.Module { return new(FlussonicVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *FlussonicVerifier) Verifier() (token.Verifier, error) {
	keys, err := resolveKeys(v.Keys)
	if err != nil {
		return nil, err
	}
	return signedurl.NewFlussonic(signedurl.FlussonicConfig{Secrets: keys, NoCheckIP: v.NoCheckIP, Name: v.Name, Leeway: timeOf(v.Leeway)})
}

// UnmarshalCaddyfile reads
//
//	token flussonic {
//		key    {env.NAME}|{file./path}
//		no_check_ip
//		name   <name>
//		leeway <duration>
//	}
func (v *FlussonicVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *FlussonicVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"key":         keyArgs(d, &v.Keys),
		"no_check_ip": func() error { return flagArg(d, &v.NoCheckIP) },
		"name":        func() error { return oneArg(d, &v.Name) },
		"leeway":      func() error { return durationArg(d, &v.Leeway) },
	}
}

// BunnyVerifier accepts the tokens of bunny.net, in the query or as the first element of the path.
type BunnyVerifier struct {
	// Keys are the token authentication keys, each from a placeholder: at least 16 bytes. Several while they are changed.
	Keys []string `json:"keys,omitempty"`
	// Hashes are `hmac` (always accepted), and `sha256` and `md5` for tokens of before it, which are weak.
	Hashes []string `json:"hashes,omitempty"`
	// CheckIP demands that tokens are bound to the client's address.
	CheckIP bool `json:"check_ip,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// CaddyModule returns the module's registration.
func (BunnyVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.bunny", New: func() caddy.Module { return new(BunnyVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *BunnyVerifier) Verifier() (token.Verifier, error) {
	keys, err := resolveKeys(v.Keys)
	if err != nil {
		return nil, err
	}
	for _, hash := range v.Hashes {
		if !isOneOf(hash, "hmac", "sha256", "md5") {
			return nil, errors.New("hashes: want hmac, sha256 or md5")
		}
	}
	return signedurl.NewBunny(signedurl.BunnyConfig{
		Keys: keys, SHA256: isOneOf("sha256", v.Hashes...), MD5: isOneOf("md5", v.Hashes...), CheckIP: v.CheckIP, Leeway: timeOf(v.Leeway),
	})
}

// UnmarshalCaddyfile reads
//
//	token bunny {
//		key    {env.NAME}|{file./path}
//		hash   <hmac|sha256|md5...>
//		check_ip
//		leeway <duration>
//	}
func (v *BunnyVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *BunnyVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"key": keyArgs(d, &v.Keys),
		"hash": func() error {
			if err := someArgs(d, &v.Hashes); err != nil {
				return err
			}
			for _, hash := range v.Hashes {
				if !isOneOf(hash, "hmac", "sha256", "md5") {
					return d.Errf("hash %q: want %s", hash, strings.Join([]string{"hmac", "sha256", "md5"}, ", "))
				}
			}
			return nil
		},
		"check_ip": func() error { return flagArg(d, &v.CheckIP) },
		"leeway":   func() error { return durationArg(d, &v.Leeway) },
	}
}

// Interface guards
var (
	_ TokenVerifier         = (*AkamaiVerifier)(nil)
	_ TokenVerifier         = (*SecureLinkVerifier)(nil)
	_ TokenVerifier         = (*FlussonicVerifier)(nil)
	_ TokenVerifier         = (*BunnyVerifier)(nil)
	_ caddyfile.Unmarshaler = (*AkamaiVerifier)(nil)
	_ caddyfile.Unmarshaler = (*SecureLinkVerifier)(nil)
	_ caddyfile.Unmarshaler = (*FlussonicVerifier)(nil)
	_ caddyfile.Unmarshaler = (*BunnyVerifier)(nil)
)
