package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

const goodPayload = `{"exp":1767229200,"sub":"viewer"}`

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signJWT signs payload with the standard library alone, so that the verifier's library does not judge its own work. Members of
// header replace or add to alg.
func signJWT(t testing.TB, alg Algorithm, key any, header map[string]any, payload string) string {
	t.Helper()
	members := map[string]any{"alg": string(alg)}
	maps.Copy(members, header)
	encoded, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return signRaw(t, alg, key, string(encoded), payload)
}

// signRaw signs header as it is.
func signRaw(t testing.TB, alg Algorithm, key any, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch alg {
	case HS256:
		h := hmac.New(sha256.New, key.([]byte))
		h.Write([]byte(input))
		signature = h.Sum(nil)
	case HS512:
		h := hmac.New(sha512.New, key.([]byte))
		h.Write([]byte(input))
		signature = h.Sum(nil)
	case RS256:
		signature, err = rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	case PS256:
		signature, err = rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case ES256:
		r, s, signErr := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
		signature, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), signErr
	case EdDSA:
		signature = ed25519.Sign(key.(ed25519.PrivateKey), []byte(input))
	default:
		t.Fatalf("no signer for %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

type testKeyPairs struct {
	rsa     *rsa.PrivateKey
	p256    *ecdsa.PrivateKey
	p384    *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

var testPairs = sync.OnceValue(func() testKeyPairs {
	var p testKeyPairs
	p.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	p.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, p.ed25519, _ = ed25519.GenerateKey(rand.Reader)
	return p
})

func publicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func testPublicKey(t testing.TB, id string, public any, algorithms ...Algorithm) Key {
	t.Helper()
	k, err := PublicKeyPEM(id, publicPEM(t, public), algorithms...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newTestJWT(t testing.TB, config JWTConfig, keys ...Key) *JWT {
	t.Helper()
	if config.Keys == nil {
		config.Keys = testKeySet(t, keys...)
	}
	v, err := NewJWT(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Source: RFC 7515, A.1. The example's exp is 1300819380, and its claims have a member that is none of ours.
func TestJWTVectorRFC7515A1(t *testing.T) {
	const raw = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." +
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	secret, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	key, err := SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	v := newTestJWT(t, JWTConfig{Issuer: "joe", Type: "JWT", Leeway: -1}, key)
	if _, err := v.Verify(context.Background(), raw, Request{Now: time.Unix(1300819379, 0), Path: "/"}); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	if _, err := v.Verify(context.Background(), raw, Request{Now: time.Unix(1300819380, 0), Path: "/"}); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: error %v, want ErrExpired", err)
	}
	changed := strings.Replace(raw, "dBjf", "dBjg", 1)
	if _, err := v.Verify(context.Background(), changed, Request{Now: time.Unix(1300819379, 0), Path: "/"}); !errors.Is(err, ErrSignature) {
		t.Errorf("one bit changed: error %v, want ErrSignature", err)
	}
}

func TestJWTAlgorithms(t *testing.T) {
	p := testPairs()
	for _, test := range []struct {
		alg     Algorithm
		private any
		key     Key
	}{
		{HS256, testSecret("h"), testSecretKey(t, "")},
		{HS512, testSecret(""), testSecretKey(t, "", HS512)},
		{RS256, p.rsa, testPublicKey(t, "", p.rsa.Public())},
		{PS256, p.rsa, testPublicKey(t, "", p.rsa.Public(), PS256)},
		{ES256, p.p256, testPublicKey(t, "", p.p256.Public())},
		{EdDSA, p.ed25519, testPublicKey(t, "", p.ed25519.Public())},
	} {
		t.Run(string(test.alg), func(t *testing.T) {
			private := test.private
			if test.alg == HS256 {
				private = testSecret("")
			}
			v := newTestJWT(t, JWTConfig{}, test.key)
			raw := signJWT(t, test.alg, private, map[string]any{"kid": "any"}, goodPayload)
			claims, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/x"})
			if err != nil || claims.Subject != "viewer" {
				t.Fatalf("got %v, %v", claims, err)
			}
			last := raw[:len(raw)-8] + "AAAAAAAA"
			if _, err := v.Verify(context.Background(), last, Request{Now: testNow, Path: "/x"}); !errors.Is(err, ErrSignature) {
				t.Errorf("a changed signature: error %v, want ErrSignature", err)
			}
		})
	}
}

func TestJWTIssuerAudienceType(t *testing.T) {
	v := newTestJWT(t, JWTConfig{Issuer: "https://id.example", Audience: []string{"tv", "web"}, Type: "at+jwt"}, testSecretKey(t, ""))
	for _, test := range []struct {
		rule, typ, members string
		want               error
	}{
		{"audience a string", "at+jwt", `"iss":"https://id.example","aud":"tv"`, nil},
		{"audience an array", "at+jwt", `"iss":"https://id.example","aud":["x","web"]`, nil},
		{"typ as a media type", "application/AT+JWT", `"iss":"https://id.example","aud":"tv"`, nil},
		{"another typ", "JWT", `"iss":"https://id.example","aud":"tv"`, ErrMalformed},
		{"issuer with a slash more", "at+jwt", `"iss":"https://id.example/","aud":"tv"`, ErrIssuer},
		{"no issuer", "at+jwt", `"aud":"tv"`, ErrIssuer},
		{"issuer an array", "at+jwt", `"iss":["https://id.example"],"aud":"tv"`, ErrMalformed},
		{"another audience", "at+jwt", `"iss":"https://id.example","aud":"TV"`, ErrAudience},
		{"no audience", "at+jwt", `"iss":"https://id.example"`, ErrAudience},
		{"an empty audience", "at+jwt", `"iss":"https://id.example","aud":[]`, ErrMalformed},
	} {
		t.Run(test.rule, func(t *testing.T) {
			raw := signJWT(t, HS256, testSecret(""), map[string]any{"typ": test.typ}, `{"exp":1767229200,`+test.members+`}`)
			if _, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestJWTClaimsAreRead(t *testing.T) {
	v := newTestJWT(t, JWTConfig{PathsClaim: "https://example.com/scope", Leeway: 10 * time.Second}, testSecretKey(t, ""))
	raw := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767229200.5,"nbf":1767225600,"sub":"ü","jti":"t1",`+
		`"https://example.com/scope":["/vod/a/","/"],"countries":"at","hosts":["A.example"]}`)
	got, err := v.Verify(context.Background(), raw, Request{Now: testNow.Add(-10 * time.Second), Host: "a.EXAMPLE", Path: "/x"})
	want := Claims{
		Subject: "ü", ID: "t1", Scope: []string{"/vod/a", "/"}, Hosts: []string{"a.example"}, Countries: []string{"AT"},
		Expires:   time.Unix(1767229200, 5e8).Add(10 * time.Second),
		NotBefore: testNow.Add(-10 * time.Second),
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// A key with a name answers to that name, or to none where it is the only one.
func TestJWTKidOfOneKey(t *testing.T) {
	for _, test := range []struct {
		id     string
		header map[string]any
		want   error
	}{
		{"k1", map[string]any{"kid": "k1"}, nil},
		{"k1", nil, nil},
		{"k1", map[string]any{"kid": "k2"}, ErrSignature},
		{"", map[string]any{"kid": "k2"}, nil},
	} {
		v := newTestJWT(t, JWTConfig{}, testSecretKey(t, test.id))
		raw := signJWT(t, HS256, testSecret(test.id), test.header, goodPayload)
		if _, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); !errors.Is(err, test.want) {
			t.Errorf("key %q, header %v: error %v, want %v", test.id, test.header, err, test.want)
		}
	}
}

func FuzzJWT(f *testing.F) {
	v := newTestJWT(f, JWTConfig{}, testSecretKey(f, ""))
	for _, payload := range []string{goodPayload, `{}`, `{"exp":1e9,"paths":["/a"]}`, `{"exp":1767229200,"exp":1}`, `[[[`, `{"exp":1767229200,"countries":"AT","nbf":0.5}`} {
		f.Add(signJWT(f, HS256, testSecret(""), nil, payload), `{"alg":"HS256"}`, payload)
	}
	f.Add("..", `{"alg":"none"}`, goodPayload)
	f.Fuzz(func(t *testing.T, raw, header, payload string) {
		at := Request{Now: testNow, Path: "/a/x"}
		for _, s := range []string{raw, signRaw(t, HS256, testSecret(""), header, payload)} {
			claims, err := v.Verify(context.Background(), s, at)
			if err != nil && fmt.Sprint(claims) != fmt.Sprint(Claims{}) {
				t.Fatal("an error came with claims")
			}
			if err == nil && (!claims.AllowsPath(at.Path) || !at.Now.Before(claims.Expires)) {
				t.Fatalf("%v was accepted", claims)
			}
		}
	})
}
