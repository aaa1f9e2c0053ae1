package caddymodule

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

// withoutSession takes the session out of the address of a license.
func withoutSession(t *testing.T, target string) string {
	t.Helper()
	return strings.Replace(target, "~s."+sessionIn(t, target)+"/", "", 1)
}

// TestSessionsOfOneTitleGetNoLicenseOfAnother covers row 44 for every way to a key: what a token or a session is not for it opens nowhere,
// and the keys of a premium title are in no license of a free one, whoever names them.
func TestSessionsOfOneTitleGetNoLicenseOfAnother(t *testing.T) {
	l := startEveryLicense(t, "")
	premium := viewerToken(t, "viewer", map[string]any{"paths": "/demo"})
	other := viewerToken(t, "viewer", map[string]any{"paths": "/demo-av1"})
	free := l.ways(t, "demo-av1", other)
	for i, p := range l.ways(t, "demo", premium) {
		t.Run(p.name, func(t *testing.T) {
			granted := l.askAt(t, p, p.url)
			wantReply(t, "as it is named", granted, 200, "")
			l.forget()
			bare, moved := withoutSession(t, p.url), strings.Replace(p.url, sessionIn(t, p.url), sessionIn(t, free[i].url), 1)
			l.wantNothing(t, "without any", l.askAt(t, p, bare), 401, "token_missing", granted.body)
			l.wantNothing(t, "with a token for the other title", l.askAt(t, p, bare+"?token="+other), 403, "token_scope", granted.body)
			l.wantNothing(t, "with a session of the other title", l.askAt(t, p, moved), 403, "token_scope", granted.body)
			if p.name == "certificate of fairplay" || p.name == "fairplay" {
				return // they name no key: the seal says whose title it is
			}
			asked := free[i]
			status, reason := http.StatusForbidden, "license_no_keys"
			if asked.body = p.body; p.name == "key of HLS identity" {
				asked.url = asked.url[:strings.LastIndex(asked.url, "/")] + p.url[strings.LastIndex(p.url, "/"):]
				status, reason = http.StatusNotFound, "not_found"
			}
			l.wantNothing(t, "the key, by the other title's address", l.askAt(t, asked, asked.url), status, reason, granted.body)
		})
	}
}

// TestBadTokensGetNoLicense covers rows 27 and 29 for every way to a key. What makes a token bad is the matter of token and token/cat; here
// no way leads around them, and nobody outside is asked.
func TestBadTokensGetNoLicense(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	l := startEveryLicense(t, "token cat {\n\t\tkey k1 HS256 {env.TEST_CAT_SECRET}\n\t}\n")
	b64 := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(l.token, ".")
	header := func(members string) string {
		return b64([]byte(`{"alg":"HS256",`+members+`}`)) + "." + parts[1] + "." + parts[2]
	}
	good := catToken(t)
	cats := map[string]string{
		"cut": good[:len(good)-2], "flipped": good[:len(good)-9] + "AAAA" + good[len(good)-5:], "bytes behind it": good + "AAAA",
		"for POST alone, and for another path": catToken(t, cat.URI, map[any]any{int64(3): map[any]any{int64(1): "/other/"}}),
	}
	jwts := map[string]string{
		"none":             b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"None":             b64([]byte(`{"alg":"None"}`)) + "." + parts[1] + "." + parts[2],
		"another key":      parts[0] + "." + parts[1] + "." + b64(make([]byte, 32)),
		"other claims":     parts[0] + "." + b64([]byte(`{"sub":"admin","exp":4102444800}`)) + "." + parts[2],
		"a key of its own": header(`"jwk":{"kty":"oct","k":"AAAA"}`),
		"a key elsewhere":  header(`"jku":"` + l.up.url + `/jwks"`),
		"a chain":          header(`"x5u":"` + l.up.url + `/chain"`),
		"kid of a file":    header(`"kid":"../../../../dev/null"`),
		"crit":             header(`"crit":["b64"],"b64":false`),
		"a member twice":   header(`"alg":"none"`),
		"over":             viewerToken(t, "viewer", map[string]any{"exp": 1000}),
		"dots":             strings.Repeat(".", 5000),
		"huge":             strings.Repeat("a", 12000),
	}
	for _, p := range l.ways(t, "demo", l.token) {
		t.Run(p.name, func(t *testing.T) {
			granted := l.askAt(t, p, withoutSession(t, p.url)+"?token="+l.token)
			wantReply(t, "a good one", granted, 200, "")
			wantReply(t, "a good CAT", l.askAt(t, p, withoutSession(t, p.url)+"?cat="+good), 200, "")
			l.forget()
			for name, token := range jwts {
				res := l.askAt(t, p, withoutSession(t, p.url)+"?token="+token)
				l.wantNothing(t, name, res, 401, res.reason(), granted.body)
				if !isOneOf(res.reason(), "token_invalid", "token_expired") {
					t.Errorf("%s: %s", name, res.reason())
				}
				res = l.sendBody(t, p.method, withoutSession(t, p.url), p.body, "Authorization", "Bearer "+token)
				l.wantNothing(t, name+" in the header", res, 401, res.reason(), granted.body)
				res = l.askAt(t, p, strings.Replace(p.url, sessionIn(t, p.url), b64([]byte(token))[:min(200, len(token))], 1))
				l.wantNothing(t, name+" as session", res, 401, "token_invalid", granted.body)
			}
			for name, token := range cats {
				if res := l.askAt(t, p, withoutSession(t, p.url)+"?cat="+token); res.status != 401 && res.status != 403 || len(l.up.asked()) > 0 {
					t.Errorf("CAT %s: %d %s", name, res.status, res.reason())
				}
			}
		})
	}
}
