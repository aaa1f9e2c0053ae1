package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"
)

func TestVerifierConfigsRefuse(t *testing.T) {
	hs256 := testKeySet(t, testSecretKey(t, ""))
	for rule, make := range map[string]func() (Verifier, error){
		"a JWT verifier without keys":     func() (Verifier, error) { return NewJWT(JWTConfig{}) },
		"a JWT verifier with much leeway": func() (Verifier, error) { return NewJWT(JWTConfig{Keys: hs256, Leeway: 61 * time.Second}) },
		"signed prefixes without keys":    func() (Verifier, error) { return NewSignedPrefix(SignedPrefixConfig{}) },
		"signed prefixes with much leeway": func() (Verifier, error) {
			return NewSignedPrefix(SignedPrefixConfig{Keys: hs256, Leeway: time.Hour})
		},
		"signed prefixes with a public key": func() (Verifier, error) {
			return NewSignedPrefix(SignedPrefixConfig{Keys: testKeySet(t, testPublicKey(t, "", testPairs().p256.Public()))})
		},
		"signed prefixes with a key for HS512": func() (Verifier, error) {
			return NewSignedPrefix(SignedPrefixConfig{Keys: testKeySet(t, testSecretKey(t, "", HS512))})
		},
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
	for rule, keys := range map[string][]Key{
		"no key":             nil,
		"a key of nothing":   {Key{}},
		"two without a name": {testSecretKey(t, ""), testSecretKey(t, "")},
		"two of one name":    {testSecretKey(t, "a"), testSecretKey(t, "a", HS512)},
	} {
		if s, err := NewKeySet(keys...); err == nil || s != nil {
			t.Errorf("%s: accepted", rule)
		}
	}
}

func TestLeewayDefaults(t *testing.T) {
	raw := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767225600}`)
	for leeway, last := range map[time.Duration]time.Duration{0: 30 * time.Second, -1: 0, 60 * time.Second: 60 * time.Second} {
		v := newTestJWT(t, JWTConfig{Leeway: leeway}, testSecretKey(t, ""))
		if _, err := v.Verify(context.Background(), raw, Request{Now: testNow.Add(last - 1), Path: "/"}); err != nil {
			t.Errorf("leeway %s: refused at %s: %v", leeway, last-1, err)
		}
		if _, err := v.Verify(context.Background(), raw, Request{Now: testNow.Add(last), Path: "/"}); !errors.Is(err, ErrExpired) {
			t.Errorf("leeway %s: error %v at %s, want ErrExpired", leeway, err, last)
		}
	}
}

func TestParseAlgorithm(t *testing.T) {
	for _, a := range []Algorithm{HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA} {
		if got, err := ParseAlgorithm(string(a)); err != nil || got != a {
			t.Errorf("%s: %q, %v", a, got, err)
		}
	}
	for _, s := range []string{"", "none", "None", "hs256", "HS1", "RSA-OAEP", "dir", "ES256K"} {
		if got, err := ParseAlgorithm(s); err == nil || got != "" {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestPublicKeyPEMForms(t *testing.T) {
	p := testPairs()
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{}, p.p256.Public(), p.p256)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for _, test := range []struct {
		form string
		pem  []byte
		want Algorithm
	}{
		{"PKCS 1", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&p.rsa.PublicKey)), RS256},
		{"certificate", block("CERTIFICATE", certificate), ES256},
		{"P-384", publicPEM(t, p.p384.Public()), ES384},
		{"P-521", publicPEM(t, p521.Public()), ES512},
		{"Ed25519", publicPEM(t, p.ed25519.Public()), EdDSA},
	} {
		k, err := PublicKeyPEM("k", test.pem)
		if err != nil || !k.allows(test.want) || len(k.algorithms) != 1 || k.ID() != "k" {
			t.Errorf("%s: %v for %v, %v; want %s", test.form, k, k.algorithms, err, test.want)
		}
	}
	for _, kind := range []string{"RSA PUBLIC KEY", "CERTIFICATE", "PUBLIC KEY"} {
		if _, err := PublicKeyPEM("k", block(kind, []byte{0x30, 0})); err == nil {
			t.Errorf("an empty %s was accepted", kind)
		}
	}
}

func TestIdentityTellsVerifiersApart(t *testing.T) {
	a, b := testSecretKey(t, "a"), testSecretKey(t, "b")
	seen := map[string]bool{}
	prefix := newTestPrefix(t, a)
	for i, v := range []Identified{
		newTestJWT(t, JWTConfig{}, a), newTestJWT(t, JWTConfig{}, b), newTestJWT(t, JWTConfig{}, a, b),
		newTestJWT(t, JWTConfig{Issuer: "x"}, a), newTestJWT(t, JWTConfig{Audience: []string{"x"}}, a),
		newTestJWT(t, JWTConfig{Type: "x"}, a), newTestJWT(t, JWTConfig{Leeway: -1}, a),
		newTestJWT(t, JWTConfig{PathsClaim: "x"}, a), newTestJWT(t, JWTConfig{}, testSecretKey(t, "a", HS512)),
		prefix, newTestPrefix(t, b), ByForm{Prefix: prefix}, ByForm{JWT: prefix},
	} {
		if seen[v.Identity()] {
			t.Errorf("verifier %d has the identity of another", i)
		}
		seen[v.Identity()] = true
	}
}
