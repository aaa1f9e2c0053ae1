package keysource

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestCachedUnknownThroughOutage: that there is no such key holds while the source is out, as keys do, and for as long. The source is asked
// again all the same.
func TestCachedUnknownThroughOutage(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{Fresh: time.Minute, HardLimit: time.Hour, UnknownFor: 5 * time.Second, RetryAfter: time.Second})
	r := testRequest(1)
	s.fail(fmt.Errorf("asking server: %w", ErrUnknownKey))
	want(t, c, s, r, ErrUnknownKey, 1)
	s.fail(errOut)
	want(t, c, s, testRequest(2), ErrUnavailable, 2) // of which the source has said nothing
	clock.advance(5 * time.Second)
	want(t, c, s, r, ErrUnknownKey, 3)
	want(t, c, s, r, ErrUnknownKey, 3) // left alone for a second
	clock.advance(time.Second)
	want(t, c, s, r, ErrUnknownKey, 4)
	clock.advance(time.Hour - 7*time.Second)
	want(t, c, s, r, ErrUnknownKey, 5)
	clock.advance(time.Second) // an hour since the source said so
	want(t, c, s, r, ErrUnavailable, 6)
	clock.advance(time.Second)
	want(t, c, s, r, ErrUnavailable, 7)
	s.fail(ErrUnknownKey)
	clock.advance(time.Second)
	want(t, c, s, r, ErrUnknownKey, 8)
	s.set(nil)
	clock.advance(5 * time.Second)
	want(t, c, s, r, nil, 9)
}

// TestCachedUnknownWaitsForNobody: while the source hangs it is asked behind those who are told what it said last, and once it is back they
// are told what it says now.
func TestCachedUnknownWaitsForNobody(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{})
	r := testRequest(1)
	s.fail(ErrUnknownKey)
	want(t, c, s, r, ErrUnknownKey, 1)
	s.fail(errOut)
	clock.advance(5 * time.Second)
	want(t, c, s, r, ErrUnknownKey, 2)
	answer := make(chan struct{})
	s.set(func(ctx context.Context, r Request) (drm.ContentKey, error) {
		<-answer
		return s.Derived.ContentKey(ctx, r)
	})
	clock.advance(time.Second)
	for range 3 {
		if _, err := c.ContentKey(t.Context(), r); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("error %v while the source hangs, want ErrUnknownKey", err)
		}
	}
	close(answer)
	c.keys.running.Wait()
	want(t, c, s, r, nil, 3)
}

// TestCachedUnknownGivesWay: an answer that may not be used is one, and the source that had no key has one now.
func TestCachedUnknownGivesWay(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{})
	r := testRequest(1)
	other := r
	other.Scheme = drm.SchemeCbcs
	s.fail(ErrUnknownKey)
	want(t, c, s, other, ErrUnknownKey, 1)
	s.set(func(context.Context, Request) (drm.ContentKey, error) { return testKey(1), nil })
	if _, err := c.ContentKey(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	clock.advance(5 * time.Second)
	want(t, c, s, other, ErrUnavailable, 3) // the key of cenc
	s.fail(errOut)
	clock.advance(time.Second)
	want(t, c, s, other, ErrUnavailable, 4)
}
