package entitlement

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/token"
)

// innerVerifier admits one token.
type innerVerifier struct{ claims token.Claims }

func (v innerVerifier) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	if raw != "good" {
		return token.Claims{}, token.ErrSignature
	}
	return v.claims, v.claims.Check(req)
}

func TestVerifier(t *testing.T) {
	backend := &script{explains: true}
	hour := testNow.Add(time.Hour)
	request := token.Request{Now: testNow, Path: "/vod/demo/a.mpd", Host: "media.example", Country: "AT", Header: func(string) []string { return []string{strings.Repeat("x", 4096)} }}
	inner := innerVerifier{token.Claims{Subject: "7", Expires: hour, Scope: []string{"/vod"}, Countries: []string{"AT", "DE"}, MaxStreams: 3}}
	for name, test := range map[string]struct {
		inner  token.Verifier
		raw    string
		answer Answer
		err    error
		want   token.Claims
		fails  error
	}{
		"only the backend": {nil, "opaque", Answer{Allowed: true, Holds: time.Minute, Claims: token.Claims{Subject: "x"}}, nil, token.Claims{Subject: "x", Expires: testNow.Add(time.Minute)}, nil},
		"an end":           {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Expires: hour}}, nil, token.Claims{Expires: hour}, nil},
		"an end that was":  {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Expires: testNow}}, nil, token.Claims{}, token.ErrExpired},
		"no":               {nil, "opaque", Answer{}, nil, token.Claims{}, token.ErrNotEntitled},
		"no answer":        {nil, "opaque", Answer{}, errors.New("down"), token.Claims{}, token.ErrEntitlementUnknown},
		"nothing":          {nil, "", yes(0), nil, token.Claims{}, token.ErrMissing},
		"too long":         {nil, strings.Repeat("x", maxOpaqueToken+1), yes(0), nil, token.Claims{}, token.ErrMalformed},
		"other paths":      {nil, "opaque", Answer{Allowed: true, Claims: token.Claims{Scope: []string{"/live"}}}, nil, token.Claims{}, token.ErrScope},
		"a bad token":      {inner, "bad", yes(0), nil, token.Claims{}, token.ErrSignature},
		"a good token":     {inner, "good", yes(0), nil, inner.claims, nil},
		"both restrict": {inner, "good", Answer{Allowed: true, Claims: token.Claims{
			Subject: "8", Countries: []string{"AT", "CH"}, Scope: []string{"/vod/demo", "/live"}, MaxStreams: 2, Plans: []string{"gold"}, Expires: testNow.Add(time.Minute),
		}}, nil, token.Claims{Subject: "7", Countries: []string{"AT"}, Scope: []string{"/vod/demo"}, MaxStreams: 2, Plans: []string{"gold"}, Expires: testNow.Add(time.Minute)}, nil},
		"no country is left":     {inner, "good", Answer{Allowed: true, Claims: token.Claims{Countries: []string{"CH"}}}, nil, token.Claims{}, token.ErrNotEntitled},
		"no path is left":        {inner, "good", Answer{Allowed: true, Claims: token.Claims{Scope: []string{"/vodka"}}}, nil, token.Claims{}, token.ErrScope},
		"no more than the token": {inner, "good", Answer{Allowed: true, Claims: token.Claims{Expires: testNow.Add(24 * time.Hour), MaxStreams: 9, Scope: []string{"/"}}}, nil, inner.claims, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCache(backend, CacheConfig{})
			defer c.Close()
			backend.say(test.answer, test.err)
			v := &Verifier{Inner: test.inner, Cache: c}
			scope := &Scope{Tenant: "north", Asset: "/vod/demo/"}
			ctx := WithScope(t.Context(), scope)
			for _, verify := range []func(context.Context, string, token.Request) (token.Claims, error){v.Verify, v.Explain} {
				got, err := verify(ctx, test.raw, request)
				if !errors.Is(err, test.fails) {
					t.Fatalf("%v, want %v", err, test.fails)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
			}
			if test.fails == nil && (scope.Question.Tenant != "north" || !scope.Answer.Allowed || len(scope.Question.UserAgent) != maxField) {
				t.Errorf("%+v", scope)
			}
		})
	}
	t.Run("an explanation counts nothing", func(t *testing.T) {
		c := NewCache(backend, CacheConfig{})
		defer c.Close()
		backend.say(yes(0), nil)
		v := &Verifier{Cache: c}
		if _, err := v.Explain(t.Context(), "opaque", request); err != nil {
			t.Error(err)
		}
		if asked := backend.questions(); asked[len(asked)-1].Event != Check {
			t.Errorf("%+v", asked[len(asked)-1])
		}
		backend.explains = false
		before := len(backend.questions())
		if _, err := v.Explain(t.Context(), "opaque", request); !errors.Is(err, token.ErrEntitlementUnknown) || len(backend.questions()) != before {
			t.Errorf("%v", err)
		}
		if _, err := v.Verify(t.Context(), "opaque", request); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Explain(t.Context(), "opaque", request); err != nil {
			t.Errorf("what is known already: %v", err)
		}
	})
}
