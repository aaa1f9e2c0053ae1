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
		if until, err := store.Granted(t.Context(), id); err != nil || !until.IsZero() {
			t.Errorf("before: %s, %v", until, err)
		}
		end := time.Now().Add(time.Minute)
		if err := store.Grant(t.Context(), id, end); err != nil {
			t.Fatal(err)
		}
		until, err := store.Granted(t.Context(), id)
		if err != nil || until.Sub(end).Abs() > 2*time.Second {
			t.Errorf("granted until %s, %v; want %s", until, err, end)
		}
		if until, _ := store.Granted(t.Context(), [16]byte{2}); !until.IsZero() {
			t.Error("another session has the grant, too")
		}
	})
}

func TestGrantsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemoryGrants(time.Now)
		here, there := NewGrants(store, time.Now), NewGrants(store, time.Now)
		id, start := [16]byte{1}, time.Now()
		if err := here.Wait(t.Context(), id, 2*time.Second); !errors.Is(err, ErrNotGranted) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		go func() {
			time.Sleep(time.Second)
			_ = here.Add(context.Background(), id, time.Now().Add(time.Hour))
		}()
		start = time.Now()
		if err := here.Wait(t.Context(), id, 2*time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("on the node of the license: %v after %s", err, time.Since(start))
		}
		other := [16]byte{2}
		go func() {
			time.Sleep(time.Second + time.Millisecond)
			_ = here.Add(context.Background(), other, time.Now().Add(time.Hour))
		}()
		start = time.Now()
		if err := there.Wait(t.Context(), other, 2*time.Second); err != nil || time.Since(start) > time.Second+grantPoll {
			t.Errorf("on another node: %v after %s", err, time.Since(start))
		}
		time.Sleep(time.Hour)
		if err := there.Wait(t.Context(), other, 0); !errors.Is(err, ErrNotGranted) {
			t.Errorf("after its end: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := here.Wait(ctx, [16]byte{3}, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: %v", err)
		}
	})
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
