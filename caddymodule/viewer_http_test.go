package caddymodule

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/token"
)

// memberOptions ask for signed tokens in every place.
const memberOptions = `
	tenant members
	license_server clearkey
	token signed {
		key {env.TEST_TOKEN_SECRET}
	}
	token_from query token
	token_from header Authorization
	token_from header X-Token
	token_from cookie access
`

// siteForms are the ways to place the directive; each serves the demo titles below its prefix.
var siteForms = map[string]struct{ site, prefix string }{
	"bare site":          {"http://:PORT {\n\tdrm {\nOPTIONS\n}\n\treverse_proxy ORIGIN\n}\n", ""},
	"with a matcher":     {"http://:PORT {\n\tdrm /demo/* {\nOPTIONS\n}\n\treverse_proxy ORIGIN\n}\n", ""},
	"inside handle":      {"http://:PORT {\n\thandle /demo/* {\n\tdrm {\nOPTIONS\n}\n\treverse_proxy ORIGIN\n}\n}\n", ""},
	"inside handle_path": {"http://:PORT {\n\thandle_path /members/* {\n\tdrm {\nOPTIONS\n}\n\treverse_proxy ORIGIN\n}\n}\n", "/members"},
}

// TestSessionsInEveryForm: with a token on the manifest alone, all that it names is served, and the token stays behind.
func TestSessionsInEveryForm(t *testing.T) {
	for form, test := range siteForms {
		for _, kind := range []string{"path", "query", "query viewer", "cookie"} {
			t.Run(form+" "+kind, func(t *testing.T) {
				origin := &scriptedOrigin{}
				site := strings.Replace(test.site, "OPTIONS", memberOptions+"\tsession "+kind+" 1h", 1)
				g := startGateway(t, site, "ORIGIN", origin.start(t))
				checkSessions(t, g, test.prefix, kind)
				for _, asked := range origin.seen() {
					if strings.ContainsAny(asked.URL.String(), "~") || asked.URL.Query().Has("session") || asked.URL.Query().Has("viewer") || strings.Contains(asked.URL.RawQuery, "token") || strings.Contains(asked.URL.RawQuery, "dp1") ||
						asked.Header.Get("Authorization")+asked.Header.Get("X-Token")+asked.Header.Get("Cookie") != "" {
						t.Fatalf("the origin was sent %s with %v", asked.URL, asked.Header)
					}
				}
			})
		}
	}
}

func checkSessions(t *testing.T, g *gateway, prefix, kind string) {
	t.Helper()
	signed := tokenFor(t, "/demo")
	if res := g.get(t, prefix+"/demo/manifest.mpd"); res.status != 401 || res.reason() != "token_missing" || res.header.Get("WWW-Authenticate") != "Bearer" {
		t.Fatalf("without a token: %d %s", res.status, res.reason())
	}
	for _, name := range []string{"manifest.mpd", "master.m3u8"} {
		first := g.mustGet(t, prefix+"/demo/"+name+"?drm=cenc&x=1&token="+url.QueryEscape(signed))
		var pair []string
		if kind == "cookie" {
			cookies := (&http.Response{Header: first.header}).Cookies()
			if len(cookies) != 1 || cookies[0].Path != prefix+"/demo/" || !cookies[0].HttpOnly || !strings.Contains(first.header.Get("Vary"), "Cookie") {
				t.Fatalf("cookies %v, Vary %q", cookies, first.header["Vary"])
			}
			pair = []string{"Cookie", cookies[0].Name + "=" + cookies[0].Value}
		}
		if bytes.Contains(first.body, []byte(signed)) {
			t.Error("the token stands in the manifest")
		}
		at := "http://" + g.addr + prefix + "/demo/" + name
		var links []link
		if name == "manifest.mpd" {
			links = mpdLinks(t, at, first.body)
		} else {
			for _, l := range playlistLinks(t, at, first.body) {
				links = append(links, l)
				if l.kind == "playlist" {
					links = append(links, playlistLinks(t, l.url, g.mustGet(t, l.url, pair...).body)...)
				}
			}
		}
		checkSessionLinks(t, g, links, prefix, pair)
	}
}

func checkSessionLinks(t *testing.T, g *gateway, links []link, prefix string, pair []string) {
	t.Helper()
	kinds := make(map[string]int)
	for _, l := range links {
		if !strings.HasPrefix(pathOf(t, l.url), prefix+"/demo/") {
			t.Errorf("%s leaves the prefix", l.url)
		}
		if kinds[l.kind]++; kinds[l.kind] > 3 && l.kind != "init" {
			continue // the others differ in their numbers only
		}
		bare := l.url // without the session
		if at := strings.Index(bare, "~s."); at >= 0 {
			bare = bare[:at] + bare[at+strings.IndexByte(bare[at:], '/')+1:]
		}
		path, query, _ := strings.Cut(bare, "?")
		bare = path + "?" + address.WithoutParameter(address.WithoutParameter(query, "session"), "viewer")
		if l.kind == "license" {
			if res := g.send(t, http.MethodPost, bare); res.status != 401 {
				t.Errorf("POST %s without a session = %d", bare, res.status)
			}
			checkLicensePair(t, g, l.url, pair)
			continue
		}
		g.mustGet(t, l.url, pair...)
		if res := g.get(t, bare); res.status != 401 {
			t.Errorf("GET %s without a session = %d", bare, res.status)
		}
	}
	if kinds["license"] == 0 || kinds["media"] == 0 {
		t.Errorf("links: %v", kinds)
	}
}

// checkLicensePair: a malformed request is told so only to those who may ask.
func checkLicensePair(t *testing.T, g *gateway, target string, pair []string) {
	t.Helper()
	if res := g.sendBody(t, http.MethodPost, target, []byte("{"), pair...); res.status != 400 || res.reason() != "license_request_malformed" {
		t.Errorf("POST %s = %d %s", target, res.status, res.reason())
	}
}

const membersSite = "http://:PORT {\n\tdrm {\n" + memberOptions + "\tsession path 1h\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"

// TestTokens covers rows 30 and 32.
func TestTokens(t *testing.T) {
	g := startGateway(t, membersSite)
	now := time.Now()
	good := tokenFor(t, "/demo")
	otherGood := signedToken(t, now.Add(time.Hour), token.Claims{Scope: []string{"/demo"}, Subject: "other"})
	bad := good[:len(good)-4] + "AAAA"
	query := func(tokens ...string) string { return "/demo/manifest.mpd?token=" + strings.Join(tokens, "&token=") }
	for name, test := range map[string]struct {
		target string
		pairs  []string
		status int
		reason string
	}{
		"in the query":                   {query(good), nil, 200, ""},
		"as Bearer":                      {query()[:18], []string{"Authorization", "Bearer " + good}, 200, ""},
		"as bearer, in lower case":       {query()[:18], []string{"Authorization", "bearer " + good}, 200, ""},
		"in a header":                    {query()[:18], []string{"X-Token", good}, 200, ""},
		"in a cookie":                    {query()[:18], []string{"Cookie", "access=" + good}, 200, ""},
		"the same one in two places":     {query(good), []string{"X-Token", good}, 200, ""},
		"none":                           {query()[:18], nil, 401, "token_missing"},
		"an empty one":                   {query(""), nil, 401, "token_missing"},
		"Basic credentials":              {query()[:18], []string{"Authorization", "Basic eDp5"}, 401, "token_missing"},
		"a bad one":                      {query(bad), nil, 401, "token_invalid"},
		"garbage":                        {query("garbage"), nil, 401, "token_invalid"},
		"an expired one":                 {query(signedToken(t, now.Add(-time.Hour), token.Claims{Scope: []string{"/demo"}})), nil, 401, "token_expired"},
		"one for another title":          {query(tokenFor(t, "/demo-av1")), nil, 403, "token_scope"},
		"one for a prefix of the name":   {query(tokenFor(t, "/dem")), nil, 403, "token_scope"},
		"one for the demo, on demo-av1":  {strings.Replace(query(good), "/demo/", "/demo-av1/", 1), nil, 403, "token_scope"},
		"one that climbs out of scope":   {"/demo/../demo-av1/manifest.mpd?token=" + good, nil, 404, "not_found"},
		"one twice":                      {query(good, good), nil, 401, "token_ambiguous"},
		"a good and a bad one":           {query(good, bad), nil, 401, "token_ambiguous"},
		"a good one behind a bad one":    {query(bad), []string{"X-Token", good}, 401, "token_ambiguous"},
		"a bad one behind a good one":    {query(good), []string{"X-Token", bad}, 401, "token_ambiguous"},
		"two good ones":                  {query(good), []string{"Cookie", "access=" + otherGood}, 401, "token_ambiguous"},
		"two headers":                    {query()[:18], []string{"X-Token", good, "X-Token", good}, 401, "token_ambiguous"},
		"two Bearers":                    {query()[:18], []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + bad}, 401, "token_ambiguous"},
		"a bad session, rescued by none": {strings.Replace(query(good), "/demo/", "/demo/~s.AQAA/", 1), nil, 401, "token_invalid"},
		"a session in the token's place": {query(session(t, "members", token.Claims{Scope: []string{"/demo"}, Expires: now.Add(time.Hour)}, now)), nil, 401, "token_invalid"},
		"a token in the session's place": {strings.Replace(query(), "/demo/", "/demo/~s."+good+"/", 1), nil, 401, "token_invalid"},
		"a query that is none":           {query(good) + "&%zz", nil, 400, "query_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			res := g.raw(t, test.target, headerLines(test.pairs)...)
			if res.status != test.status || res.reason() != test.reason {
				t.Errorf("%d %s, want %d %s", res.status, res.reason(), test.status, test.reason)
			}
			if res.status == 401 && !strings.HasPrefix(res.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("WWW-Authenticate %q", res.header.Get("WWW-Authenticate"))
			}
			if bytes.Contains(res.body, []byte(good)) || strings.Contains(res.header.Get("WWW-Authenticate"), good) {
				t.Error("the answer repeats the token")
			}
		})
	}
}

func headerLines(pairs []string) []string {
	var lines []string
	for i := 0; i < len(pairs); i += 2 {
		lines = append(lines, pairs[i]+": "+pairs[i+1])
	}
	return lines
}

// TestSessions covers rows 31 and 44: a session ends, stays with its scope and tenant, and begets no other.
func TestSessions(t *testing.T) {
	g := startGateway(t, membersSite)
	now := time.Now()
	claims := token.Claims{Subject: "test-viewer", Scope: []string{"/demo"}, Expires: now.Add(time.Hour)}
	good := session(t, "members", claims, now)
	links := g.links(t, "/demo/~s."+good+"/manifest.mpd")
	segment := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url
	g.mustGet(t, segment)
	if !strings.Contains(segment, "/~s."+good+"/") {
		t.Errorf("another session than the one presented: %s", segment)
	}
	expired := claims
	expired.Expires = now.Add(-time.Second)
	for name, test := range map[string]struct{ session, reason string }{
		"expired":          {session(t, "members", expired, now.Add(-time.Hour)), "token_expired"},
		"another tenant's": {session(t, "guests", claims, now), "token_invalid"},
		"bit-flipped":      {good[:len(good)-1] + map[bool]string{true: "B", false: "A"}[good[len(good)-1] == 'A'], "token_invalid"},
		"truncated":        {good[:20], "token_invalid"},
		"another title's":  {session(t, "members", token.Claims{Scope: []string{"/demo-av1"}, Expires: now.Add(time.Hour)}, now), "token_scope"},
		"another host's":   {session(t, "members", token.Claims{Hosts: []string{"b.test"}, Expires: now.Add(time.Hour)}, now), "token_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, l := range links {
				method := http.MethodGet
				if l.kind == "license" {
					method = http.MethodPost
				}
				res := g.send(t, method, strings.Replace(l.url, good, test.session, 1))
				if res.reason() != test.reason || res.status != map[string]int{"token_scope": 403}[test.reason]+map[bool]int{true: 401}[test.reason != "token_scope"] {
					t.Fatalf("%s = %d %s", l.url, res.status, res.reason())
				}
			}
		})
	}
	t.Run("a session outlives its token and ends", func(t *testing.T) {
		signed := signedToken(t, now.Add(2*time.Second), token.Claims{Scope: []string{"/demo"}})
		for _, l := range g.links(t, "/demo/manifest.mpd?token="+signed) {
			if l.kind == "media" {
				g.mustGet(t, l.url)
				break
			}
		}
	})
}

// TestAnswersForOneViewer covers row 33: nothing that carries a session may be kept by a shared cache.
func TestAnswersForOneViewer(t *testing.T) {
	g := startGateway(t, membersSite)
	manifest := g.mustGet(t, "/demo/master.m3u8?token="+tokenFor(t, "/demo"))
	if got := manifest.header.Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("manifest: Cache-Control %q", got)
	}
	other := g.mustGet(t, "/demo/master.m3u8?token="+signedToken(t, time.Now().Add(time.Hour), token.Claims{Subject: "other", Scope: []string{"/demo"}}))
	if bytes.Equal(manifest.body, other.body) || manifest.header.Get("ETag") == other.header.Get("ETag") {
		t.Error("two viewers share a manifest or its ETag")
	}
	for _, l := range g.links(t, "/demo/master.m3u8?drm=cenc&token="+tokenFor(t, "/demo")) {
		if l.kind == "license" {
			continue
		}
		if got := g.mustGet(t, l.url).header.Get("Cache-Control"); !strings.HasPrefix(got, "private") && got != "no-store" {
			t.Errorf("%s: Cache-Control %q", l.url, got)
		}
	}
}

const geoSite = `
http://:PORT {
	drm {
		license_server clearkey
		geo country {
			allow AT DE
			status 451
			blocked_by https://law.example.com/
		}
	}
	file_server {
		root TESTDATA
	}
}
`

// forwarding are fields by which clients claim another address.
var forwarding = []string{"X-Forwarded-For", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "Forwarded", "X-Client-Ip"}

// TestForwardedAddresses covers row 34.
func TestForwardedAddresses(t *testing.T) {
	t.Run("an untrusted peer is who it is", func(t *testing.T) {
		g := startGateway(t, strings.Replace(geoSite, "allow AT DE", "allow US", 1))
		for _, name := range forwarding {
			res := g.get(t, "/demo/manifest.mpd", name, map[bool]string{true: "for=198.51.100.1", false: "198.51.100.1"}[name == "Forwarded"])
			if res.status != 451 || res.reason() != "country_denied" || res.header.Get("Link") != `<https://law.example.com/>; rel="blocked-by"` {
				t.Errorf("%s: %d %s %v", name, res.status, res.reason(), res.header["Link"])
			}
		}
	})
	t.Run("a trusted proxy is believed", func(t *testing.T) {
		g := newGateway(t)
		g.load(t, strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t\ttrusted_proxies_strict\n\t}", 1)+geoSite)
		for name, test := range map[string]struct {
			values []string
			status int
			reason string
		}{
			"none":                          {nil, 200, ""},
			"allowed":                       {[]string{"192.0.2.1"}, 200, ""},
			"denied":                        {[]string{"198.51.100.1"}, 451, "country_denied"},
			"IPv4 in IPv6":                  {[]string{"::ffff:198.51.100.1"}, 451, "country_denied"},
			"IPv6":                          {[]string{"2001:db8::1"}, 451, "country_denied"},
			"unknown":                       {[]string{"100.64.0.1"}, 451, "country_unknown"},
			"the right-most untrusted hop":  {[]string{"192.0.2.1, 198.51.100.1"}, 451, "country_denied"},
			"what a client wrote before it": {[]string{"198.51.100.1, 192.0.2.1"}, 200, ""},
			"over several fields":           {[]string{"192.0.2.1", "198.51.100.1"}, 451, "country_denied"},
		} {
			var pairs []string
			for _, value := range test.values {
				pairs = append(pairs, "X-Forwarded-For", value)
			}
			if res := g.get(t, "/demo/manifest.mpd", pairs...); res.status != test.status || res.reason() != test.reason {
				t.Errorf("%s: %d %s", name, res.status, res.reason())
			}
		}
	})
}

// TestGeoDecidesEverywhere: the country is judged on every address, for a manifest is no ticket.
func TestGeoDecidesEverywhere(t *testing.T) {
	g := startGateway(t, strings.Replace(plainSite, "drm {", "drm {\n\t\ttenant one", 1))
	links := g.links(t, "/demo/master.m3u8?drm=cenc")
	g.load(t, globalBlock+strings.Replace(strings.Replace(geoSite, "AT DE", "DE", 1), "drm {", "drm {\n\t\ttenant one", 1))
	for _, l := range links {
		method := http.MethodGet
		if l.kind == "license" {
			method = http.MethodPost
		}
		if res := g.send(t, method, l.url); res.status != 451 {
			t.Fatalf("%s = %d", l.url, res.status)
		}
	}
}

// TestLimit: a thousand requests at once end in 429, which says when to come back.
func TestLimit(t *testing.T) {
	g := startGateway(t, strings.Replace(plainSite, "drm {", "drm {\n\t\tlimit 1 per 10s burst 20", 1))
	allowed, limited := 0, 0
	for range 1000 {
		switch res := g.send(t, http.MethodHead, "/demo/manifest.mpd", "X-Forwarded-For", strconv.Itoa(limited%256)+".1.1.1"); res.status {
		case 200:
			allowed++
		case 429:
			limited++
			if wait, err := strconv.Atoi(res.header.Get("Retry-After")); err != nil || wait < 1 || wait > 10 || res.reason() != "rate_limited" {
				t.Fatalf("Retry-After %q, reason %q", res.header.Get("Retry-After"), res.reason())
			}
		default:
			t.Fatalf("%d %s", res.status, res.reason())
		}
	}
	if allowed < 20 || allowed > 25 {
		t.Errorf("%d allowed, %d limited", allowed, limited)
	}
}
