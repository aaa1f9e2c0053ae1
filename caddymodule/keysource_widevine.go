package caddymodule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/widevine"
)

func init() {
	caddy.RegisterModule(WidevineKeys{})
}

// WidevineKeys asks a key server by Widevine's Common Encryption API (getcontentkey), for one key per track class.
type WidevineKeys struct {
	KeyServerConn
	// Signer is the name of the provider that signs.
	Signer string `json:"signer"`
	// SigningKey and SigningIV are placeholders {env.*} or {file.*} for the AES key, 64 hexadecimal digits, and its IV, 32. Want these or
	// RSAKey.
	SigningKey string `json:"signing_key,omitempty"`
	SigningIV  string `json:"signing_iv,omitempty"`
	// RSAKey is a placeholder {env.*} or {file.*} for a private key in PEM.
	RSAKey string `json:"rsa_key,omitempty"`
	// ContentID is the name of the content at the server. Default: {asset}:{scheme}:{generation}, which have to be in it.
	ContentID string `json:"content_id,omitempty"`
	// Policy is the name of a policy at the server.
	Policy string `json:"policy,omitempty"`
	// CryptoPeriod is the length of a crypto period, for content whose keys rotate.
	CryptoPeriod caddy.Duration `json:"crypto_period,omitempty"`
}

// CaddyModule returns the module's registration.
func (WidevineKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.key_sources.widevine", New: func() caddy.Module { return new(WidevineKeys) }}
}

// Source implements KeySource.
func (k *WidevineKeys) Source(keysource.Secret, drm.ProtectionScheme) (keysource.Source, error) {
	config := widevine.Config{Policy: k.Policy, CryptoPeriod: time.Duration(k.CryptoPeriod)}
	var err error
	if config.URL, err = k.fixedURL(); err != nil {
		return nil, err
	}
	if config.Transport, err = k.transport(); err != nil {
		return nil, err
	}
	if config.Signer, err = k.signer(); err != nil {
		return nil, err
	}
	id := k.ContentID
	if id == "" {
		id = widevine.DefaultContentID
	}
	if config.ContentID, err = parseTitleTemplate(id); err != nil {
		return nil, fmt.Errorf("content_id: %w", err)
	}
	client, err := widevine.NewClient(config)
	if err != nil {
		return nil, err
	}
	return bundled(client), nil
}

func (k *WidevineKeys) signer() (*widevine.Signer, error) {
	switch {
	case (k.RSAKey == "") == (k.SigningKey == "" && k.SigningIV == ""):
		return nil, errors.New("want signing_key or rsa_key")
	case k.RSAKey != "":
		text, err := resolveSecretText(k.RSAKey)
		if err != nil {
			return nil, fmt.Errorf("rsa_key: %w", err)
		}
		key, err := parseRSAKey(text)
		if err != nil {
			return nil, fmt.Errorf("rsa_key: %w", err)
		}
		return widevine.NewRSASigner(k.Signer, key)
	}
	var parts [2][]byte
	for i, placeholder := range []string{k.SigningKey, k.SigningIV} {
		text, err := resolveSecretText(placeholder)
		if err != nil {
			return nil, fmt.Errorf("signing_key: %w", err)
		}
		if parts[i], err = hex.DecodeString(text); err != nil {
			return nil, errors.New("signing_key: want hexadecimal digits")
		}
	}
	return widevine.NewAESSigner(k.Signer, parts[0], parts[1])
}

// UnmarshalCaddyfile reads
//
//	keys widevine <url> {
//		signer        <name>
//		signing_key   {env.NAME}|{file./path} {env.NAME}|{file./path}
//		rsa_key       {env.NAME}|{file./path}
//		content_id    <template>
//		policy        <name>
//		crypto_period <duration>
//		basic, bearer, header, client_certificate, ca, timeout, max_size: as of keys cpix
//	}
func (k *WidevineKeys) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if err := oneArg(d, &k.URL); err != nil {
		return err
	}
	return eachOption(d, k.connOptions(d).with(options{
		"signer":        func() error { return oneArg(d, &k.Signer) },
		"signing_key":   func() error { return secretPair(d, &k.SigningKey, &k.SigningIV) },
		"rsa_key":       func() error { return secretArg(d, &k.RSAKey) },
		"content_id":    func() error { return oneArg(d, &k.ContentID) },
		"policy":        func() error { return oneArg(d, &k.Policy) },
		"crypto_period": func() error { return durationArg(d, &k.CryptoPeriod) },
	}))
}

// Interface guards
var (
	_ LastingKeySource      = (*WidevineKeys)(nil)
	_ caddyfile.Unmarshaler = (*WidevineKeys)(nil)
)
