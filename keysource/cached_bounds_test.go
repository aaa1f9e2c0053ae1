package keysource

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestCachedFloodOfUnknownTitlesKeepsKeys(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{KeysInUse: 64, Likely: 64})
	want(t, c, s, testRequest(0), nil, 1)
	s.fail(ErrUnknownKey)
	for i := 1; i <= 2000; i++ {
		want(t, c, s, testRequest(i), ErrUnknownKey, int64(1+i))
	}
	c.keys.hint.Clear()
	want(t, c, s, testRequest(0), nil, 2001)
	if n := len(c.keys.failed); n > 64 {
		t.Errorf("%d failures remembered, want at most 64", n)
	}
}

func TestCachedBoundsKeysInUse(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{KeysInUse: 64, Likely: 64})
	for i := 1; i <= 2000; i++ {
		want(t, c, s, testRequest(i), nil, int64(i))
	}
	if n := len(c.keys.inUse); n > 64 {
		t.Errorf("%d keys in use, want at most 64", n)
	}
	if n := len(c.keys.flights); n != 0 {
		t.Errorf("%d flights left", n)
	}
}

// TestCachedRecentUseSurvives: of 8 answers looked at, the one used last is never the victim.
func TestCachedRecentUseSurvives(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{KeysInUse: 64})
	want(t, c, s, testRequest(0), nil, 1)
	for i := 1; i <= 1000; i++ {
		clock.advance(time.Second)
		want(t, c, s, testRequest(0), nil, int64(i))
		want(t, c, s, testRequest(i), nil, int64(i+1))
		c.keys.hint.Clear()
	}
}

func TestCachedBoundsQuestionsAtSource(t *testing.T) {
	s := newTestSource(t)
	var at, most atomic.Int64
	s.set(func(ctx context.Context, r Request) (drm.ContentKey, error) {
		for n := at.Add(1); ; {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Millisecond)
		at.Add(-1)
		return s.Derived.ContentKey(ctx, r)
	})
	c := newTestCache(t, s, newTestClock(), CacheOptions{MaxFetches: 3})
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if _, err := c.ContentKey(context.Background(), testRequest(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if m := most.Load(); m > 3 {
		t.Errorf("%d questions at one time, want at most 3", m)
	}
}

func TestCachedFetchTimeout(t *testing.T) {
	s := newTestSource(t)
	s.set(func(ctx context.Context, _ Request) (drm.ContentKey, error) {
		<-ctx.Done()
		return drm.ContentKey{}, ctx.Err()
	})
	c := newTestCache(t, s, newTestClock(), CacheOptions{FetchTimeout: 5 * time.Millisecond})
	want(t, c, s, testRequest(1), ErrUnavailable, 1)
}
