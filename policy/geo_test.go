package policy

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

func TestPlaceIsJudged(t *testing.T) {
	f := newFixture(t)
	f.policy.Limits = nil
	asset := Asset{Path: "/vod/a/1.m4s"}
	addr := netip.MustParseAddr("192.0.2.1")
	de, fr, us := in(country(t, "DE")), in(country(t, "FR")), in(country(t, "US"))
	ordinary, vpn := de, de
	ordinary.Network, vpn.Network = geo.NetworkKnown, geo.NetworkKnown|geo.NetworkVPN|geo.NetworkAnonymous
	asn := de
	asn.ASN = 64496
	california := us
	california.Subdivisions[0] = "US-CA"
	home := func(code string) func(*token.Claims) { return func(c *token.Claims) { c.HomeCountry = code } }
	for _, test := range []struct {
		rule  string
		geo   geo.Rule
		place geo.Place
		token func(*token.Claims)
		want  Reason
	}{
		{"a network that is denied", geo.Rule{Deny: countries(t, "vpn")}, vpn, nil, ReasonNetworkDenied},
		{"an ordinary network", geo.Rule{Deny: countries(t, "vpn")}, ordinary, nil, ReasonAllowed},
		{"a network that is not known", geo.Rule{Deny: countries(t, "vpn")}, de, nil, ReasonNetworkUnknown},
		{"an ASN that is not listed", geo.Rule{Allow: countries(t, "AS1")}, asn, nil, ReasonNetworkDenied},
		{"an ASN that is not known", geo.Rule{Allow: countries(t, "AS1")}, de, nil, ReasonNetworkUnknown},
		{"neither country nor ASN", geo.Rule{Allow: countries(t, "AT", "AS1")}, asn, nil, ReasonCountryDenied},
		{"a part of a country", geo.Rule{Deny: countries(t, "US-CA")}, california, nil, ReasonCountryDenied},
		{"a part that is not known", geo.Rule{Deny: countries(t, "US-CA")}, us, nil, ReasonCountryUnknown},
		{"a continent", geo.Rule{Allow: countries(t, "continent:EU")}, us, nil, ReasonCountryDenied},
		{"an address, without a database", geo.Rule{Allow: countries(t, "192.0.2.0/24")}, geo.Place{}, nil, ReasonAllowed},
		{"another address", geo.Rule{Deny: countries(t, "192.0.2.0/24")}, geo.Place{}, nil, ReasonNetworkDenied},

		{"a resident, portability off", geo.Rule{Allow: countries(t, "AT")}, de, home("AT"), ReasonCountryDenied},
		{"a resident", geo.Rule{Allow: countries(t, "AT"), Portable: geo.EU}, de, home("AT"), ReasonAllowed},
		{"nobody's resident", geo.Rule{Allow: countries(t, "AT"), Portable: geo.EU}, de, nil, ReasonCountryDenied},
		{"a resident of what is no country", geo.Rule{Allow: countries(t, "AT"), Portable: geo.EU}, de, home("ZZ"), ReasonCountryDenied},
		{"a resident outside of the Union", geo.Rule{Allow: countries(t, "AT"), Portable: geo.EU}, us, home("AT"), ReasonCountryDenied},
		{"a resident, whose token is for home alone", geo.Rule{Allow: countries(t, "AT"), Portable: geo.EU}, fr, func(c *token.Claims) {
			c.HomeCountry, c.Countries = "AT", []string{"AT"}
		}, ReasonAllowed},
		{"a token for home alone, portability off", geo.Rule{}, fr, func(c *token.Claims) {
			c.HomeCountry, c.Countries = "AT", []string{"AT"}
		}, ReasonCountryDenied},
	} {
		t.Run(test.rule, func(t *testing.T) {
			f.policy.Geo = test.geo
			// A session carries the home country, as the format of the fixture's access tokens does not.
			claims := token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}}
			if test.token != nil {
				test.token(&claims)
			}
			viewer := Viewer{Request: token.Request{Addr: addr}, Place: test.place, Session: f.mint(t, claims)}
			d := f.policy.Decide(context.Background(), testNow, asset, viewer)
			if d.Reason != test.want || d.Allowed != (test.want == ReasonAllowed) {
				t.Errorf("%s (%s), want %s", d.Reason, d.Rule, test.want)
			}
			if d.Reason.IsGeo() == d.Allowed || d.Country != test.place.Country {
				t.Errorf("reason %s of geo: %t; country %s", d.Reason, d.Reason.IsGeo(), d.Country)
			}
			if strings.Contains(d.Rule, addr.String()) {
				t.Errorf("the explanation has the address: %s", d.Rule)
			}
			again, steps := f.policy.Explain(context.Background(), testNow, asset, viewer)
			if again.Reason != d.Reason {
				t.Errorf("explained as %s, decided as %s", again.Reason, d.Reason)
			}
			for _, step := range steps {
				if step.Rule == "geo" && (step.Outcome == "" || !strings.HasPrefix(step.Input, test.place.String()) || strings.Contains(step.Input+step.Outcome, addr.String())) {
					t.Errorf("explained as %+v", step)
				}
			}
		})
	}
}

func TestExplainSaysPlaceRuleAndOutcome(t *testing.T) {
	f := newFixture(t)
	f.policy.Geo = geo.Rule{Allow: countries(t, "AT"), Deny: countries(t, "tor"), Unknown: geo.DimensionNetwork, Portable: geo.SetOf(country(t, "AT"), country(t, "DE"))}
	viewer := Viewer{Place: in(country(t, "DE")), Session: f.mint(t, token.Claims{HomeCountry: "AT"})}
	_, steps := f.policy.Explain(context.Background(), testNow, Asset{Path: "/vod/a"}, viewer)
	for _, step := range steps {
		if step.Rule != "geo" {
			continue
		}
		const input = "country DE, continent EU, ASN unknown, network unknown; judged as if at home in AT; " +
			"rule: allow AT, deny tor, unknown allow network, portability AT DE"
		if step.Input != input || step.Outcome != "geo: AT is on the allow list" || step.Refused != "" {
			t.Errorf("got %+v", step)
		}
		return
	}
	t.Error("no step of geo")
}

// capturing is a verifier that keeps what it is asked.
type capturing struct{ request *token.Request }

func (c capturing) Verify(_ context.Context, _ string, r token.Request) (token.Claims, error) {
	*c.request = r
	return token.Claims{Expires: testNow.Add(1)}, nil
}

func TestTokensAreToldThePlace(t *testing.T) {
	var got token.Request
	p := Policy{Tokens: Tokens{Verifier: capturing{&got}}}
	place := geo.Place{Country: country(t, "US"), Subdivisions: [2]geo.Subdivision{"US-CA"}, ASN: 64496}
	request := token.Request{Country: "DE", Subdivision: "DE-BE", ASN: 1} // what the caller says of these does not count
	p.Decide(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Request: request, Place: place, Tokens: []string{"x"}})
	if got.Country != "US" || got.Subdivision != "US-CA" || got.ASN != 64496 {
		t.Errorf("got %s, %s, %d", got.Country, got.Subdivision, got.ASN)
	}
	p.Decide(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Request: request, Tokens: []string{"x"}})
	if got.Country != "" || got.Subdivision != "" || got.ASN != 0 {
		t.Errorf("of an unknown place: got %q, %q, %d", got.Country, got.Subdivision, got.ASN)
	}
}

// Without tokens, whose cost is that of their verification.
func BenchmarkDecideWithGeo(b *testing.B) {
	f := newFixture(b)
	f.policy.Tokens = Tokens{}
	limiter, err := NewLimiter(LimiterConfig{Rate: 1e9, Burst: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	f.policy.Limits = []Limits{{Limiter: limiter}}
	place := in(country(b, "DE"))
	place.Network, place.ASN, place.Subdivisions[0] = geo.NetworkKnown, 64500, "DE-BE"
	viewer := Viewer{Request: token.Request{Addr: netip.MustParseAddr("192.0.2.1")}, Place: place}
	for name, rule := range map[string]geo.Rule{
		"none": {}, "eu": {Allow: countries(b, "eu")},
		"everything": {Allow: countries(b, "eu", "US-CA", "continent:OC"), Deny: countries(b, "HU", "anonymous", "AS64496", "198.51.100.0/24"), Portable: geo.EU},
	} {
		b.Run(name, func(b *testing.B) {
			f.policy.Geo = rule
			b.ReportAllocs()
			for b.Loop() {
				if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/vod/a/1.m4s"}, viewer); !d.Allowed {
					b.Fatal(d.Reason)
				}
			}
		})
	}
}
