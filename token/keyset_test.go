package token

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

func jwksOf(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeysRefuse(t *testing.T) {
	p := testPairs()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("no small RSA keys here")
	}
	rsaPEM := publicPEM(t, p.rsa.Public())
	for rule, make := range map[string]func() (Key, error){
		"a short secret":               func() (Key, error) { return SecretKey("", testSecret("")[:31]) },
		"a secret too short for HS512": func() (Key, error) { return SecretKey("", testSecret("")[:63], HS512) },
		"a secret of one byte":         func() (Key, error) { return SecretKey("", bytes.Repeat([]byte("a"), 32)) },
		"an empty secret":              func() (Key, error) { return SecretKey("", nil) },
		"a PEM file as secret":         func() (Key, error) { return SecretKey("", rsaPEM) },
		"a secret for RS256":           func() (Key, error) { return SecretKey("", testSecret(""), RS256) },
		"a secret for none":            func() (Key, error) { return SecretKey("", testSecret(""), "none") },
		"a public key for HS256":       func() (Key, error) { return PublicKeyPEM("", rsaPEM, HS256) },
		"a public key for HS256, too":  func() (Key, error) { return PublicKeyPEM("", rsaPEM, RS256, HS256) },
		"an RSA key for ES256":         func() (Key, error) { return PublicKeyPEM("", rsaPEM, ES256) },
		"a P-384 key for ES256":        func() (Key, error) { return PublicKeyPEM("", publicPEM(t, p.p384.Public()), ES256) },
		"a small RSA key":              func() (Key, error) { return PublicKeyPEM("", publicPEM(t, small.Public())) },
		"no PEM":                       func() (Key, error) { return PublicKeyPEM("", []byte("x")) },
		"two PEM blocks":               func() (Key, error) { return PublicKeyPEM("", append(bytes.Clone(rsaPEM), rsaPEM...)) },
		"a private key": func() (Key, error) {
			return PublicKeyPEM("", bytes.ReplaceAll(rsaPEM, []byte("PUBLIC"), []byte("PRIVATE")))
		},
		"a PEM block that is no key": func() (Key, error) {
			return PublicKeyPEM("", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
		},
		"an algorithm that nobody knows": func() (Key, error) { return SecretKey("", testSecret(""), "HS1024") },
	} {
		t.Run(rule, func(t *testing.T) {
			if k, err := make(); err == nil || k.material != nil {
				t.Errorf("accepted: %v", k)
			}
		})
	}
}

func TestKeyPrintsItsNameOnly(t *testing.T) {
	k := testSecretKey(t, "k1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != `key "k1"` {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestParseKeySet(t *testing.T) {
	p := testPairs()
	set := jwksOf(t,
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "rsa", Use: "sig"},
		jose.JSONWebKey{Key: p.p256.Public(), KeyID: "ec", Algorithm: "ES256"},
		jose.JSONWebKey{Key: p.p384.Public(), KeyID: "not allowed"},
		jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "for encryption", Use: "enc"},
		jose.JSONWebKey{Key: p.ed25519.Public(), KeyID: "ed", Algorithm: "EdDSA"},
	)
	set = bytes.Replace(set, []byte(`"keys":[`), []byte(`"keys":[{"kty":"FUTURE","kid":"f"},`), 1)
	s, err := ParseKeySet(set, RS256, PS256, ES256, EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 3 {
		t.Errorf("%d usable keys, want rsa, ec and ed", s.Len())
	}
	v := newTestJWT(t, JWTConfig{Keys: s})
	for _, test := range []struct {
		alg     Algorithm
		kid     string
		private any
		want    error
	}{
		{RS256, "rsa", p.rsa, nil},
		{PS256, "rsa", p.rsa, nil},
		{ES256, "ec", p.p256, nil},
		{EdDSA, "ed", p.ed25519, nil},
		{RS256, "for encryption", p.rsa, ErrSignature},
		{HS256, "rsa", p.rsa.N.Bytes(), ErrSignature},
	} {
		raw := signJWT(t, test.alg, test.private, map[string]any{"kid": test.kid}, goodPayload)
		if _, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); !errors.Is(err, test.want) {
			t.Errorf("%s with %q: error %v, want %v", test.alg, test.kid, err, test.want)
		}
	}
}

func TestParseKeySetOfPEM(t *testing.T) {
	p := testPairs()
	s, err := ParseKeySet(publicPEM(t, p.p256.Public()), RS256, ES256)
	if err != nil {
		t.Fatal(err)
	}
	raw := signJWT(t, ES256, p.p256, nil, goodPayload)
	if _, err := newTestJWT(t, JWTConfig{Keys: s}).Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); err != nil {
		t.Error(err)
	}
	if _, err := ParseKeySet(publicPEM(t, p.p256.Public()), RS256); err == nil {
		t.Error("a key that fits no allowed algorithm was accepted")
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	p := testPairs()
	public := jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "a"}
	for rule, b := range map[string][]byte{
		"nothing":             nil,
		"not JSON":            []byte("x"),
		"an array":            []byte("[]"),
		"no keys":             []byte(`{}`),
		"no usable key":       []byte(`{"keys":[]}`),
		"keys an object":      []byte(`{"keys":{}}`),
		"keys twice":          []byte(`{"keys":[],"keys":[]}`),
		"a private key":       jwksOf(t, jose.JSONWebKey{Key: p.rsa, KeyID: "a"}),
		"two keys, one kid":   jwksOf(t, public, public),
		"two keys, no kid":    jwksOf(t, jose.JSONWebKey{Key: p.rsa.Public()}, jose.JSONWebKey{Key: p.p256.Public()}),
		"a short secret":      jwksOf(t, jose.JSONWebKey{Key: []byte("short-secret"), KeyID: "a"}),
		"only for others":     jwksOf(t, jose.JSONWebKey{Key: p.ed25519.Public(), KeyID: "a"}),
		"a broken key":        []byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQ","e":"!"}]}`),
		"a member twice":      []byte(`{"keys":[{"kty":"oct","kid":"a","kid":"b","k":"AAAA"}]}`),
		"over 256 KiB":        []byte(`{"keys":[],"x":"` + strings.Repeat("x", 256<<10) + `"}`),
		"something after it":  append(jwksOf(t, public), "{}"...),
		"a point not on P256": []byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`),
	} {
		t.Run(rule, func(t *testing.T) {
			s, err := ParseKeySet(b, RS256, ES256, HS256)
			if err == nil || s != nil {
				t.Fatal("accepted")
			}
			if rule == "a private key" && !strings.Contains(err.Error(), rule) {
				t.Errorf("the error does not say that the key is private: %v", err)
			}
			if strings.Contains(err.Error(), "short-secret") || strings.Contains(err.Error(), b64([]byte("short-secret"))) {
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
	if _, err := ParseKeySet(jwksOf(t, public)); err == nil {
		t.Error("a set for no algorithm was accepted")
	}
	if _, err := ParseKeySet(jwksOf(t, public), "none"); err == nil {
		t.Error("a set for alg none was accepted")
	}
}

func TestKeySetReload(t *testing.T) {
	p := testPairs()
	s, err := ParseKeySet(jwksOf(t, jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "1"}), RS256, ES256)
	if err != nil {
		t.Fatal(err)
	}
	v := newTestJWT(t, JWTConfig{Keys: s})
	old := signJWT(t, RS256, p.rsa, map[string]any{"kid": "1"}, goodPayload)
	next := signJWT(t, ES256, p.p256, map[string]any{"kid": "2"}, goodPayload)
	check := func(when string, raw string, want error) {
		t.Helper()
		if _, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", when, err, want)
		}
	}
	before := v.Identity()
	if err := s.Reload([]byte("{")); err == nil {
		t.Error("a broken file was accepted")
	}
	check("after a broken reload", old, nil)
	if v.Identity() != before {
		t.Error("a reload that failed changed the identity")
	}
	if err := s.Reload(jwksOf(t, jose.JSONWebKey{Key: p.p256.Public(), KeyID: "2"})); err != nil {
		t.Fatal(err)
	}
	check("old key after reload", old, ErrSignature)
	check("new key after reload", next, nil)
	if v.Identity() == before {
		t.Error("new keys under the old identity")
	}
	if err := testKeySet(t, testSecretKey(t, "")).Reload([]byte("{}")); err == nil {
		t.Error("a set that came from no file was reloaded")
	}
}

func FuzzParseKeySet(f *testing.F) {
	p := testPairs()
	f.Add(jwksOf(f, jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "1"}))
	f.Add(jwksOf(f, jose.JSONWebKey{Key: testSecret(""), KeyID: "1"}, jose.JSONWebKey{Key: p.p256.Public(), KeyID: "2"}))
	f.Add(publicPEM(f, p.ed25519.Public()))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseKeySet(b, RS256, ES256, EdDSA, HS256)
		if (err == nil) != (s != nil) || s != nil && s.Len() == 0 {
			t.Fatalf("set %v with error %v", s, err)
		}
	})
}
