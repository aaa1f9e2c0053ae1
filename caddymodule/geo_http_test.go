package caddymodule

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// geoGlobal is a global block with all example databases, and with every address of this machine a trusted proxy.
var geoGlobal = strings.NewReplacer(
	"admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t\ttrusted_proxies_strict\n\t}",
	"geo_database country TESTDATA/geo/example-country.mmdb", `geo_database country TESTDATA/geo/example-country.mmdb
		geo_database city TESTDATA/geo/example-city.mmdb
		geo_database asn TESTDATA/geo/example-asn.mmdb
		geo_database anonymous TESTDATA/geo/example-anonymous.mmdb {
			rollback allow
		}
		geo_database ipinfo TESTDATA/geo/example-ipinfo.mmdb
		geo_set dach DE AT CH
		geo_set offices AS64497 2001:db8::/48`,
).Replace(globalBlock)

// geoRule is a site with one geo block, whose refusals say what is known of the place.
func geoRule(block string) string {
	return `
http://:PORT {
	drm {
		license_server clearkey
		refusals handle_errors
		geo ` + block + `
	}
	file_server {
		root TESTDATA
	}
	handle_errors {
		respond "{http.drm.geo.country} {http.drm.geo.subdivision} {http.drm.geo.continent} {http.drm.geo.asn} {http.drm.geo.network}"
	}
}
`
}

// from asks for a manifest as a proxy of that client does.
func (g *gateway) from(t *testing.T, client string) reply {
	t.Helper()
	return g.get(t, "/demo/manifest.mpd", "X-Forwarded-For", client)
}

// TestGeoOfSeveralDatabases: what they know is merged, and judged in all words of a rule.
func TestGeoOfSeveralDatabases(t *testing.T) {
	for _, test := range []struct {
		block   string
		clients map[string]string // client address to "", or to a reason and what the placeholders say
	}{
		{"country city asn anonymous {\n allow dach US-CA offices\n deny anonymous DE-BY AS64499\n}", map[string]string{
			"192.0.2.1":        "",
			"192.0.2.200":      "country_denied DE DE-BY EU AS64496 none",
			"192.0.2.70":       "network_denied DE DE-BE EU AS64496 anonymous+vpn+hosting",
			"198.51.100.1":     "",
			"198.51.100.70":    "network_denied US US-CA NA AS64497 anonymous+tor",
			"198.51.100.200":   "", // an office
			"203.0.113.1":      "",
			"203.0.113.200":    "", // hosting is not anonymous
			"203.0.113.130":    "network_denied AT AT-9 EU AS64498 anonymous+residential_proxy",
			"2001:db8::1":      "", // an office
			"2001:db8:1::1":    "country_denied FR FR-IDF EU AS64500 none",
			"100.64.0.1":       "country_unknown unknown unknown unknown unknown none",
			"127.0.0.1":        "network_denied AT AT-9 EU AS64499 none",
			"192.0.2.1:4711":   "",
			"::ffff:192.0.2.1": "",
			"fe80::1%eth0":     "country_unknown unknown unknown unknown unknown none",
		}},
		{"ipinfo {\n allow continent:EU\n deny AS64500\n}", map[string]string{
			"192.0.2.1":    "",
			"198.51.100.1": "country_denied US unknown NA AS64497 unknown",
			"203.0.113.1":  "network_unknown AT unknown EU unknown unknown",
			"2001:db8::1":  "network_denied FR unknown EU AS64500 unknown",
		}},
		{"ipinfo {\n allow continent:EU\n deny AS64500\n unknown allow asn\n}", map[string]string{
			"203.0.113.1": "",
			"100.64.0.1":  "country_unknown unknown unknown unknown unknown unknown",
		}},
		{"country {\n deny US\n unknown allow\n}", map[string]string{
			"198.51.100.1": "country_denied US unknown NA unknown unknown",
			"100.64.0.1":   "",
		}},
		{"{\n allow 192.0.2.0/24 2001:db8::7\n}", map[string]string{
			"192.0.2.7":    "",
			"2001:db8::7":  "",
			"198.51.100.7": "network_denied unknown unknown unknown unknown unknown",
		}},
		{"city {\n deny FR+territories\n}", map[string]string{
			"2001:db8:8000::1": "country_denied RE unknown AF unknown unknown",
			"192.0.2.1":        "",
		}},
		{"city {\n deny FR\n}", map[string]string{"2001:db8:8000::1": ""}},
	} {
		t.Run(strings.Join(strings.Fields(test.block), " "), func(t *testing.T) {
			g := newGateway(t) // a port of its own: after a reload the old configuration may still answer a request
			g.load(t, geoGlobal+geoRule(test.block))
			for client, want := range test.clients {
				res := g.from(t, client)
				reason, place, _ := strings.Cut(want, " ")
				if want == "" && res.status != 200 || want != "" && (res.status != 403 || res.reason() != reason || string(res.body) != place) {
					t.Errorf("from %s: %d %s %.80q, want %q", client, res.status, res.reason(), res.body, want)
				}
				if want != "" && res.header.Get("Cache-Control") != "no-store" {
					t.Errorf("a refusal has Cache-Control %q", res.header.Get("Cache-Control"))
				}
			}
		})
	}
}

// Legal blocks say who implements them, and are never kept: caches keep 451 unless told not to.
func TestGeoLegalBlock(t *testing.T) {
	g := newGateway(t)
	g.load(t, geoGlobal+strings.Replace(geoRule("country anonymous {\n allow DE\n deny vpn\n status 451\n blocked_by https://law.example.com/\n}"), "refusals handle_errors", "", 1))
	for client, reason := range map[string]string{"198.51.100.1": "country_denied", "192.0.2.70": "network_denied", "100.64.0.1": "country_unknown"} {
		res := g.from(t, client)
		if res.status != 451 || res.reason() != reason || res.header.Get("Cache-Control") != "no-store" ||
			res.header.Get("Link") != `<https://law.example.com/>; rel="blocked-by"` {
			t.Errorf("%s: %d %s %v", client, res.status, res.reason(), res.header)
		}
		if strings.Contains(string(res.body), client) {
			t.Errorf("the refusal has the address: %s", res.body)
		}
	}
	if res := g.from(t, "192.0.2.1"); res.status != 200 || res.header.Get("Link") != "" {
		t.Errorf("an admitted viewer: %d %q", res.status, res.header.Get("Link"))
	}
}

// TestClaimedAddresses covers row 34 for every rule that asks for the place: what a peer that is not trusted says is not heard.
func TestClaimedAddresses(t *testing.T) {
	g := newGateway(t)
	g.load(t, strings.Replace(geoGlobal, "127.0.0.0/8", "10.0.0.0/8", 1)+geoRule("country asn {\n allow US AS64497 198.51.100.0/24\n}"))
	for name, values := range map[string][]string{
		"X-Forwarded-For":  {"198.51.100.1", "198.51.100.1, 127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1%lo"},
		"Forwarded":        {"for=198.51.100.1", `for="[::ffff:198.51.100.1]:80"`},
		"X-Real-IP":        {"198.51.100.1"},
		"CF-Connecting-IP": {"198.51.100.1"},
		"True-Client-IP":   {"198.51.100.1"},
		"X-Client-IP":      {"198.51.100.1"},
	} {
		for _, value := range values {
			if res := g.get(t, "/demo/manifest.mpd", name, value, name, value); res.reason() != "country_denied" || !strings.HasPrefix(string(res.body), "AT ") {
				t.Errorf("%s: %s is %d %s %s", name, value, res.status, res.reason(), res.body)
			}
		}
	}
}

// With a trusted proxy only the field that Caddy is told to read counts, and of its hops the right-most one that is no proxy.
func TestForwardedHops(t *testing.T) {
	g := newGateway(t)
	g.load(t, geoGlobal+geoRule("country {\n allow DE\n}"))
	for name, test := range map[string]struct {
		fields []string
		want   string
	}{
		"one":                        {[]string{"X-Forwarded-For", "192.0.2.1"}, ""},
		"forged in front":            {[]string{"X-Forwarded-For", "192.0.2.1, 198.51.100.1"}, "country_denied"},
		"forged in a field in front": {[]string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-For", "198.51.100.1"}, "country_denied"},
		"through two proxies":        {[]string{"X-Forwarded-For", "192.0.2.1, 127.0.0.9"}, ""},
		"what is no address":         {[]string{"X-Forwarded-For", "192.0.2.1, unknown"}, ""}, // Caddy passes over it
		"nothing but that":           {[]string{"X-Forwarded-For", "unknown"}, "country_denied"},
		"another field":              {[]string{"X-Real-IP", "192.0.2.1"}, "country_denied"},
		"another field in front":     {[]string{"CF-Connecting-IP", "192.0.2.1", "X-Forwarded-For", "198.51.100.1"}, "country_denied"},
		"Forwarded":                  {[]string{"Forwarded", "for=192.0.2.1"}, "country_denied"},
	} {
		if res := g.get(t, "/demo/manifest.mpd", test.fields...); res.reason() != test.want {
			t.Errorf("%s: %d %s %s, want %q", name, res.status, res.reason(), res.body, test.want)
		}
	}
}

// A PROXY header is the peer's address where Caddy is told to believe it, and nothing where it is not.
func TestProxyProtocol(t *testing.T) {
	for name, test := range map[string]struct{ allow, want string }{
		"from a trusted peer": {"127.0.0.0/8", "HTTP/1.1 200"}, "from anybody else": {"10.0.0.0/8", "HTTP/1.1 403"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			global := strings.Replace(globalBlock, "admin off", "admin off\n\tservers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol {\n\t\t\t\tallow "+
				test.allow+"\n\t\t\t}\n\t\t}\n\t}", 1)
			g.load(t, global+geoRule("country {\n allow US\n}"))
			conn, err := net.DialTimeout("tcp", g.addr, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			text := "PROXY TCP4 198.51.100.1 127.0.0.1 4711 " + g.port + "\r\nGET /demo/manifest.mpd HTTP/1.1\r\nHost: " + g.addr + "\r\nConnection: close\r\n\r\n"
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, test.want) {
				t.Errorf("got %q, %v; want %s", line, err, test.want)
			}
		})
	}
}

// TestGeoDatabaseInUse covers row 35 from the server's side: a file that is written over while it is in use changes nothing, and a
// configuration that names a bad one does not replace the one that runs.
func TestGeoDatabaseInUse(t *testing.T) {
	g := newGateway(t)
	path := filepath.Join(g.dir, "country.mmdb")
	if err := os.WriteFile(path, clearFile(t, "geo/example-country.mmdb"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(globalBlock, "TESTDATA/geo/example-country.mmdb", path, 1) + geoRule("country {\n allow AT\n}")
	g.load(t, text)
	check := func(when string) {
		t.Helper()
		if res := g.get(t, "/demo/manifest.mpd"); res.status != 200 {
			t.Fatalf("%s: %d %s", when, res.status, res.reason())
		}
	}
	check("at first")
	for name, content := range map[string][]byte{
		"cut short": clearFile(t, "geo/example-country.mmdb")[:300], "empty": nil, "text": []byte("quota exceeded"), "of ASNs": clearFile(t, "geo/example-asn.mmdb"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil { // in place, without a rename
			t.Fatal(err)
		}
		check(name)
		config, err := adaptCaddyfile(g.replace.Replace(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(config, true); err == nil || !strings.Contains(err.Error(), "geo") {
			t.Errorf("%s: a configuration with it was loaded: %v", name, err)
		}
		check("after a refused configuration with one " + name)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("missing")
}

// jwt signs claims as a shop does.
func geoJWT(t *testing.T, claims map[string]any) string {
	t.Helper()
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(b)
	mac := hmac.New(sha256.New, []byte(testTokenSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// startPortable runs a site for Austria that asks for JWTs.
func startPortable(t *testing.T, option string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.load(t, geoGlobal+strings.Replace(geoRule("country {\n allow AT\n "+option+"\n}"), "license_server clearkey",
		"license_server clearkey\n\t\ttoken jwt {\n\t\t\talgorithms HS256\n\t\t\tsecret {env.TEST_TOKEN_SECRET}\n\t\t}", 1))
	return g
}

// TestGeoPortability: a subscriber from Austria who is in Germany watches as at home, on the manifest by token and on all below
// it by session; one who only says so does not.
func TestGeoPortability(t *testing.T) {
	claims := func(home string) map[string]any {
		return map[string]any{"exp": time.Now().Add(time.Hour).Unix(), "sub": "a", "home_country": home}
	}
	g := startPortable(t, "portability")
	ask := func(home, client string) reply {
		return g.get(t, "/demo/manifest.mpd?drm=cenc&token="+geoJWT(t, claims(home)), "X-Forwarded-For", client)
	}
	home := ask("AT", "192.0.2.1") // in Germany
	if home.status != 200 {
		t.Fatalf("a resident abroad: %d %s", home.status, home.reason())
	}
	for _, l := range mpdLinks(t, "http://"+g.addr+"/demo/manifest.mpd", home.body) {
		if l.kind == "license" {
			continue
		}
		if res := g.get(t, l.url, "X-Forwarded-For", "192.0.2.1"); res.status != 200 {
			t.Fatalf("%s: %d %s", l.url, res.status, res.reason())
		}
		if res := g.get(t, l.url, "X-Forwarded-For", "198.51.100.1"); res.reason() != "country_denied" {
			t.Fatalf("%s outside of the Union: %d %s", l.url, res.status, res.reason())
		}
		break
	}
	for _, test := range []struct{ home, client, want string }{
		{"AT", "203.0.113.1", ""}, {"AT", "198.51.100.1", "country_denied"}, {"DE", "192.0.2.1", "country_denied"}, {"US", "192.0.2.1", "country_denied"},
		{"AT", "100.64.0.1", "country_unknown"},
	} {
		if res := ask(test.home, test.client); res.reason() != test.want {
			t.Errorf("home %s, from %s: %d %s, want %q", test.home, test.client, res.status, res.reason(), test.want)
		}
	}
	if res := g.get(t, "/demo/manifest.mpd?home_country=AT", "X-Forwarded-For", "192.0.2.1", "Home-Country", "AT"); res.reason() != "token_missing" {
		t.Errorf("a claim without a token: %d %s", res.status, res.reason())
	}
}

func TestGeoPortabilityIsOffByDefault(t *testing.T) {
	g := startPortable(t, "")
	claims := map[string]any{"exp": time.Now().Add(time.Hour).Unix(), "home_country": "AT"}
	if res := g.get(t, "/demo/manifest.mpd?drm=cenc&token="+geoJWT(t, claims), "X-Forwarded-For", "192.0.2.1"); res.reason() != "country_denied" {
		t.Errorf("%d %s", res.status, res.reason())
	}
}
