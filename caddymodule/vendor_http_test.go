package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/signedurl"
)

const (
	testVendorKey = "test-vendor-key-0123456789"
	testHexKey    = "aabbccddeeff00112233445566778899"
	testClient    = "203.0.113.7"
)

// behindProxy lets the tests be other clients: they come through a proxy that is trusted.
var behindProxy = strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}", 1)

// vendorKind is a kind of signed URL: the options that accept it, and what makes one.
type vendorKind struct {
	options string
	// sign returns the target of a request for a path, and fields that go along. A token that names a client is for testClient.
	sign func(t *testing.T, path string, expires time.Time) (target string, pairs []string)
	// bound is true if the tokens are for one client.
	bound bool
}

func must[V any](v V, err error) func(t testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func vendorKinds(t *testing.T) map[string]vendorKind {
	client := netip.MustParseAddr(testClient)
	secrets := [][]byte{[]byte(testVendorKey)}
	akamai := must(signedurl.NewAkamai(signedurl.AkamaiConfig{Keys: [][]byte{unhex(t, testHexKey)}}))(t)
	link := must(signedurl.NewSecureLink(signedurl.SecureLinkConfig{Secrets: secrets, Expression: "$secure_link_expires$uri$remote_addr $secret"}))(t)
	flussonic := must(signedurl.NewFlussonic(signedurl.FlussonicConfig{Secrets: secrets}))(t)
	bunny := must(signedurl.NewBunny(signedurl.BunnyConfig{Keys: secrets}))(t)
	const akamaiOptions = "\ttoken akamai {\n\t\tkey {env.TEST_HEX_KEY}\n\t}\n"
	return map[string]vendorKind{
		"akamai acl in the query": {akamaiOptions, func(t *testing.T, path string, expires time.Time) (string, []string) {
			dir := path[:strings.LastIndexByte(path, '/')+1]
			raw := must(akamai.Sign(signedurl.AkamaiToken{ACL: []string{dir + "*"}, Expires: expires, Addr: client}))(t)
			return path + "?hdnts=" + raw, nil
		}, true},
		"akamai url in a cookie": {akamaiOptions, func(t *testing.T, path string, expires time.Time) (string, []string) {
			return path, []string{"Cookie", "hdnea=" + must(akamai.Sign(signedurl.AkamaiToken{Path: path, Expires: expires}))(t)}
		}, false},
		"secure_link": {"\ttoken secure_link {\n\t\texpression \"$secure_link_expires$uri$remote_addr $secret\"\n\t\tkey {env.TEST_VENDOR_KEY}\n\t}\n",
			func(t *testing.T, path string, expires time.Time) (string, []string) {
				return path + "?" + must(link.Sign(token.Request{PublicPath: path, Addr: client}, expires))(t).Encode(), nil
			}, true},
		"flussonic": {"\ttoken flussonic {\n\t\tkey {env.TEST_VENDOR_KEY}\n\t}\n", func(t *testing.T, path string, expires time.Time) (string, []string) {
			stream := strings.Trim(path[:strings.LastIndexByte(path, '/')+1], "/")
			return path + "?token=" + must(flussonic.Sign(stream, client, expires.Add(-2*time.Hour), expires, ""))(t), nil
		}, true},
		"bunny in the query": {"\ttoken bunny {\n\t\tkey {env.TEST_VENDOR_KEY}\n\t}\n", func(t *testing.T, path string, expires time.Time) (string, []string) {
			return must(bunny.Sign(signedurl.BunnyToken{Path: path, Expires: expires, Addr: client}))(t), nil
		}, true},
		"bunny in the path": {"\ttoken bunny {\n\t\tkey {env.TEST_VENDOR_KEY}\n\t}\n", func(t *testing.T, path string, expires time.Time) (string, []string) {
			dir := path[:strings.LastIndexByte(path, '/')+1]
			return must(bunny.Sign(signedurl.BunnyToken{Path: path, Dir: dir, Expires: expires, InPath: true}))(t), nil
		}, false},
		"cloudfront, canned":          cloudFrontKind(t, false),
		"cloudfront, cookies, custom": cloudFrontKind(t, true),
	}
}

// testCloudFrontKey is the key of a test; its public part is in the directory of the gateway as cloudfront.pem.
var testCloudFrontKey *ecdsa.PrivateKey

func cloudFrontKind(t *testing.T, custom bool) vendorKind {
	if testCloudFrontKey == nil {
		testCloudFrontKey = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	}
	return vendorKind{"\ttoken cloudfront {\n\t\tkey KTEST DIR/cloudfront.pem\n\t}\n", func(t *testing.T, path string, expires time.Time) (string, []string) {
		policy := signedurl.CloudFrontPolicy{URL: "http://media.test" + path, Expires: expires}
		if custom {
			policy.URL = "http://media.test" + path[:strings.LastIndexByte(path, '/')+1] + "*"
			policy.Source = netip.MustParsePrefix(testClient + "/24")
		}
		values := must(policy.Sign("KTEST", testCloudFrontKey, custom))(t)
		if !custom {
			return path + "?" + values.Encode(), nil
		}
		var cookies []string
		for name := range values {
			cookies = append(cookies, "CloudFront-"+name+"="+values.Get(name))
		}
		return path, []string{"Cookie", strings.Join(cookies, "; ")}
	}, custom}
}

// vendorGateway runs a site that takes one kind.
func vendorGateway(t *testing.T, options string) (*gateway, *scriptedOrigin) {
	t.Helper()
	t.Setenv("TEST_HEX_KEY", testHexKey)
	t.Setenv("TEST_VENDOR_KEY", testVendorKey)
	origin := &scriptedOrigin{}
	g := newGateway(t, "ORIGIN", origin.start(t))
	if testCloudFrontKey != nil {
		public := must(x509.MarshalPKIXPublicKey(testCloudFrontKey.Public()))(t)
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
		if err := os.WriteFile(filepath.Join(g.dir, "cloudfront.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.load(t, behindProxy+"http://:PORT {\n\tdrm {\n\ttenant members\n\tlicense_server clearkey\n"+options+"\tsidecar .vtt\n}\n\treverse_proxy ORIGIN\n}\n")
	return g, origin
}

// from is what a request by a client of testClient's name carries.
func from(client string, pairs ...string) []string {
	return append([]string{"Host", "media.test", "X-Forwarded-For", client}, pairs...)
}

// TestVendorKinds covers rows 30 to 32 for every kind of signed URL: with the token on the manifest alone all that it names is served,
// and a token opens nothing else, nor for anybody else, nor later, nor beside a second one.
func TestVendorKinds(t *testing.T) {
	const path = "/demo/manifest.mpd"
	for name, kind := range vendorKinds(t) {
		t.Run(name, func(t *testing.T) {
			g, origin := vendorGateway(t, kind.options)
			later := time.Now().Add(time.Hour)
			target, pairs := kind.sign(t, path, later)
			manifest := g.get(t, target, from(testClient, pairs...)...)
			at := "http://" + g.addr + path
			if manifest.status == http.StatusFound { // a credential in the path
				at = "http://" + g.addr + manifest.header.Get("Location")
				manifest = g.get(t, at, from(testClient)...)
			}
			if manifest.status != http.StatusOK {
				t.Fatalf("%d %s", manifest.status, manifest.reason())
			}
			checkVendorLinks(t, g, mpdLinks(t, at, manifest.body), kind.bound)
			for _, asked := range origin.seen() {
				if asked.URL.RawQuery != "" || !strings.HasPrefix(asked.URL.Path, "/demo/") || len(asked.Header.Values("Cookie")) > 0 {
					t.Fatalf("the origin was sent %s with %v", asked.URL, asked.Header)
				}
			}
			checkVendorRefusals(t, g, kind, path)
		})
	}
}

// checkVendorLinks asks for what a manifest names with the session alone.
func checkVendorLinks(t *testing.T, g *gateway, links []link, bound bool) {
	t.Helper()
	kinds := make(map[string]int)
	for _, l := range links {
		if kinds[l.kind]++; kinds[l.kind] > 2 {
			continue
		}
		target := "http://" + g.addr + pathOf(t, l.url)
		method, want := http.MethodGet, http.StatusOK
		if l.kind == "license" {
			method, want = http.MethodPost, http.StatusBadRequest // for the body, which only who may ask is told
		}
		if res := g.sendBody(t, method, target, []byte("{"), from(testClient)...); res.status != want {
			t.Errorf("%s = %d %s", l.url, res.status, res.reason())
		}
		if res := g.sendBody(t, method, target, []byte("{"), from("203.0.114.8")...); bound && res.reason() != "token_scope" || !bound && res.status != want {
			t.Errorf("%s from another client = %d %s", l.url, res.status, res.reason())
		}
		elsewhere := strings.Replace(target, "/demo/", "/demo-av1/", 1)
		if res := g.sendBody(t, method, elsewhere, []byte("{"), from(testClient)...); res.status != http.StatusNotFound {
			t.Errorf("%s = %d %s", elsewhere, res.status, res.reason()) // its seal is for another path
		}
		if l.kind == "media" {
			session := target[strings.Index(target, "~s."):]
			session = session[:strings.IndexByte(session, '/')]
			if res := g.get(t, "/demo-av1/"+session+"/manifest.mpd", from(testClient)...); res.reason() != "token_scope" {
				t.Errorf("the session on another title: %d %s", res.status, res.reason())
			}
		}
	}
	if kinds["license"] == 0 || kinds["media"] == 0 {
		t.Errorf("links: %v", kinds)
	}
}

func checkVendorRefusals(t *testing.T, g *gateway, kind vendorKind, path string) {
	t.Helper()
	later := time.Now().Add(time.Hour)
	target, pairs := kind.sign(t, path, later)
	expired, expiredPairs := kind.sign(t, path, time.Now().Add(-time.Hour))
	second, secondPairs := kind.sign(t, path, later.Add(time.Minute))
	both, bothPairs := twoCredentials(target, second, pairs, secondPairs)
	for name, test := range map[string]struct {
		target, client string
		pairs          []string
		reasons        []string
	}{
		"none":          {path, testClient, nil, []string{"token_missing"}},
		"expired":       {expired, testClient, expiredPairs, []string{"token_expired"}},
		"another title": {strings.ReplaceAll(target, "/demo/manifest", "/demo-av1/manifest"), testClient, pairs, []string{"token_invalid", "token_scope"}},
		"other client":  {target, "203.0.114.8", pairs, []string{"token_invalid", "token_scope"}},
		"two":           {both, testClient, bothPairs, []string{"token_ambiguous"}},
	} {
		res := g.get(t, test.target, from(test.client, test.pairs...)...)
		if name == "other client" && !kind.bound {
			continue
		}
		if res.status/100 != 4 || !isOneOf(res.reason(), test.reasons...) {
			t.Errorf("%s: %d %s", name, res.status, res.reason())
		}
	}
}

// twoCredentials puts the second credential beside the first, where the kind allows for two.
func twoCredentials(target, second string, pairs, secondPairs []string) (string, []string) {
	_, more, _ := strings.Cut(second, "?")
	if strings.HasPrefix(second, "/bcdn_token=") {
		_, element, _ := strings.Cut(second, "bcdn_token=")
		element, _, _ = strings.Cut(element, "/")
		return target + "?token=" + element, nil
	}
	if more == "" {
		return target, append(pairs[:len(pairs):len(pairs)], secondPairs...)
	}
	return target + "&" + more, pairs
}

// TestOneCredential: kinds live side by side, and a request has one credential of one of them.
func TestOneCredential(t *testing.T) {
	options := "\ttoken signed {\n\t\tkey {env.TEST_TOKEN_SECRET}\n\t}\n\ttoken_from query t\n\ttoken_from path\n\ttoken_from path auth\n" +
		"\ttoken akamai {\n\t\tkey {env.TEST_HEX_KEY}\n\t}\n" +
		"\ttoken bunny {\n\t\tkey {env.TEST_VENDOR_KEY}\n\t}\n"
	g, origin := vendorGateway(t, options)
	later := time.Now().Add(time.Hour)
	signed := tokenFor(t, "/demo")
	bad := signed[:len(signed)-4] + "AAAA"
	akamai := must(signedurl.NewAkamai(signedurl.AkamaiConfig{Keys: [][]byte{must(hex.DecodeString(testHexKey))(t)}}))(t)
	acl := must(akamai.Sign(signedurl.AkamaiToken{ACL: []string{"/*"}, Expires: later}))(t)
	bunny := must(signedurl.NewBunny(signedurl.BunnyConfig{Keys: [][]byte{[]byte(testVendorKey)}}))(t)
	inPath := must(bunny.Sign(signedurl.BunnyToken{Path: "/demo/manifest.mpd", Expires: later, InPath: true}))(t)
	const path = "/demo/manifest.mpd"
	for name, test := range map[string]struct {
		target string
		pairs  []string
		status int
		reason string
	}{
		"signed in the query":                {path + "?t=" + signed, nil, 200, ""},
		"akamai in a header":                 {path, []string{"Hdnts", acl}, 200, ""},
		"akamai in two places":               {path + "?hdnts=" + acl, []string{"Cookie", "hdnea=" + acl}, 200, ""},
		"signed in the path":                 {"/" + signed + path, nil, 302, ""},
		"signed in a named element":          {"/auth=" + signed + path, nil, 302, ""},
		"bunny in the path":                  {inPath, nil, 302, ""},
		"a bad one in the path":              {"/" + bad + path, nil, 401, "token_invalid"},
		"a short element is no token":        {"/v1.x" + path + "?t=" + signed, nil, 403, "token_scope"},
		"good in the path, good in query":    {"/" + signed + path + "?t=" + tokenFor(t, "/"), nil, 401, "token_ambiguous"},
		"signed and akamai":                  {path + "?t=" + signed + "&hdnts=" + acl, nil, 401, "token_ambiguous"},
		"bad signed and good akamai":         {path + "?t=" + bad + "&hdnts=" + acl, nil, 401, "token_ambiguous"},
		"good signed and bad akamai":         {path + "?t=" + signed + "&hdnts=x", nil, 401, "token_ambiguous"},
		"bunny in the path and akamai":       {inPath + "?hdnts=" + acl, nil, 401, "token_ambiguous"},
		"bunny in the path and query":        {inPath + "?token=x&expires=1", nil, 401, "token_ambiguous"},
		"two elements":                       {"/" + signed + "/" + signed + path, nil, 403, "token_scope"},
		"a session below a token in path":    {"/" + signed + "/demo/~s.AQAA/manifest.mpd", nil, 404, "not_found"},
		"a license below a token in path":    {"/" + signed + "/demo/.drm/clearkey/AAAA", nil, 404, "not_found"},
		"climbing out of the scope":          {"/" + signed + "/demo/../demo-av1/manifest.mpd", nil, 404, "not_found"},
		"a coded slash behind the element":   {"/" + signed + "/demo%2f..%2fx/manifest.mpd", nil, 404, "not_found"},
		"nothing but the token":              {"/" + signed, nil, 404, "not_found"},
		"another title's manifest":           {"/" + signed + "/demo-av1/manifest.mpd", nil, 403, "token_scope"},
		"a sidecar, with the token in path":  {"/" + signed + "/demo/subs/en.vtt", nil, 302, ""},
		"akamai with what it does not know":  {path + "?hdnts=exp=1~only=vip~hmac=" + strings.Repeat("0", 64), nil, 401, "token_invalid"},
		"akamai twice in the query":          {path + "?hdnts=" + acl + "&hdnts=" + acl, nil, 401, "token_ambiguous"},
		"a lone parameter of bunny's is one": {path + "?t=" + signed + "&expires=1", nil, 401, "token_ambiguous"},
	} {
		t.Run(name, func(t *testing.T) {
			res := g.raw(t, test.target, headerLines(test.pairs)...)
			if res.status != test.status || res.reason() != test.reason {
				t.Fatalf("%d %s, want %d %s", res.status, res.reason(), test.status, test.reason)
			}
			if res.status != http.StatusFound {
				return
			}
			location := res.header.Get("Location")
			if strings.Contains(location, signed) || strings.Contains(location, "bcdn_token") || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Location %s, Cache-Control %s", location, res.header.Get("Cache-Control"))
			}
			g.mustGet(t, location)
		})
	}
	for _, asked := range origin.seen() {
		if u := must(url.QueryUnescape(asked.URL.String()))(t); strings.Contains(u, signed) || strings.Contains(u, acl) || strings.Contains(u, "=") {
			t.Fatalf("the origin was sent %s", u)
		}
	}
}

// TestElementInEveryForm: wherever the directive stands, a credential in the path is taken out of all that others see.
func TestElementInEveryForm(t *testing.T) {
	signed := tokenFor(t, "/demo")
	for form, test := range map[string]struct{ site, prefix string }{
		"bare site": siteForms["bare site"], "inside handle_path": siteForms["inside handle_path"],
	} {
		for _, kind := range []string{"path", "cookie"} {
			t.Run(form+" "+kind, func(t *testing.T) {
				origin := &scriptedOrigin{}
				options := strings.Replace(memberOptions, "tenant members\n", "", 1) + "\ttoken_from path\n\tsession " + kind
				site := strings.NewReplacer("OPTIONS", options, "reverse_proxy ORIGIN", "reverse_proxy ORIGIN {\n\t\theader_up X-Seen \"{http.request.orig_uri} {http.request.uri}\"\n\t}").Replace(test.site)
				g := startGateway(t, site, "ORIGIN", origin.start(t))
				res := g.get(t, test.prefix+"/"+signed+"/demo/master.m3u8?x=1")
				location := res.header.Get("Location")
				if res.status != http.StatusFound || !strings.HasPrefix(location, test.prefix+"/demo/") || !strings.HasSuffix(location, "master.m3u8?x=1") {
					t.Fatalf("%d %s to %s", res.status, res.reason(), location)
				}
				var pair []string
				if kind == "cookie" {
					cookies := (&http.Response{Header: res.header}).Cookies()
					if len(cookies) != 1 || cookies[0].Path != test.prefix+"/demo/" || strings.Contains(location, "~s.") {
						t.Fatalf("cookies %v, to %s", cookies, location)
					}
					pair = []string{"Cookie", cookies[0].Name + "=" + cookies[0].Value}
				}
				for _, l := range playlistLinks(t, "http://"+g.addr+location, g.mustGet(t, location, pair...).body) {
					if strings.Contains(l.url, signed) {
						t.Errorf("%s repeats the token", l.url)
					}
					if l.kind == "playlist" {
						g.mustGet(t, l.url, pair...)
					}
				}
				for _, asked := range origin.seen() {
					if seen := asked.Header.Get("X-Seen"); strings.Contains(asked.URL.String()+seen, signed) || seen == "" {
						t.Fatalf("the origin was sent %s and %q", asked.URL, seen)
					}
				}
			})
		}
	}
}

// TestPlacesCollide: two kinds never look at one place.
func TestPlacesCollide(t *testing.T) {
	g := newGateway(t)
	t.Setenv("TEST_VENDOR_KEY", testVendorKey)
	t.Setenv("TEST_SHORT_KEY", "short")
	const bunny, flussonic = "token bunny {\n\tkey {env.TEST_VENDOR_KEY}\n}\n", "token flussonic {\n\tkey {env.TEST_VENDOR_KEY}\n}\n"
	const signed = "token signed {\n\tkey {env.TEST_TOKEN_SECRET}\n}\n"
	for name, test := range map[string]struct{ options, want string }{
		"two vendors, one parameter":   {bunny + flussonic, `two kinds of token look for theirs in the query "token"`},
		"a vendor and the default":     {signed + flussonic, `two kinds of token look for theirs in the query "token"`},
		"a place twice":                {signed + "token_from query t\ntoken_from query t\n", "two kinds of token"},
		"places that nobody looks at":  {bunny + "token_from query t\n", "none of the kinds of token looks there"},
		"a name that cannot be one":    {signed + "token_from path a=b\n", "from: want"},
		"a short key":                  {"token bunny {\n\tkey {env.TEST_SHORT_KEY}\n}\n", "want at least 16"},
		"a key that is no hexadecimal": {"token akamai {\n\tkey {env.TEST_VENDOR_KEY}\n}\n", "hexadecimal"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := validateCaddyfile(t, g, "", test.options, [2]string{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// BenchmarkCredentials measures how the one credential of a request is found and judged, per kind, with a cached answer.
func BenchmarkCredentials(b *testing.B) {
	for _, element := range []string{"bcdn_token=x", "", "eyJ" + strings.Repeat("a", 60)} {
		h := &Handler{Token: &TokenConfig{elements: []string{"", "bcdn_token"}}}
		r := must(http.NewRequest(http.MethodGet, "/"+element+"/demo/manifest.mpd", nil))(b)
		b.Run("element "+element[:min(len(element), 10)], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.takeElement(r)
			}
		})
	}
}
