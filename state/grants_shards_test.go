package state

import (
	"context"
	"errors"
	"testing"
	"time"
)

// partlyOut answers for all ids but one.
type partlyOut struct {
	GrantStore
	lost [16]byte
}

func (p partlyOut) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	until := make([]time.Time, len(ids))
	var failed error
	for i, id := range ids {
		if id == p.lost {
			failed = ErrUnavailable
			continue
		}
		one, err := p.GrantStore.Granted(ctx, id)
		if err != nil {
			return nil, err
		}
		until[i] = one[0]
	}
	return until, failed
}

// TestAGrantBesideAFailure: who has a license goes on, although nobody can tell whether he has another one, too. Without one it is not said that
// there is none.
func TestAGrantBesideAFailure(t *testing.T) {
	store := partlyOut{GrantStore: NewMemoryGrants(time.Now), lost: [16]byte{1}}
	granted, other := [16]byte{2}, [16]byte{3}
	if err := store.Grant(t.Context(), Grant{granted, time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := NewGrants(store, time.Now).Wait(t.Context(), 0, store.lost, granted); err != nil {
		t.Errorf("one of them is granted: %v", err)
	}
	if err := NewGrants(store, time.Now).Wait(t.Context(), time.Minute, store.lost, other); !errors.Is(err, ErrUnavailable) {
		t.Errorf("none that is known of: %v", err)
	}
}

// TestGrantsOfALostShard: a server of a cluster that gives no answer takes no answer of the others with it.
func TestGrantsOfALostShard(t *testing.T) {
	d := startRedis(t, "cluster")
	store := openRedis(t, d).Grants(time.Now)
	var ids [][16]byte
	for n := range 24 {
		ids = append(ids, numberedID(n))
		if err := store.Grant(t.Context(), Grant{ids[n], time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Data[2].Freeze(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Data[2].Thaw() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	until, err := store.Granted(ctx, ids...)
	if !errors.Is(err, ErrUnavailable) || len(until) != len(ids) {
		t.Fatalf("%d answers, %v", len(until), err)
	}
	lost, held := -1, -1
	for n := range until {
		if until[n].IsZero() {
			lost = n
		} else {
			held = n
		}
	}
	if lost < 0 || held < 0 {
		t.Fatalf("answers: %v", until)
	}
	if err := NewGrants(store, time.Now).Wait(t.Context(), 0, ids[lost], ids[held]); err != nil {
		t.Errorf("a license that another server knows of: %v", err)
	}
	if err := NewGrants(store, time.Now).Wait(t.Context(), 0, ids[lost], numberedID(5000)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("none that is known of: %v", err)
	}
}
