package state

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestCutStores(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		ask := func(id byte, start time.Duration) time.Duration {
			t.Helper()
			kept, err := s.cuts.Cut(t.Context(), [16]byte{id}, start, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return kept
		}
		if got := ask(1, 10*time.Second); got != 10*time.Second {
			t.Errorf("the first is told %s", got)
		}
		if got := ask(1, 12*time.Second); got != 10*time.Second {
			t.Errorf("the second is told %s, and the first 10s", got)
		}
		if got := ask(2, 12*time.Second); got != 12*time.Second {
			t.Errorf("another Period begins at %s", got)
		}
		if got := ask(3, 0); got != 0 {
			t.Errorf("one at the beginning begins at %s", got)
		}
	})
}

// countedCuts is a store that counts questions, and can be out.
type countedCuts struct {
	*MemoryCuts
	asked int
	out   bool
}

func (c *countedCuts) Cut(ctx context.Context, id [16]byte, start, keep time.Duration) (time.Duration, error) {
	if c.asked++; c.out {
		return 0, ErrUnavailable
	}
	return c.MemoryCuts.Cut(ctx, id, start, keep)
}

// TestCutsAreAskedForOnce: nodes agree, and none asks again for what it knows.
func TestCutsAreAskedForOnce(t *testing.T) {
	store := &countedCuts{MemoryCuts: NewMemoryCuts(time.Now)}
	here, there := NewCuts(store, time.Now), NewCuts(store, time.Now)
	for range 3 {
		for node, start := range map[*Cuts]time.Duration{here: 20 * time.Second, there: 20 * time.Second} {
			if got, err := node.Cut(t.Context(), [16]byte{1}, start, time.Hour, false); err != nil || got != start {
				t.Errorf("%s, %v", got, err)
			}
		}
	}
	if got, err := there.Cut(t.Context(), [16]byte{1}, 22*time.Second, time.Hour, true); err != nil || got != 20*time.Second {
		t.Errorf("a Period has moved to %s, %v", got, err)
	}
	if store.asked != 2 {
		t.Errorf("two nodes asked %d times", store.asked)
	}
}

// TestCutsWhileTheStoreIsOut: what a node knows or sees goes on; what it would have to guess does not, and nobody waits again and again.
func TestCutsWhileTheStoreIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedCuts{MemoryCuts: NewMemoryCuts(time.Now)}
		node := NewCuts(store, time.Now)
		cut := func(id byte, start time.Duration, seen bool) (time.Duration, error) {
			return node.Cut(t.Context(), [16]byte{id}, start, time.Hour, seen)
		}
		known, _ := cut(1, time.Second, false)
		store.out = true
		if got, err := cut(1, 2*time.Second, false); err != nil || got != known {
			t.Errorf("what it knows: %s, %v", got, err)
		}
		for range 5 {
			if got, err := cut(2, 3*time.Second, false); !errors.Is(err, ErrUnavailable) || got != 0 {
				t.Errorf("what it would have to guess: %s, %v", got, err)
			}
		}
		for _, start := range []time.Duration{4 * time.Second, 5 * time.Second} { // the second time, less of it is to be seen
			if got, err := cut(3, start, start == 4*time.Second); err != nil || got != 4*time.Second {
				t.Errorf("what it sees: %s, %v", got, err)
			}
		}
		if store.asked != 2 {
			t.Errorf("a store that is out was asked %d times at one moment", store.asked-1)
		}
		store.out = false
		time.Sleep(cutsPause)
		if got, err := cut(3, 5*time.Second, false); err != nil || got != 4*time.Second {
			t.Errorf("when the store is back: %s, %v", got, err)
		}
		other := NewCuts(store, time.Now)
		if got, err := other.Cut(t.Context(), [16]byte{3}, 6*time.Second, time.Hour, false); err != nil || got != 4*time.Second {
			t.Errorf("another node is told %s, %v", got, err)
		}
		if got, err := cut(2, 3*time.Second, false); err != nil || got != 3*time.Second {
			t.Errorf("what nobody knew: %s, %v", got, err)
		}
		time.Sleep(time.Hour)
		if got, err := cut(1, 7*time.Second, false); err != nil || got != 7*time.Second {
			t.Errorf("an id of long ago: %s, %v", got, err)
		}
	})
}

// TestCutsAreBounded: a node that sees more Periods than it can know forgets, and does not grow.
func TestCutsAreBounded(t *testing.T) {
	node := NewCuts(NewMemoryCuts(time.Now), time.Now)
	for i := range maxKnownCuts + 10 {
		id := [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}
		if _, err := node.Cut(t.Context(), id, time.Second, time.Hour, true); err != nil {
			t.Fatal(err)
		}
	}
	if len(node.known) > maxKnownCuts || len(node.store.(*MemoryCuts).cuts) > maxKnownCuts {
		t.Errorf("%d Periods are known", len(node.known))
	}
}

// TestCutsInUseAreKept: one that a node still asks for does not end after its first time, here or in the store.
func TestCutsInUseAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countedCuts{MemoryCuts: NewMemoryCuts(time.Now)}
		node := NewCuts(store, time.Now)
		for range 10 {
			if start, err := node.Cut(t.Context(), [16]byte{1}, 7*time.Second, time.Hour, false); err != nil || start != 7*time.Second {
				t.Fatalf("%s, %v", start, err)
			}
			time.Sleep(35 * time.Minute)
		}
		if start, err := store.MemoryCuts.Cut(t.Context(), [16]byte{1}, 9*time.Second, time.Hour); err != nil || start != 7*time.Second {
			t.Errorf("the store says %s, %v", start, err)
		}
	})
}
