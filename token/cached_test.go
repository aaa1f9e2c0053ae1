package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countingVerifier counts how often the real verifier behind it is asked.
type countingVerifier struct {
	Verifier
	calls atomic.Int64
}

func (v *countingVerifier) Verify(ctx context.Context, raw string, req Request) (Claims, error) {
	v.calls.Add(1)
	return v.Verifier.Verify(ctx, raw, req)
}

func (v *countingVerifier) Identity() string { return identityOf(v.Verifier) }

func newTestCached(t testing.TB, v Verifier) (*Cached, *countingVerifier) {
	t.Helper()
	counting := &countingVerifier{Verifier: v}
	c, err := NewCached(counting, CacheConfig{MaxTokens: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, counting
}

func TestCachedJudgesTimeAndPathAnew(t *testing.T) {
	c, counting := newTestCached(t, newTestJWT(t, JWTConfig{Leeway: -1}, testSecretKey(t, "")))
	raw := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767229200,"nbf":1767225600,"paths":"/vod/a","hosts":"a.example"}`)
	at := Request{Now: testNow, Host: "a.example", Path: "/vod/a/1"}
	if _, err := c.Verify(context.Background(), raw, at); err != nil {
		t.Fatal(err)
	}
	c.entries.Wait()
	for _, test := range []struct {
		rule string
		req  Request
		want error
	}{
		{"again", at, nil},
		{"another path", Request{Now: testNow, Host: "a.example", Path: "/vod/ab"}, ErrScope},
		{"another host", Request{Now: testNow, Host: "b.example", Path: "/vod/a"}, ErrScope},
		{"its last instant", Request{Now: time.Unix(1767229200, -1), Host: "a.example", Path: "/vod/a"}, nil},
		{"its end", Request{Now: time.Unix(1767229200, 0), Host: "a.example", Path: "/vod/a"}, ErrExpired},
		{"the clock set back", Request{Now: testNow.Add(-time.Second), Host: "a.example", Path: "/vod/a"}, ErrNotYetValid},
		{"the clock set right", at, nil},
	} {
		t.Run(test.rule, func(t *testing.T) {
			got, err := c.Verify(context.Background(), raw, test.req)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if err == nil && got.Scope[0] != "/vod/a" {
				t.Errorf("scope %q", got.Scope)
			}
		})
	}
	if n := counting.calls.Load(); n != 1 {
		t.Errorf("verified %d times, want once", n)
	}
}

func TestCachedRefusals(t *testing.T) {
	key := testSecretKey(t, "")
	c, counting := newTestCached(t, newTestJWT(t, JWTConfig{Leeway: -1}, key))
	verify := func(raw string, at Request) error {
		_, err := c.Verify(context.Background(), raw, at)
		c.entries.Wait()
		return err
	}
	at := Request{Now: testNow, Path: "/x"}
	forged := signJWT(t, HS256, testSecret("other"), nil, goodPayload)
	for range 3 {
		if err := verify(forged, at); !errors.Is(err, ErrSignature) {
			t.Errorf("error %v, want ErrSignature", err)
		}
	}
	if n := counting.calls.Load(); n != 1 {
		t.Errorf("a forged token was verified %d times, want once", n)
	}
	if err := verify(forged, Request{Now: testNow.Add(5 * time.Second), Path: "/x"}); !errors.Is(err, ErrSignature) || counting.calls.Load() != 2 {
		t.Errorf("a negative answer outlived its time: %v", err)
	}

	early := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767229200,"nbf":1767225601}`)
	if err := verify(early, at); !errors.Is(err, ErrNotYetValid) {
		t.Errorf("error %v, want ErrNotYetValid", err)
	}
	if err := verify(early, Request{Now: testNow.Add(time.Second), Path: "/x"}); err != nil {
		t.Errorf("a second later: %v", err)
	}
	scoped := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767229200,"paths":"/a"}`)
	if err := verify(scoped, at); !errors.Is(err, ErrScope) {
		t.Errorf("error %v, want ErrScope", err)
	}
	if err := verify(scoped, Request{Now: testNow, Path: "/a"}); err != nil {
		t.Errorf("within its scope: %v", err)
	}
	if err := verify("", at); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v, want ErrMissing", err)
	}
}

func TestCachedForgetsWithTheKeys(t *testing.T) {
	p := testPairs()
	s, err := ParseKeySet(jwksOf(t, jose.JSONWebKey{Key: p.p256.Public(), KeyID: "1"}), ES256, RS256)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := newTestCached(t, ByForm{JWT: newTestJWT(t, JWTConfig{Keys: s})})
	raw := signJWT(t, ES256, p.p256, map[string]any{"kid": "1"}, goodPayload)
	at := Request{Now: testNow, Path: "/"}
	if _, err := c.Verify(context.Background(), raw, at); err != nil {
		t.Fatal(err)
	}
	c.entries.Wait()
	if err := s.Reload(jwksOf(t, jose.JSONWebKey{Key: p.rsa.Public(), KeyID: "2"})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(context.Background(), raw, at); !errors.Is(err, ErrSignature) {
		t.Errorf("after its key was withdrawn: error %v, want ErrSignature", err)
	}
}

func TestCachedNeedsAnIdentity(t *testing.T) {
	anonymous := struct{ Verifier }{newTestPrefix(t, testSecretKey(t, ""))}
	for _, v := range []Verifier{anonymous, ByForm{JWT: anonymous}} {
		if c, err := NewCached(v, CacheConfig{}); err == nil || c != nil {
			t.Errorf("%T was cached without an identity", v)
		}
	}
}

func TestCachedConcurrently(t *testing.T) {
	c, _ := newTestCached(t, newTestJWT(t, JWTConfig{}, testSecretKey(t, "")))
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				name := fmt.Sprint((worker + i) % 150) // more than the cache holds
				raw := signJWT(t, HS256, testSecret(""), nil, `{"exp":1767229200,"sub":"`+name+`"}`)
				claims, err := c.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"})
				if err != nil || claims.Subject != name {
					t.Errorf("token of %s: %q, %v", name, claims.Subject, err)
				}
			}
		})
	}
	wg.Wait()
}
