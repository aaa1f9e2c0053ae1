package state

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

func numberedID(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return id
}

// TestFullGrants: what is full refuses at once, without a look at everything for each who is refused; room comes back with time, and what was
// granted is not forgotten meanwhile.
func TestFullGrants(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	now := start
	store := NewMemoryGrants(func() time.Time { return now })
	grant := func(n int, until time.Time) error {
		return store.Grant(context.Background(), Grant{numberedID(n), until})
	}
	for n := range maxGrants {
		until := start.Add(time.Second)
		if n == 0 {
			until = start.Add(time.Hour)
		}
		if err := grant(n, until); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		what string
		at   time.Duration
		want error
	}{
		{"a full store", 0, ErrUnavailable},
		{"grants are over, and were looked at a moment ago", sweepEvery - 1, ErrUnavailable},
		{"they are looked at again", sweepEvery, nil},
	} {
		now = start.Add(step.at)
		if err := grant(maxGrants, now.Add(time.Hour)); !errors.Is(err, step.want) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	if until, err := store.Granted(context.Background(), numberedID(0)); err != nil || !until[0].Equal(start.Add(time.Hour)) {
		t.Errorf("what holds was forgotten: %v, %v", until, err)
	}
	if len(store.grants) != 2 {
		t.Errorf("%d grants are left", len(store.grants))
	}
}

// TestFullEarlySegments is the same for the segments in front of licenses.
func TestFullEarlySegments(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	now := start
	grants := NewGrants(NewMemoryGrants(func() time.Time { return now }), func() time.Time { return now })
	segment := numberedID(7)
	for n := range maxKnownGrants {
		if !grants.Early(numberedID(n), segment) {
			t.Fatal("the first segment of a track")
		}
	}
	last := earlyFor + sweepEvery
	for _, step := range []struct {
		what string
		at   time.Duration
		want bool
	}{
		{"all are taken", earlyFor - 1, false},
		{"they are over, and were looked at a moment ago", earlyFor, false},
		{"they are looked at again", last, true},
	} {
		now = start.Add(step.at)
		if got := grants.Early(numberedID(maxKnownGrants), segment); got != step.want {
			t.Errorf("%s: %t", step.what, got)
		}
	}
	if len(grants.early) != 1 {
		t.Errorf("%d are left", len(grants.early))
	}
}
