package keysource

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-drm/caddy-drm/drm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testSource is a Source over Derived whose next answers a test can replace.
type testSource struct {
	*Derived
	calls  atomic.Int64
	answer atomic.Pointer[func(context.Context, Request) (drm.ContentKey, error)]
}

func newTestSource(t testing.TB) *testSource { return &testSource{Derived: testDerived(t, false)} }

func (s *testSource) set(f func(context.Context, Request) (drm.ContentKey, error)) {
	if f == nil {
		s.answer.Store(nil)
		return
	}
	s.answer.Store(&f)
}

func (s *testSource) fail(err error) {
	s.set(func(context.Context, Request) (drm.ContentKey, error) { return drm.ContentKey{}, err })
}

func (s *testSource) ContentKey(ctx context.Context, r Request) (drm.ContentKey, error) {
	s.calls.Add(1)
	if f := s.answer.Load(); f != nil {
		return (*f)(ctx, r)
	}
	return s.Derived.ContentKey(ctx, r)
}

func (s *testSource) ContentKeys(ctx context.Context, t Title) ([]drm.ContentKey, error) {
	k, err := s.ContentKey(ctx, Request{t, drm.ClassShared})
	if errors.Is(err, errEmptyList) {
		return nil, nil
	}
	if errors.Is(err, errDoubleList) {
		return []drm.ContentKey{k, k}, nil
	}
	return []drm.ContentKey{k}, err
}

var (
	errOut        = errors.New("connection refused")
	errEmptyList  = errors.New("answer with an empty list")
	errDoubleList = errors.New("answer with one key twice")
)

// testClock is a clock that a test moves.
type testClock struct{ nanos atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.nanos.Store(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *testClock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *testClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func newTestCache(t testing.TB, src Source, clock *testClock, o CacheOptions) *Cached {
	t.Helper()
	c, err := NewCached(src, clock.now, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testRequest(i int) Request {
	t := testTitle()
	t.Asset = fmt.Sprintf("/vod/%d/", i)
	return Request{t, drm.ClassShared}
}

// want checks one look-up and the number of calls that the source has seen by its end.
func want(t *testing.T, c *Cached, s *testSource, r Request, wantErr error, wantCalls int64) {
	t.Helper()
	k, err := c.ContentKey(context.Background(), r)
	c.keys.running.Wait() // a refresh behind the answer
	switch {
	case !errors.Is(err, wantErr):
		t.Fatalf("error %v, want %v", err, wantErr)
	case err != nil && !k.IsZero():
		t.Fatal("an error came with a key")
	case err == nil:
		if kid, _ := s.KID(r); kid != k.KID() {
			t.Fatalf("KID %s, want %s", k.KID(), kid)
		}
	}
	if n := s.calls.Load(); n != wantCalls {
		t.Fatalf("%d calls of the source, want %d", n, wantCalls)
	}
}

func TestCachedAsksOnce(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	for range 3 {
		want(t, c, s, testRequest(1), nil, 1)
	}
	want(t, c, s, testRequest(2), nil, 2)
}

// TestCachedKeepsKeysWithoutHint empties the layer that may drop anything at any time.
func TestCachedKeepsKeysWithoutHint(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	for range 3 {
		want(t, c, s, testRequest(1), nil, 1)
		c.keys.hint.Clear()
	}
}

// TestCachedHashCollision: two questions with one hash never get each other's key.
func TestCachedHashCollision(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{})
	want(t, c, s, testRequest(1), nil, 1)
	c.keys.hint.Set(maphash.Comparable(c.keys.seed, testRequest(2)), c.keys.inUse[testRequest(1)], 1)
	c.keys.hint.Wait()
	// A refusal of the one does not void the other.
	s.fail(ErrUnknownKey)
	want(t, c, s, testRequest(2), ErrUnknownKey, 2)
	want(t, c, s, testRequest(1), nil, 2)
	// Nor does its key stand in for it.
	s.set(nil)
	clock.advance(time.Minute)
	c.keys.hint.Set(maphash.Comparable(c.keys.seed, testRequest(2)), c.keys.inUse[testRequest(1)], 1)
	c.keys.hint.Wait()
	want(t, c, s, testRequest(2), nil, 3)
}

func TestCachedPrefetch(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	for range 3 {
		c.Prefetch(testRequest(1))
		c.keys.running.Wait()
	}
	want(t, c, s, testRequest(1), nil, 1)
	s.fail(ErrUnknownKey)
	for range 3 {
		c.Prefetch(testRequest(2))
		c.keys.running.Wait()
	}
	want(t, c, s, testRequest(2), ErrUnknownKey, 2)
	c.Close()
	c.Prefetch(testRequest(3))
	if n := s.calls.Load(); n != 2 {
		t.Errorf("%d calls of the source, want 2", n)
	}
}

func TestCachedManyCallersOneCall(t *testing.T) {
	const callers = 5000
	s := newTestSource(t)
	release := make(chan struct{})
	s.set(func(ctx context.Context, r Request) (drm.ContentKey, error) {
		<-release
		return s.Derived.ContentKey(ctx, r)
	})
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	impatient, leave := context.WithCancel(context.Background())
	var stayed, left sync.WaitGroup
	var wrong atomic.Int64
	for i := range callers {
		group, ctx, wantErr := &stayed, context.Background(), error(nil)
		if i%2 == 0 {
			group, ctx, wantErr = &left, impatient, context.Canceled
		}
		group.Go(func() {
			k, err := c.ContentKey(ctx, testRequest(1))
			if !errors.Is(err, wantErr) || (err == nil) == k.IsZero() {
				wrong.Add(1)
			}
		})
	}
	for s.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	left.Wait() // while the source is still busy: who leaves does not wait for it
	close(release)
	stayed.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d callers got another outcome than theirs", n, callers)
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls of the source, want 1", n)
	}
}

func TestCachedAbandonedFlightStillCounts(t *testing.T) {
	s := newTestSource(t)
	release := make(chan struct{})
	s.set(func(ctx context.Context, r Request) (drm.ContentKey, error) {
		<-release
		return s.Derived.ContentKey(ctx, r)
	})
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := c.ContentKey(ctx, testRequest(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the context's", err)
	}
	close(release)
	c.keys.running.Wait()
	want(t, c, s, testRequest(1), nil, 1)
}

func TestCachedRemembersUnknown(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{UnknownFor: 5 * time.Second})
	s.fail(fmt.Errorf("asking server: %w", ErrUnknownKey))
	want(t, c, s, testRequest(1), ErrUnknownKey, 1)
	clock.advance(4 * time.Second)
	want(t, c, s, testRequest(1), ErrUnknownKey, 1)
	s.set(nil)
	clock.advance(time.Second)
	want(t, c, s, testRequest(1), nil, 2)
}

func TestCachedLeavesFailedSourceAlone(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{RetryAfter: time.Second})
	s.fail(errOut)
	want(t, c, s, testRequest(1), ErrUnavailable, 1)
	want(t, c, s, testRequest(1), errOut, 1)
	clock.advance(time.Second)
	s.set(nil)
	want(t, c, s, testRequest(1), nil, 2)
}

func TestCachedBridgesOutageUntilHardLimit(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{Fresh: time.Hour, HardLimit: 3 * time.Hour, RetryAfter: time.Second})
	want(t, c, s, testRequest(1), nil, 1)
	s.fail(errOut)
	clock.advance(59 * time.Minute)
	want(t, c, s, testRequest(1), nil, 1) // fresh
	clock.advance(time.Minute)
	want(t, c, s, testRequest(1), nil, 2) // stale: served, and asked again
	want(t, c, s, testRequest(1), nil, 2) // left alone for a second
	clock.advance(time.Second)
	want(t, c, s, testRequest(1), nil, 3)
	if n := len(c.keys.failed); n != 0 {
		t.Errorf("%d failures remembered of a question that has an answer", n)
	}
	clock.advance(2 * time.Hour)
	want(t, c, s, testRequest(1), ErrUnavailable, 4) // 3 h and 1 s old
	clock.advance(time.Second)
	s.set(nil)
	want(t, c, s, testRequest(1), nil, 5)
	want(t, c, s, testRequest(1), nil, 5)
	if n := len(c.keys.failed); n != 0 {
		t.Errorf("%d failures remembered of a question that has an answer", n)
	}
}

func TestCachedRefreshKeepsKeyFresh(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{Fresh: time.Hour, HardLimit: 90 * time.Minute})
	want(t, c, s, testRequest(1), nil, 1)
	for i := range int64(5) {
		clock.advance(time.Hour)
		want(t, c, s, testRequest(1), nil, 2+i) // never older than the hard limit, since each refresh counts
		want(t, c, s, testRequest(1), nil, 2+i)
	}
}

// TestCachedWithdrawnKey is a key that the source knew and denies now.
func TestCachedWithdrawnKey(t *testing.T) {
	for _, dropInUse := range []bool{false, true} {
		s, clock := newTestSource(t), newTestClock()
		c := newTestCache(t, s, clock, CacheOptions{Fresh: time.Hour})
		want(t, c, s, testRequest(1), nil, 1)
		c.keys.hint.Wait()
		if dropInUse { // the answer is then in the hint alone
			clear(c.keys.inUse)
		}
		s.fail(ErrUnknownKey)
		clock.advance(time.Hour)
		want(t, c, s, testRequest(1), nil, 2)
		want(t, c, s, testRequest(1), ErrUnknownKey, 2)
	}
}

func TestCachedReplacedKeyIsVoidEverywhere(t *testing.T) {
	s, clock := newTestSource(t), newTestClock()
	c := newTestCache(t, s, clock, CacheOptions{Fresh: time.Hour})
	r := testRequest(1)
	want(t, c, s, r, nil, 1)
	old := c.keys.inUse[r]
	other := testRequest(2)
	s.set(func(ctx context.Context, _ Request) (drm.ContentKey, error) { return s.Derived.ContentKey(ctx, other) })
	clock.advance(time.Hour)
	want(t, c, s, r, nil, 2)
	// ristretto applies writes late and drops some: the old answer may be what stays in it.
	c.keys.hint.Clear()
	c.keys.remind(old)
	c.keys.hint.Wait()
	k, err := c.ContentKey(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if kid, _ := s.KID(other); k.KID() != kid {
		t.Errorf("the old key %s is served on", k.KID())
	}
}

func TestCachedFailsClosed(t *testing.T) {
	const planted = "planted-secret"
	for name, f := range map[string]func(context.Context, Request) (drm.ContentKey, error){
		"zero key":         func(context.Context, Request) (drm.ContentKey, error) { return drm.ContentKey{}, nil },
		"panic":            func(context.Context, Request) (drm.ContentKey, error) { panic(planted) },
		"context error":    func(context.Context, Request) (drm.ContentKey, error) { return drm.ContentKey{}, context.Canceled },
		"unavailable":      func(context.Context, Request) (drm.ContentKey, error) { return drm.ContentKey{}, ErrUnavailable },
		"key and an error": func(context.Context, Request) (drm.ContentKey, error) { return testKey(1), errOut },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSource(t)
			s.set(f)
			c := newTestCache(t, s, newTestClock(), CacheOptions{})
			want(t, c, s, testRequest(1), ErrUnavailable, 1)
			list, err := c.ContentKeys(context.Background(), testTitle())
			if !errors.Is(err, ErrUnavailable) || list != nil {
				t.Errorf("list %v, error %v; want ErrUnavailable alone", list, err)
			}
		})
	}
}

func TestCachedLists(t *testing.T) {
	s := newTestSource(t)
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	for range 2 {
		list, err := c.ContentKeys(context.Background(), testTitle())
		if err != nil {
			t.Fatal(err)
		}
		if kid, _ := s.KID(Request{testTitle(), drm.ClassShared}); len(list) != 1 || list[0].KID() != kid {
			t.Fatalf("list %v", list)
		}
		list[0] = drm.ContentKey{} // the caller's own: the next answer is whole
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d calls of the source, want 1", n)
	}
}

func TestCachedRefusesBrokenLists(t *testing.T) {
	for _, reason := range []error{errEmptyList, errDoubleList} {
		s := newTestSource(t)
		s.set(func(context.Context, Request) (drm.ContentKey, error) { return testKey(1), reason })
		c := newTestCache(t, s, newTestClock(), CacheOptions{})
		list, err := c.ContentKeys(context.Background(), testTitle())
		if !errors.Is(err, ErrUnavailable) || list != nil {
			t.Errorf("%v: list %v, error %v; want ErrUnavailable alone", reason, list, err)
		}
	}
}

// TestCachedSeparatesSchemes is a key server that is not told the scheme.
func TestCachedSeparatesSchemes(t *testing.T) {
	s := newTestSource(t)
	s.set(func(context.Context, Request) (drm.ContentKey, error) { return testKey(1), nil })
	c := newTestCache(t, s, newTestClock(), CacheOptions{})
	r := testRequest(1)
	if _, err := c.ContentKey(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	r.Scheme = drm.SchemeCbcs
	if _, err := c.ContentKey(context.Background(), r); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error %v for the key of cenc under cbcs, want ErrUnavailable", err)
	}
	r.Scheme = drm.SchemeCenc
	if _, err := c.ContentKey(context.Background(), r); err != nil {
		t.Errorf("the scheme that was served is served no more: %v", err)
	}
}
