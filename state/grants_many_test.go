package state

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestManyGrantsAtOnce: answers come in the order of the questions, and what is over is not kept.
func TestManyGrantsAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		now := time.Now()
		var grants []Grant
		var ids [][16]byte
		for n := range 30 {
			id := numberedID(1000 + n)
			ids = append(ids, id)
			if n%3 != 0 {
				grants = append(grants, Grant{id, now.Add(time.Duration(n) * time.Minute)})
			}
		}
		if err := s.grants.Grant(t.Context(), append(grants, Grant{numberedID(2000), now.Add(-time.Minute)})...); err != nil {
			t.Fatal(err)
		}
		if err := s.grants.Release(t.Context(), ids[1], ids[4]); err != nil {
			t.Fatal(err)
		}
		until, err := s.grants.Granted(t.Context(), ids...)
		if err != nil || len(until) != len(ids) {
			t.Fatalf("%d answers, %v", len(until), err)
		}
		for n := range ids {
			want := now.Add(time.Duration(n) * time.Minute)
			if n%3 == 0 || n == 1 || n == 4 {
				want = time.Time{}
			}
			if until[n].IsZero() != want.IsZero() || until[n].Sub(want).Abs() > 2*time.Second {
				t.Errorf("%d: until %s, want %s", n, until[n], want)
			}
		}
		if over, err := s.grants.Granted(t.Context(), numberedID(2000)); err != nil || over[0].After(time.Now()) {
			t.Errorf("what was over is granted until %v, %v", over, err)
		}
		for _, empty := range []error{s.grants.Grant(t.Context()), s.grants.Release(t.Context())} {
			if empty != nil {
				t.Error(empty)
			}
		}
	})
}

// countingGrants counts the questions.
type countingGrants struct {
	GrantStore
	asked atomic.Int64
}

func (c *countingGrants) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	c.asked.Add(1)
	return c.GrantStore.Granted(ctx, ids...)
}

// TestAGrantWakesItsOwn: segments of other sessions do not ask the store for each license that the node gives.
func TestAGrantWakesItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingGrants{GrantStore: NewMemoryGrants(time.Now)}
		g := NewGrants(store, time.Now)
		var all sync.WaitGroup
		var mu sync.Mutex
		came := make(map[int]time.Duration)
		start := time.Now()
		for n := range 50 {
			all.Go(func() {
				err := g.Wait(t.Context(), grantPoll, numberedID(n), numberedID(n+1000))
				if granted := n == 7; granted != (err == nil) || !granted && !errors.Is(err, ErrNotGranted) {
					t.Errorf("%d: %v", n, err)
				}
				mu.Lock()
				defer mu.Unlock()
				came[n] = time.Since(start)
			})
		}
		synctest.Wait()
		asked := store.asked.Load()
		time.Sleep(grantPoll / 2)
		for n := range 20 {
			if err := g.Add(t.Context(), Grant{numberedID(5000 + n), time.Now().Add(time.Hour)}, Grant{numberedID(1007), time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if more := store.asked.Load() - asked; asked != 50 || more != 0 {
			t.Errorf("%d questions by 50 who wait, and %d more by licenses of others", asked, more)
		}
		all.Wait()
		if came[7] != grantPoll/2 {
			t.Errorf("the one whose license was granted went on after %s", came[7])
		}
		if len(g.waiting) > 0 {
			t.Errorf("%d are waited for yet", len(g.waiting))
		}
	})
}

// TestSeveralWaitForOneGrant: all segments of a session that wait for its license go on with it, and one that leaves takes nobody along.
func TestSeveralWaitForOneGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGrants(NewMemoryGrants(time.Now), time.Now)
		var all sync.WaitGroup
		gone, leave := context.WithCancel(t.Context())
		contexts := slices.Concat([]context.Context{gone}, slices.Repeat([]context.Context{t.Context()}, 5))
		for n, ctx := range contexts {
			all.Go(func() {
				if err := g.Wait(ctx, time.Hour, numberedID(1)); (n == 0) != errors.Is(err, context.Canceled) || n > 0 && err != nil {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if err := g.Add(t.Context(), Grant{numberedID(1), time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("they went on after %s", took)
		}
	})
}
