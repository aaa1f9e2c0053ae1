package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAllowsPath(t *testing.T) {
	tests := []struct {
		rule  string
		scope string // separated by commas; empty: the whole site
		path  string
		want  bool
	}{
		{"itself", "/vod/a", "/vod/a", true},
		{"below", "/vod/a", "/vod/a/x", true},
		{"itself with a slash", "/vod/a", "/vod/a/", true},
		{"only begins alike", "/vod/a", "/vod/ab", false},
		{"only begins alike, with a dot", "/vod/a", "/vod/a.mpd", false},
		{"above", "/vod/a", "/vod", false},
		{"prefix with a slash: itself", "/vod/a/", "/vod/a", true},
		{"prefix with a slash: below", "/vod/a/", "/vod/a/x", true},
		{"prefix with a slash: only begins alike", "/vod/a/", "/vod/ab", false},
		{"one of several", "/x,/vod/a", "/vod/a/x", true},
		{"none of several", "/x,/y", "/vod/a/x", false},
		{"the root covers all", "/", "/vod/a", true},
		{"no scope covers all", "", "/vod/a", true},
		{"case matters", "/vod/A", "/vod/a", false},
		{"dot segments", "/vod/a", "/vod/a/../b", false},
		{"dot segments at the end", "/vod/a", "/vod/a/..", false},
		{"single dot", "/vod/a", "/vod/a/./x", false},
		{"dot segments without a scope", "", "/vod/../a", false},
		{"empty segment", "/vod/a", "/vod/a//x", false},
		{"two slashes first", "", "//vod/a", false},
		{"backslash", "/vod/a", `/vod/a/..\..\b`, false},
		{"zero byte", "/vod/a", "/vod/a/\x00", false},
		{"relative", "", "vod/a", false},
		{"empty", "", "", false},
		{"dots inside a name", "/vod/a", "/vod/a/..x/x..", true},
		{"still encoded dots are a name", "/vod/a", "/vod/a/%2e%2e/x", true},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var c Claims
			if test.scope != "" {
				c.Scope = strings.Split(test.scope, ",")
			}
			if got := c.AllowsPath(test.path); got != test.want {
				t.Errorf("scope %q, path %q: %t, want %t", test.scope, test.path, got, test.want)
			}
		})
	}
}

func TestCheckIsHalfOpen(t *testing.T) {
	c := Claims{NotBefore: testNow, Expires: testNow.Add(time.Second)}
	for offset, want := range map[time.Duration]error{
		-time.Nanosecond: ErrNotYetValid, 0: nil, time.Second - 1: nil, time.Second: ErrExpired,
	} {
		if err := c.Check(Request{Now: testNow.Add(offset), Path: "/"}); !errors.Is(err, want) {
			t.Errorf("at %s: error %v, want %v", offset, err, want)
		}
	}
	if err := (Claims{}).Check(Request{Now: testNow, Path: "/"}); !errors.Is(err, ErrExpired) {
		t.Errorf("zero claims: error %v, want ErrExpired", err)
	}
}

func TestAllowsHost(t *testing.T) {
	c := Claims{Hosts: []string{"kiosk.example", "[2001:db8::1]"}}
	for host, want := range map[string]bool{
		"kiosk.example": true, "KIOSK.Example": true, "[2001:db8::1]": true,
		"": false, "a.kiosk.example": false, "kiosk.example.": false, "kiosk.example:443": false,
		"\u212aiosk.example": false, // the Kelvin sign folds to k
		"kio\u017fk.example": false, // the long s folds to s
	} {
		if got := c.AllowsHost(host); got != want {
			t.Errorf("%q: %t, want %t", host, got, want)
		}
	}
	if !(Claims{}).AllowsHost("any.example") {
		t.Error("claims without hosts exclude one")
	}
}

func TestSingle(t *testing.T) {
	tests := []struct {
		rule string
		raws []string
		want string
		err  error
	}{
		{"none", nil, "", ErrMissing},
		{"empty places", []string{"", ""}, "", ErrMissing},
		{"one", []string{"", "a", ""}, "a", nil},
		{"the same in header and cookie", []string{"a", "", "a"}, "a", nil},
		{"two", []string{"a", "b"}, "", ErrAmbiguous},
		{"twice in the query, once in a cookie", []string{"a", "a", "b"}, "", ErrAmbiguous},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			got, err := Single(test.raws...)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestByFormNeverTriesAnother(t *testing.T) {
	key := testSecretKey(t, "")
	keys := testKeySet(t, key)
	jwt, err := NewJWT(JWTConfig{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	prefix := newTestPrefix(t, key)
	at := Request{Now: testNow, Path: "/a"}
	signed, bearer := signFields("", "exp=1767229200"), signJWT(t, HS256, testSecret(""), nil, goodPayload)
	for _, test := range []struct {
		rule string
		form ByForm
		raw  string
		want error
	}{
		{"a signed prefix", ByForm{JWT: jwt, Prefix: prefix}, signed, nil},
		{"a JWT", ByForm{JWT: jwt, Prefix: prefix}, bearer, nil},
		{"a form that is not accepted", ByForm{JWT: jwt}, signed, ErrMalformed},
		{"the other form that is not accepted", ByForm{Prefix: prefix}, bearer, ErrMalformed},
		{"none", ByForm{JWT: jwt, Prefix: prefix}, "", ErrMissing},
	} {
		t.Run(test.rule, func(t *testing.T) {
			if _, err := test.form.Verify(context.Background(), test.raw, at); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}
