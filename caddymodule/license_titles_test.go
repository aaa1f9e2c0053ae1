package caddymodule

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/licensing/vendor"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// widevineAnswer is a license as Widevine's servers answer: which license it is stands in front of the keys.
func widevineAnswer(request, session string) string {
	id := append(wireField(1, []byte(request)), wireField(2, []byte(session))...)
	license := append(wireField(1, append(id, 4<<3, 1, 5<<3, 0)), wireField(3, []byte("a container of a key"))...)
	return string(append([]byte{8, 2}, append(wireField(2, license), wireField(3, []byte("signature"))...)...))
}

// TestRenewalOfAnotherTitle: a license goes on at the address of its own title alone, as far as this gateway gave it, although the license
// server compares nothing.
func TestRenewalOfAnotherTitle(t *testing.T) {
	l := startLicensed(t, "", "")
	say := func(request string) {
		l.up.say(answerWith(200, "application/octet-stream", widevineAnswer(request, "session")))
	}
	here, other := l.manifest(t, l.token), string(l.mustGet(t, "/demo-av1/manifest.mpd?token="+l.token).body)
	at, elsewhere := licenseURLIn(t, here, drm.SystemWidevine), licenseURLIn(t, other, drm.SystemWidevine)
	renewal := widevineRenewal(2) // of the license "request" of "session"

	say("") // an answer that names another license
	wantReply(t, "of a license that was not given here", l.sendBody(t, http.MethodPost, elsewhere, renewal), 200, "")
	say("request")
	wantReply(t, "a license", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kidsIn(t, here)[0])), 200, "")
	say("another request")
	wantReply(t, "that of another title", l.sendBody(t, http.MethodPost, elsewhere, widevineChallenge(1, kidsIn(t, other)[0])), 200, "")

	say("request")
	wantReply(t, "at the address of another title", l.sendBody(t, http.MethodPost, elsewhere, renewal), 403, "license_no_keys")
	if record := l.last(t); record["result"] != resultDenial || record["asset"] != "/demo-av1/" {
		t.Errorf("recorded as %v", record)
	}
	if asked := l.up.asked(); len(asked) != 0 {
		t.Error("the license server is asked")
	}
	for range 2 {
		wantReply(t, "at its own", l.sendBody(t, http.MethodPost, at, renewal), 200, "")
	}
	wantReply(t, "given back, wherever", l.sendBody(t, http.MethodPost, elsewhere, widevineRenewal(3)), 200, "")
}

// frozenGrants answer nothing until who asks has enough.
type frozenGrants struct{ state.GrantStore }

func (frozenGrants) Grant(ctx context.Context, _ ...state.Grant) error {
	<-ctx.Done()
	return ctx.Err()
}

func (frozenGrants) Granted(ctx context.Context, _ ...[16]byte) ([]time.Time, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestTitlesWithoutState: a state that is frozen holds nobody up for long, and keeps nobody from watching on.
func TestTitlesWithoutState(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer"}, drm.LicenseTerms{Duration: time.Hour})
	q.state.Titles = frozenGrants{}
	q.logger = zap.NewNop()
	server := &licenseServer{system: drm.SystemWidevine, vendor: vendor.Generic{}}
	start := time.Now()
	answer := []byte(widevineAnswer("request", "session"))
	q.rememberTitle(server, widevineGrant(q, time.Hour), answer)
	renewal := licensing.Challenge{Purpose: licensing.PurposeRenewal, LicenseID: licensing.WidevineLicenseID(answer)}
	if err := q.checkTitle(server, renewal); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 2*titleTimeout || took > 10*titleTimeout {
		t.Errorf("took %s", took)
	}
}

// TestTitlesOfLicenses: who remembers, for how long, and for whom.
func TestTitlesOfLicenses(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer"}, drm.LicenseTerms{Duration: time.Hour})
	q.state.Titles = state.NewMemoryGrants(q.now)
	began := q.now()
	server := &licenseServer{system: drm.SystemWidevine, vendor: vendor.Generic{}}
	answer := []byte(widevineAnswer("request", "session"))
	renewal := licensing.Challenge{Purpose: licensing.PurposeRenewal, LicenseID: licensing.WidevineLicenseID(answer)}
	q.seal.Asset = "/one/"
	q.rememberTitle(server, widevineGrant(q, time.Hour), answer)
	for _, test := range []struct {
		what    string
		asset   address.Path
		tenant  string
		after   time.Duration
		refused bool
	}{
		{"its title", "/one/", q.tenant, 0, false},
		{"another title", "/two/", q.tenant, 0, true},
		{"the title of that name on another site", "/one/", "another", 0, true},
		{"another title, for who was paused over the end of the license", "/two/", q.tenant, time.Hour + grantBeyond - time.Second, true},
		{"when nobody remembers", "/two/", q.tenant, time.Hour + grantBeyond, false},
	} {
		q.site, q.seal.Asset = &site{tenant: test.tenant}, test.asset
		q.app.clock = func() time.Time { return began.Add(test.after) }
		if err := q.checkTitle(server, renewal); (err != nil) != test.refused {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// countedGrants notes what is written.
type countedGrants struct {
	state.GrantStore
	written []state.Grant
	failing bool
}

func (c *countedGrants) Grant(ctx context.Context, grants ...state.Grant) error {
	c.written = append(c.written, grants...)
	if c.failing {
		return state.ErrUnavailable
	}
	return c.GrantStore.Grant(ctx, grants...)
}

// TestOneViewerFillsNoState: license servers give each license another name, and nobody is kept from asking for one after the other. What is
// remembered of a viewer grows by titlesEvery alone, and is nobody else's room.
func TestOneViewerFillsNoState(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer"}, drm.LicenseTerms{Duration: time.Hour})
	q.logger = zap.NewNop()
	store := &countedGrants{GrantStore: state.NewMemoryGrants(q.now)}
	q.state.Titles = store
	server := &licenseServer{system: drm.SystemWidevine, vendor: vendor.Generic{}}
	draw := func(n int) int {
		before := len(store.written)
		for range n {
			q.rememberTitle(server, widevineGrant(q, time.Hour), []byte(widevineAnswer(rand.Text(), "session")))
		}
		return (len(store.written) - before) / 2
	}
	if got := draw(titlesAtOnce); got != titlesAtOnce {
		t.Errorf("%d of %d licenses are remembered", got, titlesAtOnce)
	}
	if got := draw(1000); got != 0 {
		t.Errorf("%d further ones are", got)
	}
	began := q.now()
	q.app.clock = func() time.Time { return began.Add(3 * titlesEvery) }
	if got := draw(10); got != 3 {
		t.Errorf("%d of those after a while, want 3", got)
	}
	q.identity.claims.Subject = "another"
	if got := draw(10); got != 10 {
		t.Errorf("%d of another viewer, want 10", got)
	}
	q.identity.claims = token.Claims{}
	if got := draw(titlesAtOnce + 10); got != titlesAtOnce {
		t.Errorf("%d of who has no token, want %d", got, titlesAtOnce)
	}
}

// TestHowLongTitlesAreRemembered: also of a license without an end not for good.
func TestHowLongTitlesAreRemembered(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer"}, drm.LicenseTerms{})
	store := &countedGrants{GrantStore: state.NewMemoryGrants(q.now)}
	q.state.Titles = store
	server := &licenseServer{system: drm.SystemWidevine, vendor: vendor.Generic{}}
	for _, test := range []struct {
		lasts      time.Duration
		persistent bool
		want       time.Duration
	}{
		{time.Hour, false, time.Hour + grantBeyond}, {0, false, grantBeyond}, {time.Hour, true, time.Hour + grantBeyond},
		{0, true, titleAtMost + grantBeyond}, {keptAtMost, true, titleAtMost + grantBeyond},
	} {
		grant := widevineGrant(q, test.lasts)
		grant.Group.License.Persistent = test.persistent
		store.written = nil
		q.rememberTitle(server, grant, []byte(widevineAnswer(rand.Text(), "session")))
		if len(store.written) != 2 || store.written[0].Until.Sub(q.now()) != test.want || store.written[1].Until.Sub(q.now()) != test.want {
			t.Errorf("%+v: %v", test, store.written)
		}
	}
}

// TestTitlesAreLoggedOnceAMinute: a state that is full or out is no line for each license.
func TestTitlesAreLoggedOnceAMinute(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer"}, drm.LicenseTerms{Duration: time.Hour})
	core, logs := observer.New(zap.WarnLevel)
	q.logger = zap.New(core)
	q.state.Titles = &countedGrants{failing: true}
	server := &licenseServer{system: drm.SystemWidevine, vendor: vendor.Generic{}}
	began := q.now()
	for n := range 90 {
		q.app.clock = func() time.Time { return began.Add(time.Duration(n) * time.Second) }
		q.rememberTitle(server, widevineGrant(q, time.Hour), []byte(widevineAnswer(rand.Text(), "session")))
	}
	if logs.Len() != 2 {
		t.Errorf("%d lines in 90 seconds, want 2", logs.Len())
	}
}
