package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var testNow = time.Unix(1_767_225_600, 0) // 2026-01-01T00:00:00Z

func testSecretKey(t testing.TB, id string, algorithms ...Algorithm) Key {
	t.Helper()
	k, err := SecretKey(id, testSecret(id), algorithms...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testSecret is 64 bytes that differ with id and are obviously no secret.
func testSecret(id string) []byte {
	a := sha256.Sum256([]byte("test secret a " + id))
	b := sha256.Sum256([]byte("test secret b " + id))
	return append(a[:], b[:]...)
}

func testKeySet(t testing.TB, keys ...Key) *KeySet {
	t.Helper()
	s, err := NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTestPrefix(t testing.TB, keys ...Key) *SignedPrefix {
	t.Helper()
	v, err := NewSignedPrefix(SignedPrefixConfig{Keys: testKeySet(t, keys...), Leeway: -1})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signFields signs fields as written, valid or not.
func signFields(id, fields string) string {
	signed := "v1." + base64.RawURLEncoding.EncodeToString([]byte(fields))
	h := hmac.New(sha256.New, testSecret(id))
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func TestSignedPrefixOfAnotherImplementation(t *testing.T) {
	// printf 'exp=1767229200&prefix=/vod/a' | basenc --base64url, then openssl dgst -sha256 -hmac over "v1.<payload>" with the
	// key 0123456789abcdef0123456789abcdef (32 ASCII characters).
	const vector = "v1.ZXhwPTE3NjcyMjkyMDAmcHJlZml4PS92b2QvYQ.VQr6CcjFleu4lx4GUe2vqRGWDEgXperW9Rh1n5TuFvM"
	key, err := SecretKey("", []byte("0123456789abcdef0123456789abcdef"))
	if err == nil {
		_, err = newTestPrefix(t, key).Verify(context.Background(), vector, Request{Now: testNow, Path: "/vod/a/1.m4s"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSignPrefixRoundTrip(t *testing.T) {
	key := testSecretKey(t, "k1")
	want := Claims{
		Subject: "Ünï & cö+=%", ID: "t~1", Scope: []string{"/vod/a b", "/vod/ä+c"}, Hosts: []string{"media.example.com"},
		Countries: []string{"AT", "DE"}, Expires: testNow.Add(time.Hour), NotBefore: testNow,
	}
	raw, err := SignPrefix(key, want)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Trim(raw, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		t.Errorf("%q is not safe in a query", raw)
	}
	got, err := newTestPrefix(t, key, testSecretKey(t, "k2")).Verify(context.Background(), raw,
		Request{Now: testNow, Host: "Media.Example.com", Path: "/vod/ä+c/1.m4s"})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSignedPrefixRefusals(t *testing.T) {
	const good = "exp=1767229200&prefix=/vod/a"
	at := Request{Now: testNow, Host: "a.example", Path: "/vod/a/1.m4s"}
	v := newTestPrefix(t, testSecretKey(t, ""))
	if _, err := v.Verify(context.Background(), signFields("", good), at); err != nil {
		t.Fatalf("the token that all rows break: %v", err)
	}
	tests := []struct {
		rule, raw string
		want      error
	}{
		{"no token", "", ErrMissing},
		{"cut MAC", signFields("", good)[:len(signFields("", good))-2], ErrMalformed},
		{"MAC of another key", signFields("other", good), ErrSignature},
		{"payload of another token", "v1." + base64.RawURLEncoding.EncodeToString([]byte("exp=1767229200")) + signFields("", good)[strings.LastIndexByte(signFields("", good), '.'):], ErrSignature},
		{"another version", "v2" + signFields("", good)[2:], ErrMalformed},
		{"padding", signFields("", good) + "=", ErrMalformed},
		{"a line break in the base64url", strings.Replace(signFields("", good), "v1.", "v1.\n", 1), ErrMalformed},
		{"millions of dots", strings.Repeat(".", 1<<20), ErrMalformed},
		{"no exp", signFields("", "prefix=/vod/a"), ErrMalformed},
		{"exp twice", signFields("", good+"&exp=1767229201"), ErrMalformed},
		{"sub twice", signFields("", good+"&sub=a&sub=b"), ErrMalformed},
		{"an unknown field", signFields("", good+"&ip=192.0.2.1"), ErrMalformed},
		{"an empty restriction", signFields("", good+"&country="), ErrMalformed},
		{"a country that is none", signFields("", good+"&country=DEU"), ErrMalformed},
		{"a sign in a time", signFields("", "exp=%2B1767229200"), ErrMalformed},
		{"a leading zero in a time", signFields("", "exp=01767229200"), ErrMalformed},
		{"milliseconds", signFields("", "exp=1767229200000"), ErrMalformed},
		{"a plus that may be a space", signFields("", good+"&sub=a+b"), ErrMalformed},
		{"cut percent-encoding", signFields("", good+"&sub=a%2"), ErrMalformed},
		{"percent without digits", signFields("", good+"&sub=a%zz"), ErrMalformed},
		{"a prefix with dot segments", signFields("", "exp=1767229200&prefix=/vod/../a"), ErrMalformed},
		{"a prefix with encoded dot segments", signFields("", "exp=1767229200&prefix=/vod/%2e%2e/a"), ErrMalformed},
		{"a pattern for a prefix", signFields("", "exp=1767229200&prefix=/vod/%2A"), ErrMalformed},
		{"a relative prefix", signFields("", "exp=1767229200&prefix=vod"), ErrMalformed},
		{"a trailing separator", signFields("", good+"&"), ErrMalformed},
		{"expired to the second", signFields("", "exp=1767225600"), ErrExpired},
		{"not yet valid", signFields("", good+"&nbf=1767225601"), ErrNotYetValid},
		{"another path", signFields("", "exp=1767229200&prefix=/vod/b"), ErrScope},
		{"a path that only begins alike", signFields("", "exp=1767229200&prefix=/vod/a/1"), ErrScope},
		{"another host", signFields("", good+"&host=b.example"), ErrScope},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			claims, err := v.Verify(context.Background(), test.raw, at)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if fmt.Sprint(claims) != fmt.Sprint(Claims{}) {
				t.Errorf("an error came with claims")
			}
		})
	}
}

func TestSignedPrefixKeys(t *testing.T) {
	v := newTestPrefix(t, testSecretKey(t, "k1"), testSecretKey(t, "k2"))
	at := Request{Now: testNow, Path: "/x"}
	for fields, want := range map[string]error{
		"exp=1767229200&kid=k2":               nil,
		"exp=1767229200&kid=k1":               ErrSignature, // signed with k2
		"exp=1767229200":                      ErrSignature, // two keys, none named
		"exp=1767229200&kid=../../etc/passwd": ErrSignature,
	} {
		if _, err := v.Verify(context.Background(), signFields("k2", fields), at); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", fields, err, want)
		}
	}
}

func FuzzSignedPrefix(f *testing.F) {
	v := newTestPrefix(f, testSecretKey(f, ""))
	for _, fields := range []string{"exp=1767229200", "exp=1767229200&prefix=/a&prefix=/b&sub=x%20y", "", "&", "exp=%", "kid=a"} {
		f.Add(signFields("", fields), fields)
	}
	f.Fuzz(func(t *testing.T, raw, fields string) {
		at := Request{Now: testNow, Path: "/a/x"}
		for _, s := range []string{raw, signFields("", fields)} {
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
