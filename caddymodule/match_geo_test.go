package caddymodule

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/geo"
)

const matcherSite = `
http://:PORT {
	@one_line drm_geo country asn allow dach US unknown allow asn
	@block drm_geo country anonymous {
		allow continent:EU
		deny vpn
	}
	@outside not drm_geo country allow eu
	@expression expression drm_geo('city', 'allow', 'US-CA', 'dach') && path('/expression')
	@negated expression !drm_geo('country', 'allow', 'eu') && path('/negated')
	@address drm_geo allow 192.0.2.0/24

	route /one_line {
		header @one_line Match yes
	}
	route /block {
		header @block Match yes
	}
	route /not {
		header @outside Match yes
	}
	route /address {
		header @address Match yes
	}
	header @expression Match yes
	header @negated Match yes
	respond "{http.drm.geo.country} {http.drm.geo.subdivision} {http.drm.geo.continent} {http.drm.geo.asn} {http.drm.geo.network}"
}
`

// TestMatchGeo: a rule outside of drm, in every form that Caddy has for matchers.
func TestMatchGeo(t *testing.T) {
	g := newGateway(t)
	g.load(t, geoGlobal+matcherSite)
	for _, test := range []struct {
		path, client string
		match        bool
		place        string
	}{
		{"/one_line", "192.0.2.1", true, "DE unknown EU AS64496 unknown"},
		{"/one_line", "198.51.100.1", true, ""},
		{"/one_line", "2001:db8::1", false, "FR unknown EU AS64500 unknown"},
		{"/one_line", "100.64.0.1", false, "unknown unknown unknown unknown unknown"},
		{"/block", "192.0.2.1", true, "DE unknown EU unknown none"},
		{"/block", "192.0.2.70", false, "DE unknown EU unknown anonymous+vpn+hosting"},
		{"/block", "198.51.100.1", false, ""},
		{"/not", "192.0.2.1", false, ""},
		{"/not", "198.51.100.1", true, ""},
		{"/not", "100.64.0.1", true, ""}, // not known to be in the Union
		{"/expression", "198.51.100.1", true, "US US-CA NA unknown unknown"},
		{"/expression", "198.51.100.200", false, "US unknown NA unknown unknown"},
		{"/expression", "192.0.2.1", true, ""},
		{"/negated", "198.51.100.1", true, ""},
		{"/negated", "192.0.2.1", false, ""},
		{"/address", "192.0.2.9", true, ""},
		{"/address", "198.51.100.1", false, ""},
	} {
		res := g.get(t, test.path, "X-Forwarded-For", test.client)
		if res.status != 200 || (res.header.Get("Match") == "yes") != test.match {
			t.Errorf("%s from %s: %d, match %q, want %t", test.path, test.client, res.status, res.header.Get("Match"), test.match)
		}
		// Every matcher of the site has been asked by then, and what they know is merged.
		for i, word := range strings.Fields(test.place) {
			if got := strings.Fields(string(res.body)); word != "unknown" && (len(got) != 5 || got[i] != word) {
				t.Errorf("%s from %s: the placeholders say %q, want %q", test.path, test.client, res.body, test.place)
			}
		}
	}
	if res := g.get(t, "/block", "X-Forwarded-For", "192.0.2.70"); strings.Contains(string(res.body), "{") || strings.Contains(string(res.body), "192.0.2") {
		t.Errorf("the placeholders say %q", res.body)
	}
}

// TestMatcherBesideDRM: matcher and directive know different things of one client, and each decides by its own.
func TestMatcherBesideDRM(t *testing.T) {
	g := newGateway(t)
	site := strings.Replace(geoRule("city {\n allow DE\n}"), "drm {", "@asn drm_geo asn allow AS1 unknown allow\n\theader @asn Never yes\n\tdrm {", 1)
	g.load(t, geoGlobal+site)
	if res := g.from(t, "198.51.100.1"); res.reason() != "country_denied" || string(res.body) != "US US-CA NA AS64497 unknown" || res.header.Get("Never") != "" {
		t.Errorf("%d %s %s", res.status, res.reason(), res.body)
	}
	if res := g.from(t, "192.0.2.1"); res.status != 200 {
		t.Errorf("%d %s", res.status, res.reason())
	}
}

// A client without an address, as behind a Unix socket that no trusted proxy feeds, cannot be judged: that is an error, also under
// not and in an expression, where no match would be a match.
func TestMatchGeoThatCannotDecide(t *testing.T) {
	g := newGateway(t)
	socket := filepath.Join(t.TempDir(), "s")
	g.load(t, geoGlobal+`
http:// {
	bind unix/`+socket+`
	@in drm_geo country allow AT
	@out not drm_geo country allow AT
	@expression expression !drm_geo('country', 'allow', 'AT')
	route /in {
		respond @in "let in"
	}
	route /out {
		respond @out "let in"
	}
	route /expression {
		respond @expression "let in"
	}
	route /free {
		respond "let in"
	}
}
`)
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	for path, want := range map[string]int{"/in": 500, "/out": 500, "/expression": 500, "/free": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s is %d, want %d", path, res.StatusCode, want)
		}
	}
}

type failingSource struct{}

func (failingSource) Lookup(netip.Addr) (geo.Place, error) {
	return geo.Place{}, errors.New("the database is gone")
}

func TestMatchGeoWithAFailingDatabase(t *testing.T) {
	list, err := geo.ParseList([]string{"AT"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, unknown := range []geo.Dimension{0, geo.AllDimensions} {
		m := &MatchGeo{databases: failingSource{}, rule: geo.Rule{Allow: list, Unknown: unknown}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		var status caddyhttp.HandlerError
		matched, err := m.MatchWithError(r)
		if matched || !errors.As(err, &status) || status.StatusCode != 500 {
			t.Errorf("matched %t, error %v; want 500", matched, err)
		}
		not := caddyhttp.MatchNot{MatcherSets: []caddyhttp.MatcherSet{{m}}}
		if matched, err := not.MatchWithError(r); matched || err == nil {
			t.Errorf("under not: matched %t, error %v", matched, err)
		}
	}
}

func TestMatchGeoConfigurations(t *testing.T) {
	g := newGateway(t)
	for name, test := range map[string]struct{ matcher, want string }{
		"no rule":                       {"drm_geo country", "want a list"},
		"an unknown database":           {"drm_geo towns allow AT", `"towns"`},
		"no such word":                  {"drm_geo country allow Austria", "allow"},
		"what no database tells":        {"drm_geo country deny vpn", "network"},
		"parts without a city database": {"drm_geo country allow US-CA", "subdivision"},
		"countries without a database":  {"drm_geo allow AT", "country"},
		"nothing to allow":              {"drm_geo country allow", "nothing stands behind allow"},
		"allow twice":                   {"drm_geo country allow AT allow DE", "stands twice"},
		"unknown what":                  {"drm_geo country allow AT unknown maybe", "unknown"},
		"unknown of what":               {"drm_geo country allow AT unknown allow planet", "planet"},
		"deny of something":             {"drm_geo country allow AT unknown deny country", "unknown_for"},
		"an option of sites":            {"drm_geo country {\n allow AT\n status 451\n}", "unknown option"},
		"in an expression, no word":     {"expression drm_geo('country', 'allow', 'Austria')", "allow"},
		"in an expression, no database": {"expression drm_geo('towns', 'allow', 'AT')", "towns"},
		"in an expression, no rule":     {"expression drm_geo('country')", "want a list"},
		"in an expression, allow twice": {"expression drm_geo('country', 'allow', 'AT', 'allow', 'DE')", "stands twice"},
		"good":                          {"drm_geo country allow AT deny DE unknown allow country", ""},
		"good, in a block":              {"drm_geo country {\n allow AT\n unknown allow\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := "http://:PORT {\n\t@m " + test.matcher + "\n\trespond @m hello\n}\n"
			config, err := adaptCaddyfile(g.replace.Replace(geoGlobal + text))
			if err == nil {
				err = caddy.Validate(parseConfig(t, config))
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func parseConfig(t *testing.T, b []byte) *caddy.Config {
	t.Helper()
	config := new(caddy.Config)
	if err := json.Unmarshal(b, config); err != nil {
		t.Fatal(err)
	}
	return config
}

// Early data can be replayed from any address, so it is not judged yet.
func TestMatchGeoInEarlyData(t *testing.T) {
	list, err := geo.ParseList([]string{"0.0.0.0/0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &MatchGeo{databases: geo.Databases{}, rule: geo.Rule{Allow: list}}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if matched, err := m.MatchWithError(r); !matched || err != nil {
		t.Fatalf("without TLS: matched %t, error %v", matched, err)
	}
	r.TLS = &tls.ConnectionState{}
	var status caddyhttp.HandlerError
	if matched, err := m.MatchWithError(r); matched || !errors.As(err, &status) || status.StatusCode != http.StatusTooEarly {
		t.Errorf("matched %t, error %v; want 425", matched, err)
	}
	r.TLS.HandshakeComplete = true
	if matched, err := m.MatchWithError(r); !matched || err != nil {
		t.Errorf("after the handshake: matched %t, error %v", matched, err)
	}
}
