package caddymodule

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// widevineRenewal asks for a license again that the device has; kind 3 in place of 2 gives it back.
func widevineRenewal(kind byte) []byte {
	license := wireField(1, append(wireField(1, []byte("request")), wireField(2, []byte("session"))...))
	request := append(wireField(1, []byte("client")), wireField(2, wireField(3, license))...)
	return append([]byte{8, 1}, wireField(2, append(request, 3<<3, kind))...)
}

// renewals are how players of each system ask for a license, and for the same again; FairPlay's do not say which it is.
var renewals = map[string]struct {
	system       drm.SystemID
	first, again func(kid drm.KID) []byte
	recorded     string // of the second
}{
	"widevine": {
		drm.SystemWidevine, func(kid drm.KID) []byte { return widevineChallenge(1, kid) }, func(drm.KID) []byte { return widevineRenewal(2) }, resultRenewal,
	},
	"playready": {
		drm.SystemPlayReady, func(kid drm.KID) []byte { return []byte(playReadyChallenge(kid)) },
		func(kid drm.KID) []byte { return []byte(playReadyChallenge(kid)) }, resultRenewal,
	},
	"fairplay": {
		drm.SystemFairPlay, func(drm.KID) []byte { return fairPlayContext() }, func(drm.KID) []byte { return fairPlayContext() }, resultGrant,
	},
}

// last is the last record of the audit.
func (l licensed) last(t *testing.T) map[string]any {
	t.Helper()
	records := l.records(t)
	if len(records) == 0 {
		t.Fatal("no record")
	}
	return records[len(records)-1]
}

// TestRevokedAtRenewal: a renewal is recognized and decided anew, so that a subscriber who is revoked while he watches gets no other
// license within seconds, and the license server is not asked for him any more.
func TestRevokedAtRenewal(t *testing.T) {
	for name, test := range renewals {
		t.Run(name, func(t *testing.T) {
			admin := "127.0.0.1:" + freePort(t)
			l := startLicensed(t, "", "", "admin off", "admin "+admin)
			l.up.say(answerWith(200, "application/octet-stream", "\x00\x00\x00\x01license"))
			mpd := l.manifest(t, l.token)
			at, kid := licenseURLIn(t, mpd, test.system), kidsIn(t, mpd)[0]
			wantReply(t, "a license", l.sendBody(t, http.MethodPost, at, test.first(kid)), 200, "")
			if record := l.last(t); record["result"] != resultGrant {
				t.Errorf("the first is recorded as %v", record)
			}
			wantReply(t, "the renewal", l.sendBody(t, http.MethodPost, at, test.again(kid)), 200, "")
			if record := l.last(t); record["result"] != test.recorded || record["asset"] != "/demo/" || record["ends"] == nil {
				t.Errorf("the renewal is recorded as %v", record)
			}
			if _, res := l.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer-4Kd9", "for": "1h"}); res.status != http.StatusCreated {
				t.Fatalf("revoking: %d %s", res.status, res.body)
			}
			deadline := time.Now().Add(5 * time.Second)
			res := l.sendBody(t, http.MethodPost, at, test.again(kid))
			for res.status == 200 && time.Now().Before(deadline) {
				time.Sleep(50 * time.Millisecond)
				res = l.sendBody(t, http.MethodPost, at, test.again(kid))
			}
			wantReply(t, "the renewal of who was revoked", res, 403, "revoked")
			if problemOf(t, res) != problemNotAuthorized {
				t.Errorf("problem %s", res.body)
			}
			if record := l.last(t); record["result"] != resultDenial || record["reason"] != "revoked" || len(fmt.Sprint(record["subject"])) != 32 {
				t.Errorf("the refusal is recorded as %v", record)
			}
			asked := len(l.up.asked())
			l.sendBody(t, http.MethodPost, at, test.again(kid))
			if now := len(l.up.asked()); now != asked {
				t.Error("the license server is asked for a viewer who is revoked")
			}
		})
	}
}

// TestRenewalsAreDecidedAnew: what a renewal rests on is looked at again, whatever the first license rested on.
func TestRenewalsAreDecidedAnew(t *testing.T) {
	const rights = "rights {\n\twindow until END\n\tmodel free\n\tterritories world\n\t}\n\tgeo country {\n\tdeny US\n\tunknown allow\n}"
	for name, test := range renewals {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			clock := setClock(t, now)
			l := startLicensed(t, "", rights, "END", now.Add(30*time.Minute).UTC().Format(time.RFC3339), "admin off", "admin off\n\tservers {\n\ttrusted_proxies static 127.0.0.0/8\n}")
			l.up.say(answerWith(200, "application/octet-stream", "\x00\x00\x00\x01license"))
			mpd := l.manifest(t, l.token)
			at, kid := licenseURLIn(t, mpd, test.system), kidsIn(t, mpd)[0]
			wantReply(t, "a license", l.sendBody(t, http.MethodPost, at, test.first(kid)), 200, "")
			wantReply(t, "from another country", l.sendBody(t, http.MethodPost, at, test.again(kid), "X-Forwarded-For", "198.51.100.1"), 403, "country_denied")
			clock.set(now.Add(29 * time.Minute))
			wantReply(t, "within the window", l.sendBody(t, http.MethodPost, at, test.again(kid)), 200, "")
			clock.set(now.Add(31 * time.Minute))
			wantReply(t, "behind the window", l.sendBody(t, http.MethodPost, at, test.again(kid)), 403, "rights_ended")
		})
	}
}

// TestAllKeysRevoked: where every key of a title is revoked, no license server is asked for one, whether the request names keys or not.
func TestAllKeysRevoked(t *testing.T) {
	admin := "127.0.0.1:" + freePort(t)
	l := startLicensed(t, "", "", "admin off", "admin "+admin)
	l.up.say(answerWith(200, "application/octet-stream", "\x00\x00\x00\x01license"))
	mpd := l.manifest(t, l.token)
	derived, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), true)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := derived.ContentKeys(t.Context(), keysource.Title{Tenant: "licenses", Group: "premium", Asset: "/demo/", Scheme: drm.SchemeCbcs})
	if err != nil || len(keys) != len(drm.SplitClasses) {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	kid := kidsIn(t, mpd)[0]
	for i, key := range keys {
		for name, test := range renewals {
			at := licenseURLIn(t, mpd, test.system)
			if name != "playready" { // whose renewals name the key
				wantReply(t, fmt.Sprintf("%s, with %d keys revoked", name, i), l.sendBody(t, http.MethodPost, at, test.again(kid)), 200, "")
			}
		}
		if _, res := l.revoke(t, admin, map[string]any{"kind": "key", "value": key.KID().String(), "for": "1h"}); res.status != http.StatusCreated {
			t.Fatalf("revoking: %d %s", res.status, res.body)
		}
	}
	l.up.say(nil)
	for name, test := range renewals {
		at := licenseURLIn(t, mpd, test.system)
		wantReply(t, name+", a license", l.sendBody(t, http.MethodPost, at, test.first(kid)), 403, "revoked")
		wantReply(t, name+", a renewal", l.sendBody(t, http.MethodPost, at, test.again(kid)), 403, "revoked")
	}
	if asked := l.up.asked(); len(asked) > 0 {
		t.Errorf("the license server is asked for keys that are revoked: %v", asked)
	}
}

// TestRenewalOfNothing: a renewal that names neither a license nor keys could be for anything, so it needs a vendor whose token says for
// what.
func TestRenewalOfNothing(t *testing.T) {
	bare := append([]byte{8, 1}, wireField(2, append(wireField(1, []byte("client")), 3<<3, 2))...)
	l := startLicensed(t, "", "")
	at := licenseURLIn(t, l.manifest(t, l.token), drm.SystemWidevine)
	wantReply(t, "without a vendor", l.sendBody(t, http.MethodPost, at, bare), 403, "license_keys_unread")
	if len(l.up.asked()) > 0 {
		t.Error("the license server was asked")
	}
}

// TestRentalsAndTheirRenewal: what a license that is kept on a device may do, when it is issued and when it is renewed: no window is
// longer than what the admission rests on, and it shrinks with that.
func TestRentalsAndTheirRenewal(t *testing.T) {
	t.Setenv("TEST_AXINOM_KEY", base64.StdEncoding.EncodeToString(axinomKeyBytes))
	now := time.Now()
	clock := setClock(t, now)
	l := startLicensed(t, "vendor jwt {\n\tclaims `{\"asset\":\"{asset}\",\"purpose\":\"{purpose}\",\"persistent\":{persistent},\"license\":{license_seconds},\"rental\":{rental_seconds},\"playback\":{playback_seconds},\"renew\":{renew_seconds},\"ends\":{ends}}`"+
		"\n\tsecret {env.TEST_TOKEN_SECRET}\n\theader X-License-Token\n}", "rights {\n\twindow until "+now.Add(100*time.Hour).UTC().Format(time.RFC3339)+"\n\tmodel free\n\tterritories world\n\t}",
		"license temporary 12h", "license persistent 720h {\n\trental 720h\n\tplayback 48h\n\trenew 24h\n}")
	token := viewerToken(t, "renter", map[string]any{"exp": now.Add(200 * time.Hour).Unix()})
	mpd := l.manifest(t, token)
	at, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	ask := func(what string, challenge []byte) map[string]any {
		l.up.say(nil)
		wantReply(t, what, l.sendBody(t, http.MethodPost, at, challenge), 200, "")
		return jwtOf(t, l.up.asked()[0].header.Get("X-License-Token"), []byte(testTokenSecret))
	}
	within := func(what string, claims map[string]any, purpose string, license, playback, renew float64) {
		t.Helper()
		near := func(name string, want float64) bool {
			got, _ := claims[name].(float64)
			return got <= want && got > want-5
		}
		if claims["persistent"] != true || claims["purpose"] != purpose || !near("license", license) || !near("rental", license) || !near("playback", playback) || claims["renew"] != renew {
			t.Errorf("%s: %v", what, claims)
		}
	}
	const hour = 3600
	within("a rental", ask("offline", widevineChallenge(2, kids[0])), "license", 100*hour, 48*hour, 24*hour)
	clock.set(now.Add(70 * time.Hour))
	within("renewed", ask("renewal", widevineRenewal(2)), "renewal", 30*hour, 30*hour, 24*hour)
	clock.set(now.Add(90 * time.Hour))
	within("renewed for the last time", ask("renewal", widevineRenewal(2)), "renewal", 10*hour, 10*hour, 0)
	clock.set(now.Add(101 * time.Hour))
	wantReply(t, "behind the window", l.sendBody(t, http.MethodPost, at, widevineRenewal(2)), 403, "rights_ended")
}
