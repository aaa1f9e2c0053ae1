package caddymodule

import (
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

const testCATSecret = "6361742d746573742d7365637265742d303132333435363738396162636465660a"

// catSite serves the demo titles below /members, to holders of Common Access Tokens.
const catSite = `http://:PORT {
	handle_path /members/* {
		drm {
			tenant cat
			license_server clearkey
			token cat {
				key k1 HS256 {env.TEST_CAT_SECRET}
				issuer shop
				answer_headers X-Hint
				renew k1
			}
			OPTIONS
		}
		file_server {
			root TESTDATA
		}
	}
}
`

// catGlobal believes what the tests say of their address.
var catGlobal = strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}", 1)

func startCATGateway(t *testing.T, options string) *gateway {
	t.Helper()
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g := newGateway(t, "OPTIONS", options)
	g.load(t, catGlobal+catSite)
	return g
}

type labels = map[int64]any

// catToken makes a token of claims by label, in pairs, good for an hour if they do not say.
func catToken(t *testing.T, pairs ...any) string {
	t.Helper()
	key, err := cat.SecretKey("k1", catSecret(testCATSecret))
	if err != nil {
		t.Fatal(err)
	}
	claims := labels{cat.Issuer: "shop", cat.Subject: "viewer-7", cat.Expires: time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(pairs); i += 2 {
		label, ok := pairs[i].(int64)
		if !ok {
			t.Fatalf("%v is no label", pairs[i])
		}
		claims[label] = pairs[i+1]
	}
	text, err := cat.Sign(key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const catManifest = "/members/demo/manifest.mpd"

// TestCATSessions: a token on the manifest alone, its session below it, and what the token demands on every request.
func TestCATSessions(t *testing.T) {
	g := startCATGateway(t, "")
	everywhere := labels{cat.PartHost: labels{cat.MatchExact: "127.0.0.1"}, cat.PartPath: labels{cat.MatchPrefix: "/members/demo/"}}
	oneAddress := labels{cat.PartPath: labels{cat.MatchExact: catManifest}}
	network := []any{cat.Network(netip.MustParsePrefix("127.0.0.0/8"))}
	for name, test := range map[string]struct {
		claims  []any
		license string // why the POST of a license is refused; empty: it is not
	}{
		"a path":          {[]any{cat.URI, everywhere}, ""},
		"one address":     {[]any{cat.URI, oneAddress}, ""},
		"a network":       {[]any{cat.URI, oneAddress, cat.NetworkIP, network}, ""},
		"methods":         {[]any{cat.URI, everywhere, cat.Method, []string{"GET", "POST"}}, ""},
		"GET alone":       {[]any{cat.Method, []string{"GET"}}, "token_request"},
		"a header":        {[]any{cat.Header, map[string]any{"X-Device": labels{cat.MatchExact: "tv"}}}, ""},
		"nothing but exp": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			raw := catToken(t, test.claims...)
			links := g.links(t, catManifest+"?drm=cenc&cat="+raw, "X-Device", "tv")
			kinds := make(map[string]int)
			for _, l := range links {
				if kinds[l.kind]++; kinds[l.kind] > 2 {
					continue
				}
				if strings.Contains(l.url, raw) {
					t.Errorf("the token stands in %s", l.url)
				}
				if l.kind != "license" {
					g.mustGet(t, l.url, "X-Device", "tv")
					continue
				}
				want := test.license
				if want == "" {
					want = "license_request_malformed"
				}
				if res := g.sendBody(t, http.MethodPost, l.url, []byte("{"), "X-Device", "tv"); res.reason() != want {
					t.Errorf("POST %s = %d %s, want %s", l.url, res.status, res.reason(), want)
				}
			}
			if kinds["media"] == 0 || kinds["license"] == 0 {
				t.Errorf("links: %v", kinds)
			}
		})
	}
}

// TestCATSessionIsBound: what a token demands of place and kind, its session demands, too.
func TestCATSessionIsBound(t *testing.T) {
	g := startCATGateway(t, "")
	raw := catToken(t, cat.URI, labels{cat.PartPath: labels{cat.MatchExact: catManifest}}, cat.Method, []string{"GET"},
		cat.NetworkIP, []any{cat.Network(netip.MustParsePrefix("192.0.2.0/24"))}, cat.Header, map[string]any{"X-Device": labels{cat.MatchExact: "tv"}})
	home := []string{"X-Forwarded-For", "192.0.2.1", "X-Device", "tv"}
	segment := linkTo(t, g.links(t, catManifest+"?CAT="+raw, home...), "media", "/video/360p/seg_1.m4s").url
	if res := g.get(t, segment, home...); res.status != 200 {
		t.Fatalf("the segment: %d %s", res.status, res.reason())
	}
	session := segment[strings.Index(segment, "~s."):]
	session = session[:strings.Index(session, "/")]
	for name, test := range map[string]struct {
		method, target string
		pairs          []string
		reason         string
	}{
		"another address":   {"GET", segment, []string{"X-Forwarded-For", "198.51.100.1", "X-Device", "tv"}, "token_address"},
		"without the field": {"GET", segment, []string{"X-Forwarded-For", "192.0.2.1"}, "token_request"},
		"another method":    {"HEAD", segment, home, "token_request"},
		"another title":     {"GET", "/members/demo-av1/" + session + "/manifest.mpd", home, "token_scope"},
		"below the asset":   {"GET", "/members/demo/" + session + "/master.m3u8", home, ""},
	} {
		if res := g.send(t, test.method, test.target, test.pairs...); res.reason() != test.reason {
			t.Errorf("%s: %d %s, want %q", name, res.status, res.reason(), test.reason)
		}
	}
}

// TestCATRefusals: each with its reason, and nothing of the token in the answer.
func TestCATRefusals(t *testing.T) {
	g := startCATGateway(t, "geo country {\n\t\t\t\tdeny IT\n\t\t\t}")
	home, us := "192.0.2.1", "198.51.100.1" // of the test's database
	good := catToken(t)
	for name, test := range map[string]struct {
		raw    string
		addr   string
		pairs  []string
		status int
		reason string
	}{
		"good":                      {good, home, nil, 200, ""},
		"padded":                    {good + strings.Repeat("=", (4-len(good)%4)%4), home, nil, 200, ""},
		"none":                      {"", home, nil, 401, "token_missing"},
		"a bit turned":              {good[:len(good)-4] + "AAAA", home, nil, 401, "token_invalid"},
		"of another form":           {"eyJhbGciOiJub25lIn0.e30.", home, nil, 401, "token_invalid"},
		"another issuer":            {catToken(t, cat.Issuer, "other"), home, nil, 401, "token_invalid"},
		"an audience":               {catToken(t, cat.Audience, "somebody"), home, nil, 401, "token_invalid"},
		"expired":                   {catToken(t, cat.Expires, time.Now().Unix()-1), home, nil, 401, "token_expired"},
		"not yet":                   {catToken(t, cat.NotBefore, time.Now().Unix()+60), home, nil, 401, "token_not_yet_valid"},
		"a method":                  {catToken(t, cat.Method, []string{"HEAD"}), home, nil, 403, "token_request"},
		"a protocol without TLS":    {catToken(t, cat.ALPN, []any{[]byte("http/1.1")}), home, nil, 403, "token_request"},
		"a network":                 {catToken(t, cat.NetworkIP, []any{cat.Network(netip.MustParsePrefix("203.0.113.0/24"))}), home, nil, 403, "token_address"},
		"a network of which nobody": {catToken(t, cat.NetworkIP, []any{64500}), home, nil, 403, "token_address"},
		"a path":                    {catToken(t, cat.URI, labels{cat.PartPath: labels{cat.MatchPrefix: "/members/demo-av1/"}}), home, nil, 403, "token_scope"},
		"a path without its prefix": {catToken(t, cat.URI, labels{cat.PartPath: labels{cat.MatchPrefix: "/demo/"}}), home, nil, 403, "token_scope"},
		"a scheme":                  {catToken(t, cat.URI, labels{cat.PartScheme: labels{cat.MatchExact: "https"}}), home, nil, 403, "token_scope"},
		"a query without the token": {catToken(t, cat.URI, labels{cat.PartQuery: labels{cat.MatchExact: "b=2&a=1"}}), home, nil, 200, ""},
		"another query":             {catToken(t, cat.URI, labels{cat.PartQuery: labels{cat.MatchExact: "a=1&b=2"}}), home, nil, 403, "token_scope"},
		"a country":                 {catToken(t, cat.GeoISO3166, []string{"AT", "de"}), home, nil, 200, ""},
		"another country":           {catToken(t, cat.GeoISO3166, []string{"AT"}), home, nil, 403, "country_denied"},
		"the country of another":    {catToken(t, cat.GeoISO3166, []string{"DE"}), us, nil, 403, "country_denied"},
		"a subdivision":             {catToken(t, cat.GeoISO3166, []string{"DE-BY"}), home, nil, 403, "country_unknown"},
		"in two places":             {good, home, []string{catField, catToken(t, cat.Subject, "other")}, 401, "token_ambiguous"},
		"the same in two places":    {good, home, []string{catField, good}, 200, ""},
		"beside a cookie":           {good, home, []string{"Cookie", catField + "=x"}, 401, "token_ambiguous"},
	} {
		t.Run(name, func(t *testing.T) {
			target := catManifest + "?b=2&a=1"
			if test.raw != "" {
				target = catManifest + "?b=2&cat=" + url.QueryEscape(test.raw) + "&a=1"
			}
			res := g.get(t, target, append([]string{"X-Forwarded-For", test.addr}, test.pairs...)...)
			if res.status != test.status || res.reason() != test.reason {
				t.Errorf("%d %s, want %d %s", res.status, res.reason(), test.status, test.reason)
			}
			if test.raw != "" && strings.Contains(string(res.body), test.raw) {
				t.Error("the answer repeats the token")
			}
		})
	}
	for place, pairs := range map[string][]string{"header": {catField, good}, "cookie": {"Cookie", catField + "=" + good}} {
		if res := g.get(t, catManifest, append(pairs, "X-Forwarded-For", home)...); res.status != 200 {
			t.Errorf("in the %s: %d %s", place, res.status, res.reason())
		}
	}
	preflight := g.send(t, http.MethodOptions, catManifest, "Origin", "https://a.example")
	if !strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), catField) {
		t.Errorf("pages may not send the field: %v", preflight.header)
	}
}

// TestCATReplay: a token for one use is good once; its session goes on, and a reload does not make it fresh.
func TestCATReplay(t *testing.T) {
	g := startCATGateway(t, "")
	raw := catToken(t, cat.Replay, 1, cat.ID, []byte("once-"+strconv.FormatInt(time.Now().UnixNano(), 36)),
		cat.Method, []string{"GET", "POST"}, cat.If, labels{cat.Replay: []any{410, map[string]any{"X-Hint": "used"}}})
	if res := g.send(t, http.MethodHead, catManifest+"?cat="+raw); res.reason() != "token_request" {
		t.Fatalf("HEAD: %d %s", res.status, res.reason())
	}
	segment := linkTo(t, g.links(t, catManifest+"?cat="+raw), "media", "/video/360p/seg_1.m4s").url // what was refused did not use it up
	for range 2 {
		g.mustGet(t, segment)
		res := g.get(t, catManifest+"?cat="+raw)
		if res.status != 410 || res.reason() != "token_replayed" || res.header.Get("X-Hint") != "used" || res.header.Get("Cache-Control") != "no-store" {
			t.Errorf("again: %d %s %v", res.status, res.reason(), res.header)
		}
		if res := g.get(t, catManifest+"?cat="+raw+strings.Repeat("=", (4-len(raw)%4)%4)); res.reason() != "token_replayed" {
			t.Errorf("again, in another spelling: %d %s", res.status, res.reason())
		}
		g.load(t, catGlobal+catSite+"\n# reloaded\n")
	}
}

// TestCATAnswers: catif comes out as status and fields; what it may not set, it does not.
func TestCATAnswers(t *testing.T) {
	g := startCATGateway(t, "geo country {\n\t\t\t\tdeny IT\n\t\t\t}")
	login := []any{307, map[string]any{"Location": "https://shop.example.com/login?from=a"}}
	expired := catToken(t, cat.Expires, time.Now().Unix()-1, cat.If, labels{cat.Expires: login})
	for range 2 { // fresh, and as the cache of tokens answers
		res := g.get(t, catManifest+"?cat="+expired)
		if res.status != 307 || res.header.Get("Location") != "https://shop.example.com/login?from=a" || res.reason() != "token_expired" {
			t.Errorf("expired: %d %s %v", res.status, res.reason(), res.header)
		}
	}
	expires := time.Now().Unix() + 2
	soon := catToken(t, cat.Expires, expires, cat.If, labels{cat.Expires: login})
	g.mustGet(t, catManifest+"?cat="+soon)
	time.Sleep(time.Until(time.Unix(expires, 0)) + 50*time.Millisecond)
	if res := g.get(t, catManifest+"?cat="+soon); res.status != 307 {
		t.Errorf("expired while it was remembered: %d %s", res.status, res.reason())
	}
	country := catToken(t, cat.GeoISO3166, []string{"AT"}, cat.If, labels{cat.GeoISO3166: []any{451}})
	if res := g.get(t, catManifest+"?cat="+country, "X-Forwarded-For", "192.0.2.1"); res.status != 451 || res.reason() != "country_denied" {
		t.Errorf("country: %d %s", res.status, res.reason())
	}
	cookie := catToken(t, cat.Expires, time.Now().Unix()-1, cat.If, labels{cat.Expires: []any{403, map[string]any{"Set-Cookie": "a=b"}}})
	if res := g.get(t, catManifest+"?cat="+cookie); res.status != 401 || res.header.Get("Set-Cookie") != "" {
		t.Errorf("a field that no token may set: %d %v", res.status, res.header)
	}
}

// TestCATRenewal: catr in each of its ways.
func TestCATRenewal(t *testing.T) {
	g := startCATGateway(t, "")
	now := time.Now().Unix()
	renewable := func(catr labels) string {
		return catToken(t, cat.Expires, now+30, cat.IssuedAt, now-60, cat.Renewal, catr)
	}
	good := func(raw string) {
		t.Helper()
		if res := g.get(t, catManifest+"?cat="+url.QueryEscape(raw)); res.status != 200 {
			t.Errorf("the renewed token: %d %s", res.status, res.reason())
		}
		if text, err := cat.Explain(raw); err != nil || !strings.Contains(text, "viewer-7") {
			t.Errorf("the renewed token says %s, %v", text, err)
		}
	}
	header := renewable(labels{0: 2, 1: 600})
	res := g.mustGet(t, catManifest, catField, header)
	renewed := res.header.Get(catField)
	if renewed == "" || renewed == header || !strings.Contains(res.header.Get("Access-Control-Expose-Headers"), catField) || res.header.Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("by header: %v", res.header)
	}
	good(renewed)
	if again := g.mustGet(t, catManifest, catField, renewed); again.header.Get(catField) != "" {
		t.Error("a fresh token is renewed again")
	}

	res = g.mustGet(t, catManifest, "Cookie", catField+"="+renewable(labels{0: 0, 1: 600, 5: []any{"Path=/members", "HttpOnly", "SameSite=Strict"}}))
	cookies := (&http.Response{Header: res.header}).Cookies()
	if len(cookies) != 1 || cookies[0].Name != catField || cookies[0].Path != "/members" || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode {
		t.Fatalf("by cookie: %v", res.header["Set-Cookie"])
	}
	good(cookies[0].Value)

	res = g.get(t, catManifest+"?x=%7e&cat="+renewable(labels{0: 3, 1: 600, 7: 307})+"&y=1")
	location, err := url.Parse(res.header.Get("Location"))
	if err != nil || res.status != 307 || location.Path != "" || !strings.HasPrefix(location.RawQuery, "x=%7e&y=1&cat=") || res.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("by redirect: %d %v", res.status, res.header)
	}
	good(location.Query().Get("cat"))
	if res := g.mustGet(t, catManifest+res.header.Get("Location")); res.header.Get("Location") != "" {
		t.Error("the redirect has no end")
	}

	own := renewable(labels{0: 1, 1: 600, 3: sessionCookieName})
	if res := g.mustGet(t, catManifest+"?cat="+own); res.header.Get("Set-Cookie") != "" {
		t.Errorf("a token sets the cookie of sessions: %v", res.header["Set-Cookie"])
	}
}

// TestCATCommand: what `caddy drm token cat` prints opens what it names, and nothing else.
func TestCATCommand(t *testing.T) {
	g := startCATGateway(t, "")
	file := filepath.Join(g.dir, "cat.key")
	if err := os.WriteFile(file, []byte(testCATSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := catOptions{
		keyFile: file, algorithm: "HS256", keyID: "k1", issuer: "shop", subject: "viewer", id: "t1", expires: time.Hour, host: "127.0.0.1", pathPrefix: "/members/demo/",
		methods: []string{"GET"}, networks: []string{"127.0.0.0/8"}, asns: []int64{64500}, loginURL: "https://a.example/", renewBy: time.Hour, renewBefore: time.Minute, renewIn: "header",
	}
	text, err := base.sign(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g.mustGet(t, catManifest+"?cat="+text)
	if res := g.get(t, "/members/demo-av1/manifest.mpd?cat="+text); res.reason() != "token_scope" {
		t.Errorf("another title: %d %s", res.status, res.reason())
	}
	for name, edit := range map[string]func(*catOptions){
		"no key file": func(o *catOptions) { o.keyFile = "" }, "a missing one": func(o *catOptions) { o.keyFile += "x" }, "no algorithm": func(o *catOptions) { o.algorithm = "none" },
		"a secret for ES256": func(o *catOptions) { o.algorithm = "ES256" }, "no time": func(o *catOptions) { o.expires = 0 }, "no network": func(o *catOptions) { o.networks = []string{"x"} },
		"no way to renew": func(o *catOptions) { o.renewIn = "pigeon" }, "no country": func(o *catOptions) { o.countries = []string{"Austria"} },
	} {
		bad := base
		edit(&bad)
		if text, err := bad.sign(time.Now()); err == nil || text != "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestCATConfiguration: mistakes are found before the first request.
func TestCATConfiguration(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	t.Setenv("TEST_SHORT", "short")
	for name, test := range map[string]struct{ block, want string }{
		"no key":                 {"issuer shop", "want 1 to 64"},
		"a secret in the open":   {"key HS256 0123456789abcdef0123456789abcdef", "placeholder"},
		"a short secret":         {"key HS256 {env.TEST_SHORT}", "at least 32"},
		"an algorithm of JOSE":   {"key RS256 {env.TEST_CAT_SECRET}", "want HS256"},
		"a missing file":         {"key ES256 /nowhere.pem", "no such file"},
		"a secret as public key": {"key ES256 TESTDATA/tokens/signed.key", "no PEM block"},
		"much leeway":            {"key HS256 {env.TEST_CAT_SECRET}\nleeway 2m", "at most 1m0s"},
		"a claim that counts":    {"key HS256 {env.TEST_CAT_SECRET}\nignore_claims 317", "never ignored"},
		"a claim by name":        {"key HS256 {env.TEST_CAT_SECRET}\nignore_claims catu", "number of a claim"},
		"a reserved field":       {"key HS256 {env.TEST_CAT_SECRET}\nanswer_headers Set-Cookie", "not for a token"},
		"a proxy's field":        {"key HS256 {env.TEST_CAT_SECRET}\nrenew {\n\theaders X-Accel-Redirect\n}", "not for a token"},
		"renewal by nobody":      {"key k1 HS256 {env.TEST_CAT_SECRET}\nrenew k2", "no key has the ID"},
		"an unknown option":      {"key HS256 {env.TEST_CAT_SECRET}\nverify off", "unknown option"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			block := strings.ReplaceAll(catSite[:strings.Index(catSite, "key k1")]+test.block+"\n}\n}\n}\n}\n", "OPTIONS", "")
			err := g.tryLoad(globalBlock + block)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), testCATSecret) {
				t.Error("the error shows the secret")
			}
		})
	}
}

// tryLoad is load of what may be refused.
func (g *gateway) tryLoad(text string) error {
	config, err := adaptCaddyfile(g.replace.Replace(text))
	if err != nil {
		return err
	}
	return caddy.Load(config, true)
}
