package caddymodule

import (
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// recordedRequest is a license request of a viewer to a site that keeps licenses on record, with windows of a rental.
func recordedRequest(t *testing.T, claims token.Claims, terms drm.LicenseTerms) *request {
	t.Helper()
	q := sealedRequest(t, address.Seal{}, sharedSound(t))
	q.seal.Group = "kept"
	q.app.groups = map[string]drm.Group{"kept": {Name: "kept", License: terms}}
	q.RequireLicense, q.pseudonyms = new(RequireLicenseConfig), state.NewDigester([32]byte{2})
	claims.Playback = [8]byte{1}
	q.identity.claims = claims
	now := time.Now()
	q.app.clock = func() time.Time { return now }
	return q
}

// keptUntil is how long the license for a key is on record for the device.
func keptUntil(t *testing.T, q *request, kid drm.KID) time.Duration {
	t.Helper()
	until, err := q.state.Grants.Until(t.Context(), q.keptGrantOf(kid, q.licensee()))
	if err != nil {
		t.Fatal(err)
	}
	if until.IsZero() {
		return 0
	}
	return until.Sub(q.now())
}

// widevineGrant is a license of a license server over keys, for so long.
func widevineGrant(q *request, lasts time.Duration, keys ...licensing.GrantedKey) licensing.Grant {
	return licensing.Grant{
		System: drm.SystemWidevine, Group: drm.Group{License: drm.LicenseTerms{Persistent: true, Duration: lasts}}, Keys: keys, Now: q.now(),
	}
}

// TestRecordOfTheLongerLicense: a download lasts, whatever shorter license is given beside it, and another one makes it longer.
func TestRecordOfTheLongerLicense(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer", Expires: time.Now().Add(time.Hour)}, drm.LicenseTerms{Persistent: true})
	keys := []licensing.GrantedKey{{Key: keyNumber(t, 1)}}
	for _, step := range []struct{ lasts, want time.Duration }{
		{720 * time.Hour, 720 * time.Hour}, {time.Hour, 720 * time.Hour}, {800 * time.Hour, 800 * time.Hour}, {0, keptAtMost},
	} {
		var ends time.Time
		if step.lasts > 0 {
			ends = q.now().Add(step.lasts)
		}
		if err := q.keepLicense(keys, ends); err != nil {
			t.Fatal(err)
		}
		if got := keptUntil(t, q, drm.KID{1}); got != step.want {
			t.Errorf("behind a license for %v it is on record for %v, want %v", step.lasts, got, step.want)
		}
	}
}

// TestRenewalOfAKeptLicense: the renewal of a license on the device, which names no keys, makes its record longer; that of one for streaming
// does not, and neither puts anything on record that was not.
func TestRenewalOfAKeptLicense(t *testing.T) {
	q := recordedRequest(t, token.Claims{Subject: "viewer", Expires: time.Now().Add(time.Hour)}, drm.LicenseTerms{Persistent: true})
	kept, other := licensing.GrantedKey{Key: keyNumber(t, 1)}, licensing.GrantedKey{Key: keyNumber(t, 2)}
	record := func(lasts time.Duration, c licensing.Challenge, result string, keys ...licensing.GrantedKey) {
		t.Helper()
		if err := q.recordProxied(widevineGrant(q, lasts, keys...), c, result); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, want time.Duration) {
		t.Helper()
		if got := keptUntil(t, q, drm.KID{1}); got != want {
			t.Errorf("%s: on record for %v, want %v", what, got, want)
		}
		if got := keptUntil(t, q, drm.KID{2}); got != 0 {
			t.Errorf("%s: a key that is not on the device is on record for %v", what, got)
		}
	}
	renewal, streams := licensing.Challenge{Purpose: licensing.PurposeRenewal}, licensing.Challenge{Purpose: licensing.PurposeRenewal, Streams: true}
	record(time.Hour, renewal, resultRenewal, kept, other)
	want("nothing was kept", 0)
	record(time.Hour, licensing.Challenge{Persistent: true}, resultGrant, kept)
	want("kept", time.Hour)
	record(2*time.Hour, streams, resultRenewal, kept, other)
	record(2*time.Hour, licensing.Challenge{}, resultGrant, kept, other)
	want("licenses for streaming", time.Hour)
	record(3*time.Hour, renewal, resultRenewal, kept, other)
	want("renewed", 3*time.Hour)
}
