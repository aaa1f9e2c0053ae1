package policy

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// A session in its last part is followed by another on a manifest, if a good token of the same viewer comes along.
func TestRenewal(t *testing.T) {
	f := newFixture(t)
	f.policy.Limits, f.policy.Tokens.Renew = nil, 20*time.Minute
	playback := [8]byte{7}
	session := f.mint(t, token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}, Playback: playback}) // ends at 1 min + 1 h
	fresh := func(change func(*token.Claims)) string {
		return f.sign(t, func(c *token.Claims) {
			c.Expires = testNow.Add(2 * time.Hour)
			if change != nil {
				change(c)
			}
		})
	}
	last, over := 45*time.Minute, 90*time.Minute
	for name, test := range map[string]struct {
		at      time.Duration
		use     Use
		session string
		tokens  []string
		want    Reason
		renewed bool
	}{
		"early":                             {at: 30 * time.Minute, tokens: []string{fresh(nil)}, want: ReasonAllowed},
		"in the last part":                  {at: last, tokens: []string{fresh(nil)}, want: ReasonAllowed, renewed: true},
		"in the last part, without token":   {at: last, want: ReasonAllowed},
		"in the last part, a bad token":     {at: last, tokens: []string{"bad"}, want: ReasonAllowed},
		"in the last part, two tokens":      {at: last, tokens: []string{fresh(nil), "bad"}, want: ReasonAllowed},
		"in the last part, an old token":    {at: last, tokens: []string{f.sign(t, nil)}, want: ReasonAllowed},
		"in the last part, another's":       {at: last, tokens: []string{fresh(func(c *token.Claims) { c.Subject = "other" })}, want: ReasonAllowed},
		"in the last part, another title's": {at: last, tokens: []string{fresh(func(c *token.Claims) { c.Scope = []string{"/vod/b"} })}, want: ReasonAllowed},
		"in the last part, on a segment":    {at: last, use: UseMedia, tokens: []string{fresh(nil)}, want: ReasonAllowed},
		"over":                              {at: over, tokens: []string{fresh(nil)}, want: ReasonAllowed, renewed: true},
		"over, without token":               {at: over, want: ReasonTokenExpired},
		"over, a bad token":                 {at: over, tokens: []string{"bad"}, want: ReasonTokenExpired},
		"over, two tokens":                  {at: over, tokens: []string{fresh(nil), "bad"}, want: ReasonTokenExpired},
		"over, another's":                   {at: over, tokens: []string{fresh(func(c *token.Claims) { c.Subject = "other" })}, want: ReasonTokenExpired},
		"over, on a segment":                {at: over, use: UseMedia, tokens: []string{fresh(nil)}, want: ReasonTokenExpired},
		"over, on a license":                {at: over, use: UseLicense, tokens: []string{fresh(nil)}, want: ReasonTokenExpired},
		"a forged session":                  {at: over, session: session[:len(session)-4] + "AAAA", tokens: []string{fresh(nil)}, want: ReasonTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			viewer := Viewer{Place: in(country(t, "AT")), Session: session, Tokens: test.tokens}
			if test.session != "" {
				viewer.Session = test.session
			}
			d := f.policy.Decide(context.Background(), testNow.Add(test.at), Asset{Path: "/vod/a/x", Use: test.use}, viewer)
			if d.Reason != test.want || (d.Renewal != nil) != test.renewed {
				t.Fatalf("%s, renewed %t; want %s, %t", d.Reason, d.Renewal != nil, test.want, test.renewed)
			}
			if d.Renewal == nil {
				return
			}
			if d.Renewal.Playback != playback || d.Renewal.Session || !f.sessions.End(*d.Renewal).Equal(testNow.Add(3*time.Hour)) {
				t.Errorf("renewed as %+v", d.Renewal)
			}
			if _, err := f.sessions.Mint(*d.Renewal, testNow.Add(test.at)); err != nil {
				t.Error(err)
			}
		})
	}
	f.policy.Tokens.Renew = 0
	d := f.policy.Decide(context.Background(), testNow.Add(over), Asset{Path: "/vod/a/x"}, Viewer{Place: in(country(t, "AT")), Session: session, Tokens: []string{fresh(nil)}})
	if d.Reason != ReasonTokenExpired {
		t.Errorf("without renewal: %s", d.Reason)
	}
}

// testLeases answer with what they hold.
type testLeases struct {
	until  time.Time
	err    error
	asked  int
	silent int // times that they were asked to explain
}

func (l *testLeases) Check(_ token.Claims, _ Asset, _ token.Request, explaining bool) (time.Time, error) {
	l.asked++
	if explaining {
		l.silent++
	}
	return l.until, l.err
}

func TestLeases(t *testing.T) {
	f := newFixture(t)
	leases := &testLeases{until: testNow.Add(2 * time.Hour)}
	f.policy.Limits, f.policy.Tokens.Renew, f.policy.Tokens.Leases = nil, 20*time.Minute, leases
	asset := Asset{Path: "/vod/a/x"}
	viewer := Viewer{Place: in(country(t, "AT")), Session: f.mint(t, token.Claims{Subject: "viewer", Plans: []string{"gold"}})}
	if d := f.policy.Decide(context.Background(), testNow, asset, viewer); !d.Allowed || d.Renewal != nil {
		t.Errorf("early: %s, %v", d.Reason, d.Renewal)
	}
	d := f.policy.Decide(context.Background(), testNow.Add(50*time.Minute), asset, viewer)
	if !d.Allowed || d.Renewal == nil || !d.Renewal.Session || !d.Renewal.Expires.Equal(leases.until) || d.Claims.Expires.Equal(leases.until) {
		t.Fatalf("in the last part: %+v", d)
	}
	next, err := f.sessions.Renew(*d.Renewal, d.Renewal.Expires, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := f.sessions.Open(next, testNow); err != nil || claims.Plans[0] != "gold" || !claims.Expires.Equal(leases.until) {
		t.Errorf("the next session: %+v, %v", claims, err)
	}
	for err, want := range map[error]Reason{
		token.ErrNotEntitled: ReasonNotEntitled, token.ErrEntitlementUnknown: ReasonEntitlementUnknown, errors.New("x"): ReasonTokenUnverifiable,
	} {
		leases.err = err
		if d := f.policy.Decide(context.Background(), testNow, asset, viewer); d.Reason != want {
			t.Errorf("%v: %s, want %s", err, d.Reason, want)
		}
	}
	if leases.silent != 0 {
		t.Error("a decision was taken for an explanation")
	}
	f.policy.Explain(context.Background(), testNow, asset, viewer)
	if leases.silent != 1 {
		t.Error("an explanation was taken for a decision")
	}
}

func TestBinding(t *testing.T) {
	f := newFixture(t)
	f.policy.Limits = nil
	agent := func(name string) func(string) []string { return func(string) []string { return []string{name} } }
	home := token.Request{Addr: netip.MustParseAddr("192.0.2.7"), ASN: 64500, Header: agent("A")}
	sixth := token.Request{Addr: netip.MustParseAddr("2001:db8:1:2::7"), ASN: 64500, Header: agent("A")}
	with := func(r token.Request, addr string) token.Request { r.Addr = netip.MustParseAddr(addr); return r }
	address := Binding{AddressV4: 24, AddressV6: 56}
	for name, test := range map[string]struct {
		binding   Binding
		from, now token.Request
		fits      bool
	}{
		"nothing bound":                   {Binding{}, home, with(home, "198.51.100.1"), true},
		"the same address":                {address, home, home, true},
		"the same /24":                    {address, home, with(home, "192.0.2.200"), true},
		"the same, inside of IPv6":        {address, home, with(home, "::ffff:192.0.2.7"), true},
		"another /24":                     {address, home, with(home, "192.0.3.7"), false},
		"the same /56":                    {address, sixth, with(sixth, "2001:db8:1:ff::9"), true},
		"another /56":                     {address, sixth, with(sixth, "2001:db8:1:100::7"), false},
		"the other family":                {address, sixth, home, false},
		"no address":                      {address, home, token.Request{}, false},
		"only IPv6 is bound":              {Binding{AddressV6: 56}, home, with(home, "198.51.100.1"), true},
		"the same network":                {Binding{ASN: true}, home, with(home, "198.51.100.1"), true},
		"another network":                 {Binding{ASN: true}, home, token.Request{ASN: 64501}, false},
		"a network that is never known":   {Binding{ASN: true}, token.Request{}, token.Request{}, false},
		"the same program":                {Binding{UserAgent: true}, home, with(home, "198.51.100.1"), true},
		"another program":                 {Binding{UserAgent: true}, home, token.Request{Header: agent("B")}, false},
		"a request without a User-Agent":  {Binding{UserAgent: true}, home, token.Request{}, false},
		"all of it":                       {Binding{AddressV4: 24, AddressV6: 56, ASN: true, UserAgent: true}, home, home, true},
		"all of it, from another network": {Binding{AddressV4: 24, AddressV6: 56, ASN: true, UserAgent: true}, home, token.Request{Addr: home.Addr, ASN: 1, Header: home.Header}, false},
	} {
		test.binding.Key = [32]byte{1}
		f.policy.Binding = test.binding
		session := f.mint(t, token.Claims{Subject: "viewer", Binding: test.binding.Digest(test.from)})
		viewer := Viewer{Request: test.now, Place: in(country(t, "AT")), Session: session}
		viewer.Place.ASN = test.now.ASN
		want := ReasonAllowed
		if !test.fits {
			want = ReasonSessionBinding
		}
		if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/x"}, viewer); d.Reason != want {
			t.Errorf("%s: %s, want %s", name, d.Reason, want)
		}
	}
	t.Run("bound and not", func(t *testing.T) {
		f.policy.Binding = Binding{AddressV4: 24, Key: [32]byte{1}}
		viewer := Viewer{Request: home, Place: in(country(t, "AT")), Session: f.mint(t, token.Claims{Subject: "viewer"})}
		if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/x"}, viewer); d.Reason != ReasonSessionBinding {
			t.Errorf("a session that is bound to nothing: %s", d.Reason)
		}
		viewer.Session = f.mint(t, token.Claims{Subject: "viewer", Binding: f.policy.Binding.Digest(home)})
		f.policy.Binding = Binding{}
		if d := f.policy.Decide(context.Background(), testNow, Asset{Path: "/x"}, viewer); d.Reason != ReasonSessionBinding {
			t.Errorf("a bound session where nothing is compared: %s", d.Reason)
		}
		other := Binding{AddressV4: 24, Key: [32]byte{2}}
		if other.Digest(home) == (Binding{AddressV4: 24, Key: [32]byte{1}}).Digest(home) {
			t.Error("another key gives the same digest")
		}
	})
	for _, bad := range []Binding{{AddressV4: 33}, {AddressV4: -1}, {AddressV6: 129}} {
		if bad.Check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// What is public is decided without its viewer, and the path is still judged.
func TestPublicAssets(t *testing.T) {
	f := newFixture(t)
	asset := Asset{Path: "/vod/a/1.m4s", Use: UseMedia, Public: true}
	for range 10 { // and counts against no limit
		if d := f.policy.Decide(context.Background(), testNow, asset, Viewer{Session: "bad"}); !d.Allowed || !d.Until.IsZero() {
			t.Fatalf("%s", d.Reason)
		}
	}
	f.policy.Revocations = revokedTitle("/vod/a/1.m4s")
	if d := f.policy.Decide(context.Background(), testNow, asset, Viewer{}); d.Reason != ReasonRevoked {
		t.Errorf("a revoked title: %s", d.Reason)
	}
	asset.Path = "/vod/../x"
	if d := f.policy.Decide(context.Background(), testNow, asset, Viewer{}); d.Reason != ReasonPathInvalid {
		t.Errorf("%s", d.Reason)
	}
}

// revokedTitle is the path of one that has been revoked.
type revokedTitle string

func (r revokedTitle) Revoked(_ time.Time, _ token.Claims, asset Asset) (Reason, string) {
	if asset.Path == string(r) {
		return ReasonRevoked, "the title has been revoked"
	}
	return "", ""
}

// TestDecideAllocates bounds what a decision costs with everything on.
func TestDecideAllocates(t *testing.T) {
	f := newFixture(t)
	f.policy.Limits, f.policy.Tokens.Renew = nil, time.Minute
	f.policy.Tokens.Leases = &testLeases{}
	cached, err := token.NewCached(f.policy.Tokens.Verifier, token.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	f.policy.Tokens.Verifier = cached
	f.policy.Binding = Binding{AddressV4: 24, AddressV6: 56, ASN: true, UserAgent: true}
	agents := []string{"A"}
	request := token.Request{Addr: netip.MustParseAddr("192.0.2.7"), ASN: 1, Header: func(string) []string { return agents }}
	place := in(country(t, "AT"))
	place.ASN = request.ASN
	viewer := Viewer{Request: request, Place: place, Tokens: []string{f.sign(t, nil)}}
	asset := Asset{Path: "/vod/a/1.m4s", Use: UseMedia}
	decide := func() {
		if d := f.policy.Decide(context.Background(), testNow, asset, viewer); !d.Allowed {
			t.Fatal(d.Reason)
		}
	}
	decide()
	time.Sleep(50 * time.Millisecond) // the cache takes in what it was given
	verifying := testing.AllocsPerRun(200, func() {
		_, _ = cached.Verify(context.Background(), viewer.Tokens[0], token.Request{Now: testNow, Path: asset.Path})
	})
	if n := testing.AllocsPerRun(200, decide); n > verifying+3 {
		t.Errorf("%v allocations with a token; to verify it takes %v", n, verifying)
	}
	session := Viewer{Request: request, Place: place, Session: f.mint(t, token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}})}
	opening := testing.AllocsPerRun(200, func() { _, _ = f.sessions.Open(session.Session, testNow) })
	session.Session = f.mint(t, token.Claims{Subject: "viewer", Scope: []string{"/vod/a"}, Binding: f.policy.Binding.Digest(request)})
	viewer = session
	decide()
	if n := testing.AllocsPerRun(200, decide); n > opening+3 {
		t.Errorf("%v allocations with a session; to open it takes %v", n, opening)
	}
}
