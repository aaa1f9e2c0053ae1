package caddymodule

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTokensAtEveryLicensePath covers rows 30 and 32 of hostile input: a token opens the licenses of the titles that it is for and of no
// others, under no other spelling, on no other site, and never beside another credential.
func TestTokensAtEveryLicensePath(t *testing.T) {
	l := startAllPaths(t, "")
	site := l.config[strings.Index(l.config, "http://:PORT"):]
	l.load(t, l.config+strings.Replace(strings.Replace(site, "http://:PORT", "http://other.test:PORT", 1), "tenant licenses", "tenant other", 1))
	tokenOf := func(scope ...string) string { return viewerToken(t, "viewer-4Kd9", map[string]any{"paths": scope}) }
	own, neighbor := tokenOf("/demo"), tokenOf("/demo-av1")
	elsewhere := sessionIn(t, licenseURLIn(t, string(l.mustGet(t, "/demo-av1/manifest.mpd?token="+neighbor).body), kindSystems[kindWidevine]))
	for name, p := range l.paths(t, own) {
		t.Run(name, func(t *testing.T) {
			bare := p.bare()
			for what, good := range map[string]licensePath{"the session": p, "a token of its own": bare.with("?token=" + own)} {
				if res := l.ask(t, good); res.status != 200 {
					t.Errorf("%s: %d %s", what, res.status, res.reason())
				} else {
					wantUnkept(t, what, res)
				}
			}
			for what, test := range map[string]struct {
				p       licensePath
				status  int
				reasons []string
				pairs   []string
			}{
				"no token":                    {bare, 401, []string{"token_missing"}, nil},
				"a neighbor's token":          {bare.with("?token=" + neighbor), 403, []string{"token_scope"}, nil},
				"a token for half the name":   {bare.with("?token=" + tokenOf("/dem")), 403, []string{"token_scope"}, nil},
				"a token for a longer name":   {bare.with("?token=" + tokenOf("/demo-")), 403, []string{"token_scope"}, nil},
				"a token by way of dots":      {bare.with("?token="+neighbor, "/demo/", "/demo-av1/../demo/"), 404, []string{"not_found"}, nil},
				"dots that are escaped":       {bare.with("?token="+neighbor, "/demo/", "/demo-av1/%2e%2e/demo/"), 404, []string{"not_found"}, nil},
				"a slash that is escaped":     {bare.with("?token="+own, "/demo/", "/demo%2f"), 404, []string{"not_found"}, nil},
				"an empty element":            {bare.with("?token="+own, "/demo/", "//demo/"), 404, []string{"not_found"}, nil},
				"a backslash":                 {bare.with("?token="+own, "/demo/", "/demo%5c"), 404, []string{"not_found"}, nil},
				"a token that was changed":    {bare.with("?token=" + own[:len(own)-4] + "AAAA"), 401, []string{"token_invalid"}, nil},
				"two tokens in the query":     {bare.with("?token=" + own + "&token=" + neighbor), 401, []string{"token_ambiguous"}, nil},
				"a token in query and header": {bare.with("?token=" + own), 401, []string{"token_ambiguous"}, []string{"Authorization", "Bearer " + neighbor}},
				"a bad token beside a good":   {bare.with("?token=" + own[:len(own)-4] + "AAAA"), 401, []string{"token_ambiguous"}, []string{"Authorization", "Bearer " + own}},
				"a cookie in place of one":    {bare, 401, []string{"token_missing"}, []string{"Cookie", "token=" + own + "; caddy_drm_session=" + elsewhere}},
				"another site":                {p, 404, []string{"not_found"}, []string{"Host", "other.test:" + l.port}},
			} {
				if strings.HasPrefix(name, "configuration") && what == "another site" {
					continue // it names no keys, and is for whoever has a token of that site
				}
				l.refuses(t, what, test.p, test.status, test.reasons, test.pairs...)
			}
			if sessionElement.MatchString(p.url) { // a session decides alone, so one of another title is not rescued by a good token
				moved := p
				moved.url = sessionElement.ReplaceAllLiteralString(p.url, "~s."+elsewhere+"/")
				l.refuses(t, "another title's session", moved, 403, []string{"token_scope"})
				l.refuses(t, "another title's session, and a good token", moved.with("?token="+own), 403, []string{"token_scope"})
				l.refuses(t, "a session that was changed", p.with("", "~s.", "~s.x"), 401, []string{"token_invalid"})
			}
		})
	}
}

// TestClockAtEveryLicensePath covers row 31: what was admitted ends with the session, by the clock of the gateway, and a clock that is set
// back brings nothing to life that is over by then.
func TestClockAtEveryLicensePath(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	clock := setClock(t, now)
	l := startAllPaths(t, "session path 2h")
	token := viewerToken(t, "viewer-4Kd9", map[string]any{"exp": now.Add(time.Hour).Unix(), "nbf": now.Add(-time.Hour).Unix()})
	for name, p := range l.paths(t, token) {
		ends := now.Add(3 * time.Hour) // of the session: two hours behind the token
		if !sessionElement.MatchString(p.url) {
			ends = now.Add(time.Hour)
		}
		for _, step := range []struct {
			what   string
			at     time.Time
			status int
			reason string
		}{
			{"at first", now, 200, ""}, {"before the end", ends.Add(-time.Minute), 200, ""}, {"behind the end", ends.Add(2 * time.Minute), 401, "token_expired"},
			{"a day later", ends.Add(24 * time.Hour), 401, "token_expired"}, {"with the clock set back", ends.Add(-time.Minute), 200, ""},
		} {
			clock.set(step.at)
			wantReply(t, name+", "+step.what, l.ask(t, p), step.status, step.reason)
		}
		clock.set(now.Add(-2 * time.Hour))
		if !sessionElement.MatchString(p.url) {
			wantReply(t, name+", before the token begins", l.ask(t, p), 401, "token_not_yet_valid")
		}
		clock.set(now)
	}
}

// TestViewersAtEveryLicensePath covers row 33: what one viewer is given names nothing of another's, at one address too, and no shared cache
// keeps an answer or a refusal.
func TestViewersAtEveryLicensePath(t *testing.T) {
	l := startAllPaths(t, "")
	tokens := map[string]string{"A": viewerToken(t, "viewer-A", nil), "B": viewerToken(t, "viewer-B", nil)}
	sessions := map[string]string{}
	for who, token := range tokens {
		sessions[who] = sessionIn(t, licenseURLIn(t, l.manifest(t, token), kindSystems[kindWidevine]))
	}
	for name, p := range l.paths(t, tokens["A"]) {
		bodies := map[string]string{}
		for who, token := range tokens {
			res := l.ask(t, p.bare(), "Authorization", "Bearer "+token)
			wantReply(t, name+" for "+who, res, 200, "")
			wantUnkept(t, name+" for "+who, res)
			bodies[who] = string(res.body)
			for other, session := range sessions {
				if other != who && strings.Contains(string(res.body), session) || strings.Contains(string(res.body), tokens[other]) {
					t.Errorf("%s: %s is told a credential of %s", name, who, other)
				}
			}
			if wide := res.header.Get("Access-Control-Allow-Credentials"); wide != "" {
				t.Errorf("%s: pages of others may send credentials: %s", name, wide)
			}
		}
		if strings.HasPrefix(name, "configuration") && bodies["A"] == bodies["B"] {
			t.Errorf("%s: two viewers are told the same addresses", name)
		}
		for what, refused := range map[string]licensePath{"missing": p.bare(), "forged": p.bare().with("?token=x"), "not ours": p.with("x/y")} {
			wantUnkept(t, name+", refused: "+what, l.ask(t, refused))
		}
		wantUnkept(t, name+", by another method", l.send(t, http.MethodPut, p.url))
	}
}
