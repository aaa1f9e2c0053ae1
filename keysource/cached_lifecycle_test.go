package keysource

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestCachedCloseEndsFlights(t *testing.T) {
	s := newTestSource(t)
	s.set(func(ctx context.Context, _ Request) (drm.ContentKey, error) {
		<-ctx.Done()
		return drm.ContentKey{}, ctx.Err()
	})
	c := newTestCache(t, s, newTestClock(), CacheOptions{FetchTimeout: time.Hour}) // only Close can end it
	result := make(chan error)
	go func() {
		_, err := c.ContentKey(context.Background(), testRequest(1))
		result <- err
	}()
	for s.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	c.Close()
	if err := <-result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	c.Close()
	want(t, c, s, testRequest(1), errClosed, 1)
}

// TestCachedCloseUnderLoad: a reload closes the cache while requests still use it.
func TestCachedCloseUnderLoad(t *testing.T) {
	for range 20 {
		c := newTestCache(t, newTestSource(t), newTestClock(), CacheOptions{Likely: 256})
		var all sync.WaitGroup
		for g := range 8 {
			all.Go(func() {
				for i := range 400 {
					_, err := c.ContentKey(context.Background(), testRequest((g+i)%16))
					if err != nil && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
				}
			})
		}
		c.Close()
		all.Wait()
	}
}

func TestCachedOptions(t *testing.T) {
	for name, o := range map[string]CacheOptions{
		"negative time":                   {RetryAfter: -1},
		"negative count":                  {MaxFetches: -1},
		"hard limit below the fresh time": {Fresh: time.Hour, HardLimit: time.Minute},
	} {
		if c, err := NewCached(newTestSource(t), time.Now, o); err == nil {
			c.Close()
			t.Errorf("%s was accepted", name)
		}
	}
	o, err := CacheOptions{Fresh: 48 * time.Hour}.withDefaults()
	if err != nil || o.HardLimit != 48*time.Hour {
		t.Errorf("fresh for 48 h alone: hard limit %s, error %v", o.HardLimit, err)
	}
}

func TestCachedHitAllocatesNothing(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	r := testRequest(1)
	want(t, c, s, r, nil, 1)
	c.keys.hint.Wait()
	ctx := context.Background()
	// ristretto hands over a batch of 64 reads now and then; the average rounds down to none.
	if n := testing.AllocsPerRun(2000, func() { _, _ = c.ContentKey(ctx, r) }); n != 0 {
		t.Errorf("%v allocations per hit, want 0", n)
	}
}

func BenchmarkCachedContentKey(b *testing.B) {
	c, err := NewCached(testDerived(b, true), time.Now, CacheOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	ctx := context.Background()
	r := Request{testTitle(), drm.ClassHD}
	if _, err := c.ContentKey(ctx, r); err != nil {
		b.Fatal(err)
	}
	c.keys.hint.Wait()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.ContentKey(ctx, r); err != nil {
				b.Error(err)
			}
		}
	})
}
