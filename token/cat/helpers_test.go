package cat

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

var testNow = time.Unix(1800000000, 0)

const testSecret = "test-secret-for-common-access-tokens-0123456789"

func testKey(t testing.TB) Key {
	t.Helper()
	key, err := SecretKey("k1", []byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// privateKey makes a key pair of the type that the algorithm needs.
func privateKey(t testing.TB, algorithm Algorithm, kid string) (private, public Key, publicPEM []byte) {
	t.Helper()
	var der, publicDER []byte
	var err error
	if algorithm == ES256 {
		pair, keyErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if keyErr != nil {
			t.Fatal(keyErr)
		}
		der, err = x509.MarshalPKCS8PrivateKey(pair)
		publicDER, _ = x509.MarshalPKIXPublicKey(&pair.PublicKey)
	} else {
		pair, keyErr := rsa.GenerateKey(rand.Reader, 2048)
		if keyErr != nil {
			t.Fatal(keyErr)
		}
		der, err = x509.MarshalPKCS8PrivateKey(pair)
		publicDER, _ = x509.MarshalPKIXPublicKey(&pair.PublicKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	publicPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})
	if private, err = PrivateKeyPEM(kid, algorithm, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		t.Fatal(err)
	}
	if public, err = PublicKeyPEM(kid, algorithm, publicPEM); err != nil {
		t.Fatal(err)
	}
	return private, public, publicPEM
}

func newVerifier(t testing.TB, config Config) *Verifier {
	t.Helper()
	if config.Keys == nil {
		config.Keys = []Key{testKey(t)}
	}
	v, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// with returns claims that hold at testNow, and those given.
func with(pairs ...any) map[int64]any {
	claims := map[int64]any{Expires: testNow.Unix() + 3600}
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i].(int64)] = pairs[i+1]
	}
	return claims
}

// sealed makes a token of any claims, those too that Sign would not.
func sealed(t testing.TB, key Key, claims map[int64]any) string {
	t.Helper()
	m := make(map[any]any)
	for label, value := range claims {
		m[label] = value
	}
	text, err := seal(key, m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// request is a viewer in Linz who asks for a manifest with HTTP/2.
func request() token.Request {
	return token.Request{
		Now: testNow, Host: "media.example.com", Path: "/demo/manifest.mpd", PublicPath: "/members/demo/manifest.mpd", RawQuery: "a=1&b=%7e%2f",
		Method: "GET", Scheme: "https", Port: 443, Addr: netip.MustParseAddr("192.0.2.7"), ASN: 64500, Country: "AT", Subdivision: "AT-4", ALPN: "h2",
		Header: func(name string) []string {
			switch name {
			case "X-Device", "x-device":
				return []string{"tv"}
			case "X-List":
				return []string{"a", "b"}
			}
			return nil
		},
	}
}
