package state

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGrantStores(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		store := s.grants
		id := [16]byte{1}
		if until, err := store.Granted(t.Context(), id); err != nil || !until[0].IsZero() {
			t.Errorf("before: %s, %v", until, err)
		}
		end := time.Now().Add(time.Minute)
		if err := store.Grant(t.Context(), Grant{id, end}); err != nil {
			t.Fatal(err)
		}
		until, err := store.Granted(t.Context(), id)
		if err != nil || until[0].Sub(end).Abs() > 2*time.Second {
			t.Errorf("granted until %s, %v; want %s", until, err, end)
		}
		if until, err := store.Granted(t.Context(), [16]byte{2}); err != nil || !until[0].IsZero() {
			t.Error("another session has the grant, too")
		}
		other := [16]byte{3}
		if err := store.Grant(t.Context(), Grant{other, end}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time there is nothing to release
			if err := store.Release(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if until, err := store.Granted(t.Context(), id); err != nil || !until[0].IsZero() {
				t.Errorf("released: %s, %v", until, err)
			}
		}
		if until, err := store.Granted(t.Context(), other); err != nil || until[0].IsZero() {
			t.Errorf("another grant went with it: %v", err)
		}
	})
}

func TestGrantsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemoryGrants(time.Now)
		here, there := NewGrants(store, time.Now), NewGrants(store, time.Now)
		id, start := [16]byte{1}, time.Now()
		if err := here.Wait(t.Context(), 2*time.Second, id); !errors.Is(err, ErrNotGranted) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		go func() {
			time.Sleep(time.Second)
			_ = here.Add(context.Background(), Grant{id, time.Now().Add(time.Hour)})
		}()
		start = time.Now()
		if err := here.Wait(t.Context(), 2*time.Second, id); err != nil || time.Since(start) != time.Second {
			t.Errorf("on the node of the license: %v after %s", err, time.Since(start))
		}
		other := [16]byte{2}
		go func() {
			time.Sleep(time.Second + time.Millisecond)
			_ = here.Add(context.Background(), Grant{other, time.Now().Add(time.Hour)})
		}()
		start = time.Now()
		if err := there.Wait(t.Context(), 2*time.Second, other); err != nil || time.Since(start) > time.Second+grantPoll {
			t.Errorf("on another node: %v after %s", err, time.Since(start))
		}
		time.Sleep(time.Hour)
		if err := there.Wait(t.Context(), 0, other); !errors.Is(err, ErrNotGranted) {
			t.Errorf("after its end: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := here.Wait(ctx, time.Hour, [16]byte{3}); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: %v", err)
		}
	})
}

// TestGrantsRelease: what is released ends on its node at once, on others within half a minute, and nowhere while the store cannot tell.
func TestGrantsRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenGrants{GrantStore: NewMemoryGrants(time.Now)}
		here, there := NewGrants(store, time.Now), NewGrants(store, time.Now)
		id, kept := [16]byte{1}, [16]byte{2}
		until := time.Now().Add(time.Hour)
		if err := here.Add(t.Context(), Grant{kept, until}); err != nil {
			t.Fatal(err)
		}
		holds := func(g *Grants, want bool, when string) {
			t.Helper()
			err := g.Wait(t.Context(), 0, id, kept)
			synctest.Wait() // for a question behind the request
			if want != (err == nil) || err != nil && !errors.Is(err, ErrNotGranted) {
				t.Errorf("%s: %v", when, err)
			}
		}
		holds(here, true, "one of two, on its node")
		holds(there, true, "one of two, on another")
		if end, err := here.Until(t.Context(), kept); err != nil || !end[0].Equal(until) {
			t.Errorf("until %s, %v; want %s", end, err, until)
		}
		store.broken = true
		if err := here.Release(t.Context(), kept); err == nil {
			t.Error("released without a store")
		}
		time.Sleep(grantFresh)
		holds(here, true, "while nobody can tell")
		store.broken = false
		if err := here.Release(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		holds(here, false, "released, on its node")
		time.Sleep(grantFresh)
		holds(there, true, "on another, the request behind which it asks")
		holds(there, false, "on another, from then on")
		if err := there.Add(t.Context(), Grant{kept, until}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(grantFresh)
			holds(there, true, "granted anew, and asked about")
		}
		time.Sleep(time.Hour)
		holds(there, false, "after its end")
	})
}

// brokenGrants is a GrantStore that can be out.
type brokenGrants struct {
	GrantStore
	broken bool
}

func (b *brokenGrants) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	if b.broken {
		return nil, ErrUnavailable
	}
	return b.GrantStore.Granted(ctx, ids...)
}

func (b *brokenGrants) Release(ctx context.Context, ids ...[16]byte) error {
	if b.broken {
		return ErrUnavailable
	}
	return b.GrantStore.Release(ctx, ids...)
}

func TestEarlySegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGrants(NewMemoryGrants(time.Now), time.Now)
		track, other := [16]byte{1}, [16]byte{2}
		for i, test := range []struct {
			track, segment [16]byte
			want           bool
		}{
			{track, [16]byte{10}, true}, {track, [16]byte{11}, false}, {track, [16]byte{10}, true}, {other, [16]byte{11}, true}, {other, [16]byte{12}, false},
		} {
			for range 2 { // looking changes nothing
				if got := g.MayBeEarly(test.track, test.segment); got != test.want {
					t.Errorf("%d: it may be %t", i, got)
				}
			}
			if got := g.Early(test.track, test.segment); got != test.want {
				t.Errorf("%d: %t", i, got)
			}
		}
		time.Sleep(earlyFor)
		if !g.Early(track, [16]byte{11}) {
			t.Error("it is remembered for good")
		}
	})
}
