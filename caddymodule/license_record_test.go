package caddymodule

import (
	"context"
	"errors"
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
	if until[0].IsZero() {
		return 0
	}
	return until[0].Sub(q.now())
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

// rentedTerms are windows of a rental: thirty days to begin, and 48 hours from then on.
var rentedTerms = drm.LicenseTerms{Persistent: true, Duration: 720 * time.Hour, Rental: 720 * time.Hour, Playback: 48 * time.Hour}

// rentalRequest is recordedRequest for one who rents, with a clock.
func rentalRequest(t *testing.T) (q *request, at func(time.Duration)) {
	t.Helper()
	q = recordedRequest(t, token.Claims{Subject: "viewer"}, rentedTerms)
	began := q.now()
	return q, func(after time.Duration) { q.app.clock = func() time.Time { return began.Add(after) } }
}

// wantLease asks for a license over keys, that lasts so long, or is over with its rental.
func wantLease(t *testing.T, what string, q *request, want time.Duration, keys ...drm.ContentKey) {
	t.Helper()
	lease, err := q.leaseClearKey(keys, licensing.SessionPersistent)
	if want == 0 {
		if !errors.Is(err, errLicenseOver) {
			t.Errorf("%s: until %v, %v; want none", what, lease.ends, err)
		}
		return
	}
	if got := lease.ends.Sub(q.now()); err != nil || got != want {
		t.Errorf("%s: for %v, %v; want %v", what, got, err, want)
	}
}

// TestRentalOfKeys: a rental is over for its keys, below whatever directory they are asked for, in whatever company.
func TestRentalOfKeys(t *testing.T) {
	q, at := rentalRequest(t)
	video, sound, other := keyNumber(t, 1), keyNumber(t, 2), keyNumber(t, 3)
	wantLease(t, "the first", q, 48*time.Hour, video)
	at(20 * time.Hour)
	wantLease(t, "another key of the title", q, 28*time.Hour, sound)
	q.seal.Asset = "/invented/demo/"
	wantLease(t, "below another directory", q, 28*time.Hour, video)
	at(48 * time.Hour)
	for _, asset := range []address.Path{"/demo/", "/invented/demo/", "/more/demo/"} {
		q.seal.Asset = asset
		for _, keys := range [][]drm.ContentKey{{video}, {sound}, {sound, video}, {other, video}} {
			wantLease(t, "behind the window, below "+string(asset), q, 0, keys...)
		}
	}
	q.seal.Asset = "/other/"
	wantLease(t, "another title", q, 48*time.Hour, other)
	q.seal.Asset = "/demo/"
	at(768 * time.Hour)
	wantLease(t, "rented anew, with all of its keys", q, 48*time.Hour, video, sound)
}

// TestRentalWithoutItsClient: one who leaves while the windows are begun has begun them, and what the state did not take comes with the next
// license.
func TestRentalWithoutItsClient(t *testing.T) {
	q, at := rentalRequest(t)
	key := keyNumber(t, 1)
	store := &leavingStore{GrantStore: state.NewMemoryGrants(q.now)}
	q.state.Grants = state.NewGrants(store, q.now)
	ctx, leave := context.WithCancel(t.Context())
	q.r, store.written = q.r.WithContext(ctx), leave
	wantLease(t, "the first", q, 48*time.Hour, key)
	q.r, store.written = q.r.WithContext(t.Context()), func() {}
	at(49 * time.Hour)
	wantLease(t, "behind the window", q, 0, key)

	at(1000 * time.Hour)
	store.fails = 2
	if lease, err := q.leaseClearKey([]drm.ContentKey{key}, licensing.SessionPersistent); !errors.Is(err, errGrantsUnavailable) {
		t.Fatalf("%v, %v", lease, err)
	}
	at(1001 * time.Hour)
	wantLease(t, "begun before", q, 47*time.Hour, key)
	at(1049 * time.Hour)
	wantLease(t, "behind that window", q, 0, key)
}

// leavingStore calls written with each write, whose context has to be alive, and fails with the record of a number, from 1 on.
type leavingStore struct {
	state.GrantStore
	written func()
	fails   int
}

func (s *leavingStore) Grant(ctx context.Context, grants ...state.Grant) error {
	for _, grant := range grants {
		if s.fails--; s.fails == 0 {
			return state.ErrUnavailable
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.GrantStore.Grant(ctx, grant); err != nil {
			return err
		}
		s.written()
	}
	return nil
}

// TestRecordsOfPlaybacks: of who has no name nothing is on record for longer than the playback may last.
func TestRecordsOfPlaybacks(t *testing.T) {
	q := recordedRequest(t, token.Claims{Expires: time.Now().Add(time.Hour)}, rentedTerms)
	most := q.identity.claims.Expires.Add(grantBeyond)
	if _, err := q.leaseClearKey([]drm.ContentKey{keyNumber(t, 1)}, licensing.SessionPersistent); err != nil {
		t.Fatal(err)
	}
	if err := q.keepLicense([]licensing.GrantedKey{{Key: keyNumber(t, 1)}}, q.now().Add(720*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := q.now().Add(keptUntil(t, q, drm.KID{1})); !got.Equal(most) {
		t.Errorf("a license is on record until %v, want %v", got, most)
	}
	rentals, err := q.rentalsOf(q.licensee(), "kept", []drm.ContentKey{keyNumber(t, 1)})
	if err != nil || len(rentals) != 2 {
		t.Fatalf("%v, %v", rentals, err)
	}
	for _, r := range rentals {
		if r.window.After(most) || !r.span.Equal(most) {
			t.Errorf("a rental is on record until %v and %v, want %v at most", r.window, r.span, most)
		}
	}
}
