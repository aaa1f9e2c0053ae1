package caddymodule

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

// TestRenewalIsOfOneAsset: the session that follows on one is made for the asset that it was asked for on, and ends with that one's
// window. On another title the same session is followed by one of its own.
func TestRenewalIsOfOneAsset(t *testing.T) {
	catalog := "titles:\n  - {path: /live/, territories: world, model: free}\n" +
		"  - {path: /free/, territories: world, model: free, windows: [{end: " + until(5*time.Hour) + "}]}\n"
	g, clock := rightsGateway(t, catalog)
	carried := func(target, token string) string {
		t.Helper()
		session := sessionIn(t, linkTo(t, g.links(t, withToken(target, token)), "media", "seg_1.m4s").url)
		if session == "" {
			t.Fatalf("no session on %s", target)
		}
		return session
	}
	first := carried("/live/manifest.mpd", rightsJWT(t, map[string]any{"exp": showAt.Add(time.Minute).Unix()}))
	clock.set(showAt.Add(3*time.Hour + 30*time.Minute)) // it ends after 4 h and a minute
	at := func(title, session string) string { return "/" + title + "/~s." + session + "/manifest.mpd" }
	ofFree := carried(at("free", first), rightsJWT(t, nil))
	ofLive := carried(at("live", first), rightsJWT(t, nil))
	if ofFree == first || ofLive == first {
		t.Fatal("the session is not renewed")
	}
	if again := carried(at("live", first), rightsJWT(t, map[string]any{"jti": "newer"})); again != ofLive {
		t.Error("a second session follows on the same title")
	}
	clock.set(showAt.Add(5*time.Hour + 30*time.Minute)) // behind the window of the one
	wantReply(t, "the title that goes on", g.get(t, at("live", ofLive)), 200, "")
	wantReply(t, "the title whose window is over", g.get(t, at("free", ofFree)), 403, "rights_ended")
}

// TestOnlyTheAdmittedRenew: a site that observes answers whom it would refuse, and does not extend the token that it would not have taken.
func TestOnlyTheAdmittedRenew(t *testing.T) {
	g := startCATGateway(t, "mode observe\n\t\t\tgeo country {\n\t\t\t\tdeny DE\n\t\t\t}")
	now := time.Now().Unix()
	renewable := func(way int, more ...any) string {
		return catToken(t, append([]any{cat.Expires, now + 30, cat.IssuedAt, now - 60, cat.Renewal, labels{0: way, 1: 600}}, more...)...)
	}
	germany, elsewhere := "192.0.2.1", "198.51.100.1" // of the test's database
	for name, test := range map[string]struct {
		from, raw string
		renewed   bool
	}{
		"would be admitted":           {elsewhere, renewable(2), true},
		"would be refused later":      {germany, renewable(2), false},
		"would be refused as a token": {elsewhere, renewable(2, cat.Method, []string{"POST"}), false},
	} {
		res := g.mustGet(t, catManifest, catField, test.raw, "X-Forwarded-For", test.from)
		if renewed := res.header.Get(catField) != ""; renewed != test.renewed {
			t.Errorf("%s: renewed is %v", name, renewed)
		}
		if two := g.mustGet(t, catManifest+"?cat=other", catField, test.raw, "X-Forwarded-For", test.from); two.header.Get(catField) != "" {
			t.Errorf("%s, with a second credential: renewed", name)
		}
	}
	for from, want := range map[string]int{germany: http.StatusOK, elsewhere: http.StatusFound} {
		if res := g.get(t, catManifest+"?cat="+renewable(3), "X-Forwarded-For", from); res.status != want {
			t.Errorf("by redirect, from %s: %d, want %d", from, res.status, want)
		}
	}
}
