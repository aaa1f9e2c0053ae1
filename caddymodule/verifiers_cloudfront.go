package caddymodule

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

func init() {
	caddy.RegisterModule(CloudFrontVerifier{})
}

// CloudFrontVerifier accepts CloudFront's signed URLs and signed cookies, with canned and custom policies.
type CloudFrontVerifier struct {
	// Keys are the public keys that tokens may be signed for.
	Keys []CloudFrontKey `json:"keys,omitempty"`
	// Hashes are `sha1` and `sha256`. Default: both; SHA-1 is the one that signers use unless they are told otherwise.
	Hashes []string `json:"hashes,omitempty"`
	// Leeway is the difference between clocks that is tolerated. Default 30s, at most 60s.
	Leeway caddy.Duration `json:"leeway,omitempty"`
}

// CloudFrontKey is one public key.
type CloudFrontKey struct {
	// ID is the Key-Pair-Id.
	ID string `json:"id"`
	// File is the path of a PEM file with an RSA or ECDSA public key. Placeholders expand when the configuration is loaded.
	File string `json:"file"`
}

// CaddyModule returns the module's registration.
func (CloudFrontVerifier) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "drm.token_verifiers.cloudfront", New: func() caddy.Module { return new(CloudFrontVerifier) }}
}

// Verifier implements TokenVerifier.
func (v *CloudFrontVerifier) Verifier() (token.Verifier, error) {
	keys := make(map[string]crypto.PublicKey, len(v.Keys))
	for i, key := range v.Keys {
		path, err := caddy.NewReplacer().ReplaceOrErr(key.File, true, true)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if _, twice := keys[key.ID]; twice {
			return nil, fmt.Errorf("key %d: its ID stands twice", i+1)
		}
		if keys[key.ID], err = readPublicKey(path); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	for _, hash := range v.Hashes {
		if !isOneOf(hash, "sha1", "sha256") {
			return nil, errors.New("hashes: want sha1 or sha256")
		}
	}
	return signedurl.NewCloudFront(signedurl.CloudFrontConfig{
		Keys: keys, SHA256Only: len(v.Hashes) > 0 && !isOneOf("sha1", v.Hashes...), Leeway: timeOf(v.Leeway),
	})
}

func readPublicKey(path string) (crypto.PublicKey, error) {
	text, err := readBounded(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("want a PEM file with a PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing public key: %w", err)
	}
	return key, nil
}

// UnmarshalCaddyfile reads
//
//	token cloudfront {
//		key    <Key-Pair-Id> <file.pem>
//		hash   <sha1|sha256...>
//		leeway <duration>
//	}
func (v *CloudFrontVerifier) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return eachOption(d, v.options(d))
}

func (v *CloudFrontVerifier) options(d *caddyfile.Dispenser) options {
	return options{
		"key": repeatable(func() error {
			args := d.RemainingArgs()
			if len(args) != 2 {
				return d.ArgErr()
			}
			v.Keys = append(v.Keys, CloudFrontKey{ID: args[0], File: args[1]})
			return nil
		}),
		"hash": func() error {
			if err := someArgs(d, &v.Hashes); err != nil {
				return err
			}
			for _, hash := range v.Hashes {
				if !isOneOf(hash, "sha1", "sha256") {
					return d.Errf("hash %q: want sha1, sha256", hash)
				}
			}
			return nil
		},
		"leeway": func() error { return durationArg(d, &v.Leeway) },
	}
}

// decodeHexKeys reads keys that are written in hexadecimal digits.
func decodeHexKeys(texts [][]byte) ([][]byte, error) {
	keys := make([][]byte, len(texts))
	for i, text := range texts {
		key, err := hex.DecodeString(string(text))
		if err != nil {
			return nil, fmt.Errorf("key %d: not an even number of hexadecimal digits", i+1)
		}
		keys[i] = key
	}
	return keys, checkVendorKeys(keys)
}

func timeOf(d caddy.Duration) time.Duration { return time.Duration(d) }

// Interface guards
var (
	_ TokenVerifier         = (*CloudFrontVerifier)(nil)
	_ caddyfile.Unmarshaler = (*CloudFrontVerifier)(nil)
)
