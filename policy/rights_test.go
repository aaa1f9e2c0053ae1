package policy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
	"github.com/caddy-drm/caddy-drm/token"
)

// rightsPolicy has a title for subscribers in Austria and Germany, one that is sold, and one that is free; all until an hour from
// now.
func rightsPolicy(t testing.TB) Policy {
	t.Helper()
	end := rights.FormatTime(testNow.Add(time.Hour))
	catalog, err := rights.Parse([]byte(`
titles:
  - path: /vod/a/
    group: premium
    territories: [AT, DE]
    model: subscription
    plans: gold
    windows: [{start: ` + rights.FormatTime(testNow.Add(-time.Hour)) + `, end: ` + end + `}]
  - {id: film, path: /vod/b/, territories: world, model: purchase}
  - {path: /live/, territories: world, model: free, windows: [{end: ` + end + `}]}
  - path: /soon/
    territories: world
    model: free
    windows: [{start: ` + end + `}]
blackouts:
  - {path: /live/x/, territories: AT, from: ` + rights.FormatTime(testNow.Add(time.Minute)) + `, to: ` + rights.FormatTime(testNow.Add(2*time.Minute)) + `}
`))
	if err != nil {
		t.Fatal(err)
	}
	return Policy{Rights: Rights{Current: rights.Fixed(catalog)}}
}

// claimsVerifier accepts any token with the claims that it stands for.
type claimsVerifier struct{ token.Claims }

func (v claimsVerifier) Verify(context.Context, string, token.Request) (token.Claims, error) {
	return v.Claims, nil
}

func TestRightsReasons(t *testing.T) {
	for _, test := range []struct {
		rule, path, country string
		after               time.Duration
		claims              token.Claims
		want                Reason
		until, opens        time.Duration // from testNow
	}{
		{"subscriber", "/vod/a/1.m4s", "AT", 0, token.Claims{Plans: []string{"gold"}}, ReasonAllowed, time.Hour, 0},
		{"another plan", "/vod/a/1.m4s", "AT", 0, token.Claims{Plans: []string{"silver"}}, ReasonRightsPlan, 0, 0},
		{"abroad", "/vod/a/1.m4s", "US", 0, token.Claims{Plans: []string{"gold"}}, ReasonRightsTerritory, 0, 0},
		{"nowhere", "/vod/a/1.m4s", "", 0, token.Claims{Plans: []string{"gold"}}, ReasonRightsTerritory, 0, 0},
		{"too early", "/vod/a/1.m4s", "AT", -2 * time.Hour, token.Claims{}, ReasonRightsNotStarted, 0, -time.Hour},
		{"too late", "/vod/a/1.m4s", "AT", time.Hour, token.Claims{Plans: []string{"gold"}}, ReasonRightsEnded, 0, 0},
		{"bought", "/vod/b/1.m4s", "", 0, token.Claims{Purchases: []string{"film"}}, ReasonAllowed, 10 * time.Hour, 0},
		{"bought something else", "/vod/b/1.m4s", "", 0, token.Claims{Purchases: []string{"films"}}, ReasonRightsPurchase, 0, 0},
		{"unlisted", "/other", "AT", 0, token.Claims{}, ReasonRightsUnlisted, 0, 0},
		{"before a blackout", "/live/x/1.m4s", "AT", 0, token.Claims{}, ReasonAllowed, time.Minute, 0},
		{"blacked out", "/live/x/1.m4s", "AT", time.Minute, token.Claims{}, ReasonRightsBlackout, 0, 2 * time.Minute},
		{"after it", "/live/x/1.m4s", "AT", 2 * time.Minute, token.Claims{}, ReasonAllowed, time.Hour, 0},
	} {
		t.Run(test.rule, func(t *testing.T) {
			p := rightsPolicy(t)
			test.claims.Expires = testNow.Add(10 * time.Hour)
			p.Tokens.Verifier = claimsVerifier{test.claims}
			viewer := Viewer{Tokens: []string{"x"}}
			if test.country != "" {
				viewer.Place = in(country(t, test.country))
			}
			now, asset := testNow.Add(test.after), Asset{Path: test.path, Use: UseMedia}
			d := p.Decide(context.Background(), now, asset, viewer)
			if d.Reason != test.want || d.Allowed != (test.want == ReasonAllowed) || d.Allowed && !d.Until.Equal(testNow.Add(test.until)) {
				t.Errorf("%s until %s; want %s, %s", d.Reason, d.Until, test.want, testNow.Add(test.until))
			}
			if (test.opens != 0 || !d.Opens.IsZero()) && !d.Opens.Equal(testNow.Add(test.opens)) {
				t.Errorf("opens %s, want %s", d.Opens, testNow.Add(test.opens))
			}
			explained, steps := p.Explain(context.Background(), now, asset, viewer)
			if explained.Reason != d.Reason || !explained.Until.Equal(d.Until) {
				t.Errorf("explained as %+v, decided as %+v", explained, d)
			}
			step := steps[slices.IndexFunc(steps, func(s Step) bool { return s.Rule == "rights" })]
			if step.Rule != "rights" || (step.Refused != "") != !d.Allowed || d.Title != nil && !strings.Contains(step.Input, d.Title.Name()) {
				t.Errorf("step %+v", step)
			}
		})
	}
}

func TestWindowEndLeavesBlackoutsOut(t *testing.T) {
	p := rightsPolicy(t)
	d := p.Decide(context.Background(), testNow, Asset{Path: "/live/x/1.m4s"}, Viewer{Place: in(country(t, "AT"))})
	if !d.WindowEnd.Equal(testNow.Add(time.Hour)) || !d.Until.Equal(testNow.Add(time.Minute)) {
		t.Errorf("window end %s, until %s", d.WindowEnd, d.Until)
	}
}

func TestUnlistedIsAllowedOnlyIfSaid(t *testing.T) {
	p := rightsPolicy(t)
	p.Rights.AllowUnlisted = true
	if d := p.Decide(context.Background(), testNow, Asset{Path: "/other"}, Viewer{}); !d.Allowed || d.Title != nil {
		t.Errorf("%+v", d)
	}
}

// Without a catalog nobody is admitted, and with one that goes stale nothing is kept longer than that.
func TestNoCatalogNoAdmission(t *testing.T) {
	catalog, err := rights.Parse([]byte("titles: [{path: /, territories: world, model: free}]"))
	if err != nil {
		t.Fatal(err)
	}
	p := Policy{Rights: Rights{Current: &rights.Current{StaleAfter: time.Hour}, AllowUnlisted: true}}
	decide := func(now time.Time) Decision { return p.Decide(context.Background(), now, Asset{Path: "/x"}, Viewer{}) }
	if d := decide(testNow); d.Reason != ReasonRightsUnavailable {
		t.Errorf("without a catalog: %s", d.Reason)
	}
	p.Rights.Current.Replace(catalog, testNow)
	if d := decide(testNow); !d.Allowed || !d.Until.Equal(testNow.Add(time.Hour)) {
		t.Errorf("with one: %+v", d)
	}
	if d := decide(testNow.Add(time.Hour)); d.Reason != ReasonRightsUnavailable {
		t.Errorf("stale: %s", d.Reason)
	}
}

// A session that ends with its window says so, and one that ends for another cause says that.
func TestASessionThatEndedWithItsWindow(t *testing.T) {
	sessions, err := token.NewSessionKey([]byte("0123456789abcdefghijklmnopqrstuv"), token.SessionConfig{Extend: 4 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p := rightsPolicy(t)
	p.Tokens.Sessions = sessions
	claims := token.Claims{Expires: testNow.Add(time.Minute), Plans: []string{"gold"}}
	decide := func(session, path string, now time.Time) Reason {
		return p.Decide(context.Background(), now, Asset{Path: path}, Viewer{Session: session, Place: in(country(t, "AT"))}).Reason
	}
	end := testNow.Add(time.Hour)
	session, err := sessions.MintUntil(claims, testNow, end)
	if err != nil {
		t.Fatal(err)
	}
	if got := decide(session, "/vod/a/1.m4s", end.Add(-1)); got != ReasonAllowed {
		t.Errorf("a nanosecond before the end: %s", got)
	}
	if got := decide(session, "/vod/a/1.m4s", end); got != ReasonRightsEnded {
		t.Errorf("at the end: %s", got)
	}
	if got := decide(session, "/vod/b/1.m4s", end); got != ReasonTokenExpired {
		t.Errorf("for a title that goes on: %s", got)
	}
	if got := decide(session[:len(session)-2]+"AA", "/vod/a/1.m4s", end); got != ReasonTokenInvalid {
		t.Errorf("a session that is not authentic: %s", got)
	}
	short, err := sessions.Mint(claims, testNow)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever holds a session for longer is still judged on each request.
	if got := decide(short, "/vod/a/1.m4s", end); got != ReasonRightsEnded {
		t.Errorf("a session that would go on: %s", got)
	}
}

func BenchmarkDecideWithRights(b *testing.B) {
	p := rightsPolicy(b)
	viewer := Viewer{Place: in(country(b, "AT"))}
	asset := Asset{Path: "/live/x/video/720p/seg_7.m4s", Use: UseMedia}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Decide(context.Background(), testNow, asset, viewer).Allowed {
			b.Fatal("refused")
		}
	}
}
