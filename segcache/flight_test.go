package segcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errTestOrigin = errors.New("test origin is out")

// TestCollapse is the promise of the package: a thousand viewers, one call, whether anything is kept or not.
func TestCollapse(t *testing.T) {
	const viewers = 1000
	for name, maxBytes := range map[string]int64{"cached": 1 << 20, "not cached": 0} {
		t.Run(name, func(t *testing.T) {
			c := newTestCache(t, maxBytes, nil)
			var calls, hits atomic.Int64
			var all sync.WaitGroup
			release := make(chan struct{})
			bodies := make(chan *byte, viewers)
			for range viewers {
				all.Go(func() {
					e, hit, err := c.Do(context.Background(), testKey(1), func(context.Context) (*Entry, error) {
						calls.Add(1)
						<-release
						return testEntry(1, 100), nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					if hit {
						hits.Add(1)
					}
					bodies <- &e.Body[0]
				})
			}
			waitFor(t, func() bool { s := c.Stats(); return s.Shared+s.Misses == viewers })
			close(release)
			all.Wait()
			if calls.Load() != 1 || hits.Load() != viewers-1 {
				t.Errorf("%d calls, %d hits", calls.Load(), hits.Load())
			}
			first := <-bodies
			for range viewers - 1 {
				if <-bodies != first {
					t.Fatal("viewers got different memory")
				}
			}
			if s := c.Stats(); s.Misses != 1 || s.Shared != viewers-1 {
				t.Errorf("stats say %+v", s)
			}
		})
	}
}

// TestNoGapAfterTheFirst lets viewers come while and right after the first finishes: nobody may cause a second call.
func TestNoGapAfterTheFirst(t *testing.T) {
	c := newTestCache(t, 64<<20, nil)
	for segment := range 200 {
		var calls atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 4 {
					_, _, err := c.Do(context.Background(), testKey(segment), func(context.Context) (*Entry, error) {
						calls.Add(1)
						runtime.Gosched()
						return testEntry(segment, 100), nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if calls.Load() != 1 {
			t.Fatalf("segment %d was made %d times", segment, calls.Load())
		}
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	for range 3 {
		called := false
		e, hit, err := c.Do(context.Background(), testKey(1), func(context.Context) (*Entry, error) {
			called = true
			return testEntry(1, 100), errTestOrigin
		})
		if !called || e != nil || hit || !errors.Is(err, errTestOrigin) {
			t.Fatalf("called %v: %v, %v, %v", called, e, hit, err)
		}
	}
	if e, _, err := c.Do(context.Background(), testKey(1), func(context.Context) (*Entry, error) { return nil, nil }); e != nil || err == nil {
		t.Fatalf("nothing was made, and Do returns %v, %v", e, err)
	}
	if liveBytes(c) != 0 {
		t.Error("an error left something behind")
	}
	if !put(t, c, 1, testEntry(1, 100)) {
		t.Error("an error was kept")
	}
}

func TestPanicsAreErrors(t *testing.T) {
	for name, test := range map[string]struct {
		end  func()
		is   error
		text string
	}{
		"a value":        {func() { panic("test secret") }, nil, "making the segment panicked"},
		"an error":       {func() { panic(fmt.Errorf("test secret: %w", errTestOrigin)) }, errTestOrigin, "making the segment panicked"},
		"nil":            {func() { panic(nil) }, nil, "making the segment panicked"},
		"end of routine": {runtime.Goexit, nil, "making the segment ended without a result"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCache(t, 1<<20, nil)
			release := make(chan struct{})
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					e, _, err := c.Do(context.Background(), testKey(1), func(context.Context) (*Entry, error) {
						<-release
						test.end()
						return testEntry(1, 100), nil
					})
					var p *PanicError
					if e != nil || !errors.As(err, &p) || test.is != nil && !errors.Is(err, test.is) {
						t.Errorf("Do returns %v, %v", e, err)
						return
					}
					for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q"} {
						if got := fmt.Sprintf(verb, err); got != test.text {
							t.Errorf("%s prints %s", verb, got)
						}
					}
					if test.is == nil && name == "a value" && !strings.Contains(string(p.Stack), "flight_test.go") {
						t.Error("the stack does not say where")
					}
				})
			}
			waitFor(t, func() bool { s := c.Stats(); return s.Shared+s.Misses == 10 })
			close(release)
			all.Wait()
			if !put(t, c, 1, testEntry(1, 100)) {
				t.Error("there was an entry after the panic")
			}
		})
	}
}

func TestWhoLeavesLeavesAlone(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	first, leave := context.WithCancelCause(context.WithValue(context.Background(), testName{}, "first"))
	made, release := make(chan context.Context, 1), make(chan struct{})
	errs := make(chan error, 2)
	makeEntry := func(ctx context.Context) (*Entry, error) {
		made <- ctx
		<-release
		return testEntry(1, 100), ctx.Err()
	}
	go func() {
		_, _, err := c.Do(first, testKey(1), makeEntry)
		errs <- err
	}()
	inside := <-made
	go func() {
		_, hit, err := c.Do(context.Background(), testKey(1), makeEntry)
		if !hit {
			err = errors.Join(err, errors.New("the second caller joined nothing"))
		}
		errs <- err
	}()
	waitFor(t, func() bool { return c.Stats().Shared == 1 })
	leave(errTestOrigin)
	if err := <-errs; !errors.Is(err, errTestOrigin) {
		t.Errorf("who left got %v, not the cause", err)
	}
	if inside.Err() != nil {
		t.Error("the work ended with its first caller")
	}
	if inside.Value(testName{}) != "first" {
		t.Error("the work lost the values of its caller")
	}
	close(release)
	if err := <-errs; err != nil {
		t.Errorf("who stayed got %v", err)
	}
}

type testName struct{}

func TestWhenAllHaveLeft(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	ctx, leave := context.WithCancel(context.Background())
	started, ended := make(chan struct{}), make(chan error, 1)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			_, _, err := c.Do(ctx, testKey(1), func(ctx context.Context) (*Entry, error) {
				close(started)
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Do returns %v", err)
			}
		})
	}
	<-started
	waitFor(t, func() bool { return c.Stats().Shared == 9 })
	leave()
	all.Wait()
	if !put(t, c, 1, testEntry(1, 100)) { // joins nothing that is being canceled
		t.Error("a newcomer started nothing")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the work got %v", err)
	}
	if _, _, err := c.Do(ctx, testKey(2), func(context.Context) (*Entry, error) {
		t.Error("work was begun for somebody who has left")
		return nil, nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("Do returns %v", err)
	}
	if _, hit, err := c.Do(ctx, testKey(1), nil); !hit || err != nil {
		t.Errorf("what is at hand is not given: %v", err)
	}
}

// TestNothingIsLeft counts goroutines and flights after callers have come and gone in every way.
func TestNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine stays
		c := newTestCache(t, 0, nil)
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n%50)*time.Millisecond)
				defer cancel()
				_, _, _ = c.Do(ctx, testKey(n%7), func(ctx context.Context) (*Entry, error) {
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(25 * time.Millisecond):
					}
					if n%3 == 0 {
						panic(errTestOrigin)
					}
					return testEntry(n, 100), nil
				})
			})
		}
		all.Wait()
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.flights) != 0 {
			t.Errorf("%d flights are left", len(c.flights))
		}
	})
}

// TestEverythingAtOnce is for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	const maxBytes = 256 << 10
	c := newTestCache(t, maxBytes, nil)
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for n := range 500 {
				id := (n*31 + worker*7) % 60
				e, _, err := c.Do(context.Background(), testKey(id), func(context.Context) (*Entry, error) {
					if n%11 == 0 {
						return nil, errTestOrigin
					}
					return testEntry(id, 1000+id*100), nil
				})
				if err == nil && (len(e.Body) != 1000+id*100 || e.Body[0] != byte(id)) {
					t.Errorf("key %d has the body of another", id)
				}
				c.Get(testKey(id + 1))
				c.Stats()
				if worker == 0 && n%50 == 0 {
					if err := c.Resize(maxBytes >> (n / 50 % 4)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	settle(t, c)
	if s := c.Stats(); liveBytes(c) > maxBytes || s.Bytes > maxBytes {
		t.Errorf("%d bytes are alive, stats say %+v", liveBytes(c), s)
	}
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
