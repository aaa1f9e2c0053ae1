package caddymodule

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing/vendor"
)

// The words of Keys.
const (
	keysSend  = "send"
	keysKnown = "known"
)

func sendsKeys(word string) (bool, error) {
	if !isOneOf(word, "", keysSend, keysKnown) {
		return false, fmt.Errorf("keys: %q: want send or known", word)
	}
	return word != keysKnown, nil
}

// vendorBlock reads the block of a vendor, which has no arguments.
func vendorBlock(d *caddyfile.Dispenser, known options) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	return eachOption(d, known)
}

// namedSecret reads a name, and a placeholder for the secret that it is of.
func namedSecret(d *caddyfile.Dispenser, name, secret *string) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	*name = d.Val()
	return secretArg(d, secret)
}

// secretPair reads two placeholders for secrets.
func secretPair(d *caddyfile.Dispenser, first, second *string) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.ArgErr()
	}
	for _, arg := range args {
		if err := checkSecretPlaceholder(arg); err != nil {
			return d.Err(err.Error())
		}
	}
	*first, *second = args[0], args[1]
	return nil
}

// secretBytes resolves a placeholder for bytes that are written as text.
func secretBytes(placeholder string, decode func(string) ([]byte, error), form string) ([]byte, error) {
	text, err := resolveSecretText(placeholder)
	if err != nil {
		return nil, err
	}
	b, err := decode(text)
	if err != nil {
		return nil, errors.New("want " + form)
	}
	return b, nil
}

// tokenLicenses is what both general forms have.
type tokenLicenses struct {
	// Algorithm is `HS256` (default), `HS384` or `HS512`; Secret a placeholder {env.*} or {file.*}.
	Algorithm string `json:"algorithm,omitempty"`
	Secret    string `json:"secret"`
	// Header or Query carries the token; Prefix stands before it.
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	Prefix string `json:"prefix,omitempty"`
}

func (l *tokenLicenses) config() (vendor.GeneralConfig, error) {
	config := vendor.GeneralConfig{Algorithm: l.Algorithm, Header: l.Header, Query: l.Query, Prefix: l.Prefix}
	if config.Algorithm == "" {
		config.Algorithm = "HS256"
	}
	secret, err := resolveSecretText(l.Secret)
	if err != nil {
		return config, fmt.Errorf("secret: %w", err)
	}
	config.Secret = []byte(secret)
	return config, nil
}

func (l *tokenLicenses) options(d *caddyfile.Dispenser) options {
	return options{
		"algorithm": func() error { return wordArg(d, &l.Algorithm, "HS256", "HS384", "HS512") },
		"secret":    func() error { return secretArg(d, &l.Secret) },
		"header":    func() error { return oneArg(d, &l.Header) },
		"query":     func() error { return oneArg(d, &l.Query) },
		"prefix":    func() error { return oneArg(d, &l.Prefix) },
	}
}

// JWTLicenses sends a JSON Web Token whose claims a template says.
type JWTLicenses struct {
	tokenLicenses
	// KeyID is the kid of the token.
	KeyID string `json:"key_id,omitempty"`
	// Claims is the template of the claims, a JSON object.
	Claims string `json:"claims"`
}

// CaddyModule returns the module's registration.
func (JWTLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("jwt", func() caddy.Module { return new(JWTLicenses) })
}

// Vendor implements LicenseVendor.
func (l *JWTLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	config, err := l.config()
	if err != nil {
		return nil, err
	}
	config.KeyID, config.Claims = l.KeyID, l.Claims
	return vendor.NewGeneral(config)
}

// UnmarshalCaddyfile reads
//
//	vendor jwt {
//		claims    <template of JSON>
//		algorithm HS256|HS384|HS512
//		secret    {env.NAME}|{file./path}
//		key_id    <id>
//		header    <name>
//		query     <name>
//		prefix    <text>
//	}
func (l *JWTLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, l.options(d).with(options{
		"claims": func() error { return oneArg(d, &l.Claims) },
		"key_id": func() error { return oneArg(d, &l.KeyID) },
	}))
}

// HMACLicenses sends a text that a template says, with its HMAC.
type HMACLicenses struct {
	tokenLicenses
	// Text is the template of what is signed.
	Text string `json:"text"`
	// Format is `hex` (default) or `base64url`, of the HMAC.
	Format string `json:"format,omitempty"`
}

// CaddyModule returns the module's registration.
func (HMACLicenses) CaddyModule() caddy.ModuleInfo {
	return vendorInfo("hmac", func() caddy.Module { return new(HMACLicenses) })
}

// Vendor implements LicenseVendor.
func (l *HMACLicenses) Vendor(drm.SystemID) (vendor.Vendor, error) {
	config, err := l.config()
	if err != nil {
		return nil, err
	}
	config.HMAC, config.Claims, config.Format = true, l.Text, l.Format
	return vendor.NewGeneral(config)
}

// UnmarshalCaddyfile reads
//
//	vendor hmac {
//		text      <template>
//		format    hex|base64url
//		algorithm HS256|HS384|HS512
//		secret    {env.NAME}|{file./path}
//		header    <name>
//		query     <name>
//		prefix    <text>
//	}
func (l *HMACLicenses) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return vendorBlock(d, l.options(d).with(options{
		"text":   func() error { return oneArg(d, &l.Text) },
		"format": func() error { return wordArg(d, &l.Format, "hex", "base64url") },
	}))
}

// Interface guards
var (
	_ LicenseVendor = (*JWTLicenses)(nil)
	_ LicenseVendor = (*HMACLicenses)(nil)
)
