package caddymodule

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
)

// tripsStore counts the round trips to the state.
type tripsStore struct {
	state.GrantStore
	reads, writes int
}

func (s *tripsStore) Grant(ctx context.Context, grants ...state.Grant) error {
	s.writes++
	return s.GrantStore.Grant(ctx, grants...)
}

func (s *tripsStore) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	s.reads++
	return s.GrantStore.Granted(ctx, ids...)
}

// TestRoundTripsOfALicense: how many keys a rented title has costs no time at a state far away.
func TestRoundTripsOfALicense(t *testing.T) {
	q, at := rentalRequest(t)
	q.RequireLicense = new(RequireLicenseConfig)
	store := &tripsStore{GrantStore: state.NewMemoryGrants(q.now)}
	q.state.Grants = state.NewGrants(store, q.now)
	var keys []drm.ContentKey
	for n := range 6 {
		keys = append(keys, keyNumber(t, byte(n+1)))
	}
	license := func(what string, reads, writes int) {
		t.Helper()
		store.reads, store.writes = 0, 0
		lease, err := q.leaseClearKey(keys, licensing.SessionPersistent)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.keepLicense(grantedAs(keys), lease.ends); err != nil {
			t.Fatal(err)
		}
		if store.reads != reads || store.writes != writes {
			t.Errorf("%s: %d reads and %d writes, want %d and %d", what, store.reads, store.writes, reads, writes)
		}
	}
	license("the first: window, and record of the device", 2, 2)
	at(time.Hour)
	license("a further one", 2, 0)
}
