package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

var testNow = time.Unix(1_767_225_600, 0) // 2026-01-01T00:00:00Z

func testSecret(name string) []byte {
	sum := sha256.Sum256([]byte("test secret " + name))
	return sum[:]
}

func country(t testing.TB, code string) geo.Country {
	t.Helper()
	if code == "" {
		return geo.CountryUnknown
	}
	c, err := geo.ParseCountry(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func countries(t testing.TB, words ...string) geo.List {
	t.Helper()
	l, err := geo.ParseList(words, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// in is the place of a viewer of whom only the country is known.
func in(c geo.Country) geo.Place { return geo.Place{Country: c, Continent: geo.ContinentOf(c)} }

// fixture is one site: real verifiers, real sessions, a rule and a limit.
type fixture struct {
	key      token.Key
	sessions *token.SessionKey
	policy   Policy
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	key, err := token.SecretKey("", testSecret("access"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.NewKeySet(key)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewSignedPrefix(token.SignedPrefixConfig{Keys: keys, Leeway: -1})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := token.NewSessionKey(testSecret("session"), token.SessionConfig{Extend: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := NewLimiter(LimiterConfig{Rate: 1, Burst: 3})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{key: key, sessions: sessions, policy: Policy{
		Tokens: Tokens{Verifier: token.ByForm{Prefix: verifier}, Sessions: sessions},
		Geo:    geo.Rule{Allow: countries(t, "eu"), Deny: countries(t, "HU")},
		Limits: []Limits{{Limiter: limiter}},
	}}
}

func (f fixture) sign(t testing.TB, change func(*token.Claims)) string {
	t.Helper()
	claims := token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}, Expires: testNow.Add(time.Minute)}
	if change != nil {
		change(&claims)
	}
	raw, err := token.SignPrefix(f.key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (f fixture) mint(t testing.TB, claims token.Claims) string {
	t.Helper()
	if claims.Expires.IsZero() {
		claims.Expires = testNow.Add(time.Minute)
	}
	s, err := f.sessions.Mint(claims, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecide(t *testing.T) {
	f := newFixture(t)
	good := f.sign(t, nil)
	session := f.mint(t, token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}})
	foreign, err := token.NewSessionKey(testSecret("session of another tenant"), token.SessionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	foreignSession, err := foreign.Mint(token.Claims{Expires: testNow.Add(time.Hour)}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	tokens := func(raws ...string) []string { return raws }

	for _, test := range []struct {
		rule    string
		path    string // default /vod/a/1.m4s
		country string
		tokens  []string
		session string
		want    Reason
	}{
		{rule: "all is well", country: "AT", tokens: tokens(good), want: ReasonAllowed},
		{rule: "the same token in two places", country: "AT", tokens: tokens(good, "", good), want: ReasonAllowed},
		{rule: "no token", country: "AT", want: ReasonTokenMissing},
		{rule: "empty places for tokens", country: "AT", tokens: tokens("", ""), want: ReasonTokenMissing},
		{rule: "a good token does not rescue a bad one", country: "AT", tokens: tokens("bad", good), want: ReasonTokenAmbiguous},
		{rule: "nor two good ones", country: "AT", tokens: tokens(good, f.sign(t, func(c *token.Claims) { c.Subject = "other" })), want: ReasonTokenAmbiguous},
		{rule: "not a token", country: "AT", tokens: tokens("bad"), want: ReasonTokenInvalid},
		{rule: "a forged token", country: "AT", tokens: tokens(good[:len(good)-4] + "AAAA"), want: ReasonTokenInvalid},
		{rule: "an expired token", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Expires = testNow })), want: ReasonTokenExpired},
		{rule: "an early token", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.NotBefore = testNow.Add(time.Second) })), want: ReasonTokenNotYetValid},
		{rule: "a token for another host", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Hosts = []string{"other.example"} })), want: ReasonTokenScope},
		{rule: "row 30: a path that begins alike", path: "/vod/ab/1.m4s", country: "AT", tokens: tokens(good), want: ReasonTokenScope},
		{rule: "row 30: dot segments", path: "/vod/a/../b/1.m4s", country: "AT", tokens: tokens(good), want: ReasonPathInvalid},
		{rule: "row 44: another title's segment", path: "/vod/premium/1.m4s", country: "AT", tokens: tokens(good), want: ReasonTokenScope},
		{rule: "row 30: the license path", path: "/.drm/license", country: "AT", tokens: tokens(good), want: ReasonTokenScope},

		{rule: "a session", country: "AT", session: session, want: ReasonAllowed},
		{rule: "a session, and the token that has expired since", country: "AT", session: session,
			tokens: tokens(f.sign(t, func(c *token.Claims) { c.Expires = testNow })), want: ReasonAllowed},
		{rule: "a good token does not rescue a bad session", country: "AT", session: "AAAA", tokens: tokens(good), want: ReasonTokenInvalid},
		{rule: "row 43: a session of another tenant", country: "AT", session: foreignSession, want: ReasonTokenInvalid},
		{rule: "row 44: a session of another title", path: "/vod/b/1.m4s", country: "AT", session: session, want: ReasonTokenScope},
		{rule: "an access token is no session", country: "AT", session: good, want: ReasonTokenInvalid},
		{rule: "a session is no access token", country: "AT", tokens: tokens(session), want: ReasonTokenInvalid},

		{rule: "a country that is not listed", country: "CH", tokens: tokens(good), want: ReasonCountryDenied},
		{rule: "a country that is denied", country: "HU", tokens: tokens(good), want: ReasonCountryDenied},
		{rule: "an unknown country", tokens: tokens(good), want: ReasonCountryUnknown},
		{rule: "a token for this country", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Countries = []string{"DE", "AT"} })), want: ReasonAllowed},
		{rule: "a token for other countries", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Countries = []string{"DE"} })), want: ReasonCountryDenied},
		{rule: "a token for the Union", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Countries = []string{"EU"} })), want: ReasonAllowed},
		{rule: "a token for no country at all", country: "AT", tokens: tokens(f.sign(t, func(c *token.Claims) { c.Countries = []string{"ZZ"} })), want: ReasonCountryDenied},
		{rule: "a session for other countries", country: "AT", session: f.mint(t, token.Claims{Countries: []string{"DE"}}), want: ReasonCountryDenied},
		{rule: "the token is judged before the country", country: "CH", want: ReasonTokenMissing},
	} {
		t.Run(test.rule, func(t *testing.T) {
			policy := f.policy
			policy.Limits = nil
			asset := Asset{Name: "a", Path: test.path}
			if asset.Path == "" {
				asset.Path = "/vod/a/1.m4s"
			}
			viewer := Viewer{
				Request: token.Request{Addr: netip.MustParseAddr("192.0.2.1"), Host: "media.example"}, Place: in(country(t, test.country)),
				Tokens: test.tokens, Session: test.session,
			}
			d := policy.Decide(context.Background(), testNow, asset, viewer)
			if d.Reason != test.want || d.Allowed != (test.want == ReasonAllowed) {
				t.Errorf("%s (%s), want %s", d.Reason, d.Rule, test.want)
			}
			if d.Country != viewer.Place.Country || d.Rule == "" {
				t.Errorf("the decision does not say where or why: %+v", d)
			}
			for _, secret := range append(test.tokens, test.session) {
				if len(secret) > 8 && strings.Contains(d.Rule, secret[:8]) {
					t.Errorf("the explanation quotes the token: %s", d.Rule)
				}
			}
		})
	}
}

func TestTheEmptyPolicyAdmitsEverybodyToCleanPaths(t *testing.T) {
	var p Policy
	if d := p.Decide(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Tokens: []string{"a", "b"}, Session: "c"}); !d.Allowed {
		t.Errorf("refused: %s", d.Reason)
	}
	for _, path := range []string{"", "x", "/a/../b", "/a//b", `/a\b`, "/a/\x00"} {
		if d := p.Decide(context.Background(), testNow, Asset{Path: path}, Viewer{}); d.Allowed || d.Reason != ReasonPathInvalid {
			t.Errorf("%q: %s, want path_invalid", path, d.Reason)
		}
	}
	if (Decision{}).Allowed {
		t.Error("the zero decision admits")
	}
}

func TestOptionalTokens(t *testing.T) {
	f := newFixture(t)
	f.policy.Tokens.Optional = true
	asset, viewer := Asset{Path: "/vod/a/1.m4s"}, Viewer{Place: in(country(t, "AT"))}
	if d := f.policy.Decide(context.Background(), testNow, asset, viewer); !d.Allowed || d.Claims.Subject != "" {
		t.Errorf("without a token: %s", d.Reason)
	}
	viewer.Tokens = []string{"bad"}
	if d := f.policy.Decide(context.Background(), testNow, asset, viewer); d.Reason != ReasonTokenInvalid {
		t.Errorf("a bad token where none is needed: %s, want token_invalid", d.Reason)
	}
	viewer.Tokens = []string{f.sign(t, nil)}
	if d := f.policy.Decide(context.Background(), testNow, asset, viewer); !d.Allowed || d.Claims.Subject != "viewer" {
		t.Errorf("a good token where none is needed: %s, claims %v", d.Reason, d.Claims)
	}
}

// The rule's leave for unknown addresses is not the token's.
func TestATokenForCountriesNeedsAKnownOne(t *testing.T) {
	f := newFixture(t)
	viewer := Viewer{Tokens: []string{f.sign(t, func(c *token.Claims) { c.Countries = []string{"AT", "EU"} })}}
	for rule, geoRule := range map[string]geo.Rule{
		"no rule": {}, "a rule that admits the unknown": {Allow: countries(t, "eu"), Unknown: geo.AllDimensions},
	} {
		f.policy.Geo = geoRule
		if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/vod/a"}, viewer); d.Reason != ReasonCountryUnknown {
			t.Errorf("%s: %s, want country_unknown", rule, d.Reason)
		}
	}
	f.policy.Geo = geo.Rule{}
	viewer.Place = in(country(t, "CH"))
	if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/vod/a"}, viewer); d.Reason != ReasonCountryDenied {
		t.Errorf("outside of the Union: %s, want country_denied", d.Reason)
	}
}

func TestTokensOfOneKindOnly(t *testing.T) {
	f := newFixture(t)
	asset, at := Asset{Path: "/vod/a/1.m4s"}, country(t, "AT")
	session := f.mint(t, token.Claims{Subject: "viewer"})
	onlySessions, onlyTokens := f.policy, f.policy
	onlySessions.Tokens.Verifier, onlyTokens.Tokens.Sessions = nil, nil
	if d := onlySessions.Decide(context.Background(), testNow, asset, Viewer{Place: in(at), Session: session}); !d.Allowed {
		t.Errorf("a session: %s", d.Reason)
	}
	if d := onlySessions.Decide(context.Background(), testNow, asset, Viewer{Place: in(at), Tokens: []string{f.sign(t, nil)}}); d.Reason != ReasonTokenMissing {
		t.Errorf("a token where only sessions count: %s, want token_missing", d.Reason)
	}
	if d := onlyTokens.Decide(context.Background(), testNow, asset, Viewer{Place: in(at), Session: session}); d.Reason != ReasonTokenInvalid {
		t.Errorf("a session where there are none: %s, want token_invalid", d.Reason)
	}
}

// Row 31: a live session goes on after its token's end and stops at its own, whichever way the clock is set meanwhile.
func TestSessionOutlivesItsTokenAndEnds(t *testing.T) {
	f := newFixture(t)
	asset := Asset{Path: "/vod/a/1.m4s"}
	viewer := Viewer{Place: in(country(t, "AT")), Session: f.mint(t, token.Claims{Subject: "viewer"})} // ends at 1 min + 1 h
	for offset, want := range map[time.Duration]Reason{
		0: ReasonAllowed, 2 * time.Minute: ReasonAllowed, 61*time.Minute - 1: ReasonAllowed, 61 * time.Minute: ReasonTokenExpired,
		-24 * time.Hour: ReasonAllowed, 24 * time.Hour: ReasonTokenExpired,
	} {
		policy := f.policy
		policy.Limits = nil
		if d := policy.Decide(context.Background(), testNow.Add(offset), asset, viewer); d.Reason != want {
			t.Errorf("at %s: %s, want %s", offset, d.Reason, want)
		}
	}
}

type brokenVerifier struct{}

func (brokenVerifier) Verify(context.Context, string, token.Request) (token.Claims, error) {
	return token.Claims{Subject: "nobody"}, errors.New("dialing key server with secret-in-its-text: refused")
}

func TestAVerifierThatFailsRefuses(t *testing.T) {
	p := Policy{Tokens: Tokens{Verifier: brokenVerifier{}, Optional: true}}
	d := p.Decide(context.Background(), testNow, Asset{Path: "/x"}, Viewer{Tokens: []string{"x"}})
	if d.Allowed || d.Reason != ReasonTokenUnverifiable || d.Claims.Subject != "" || strings.Contains(d.Rule, "secret") {
		t.Errorf("got %+v, want token_unverifiable without claims or cause", d)
	}
}

func TestOnlyAdmittedRequestsCount(t *testing.T) {
	f := newFixture(t) // 3 at once, then 1 a second
	asset := Asset{Path: "/vod/a/1.m4s"}
	good := Viewer{Request: token.Request{Addr: netip.MustParseAddr("192.0.2.1")}, Place: in(country(t, "AT")), Tokens: []string{f.sign(t, nil)}}
	noToken, abroad := good, good
	noToken.Tokens, abroad.Place = nil, in(country(t, "US"))
	decide := func(v Viewer, now time.Time) Decision { return f.policy.Decide(context.Background(), now, asset, v) }
	for range 10 {
		decide(noToken, testNow)
		decide(abroad, testNow)
	}
	for i := range 3 {
		if d := decide(good, testNow); !d.Allowed {
			t.Fatalf("request %d: %s", i, d.Reason)
		}
	}
	d := decide(good, testNow)
	if d.Allowed || d.Reason != ReasonRateLimited || d.RetryAfter != time.Second || d.Claims.Subject != "viewer" {
		t.Errorf("over the limit: %+v, want rate_limited with a second to wait", d)
	}
	if d := decide(good, testNow.Add(d.RetryAfter)); !d.Allowed || d.RetryAfter != 0 {
		t.Errorf("after waiting: %s", d.Reason)
	}
}

func TestExplainSaysEveryRule(t *testing.T) {
	f := newFixture(t)
	asset := Asset{Path: "/vod/b/1.m4s", Use: UseMedia}
	viewer := Viewer{Place: in(country(t, "US")), Tokens: []string{f.sign(t, nil)}}
	for range 10 { // it counts against no limit
		f.policy.Explain(context.Background(), testNow, asset, viewer)
	}
	decision, steps := f.policy.Explain(context.Background(), testNow, asset, viewer)
	if want := f.policy.Decide(context.Background(), testNow, asset, viewer); decision.Reason != want.Reason || decision.Allowed {
		t.Errorf("explained as %s, decided as %s", decision.Reason, want.Reason)
	}
	var got []string
	for _, step := range steps {
		got = append(got, step.Rule+" "+string(step.Refused))
	}
	if want := "[path  token token_scope binding  revocation  geo country_denied rights  requests  streams  replay ]"; fmt.Sprint(got) != want {
		t.Errorf("steps %v, want %s", got, want)
	}
	asset.Path, viewer.Place = "/vod/a/1.m4s", in(country(t, "AT"))
	decision, _ = f.policy.Explain(context.Background(), testNow, asset, viewer)
	if want := f.policy.Decide(context.Background(), testNow, asset, viewer); decision.Reason != ReasonAllowed || !decision.Allowed || !decision.Until.Equal(want.Until) || want.Until.IsZero() {
		t.Errorf("explained as %+v, decided as %+v", decision, want)
	}
}

func TestEveryReasonIsListedOnce(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons {
		if r == "" || seen[r] {
			t.Errorf("reason %q is empty or listed twice", r)
		}
		seen[r] = true
	}
	for _, row := range tokenReasons {
		if !seen[row.reason] {
			t.Errorf("reason %q is not listed", row.reason)
		}
	}
}
