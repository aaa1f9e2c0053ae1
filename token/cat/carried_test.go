package cat

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

func sessionKey(t *testing.T) *token.SessionKey {
	t.Helper()
	key, err := token.NewSessionKey([]byte("0123456789abcdef0123456789abcdef"), token.SessionConfig{ParseConditions: ParseConditions})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestSessionsCarryDemands: what must hold for the child addresses of a manifest holds in the session, and what names one file
// does not bind them.
func TestSessionsCarryDemands(t *testing.T) {
	v := newVerifier(t, Config{})
	child := func(edit func(*token.Request)) token.Request {
		r := request()
		r.Path, r.PublicPath, r.RawQuery = "/demo/video/1.m4s", "/members/demo/video/1.m4s", ""
		if edit != nil {
			edit(&r)
		}
		return r
	}
	all := with(Method, []string{"GET"}, ALPN, []any{[]byte("h2")}, NetworkIP, []any{net("192.0.2.0/24"), 64999},
		Header, map[string]any{"X-Device": m{0: "tv"}}, GeoISO3166, []any{"AT-4"},
		URI, m{0: m{0: "https"}, 1: m{4: "(media|live)\\.example\\.com"}, 2: m{0: "443"}, 3: m{1: "/members/", 2: ".mpd"}, 5: m{1: "/members/"}, 8: m{0: ".mpd"}})
	for name, test := range map[string]struct {
		claims map[int64]any
		edit   func(*token.Request)
		want   error
		one    bool // the token is made for one address
	}{
		"everything holds":                     {all, nil, nil, true},
		"another method":                       {all, func(r *token.Request) { r.Method = "POST" }, token.ErrRequest, true},
		"another protocol":                     {all, func(r *token.Request) { r.ALPN = "http/1.1" }, token.ErrRequest, true},
		"another address":                      {all, func(r *token.Request) { r.Addr = net4(198, 51, 100, 1) }, token.ErrAddress, true},
		"another header":                       {all, func(r *token.Request) { r.Header = func(string) []string { return []string{"phone"} } }, token.ErrRequest, true},
		"another subdivision":                  {all, func(r *token.Request) { r.Subdivision = "AT-9" }, token.ErrCountry, true},
		"another scheme":                       {all, func(r *token.Request) { r.Scheme, r.Port = "http", 443 }, token.ErrScope, true},
		"another host":                         {all, func(r *token.Request) { r.Host = "evil.example.com" }, token.ErrScope, true},
		"another port":                         {all, func(r *token.Request) { r.Port = 8443 }, token.ErrScope, true},
		"outside of the parent path":           {all, func(r *token.Request) { r.PublicPath = "/other/video/1.m4s" }, token.ErrScope, true},
		"a path by prefix alone":               {with(URI, m{3: m{1: "/members/demo/"}}), nil, nil, false},
		"a path by prefix, outside":            {with(URI, m{3: m{1: "/members/demo/"}}), func(r *token.Request) { r.PublicPath = "/members/demo2/1.m4s" }, token.ErrScope, false},
		"one address":                          {with(URI, m{3: m{0: "/members/demo/manifest.mpd"}}), nil, nil, true},
		"one address by its digest":            {with(URI, m{3: m{-1: digest256("/members/demo/manifest.mpd")}}), nil, nil, true},
		"one address, and a method that stays": {with(URI, m{6: m{0: "manifest.mpd"}}, Method, []string{"GET"}), func(r *token.Request) { r.Method = "POST" }, token.ErrRequest, true},
		"a query":                              {with(URI, m{4: m{1: "a=1"}}), nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), sealed(t, testKey(t), test.claims), request())
			if err != nil {
				t.Fatal(err)
			}
			if claims.OneAddress != test.one {
				t.Errorf("OneAddress is %t", claims.OneAddress)
			}
			sessions := sessionKey(t)
			text, err := sessions.Mint(claims, testNow)
			if err != nil {
				t.Fatal(err)
			}
			opened, err := sessions.Open(text, testNow)
			if err != nil {
				t.Fatal(err)
			}
			if err := opened.Check(child(test.edit)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestConditionsHaveOneForm: what is parsed is written again as it was, and what is not of that form is refused.
func TestConditionsHaveOneForm(t *testing.T) {
	v := newVerifier(t, Config{ExactAddresses: true})
	claims, err := v.Verify(t.Context(), sealed(t, testKey(t), with(Method, []string{"GET"}, NetworkIP, []any{net("192.0.2.7/32")},
		URI, m{3: m{1: "/members/"}, 6: m{0: "manifest.mpd"}})), request())
	if err != nil {
		t.Fatal(err)
	}
	b, err := claims.Conditions.AppendBinary([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseConditions(b[1:])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := parsed.AppendBinary([]byte("x")); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%x became %x, %v", b, again, err)
	}
	encode := func(v any) []byte {
		out, err := encoder.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{ConditionsKind}, out...)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "another kind": append([]byte("X"), b[2:]...), "cut": b[1 : len(b)-1], "longer": append(bytes.Clone(b[1:]), 0),
		"an unknown demand": encode(m{317: []any{}}), "a list": encode([]any{}), "one file": encode(m{312: m{6: m{0: "manifest.mpd"}}}),
		"a demand that is none": encode(m{313: "GET"}), "too long": encode(m{313: []any{strings.Repeat("A", maxCarriedBytes)}}),
	} {
		if c, err := ParseConditions(bad); err == nil || c != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestAnswers covers catif: the answer to each claim, and that no token sets what it may not.
func TestAnswers(t *testing.T) {
	v := newVerifier(t, Config{Issuers: []string{"shop"}, AnswerHeaders: []string{"X-Hint"}})
	login := []any{307, map[string]any{"Location": "https://shop.example.com/login?next=1"}}
	for name, test := range map[string]struct {
		claims map[int64]any
		want   *token.Answer // nil: the site's own
	}{
		"expired":                    {m{Expires: testNow.Unix() - 1, If: m{4: login}}, &token.Answer{Status: 307, Header: [][2]string{{"Location", "https://shop.example.com/login?next=1"}}}},
		"not yet":                    {with(NotBefore, testNow.Unix()+9, If, m{5: []any{403}}), &token.Answer{Status: 403}},
		"a method":                   {with(Method, []string{"HEAD"}, If, m{313: []any{404}}), &token.Answer{Status: 404}},
		"a network":                  {with(NetworkIP, []any{1}, If, m{311: []any{451, map[string]any{"X-Hint": "vpn"}}}), &token.Answer{Status: 451, Header: [][2]string{{"X-Hint", "vpn"}}}},
		"a path":                     {with(URI, m{3: m{0: "/x"}}, If, m{312: []any{410, map[string]any{"Retry-After": "60"}}}), &token.Answer{Status: 410, Header: [][2]string{{"Retry-After", "60"}}}},
		"an issuer":                  {with(Issuer, "other", If, m{1: []any{402}}), &token.Answer{Status: 402}},
		"another claim":              {with(Method, []string{"HEAD"}, If, m{4: login}), nil},
		"a redirect to nowhere":      {with(Method, []string{"HEAD"}, If, m{313: []any{302}}), nil},
		"a redirect to a script":     {with(Method, []string{"HEAD"}, If, m{313: []any{302, map[string]any{"Location": "javascript:alert(1)"}}}), nil},
		"a redirect within":          {with(Method, []string{"HEAD"}, If, m{313: []any{302, map[string]any{"Location": "/free"}}}), nil},
		"another header":             {with(Method, []string{"HEAD"}, If, m{313: []any{403, map[string]any{"Set-Cookie": "a=b"}}}), nil},
		"a line break":               {with(Method, []string{"HEAD"}, If, m{313: []any{403, map[string]any{"X-Hint": "a\r\nSet-Cookie: b"}}}), nil},
		"success":                    {with(Method, []string{"HEAD"}, If, m{313: []any{200}}), nil},
		"a failure of ours":          {with(Method, []string{"HEAD"}, If, m{313: []any{500}}), nil},
		"a token of its own":         {with(Method, []string{"HEAD"}, If, m{313: []any{302, map[string]any{"Location": []any{"https://a.example/", m{1: nil}}}}}), nil},
		"a key for such a token":     {with(Method, []string{"HEAD"}, If, m{313: []any{403, map[string]any{}, "kid"}}), nil},
		"an answer that is a number": {with(Method, []string{"HEAD"}, If, m{313: 403}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := test.claims[Issuer]; !ok {
				test.claims[Issuer] = "shop"
			}
			raw := sealed(t, testKey(t), test.claims)
			_, err := v.Verify(t.Context(), raw, request())
			if err == nil {
				t.Fatal("accepted")
			}
			got := token.AnswerOf(err)
			if (got == nil) != (test.want == nil) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			if got == nil {
				return
			}
			if got.Status != test.want.Status || len(got.Header) != len(test.want.Header) || len(got.Header) > 0 && got.Header[0] != test.want.Header[0] {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	// An answer is for who holds an authentic token, and not for whoever writes one.
	forged, err := secretKey("k1", []byte("not the key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), sealed(t, forged, m{Expires: 1, Issuer: "shop", If: m{4: login}}), request()); token.AnswerOf(err) != nil || !errors.Is(err, token.ErrSignature) {
		t.Errorf("a forged token: %v", err)
	}
}

// TestRenewal covers catr.
func TestRenewal(t *testing.T) {
	private, public, _ := privateKey(t, ES256, "ec")
	config := Config{Keys: []Key{testKey(t), public}, Renew: testKey(t), RenewHeaders: []string{"CTA-Common-Access-Token"}}
	v := newVerifier(t, config)
	issued := testNow.Unix() - 3600
	claims := func(catr any, pairs ...any) map[int64]any {
		c := with(append(pairs, Renewal, catr, IssuedAt, issued, Subject, "viewer")...)
		c[Expires] = testNow.Unix() + 30
		return c
	}
	header := m{0: 2, 1: 600, 2: 60, 4: "cta-common-access-token", 6: []any{"v=1"}}
	for name, test := range map[string]struct {
		config func(*Config)
		claims map[int64]any
		now    time.Duration // after testNow
		want   int64         // seconds that are added to testNow; 0: it is not renewed
		way    token.Way
	}{
		"by header":                   {nil, claims(header), 0, 600, token.WayHeader},
		"automatic":                   {nil, claims(m{0: 0, 1: 600}), 0, 600, token.WayAsItCame},
		"by cookie":                   {nil, claims(m{0: 1, 1: 600, 3: "cat", 5: []any{"Secure", "Domain=.example.com", "Path=/m", "SameSite=None"}}), 0, 600, token.WayCookie},
		"by redirect":                 {nil, claims(m{0: 3, 1: 600, 7: 307}), 0, 600, token.WayRedirect},
		"later":                       {nil, claims(header), 10 * time.Second, 610, token.WayHeader},
		"not due":                     {nil, claims(m{0: 2, 1: 600, 2: 30}), 0, 0, 0},
		"due a second later":          {nil, claims(m{0: 2, 1: 600, 2: 30}), time.Second, 601, token.WayHeader},
		"a minute without a deadline": {nil, claims(m{0: 2, 1: 600}), -31 * time.Second, 0, 0},
		"for less than its deadline":  {nil, claims(m{0: 3, 1: 50, 2: 60}), 0, 0, 0},
		"good for one use":            {nil, claims(header, Replay, 1), 0, 0, 0},
		"a header of another name":    {nil, claims(m{0: 2, 1: 600, 4: "Set-Cookie"}), 0, 0, 0},
		"an attribute that is none":   {nil, claims(m{0: 1, 1: 600, 5: []any{"Path=/; Domain=evil"}}), 0, 0, 0},
		"an unknown attribute":        {nil, claims(m{0: 1, 1: 600, 5: []any{"Priority=High"}}), 0, 0, 0},
		"an unknown type":             {nil, claims(m{0: 4, 1: 600}), 0, 0, 0},
		"an unknown key":              {nil, claims(m{0: 2, 1: 600, 8: 302}), 0, 0, 0},
		"keys that are shifted":       {nil, claims(m{0: 1, 1: 600, 5: "/path", 6: []any{"Secure"}, 8: 302}), 0, 0, 0},
		"without a type":              {nil, claims(m{1: 600}), 0, 0, 0},
		"without a time":              {nil, claims(m{0: 2}), 0, 0, 0},
		"no key to renew with":        {func(c *Config) { c.Renew = Key{} }, claims(header), 0, 0, 0},
		"beyond the limit":            {func(c *Config) { c.RenewLimit = time.Hour }, claims(header), 0, 0, 0},
		"up to the limit":             {func(c *Config) { c.RenewLimit = time.Hour + 2*time.Minute }, claims(header), 0, 120, token.WayHeader},
		"without a limit":             {func(c *Config) { c.RenewLimit = -1 }, func() map[int64]any { c := claims(header); delete(c, IssuedAt); return c }(), 0, 600, token.WayHeader},
		"when it was issued unknown":  {nil, func() map[int64]any { c := claims(header); delete(c, IssuedAt); return c }(), 0, 0, 0},
		"with a private key":          {func(c *Config) { c.Renew = private }, claims(header), 0, 600, token.WayHeader},
	} {
		t.Run(name, func(t *testing.T) {
			verifier := v
			if test.config != nil {
				changed := config
				test.config(&changed)
				verifier = newVerifier(t, changed)
			}
			got, err := verifier.Verify(t.Context(), sealed(t, testKey(t), test.claims), request())
			if err != nil {
				t.Fatal(err)
			}
			var renewed token.Renewed
			due := false
			now := testNow.Add(test.now)
			if got.Renewal != nil {
				if renewed, due, err = got.Renewal.Renew(now); err != nil {
					t.Fatal(err)
				}
			}
			if due != (test.want != 0) {
				t.Fatalf("renewed: %t", due)
			}
			if !due {
				return
			}
			next, err := verifier.Verify(t.Context(), renewed.Token, request())
			if err != nil {
				t.Fatal(err)
			}
			if next.Expires.Unix() != testNow.Unix()+test.want || next.Subject != "viewer" || renewed.Way != test.way {
				t.Errorf("renewed until %+d s, for %q, way %d", next.Expires.Unix()-testNow.Unix(), next.Subject, renewed.Way)
			}
		})
	}
}

// TestOnce: one name for a token, however it is spelled, and another one for another token.
func TestOnce(t *testing.T) {
	private, public, _ := privateKey(t, ES256, "ec")
	v := newVerifier(t, Config{Keys: []Key{public}})
	name := func(claims map[int64]any) [16]byte {
		t.Helper()
		got, err := v.Verify(t.Context(), sealed(t, private, claims), request())
		if err != nil {
			t.Fatal(err)
		}
		return got.Once
	}
	withID := func(id string, rule int) map[int64]any { return with(Replay, rule, ID, []byte(id)) }
	first := name(withID("a", 1))
	switch {
	case first == [16]byte{}:
		t.Error("a token that is good once has no name")
	case name(withID("a", 0)) != [16]byte{} || name(with()) != [16]byte{}:
		t.Error("a token that may be used again has a name")
	case name(withID("a", 1)) != first || name(withID("a", 2)) != first:
		t.Error("signed again, it is another token")
	case name(withID("b", 1)) == first:
		t.Error("two tokens have one name")
	case name(with(Replay, 1)) != name(with(Replay, 1)):
		t.Error("without cti, another signature makes another token")
	case name(with(Replay, 1, Subject, "x")) == name(with(Replay, 1)):
		t.Error("without cti, all tokens are one")
	}
}

// TestClaimsFields: what becomes fields of token.Claims.
func TestClaimsFields(t *testing.T) {
	v := newVerifier(t, Config{Issuers: []string{"a", "shop"}, Audience: []string{"media"}, Leeway: 20 * time.Second})
	c, err := v.Verify(t.Context(), sealed(t, testKey(t), with(Issuer, "shop", Audience, []string{"x", "media"}, Subject, "viewer-7", ID, []byte{0xff, 1},
		NotBefore, testNow.Unix()+20, GeoISO3166, []string{"at", "DE"})), request())
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "viewer-7" || c.ID != "ff01" || strings.Join(c.Countries, " ") != "AT DE" || c.Conditions != nil || c.OneAddress ||
		c.Expires.Unix() != testNow.Unix()+3620 || c.NotBefore.Unix() != testNow.Unix() {
		t.Errorf("got %+v", c)
	}
	for name, test := range map[string]struct {
		claims map[int64]any
		want   error
	}{
		"another issuer":   {with(Issuer, "other", Audience, "media"), token.ErrIssuer},
		"no issuer":        {with(Audience, "media"), token.ErrIssuer},
		"another audience": {with(Issuer, "shop", Audience, "x"), token.ErrAudience},
		"no audience":      {with(Issuer, "shop"), token.ErrAudience},
	} {
		if _, err := v.Verify(t.Context(), sealed(t, testKey(t), test.claims), request()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
