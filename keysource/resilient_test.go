package keysource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// fakeServer is a Fetcher that a test scripts.
type fakeServer struct {
	asked  atomic.Int64
	answer func(ctx context.Context, t Title) (Bundle, error)
	split  bool
}

func (f *fakeServer) Split() bool { return f.split }

func (f *fakeServer) Fetch(ctx context.Context, t Title) (Bundle, error) {
	f.asked.Add(1)
	return f.answer(ctx, t)
}

func oneKey(_ context.Context, _ Title) (Bundle, error) {
	k := testKey(1)
	return Bundle{Keys: map[drm.TrackClass]drm.ContentKey{drm.ClassShared: k}, Signals: []Signal{
		{System: drm.SystemWidevine, KID: k.KID(), HLSKeyURI: "x"}, {System: drm.SystemWidevine, KID: testKey(2).KID()},
	}}, nil
}

func fastOptions() ResilientOptions {
	return ResilientOptions{Wait: time.Millisecond, BreakAfter: 3, BreakFor: time.Second, BreakForMost: 4 * time.Second}
}

func TestResilientAsksOnceForAll(t *testing.T) {
	release := make(chan struct{})
	f := &fakeServer{answer: func(ctx context.Context, t Title) (Bundle, error) { <-release; return oneKey(ctx, t) }}
	r := NewResilient(f, newTestClock().now, fastOptions())
	b := NewBundled(r)
	var all sync.WaitGroup
	for i := range 5000 {
		all.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				_, err = b.ContentKey(context.Background(), Request{testTitle(), drm.ClassShared})
			case 1:
				_, err = b.ContentKeys(context.Background(), testTitle())
			case 2:
				var list []Signal
				var ok bool
				if list, ok, err = b.Signals(context.Background(), Request{testTitle(), drm.ClassShared}); err == nil && (!ok || len(list) != 1) {
					err = fmt.Errorf("signals %v", list)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	close(release)
	all.Wait()
	if n := f.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestResilientLeaving: who leaves does not end the question for the others.
func TestResilientLeaving(t *testing.T) {
	release := make(chan struct{})
	f := &fakeServer{answer: func(ctx context.Context, t Title) (Bundle, error) {
		select {
		case <-release:
			return oneKey(ctx, t)
		case <-ctx.Done():
			return Bundle{}, ctx.Err()
		}
	}}
	r := NewResilient(f, newTestClock().now, fastOptions())
	first, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { _, err := r.Fetch(first, testTitle()); left <- err }()
	for f.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	second := make(chan error)
	go func() { _, err := r.Fetch(context.Background(), testTitle()); second <- err }()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestResilientRetries(t *testing.T) {
	temporary := fmt.Errorf("%w: %w", ErrUnavailable, ErrTemporary)
	for name, test := range map[string]struct {
		fails int64
		err   error
		asked int64
		is    error
	}{
		"over at the third attempt": {2, temporary, 3, nil},
		"not over":                  {9, temporary, 3, ErrUnavailable},
		"refused":                   {9, ErrUnavailable, 1, ErrUnavailable},
		"unknown":                   {9, ErrUnknownKey, 1, ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeServer{}
			f.answer = func(ctx context.Context, title Title) (Bundle, error) {
				if f.asked.Load() <= test.fails {
					return Bundle{}, test.err
				}
				return oneKey(ctx, title)
			}
			var waits []time.Duration
			options := fastOptions()
			options.Jitter = func(d time.Duration) time.Duration { waits = append(waits, d); return 0 }
			_, err := NewResilient(f, newTestClock().now, options).Fetch(context.Background(), testTitle())
			if !errors.Is(err, test.is) || f.asked.Load() != test.asked {
				t.Errorf("asked %d times: %v", f.asked.Load(), err)
			}
			if test.asked == 3 && fmt.Sprint(waits[:2]) != "[1ms 2ms]" {
				t.Errorf("waited %v", waits)
			}
		})
	}
}

// TestResilientColdStart: with the server out, an answer comes in bounded time.
func TestResilientColdStart(t *testing.T) {
	f := &fakeServer{answer: func(ctx context.Context, _ Title) (Bundle, error) {
		<-ctx.Done()
		return Bundle{}, fmt.Errorf("%w: %w", ErrUnavailable, ErrTemporary)
	}}
	options := fastOptions()
	options.Timeout = 20 * time.Millisecond
	began := time.Now()
	if _, err := NewResilient(f, newTestClock().now, options).Fetch(context.Background(), testTitle()); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestResilientBreaker(t *testing.T) {
	out := true
	f := &fakeServer{answer: func(ctx context.Context, t Title) (Bundle, error) {
		if out {
			return Bundle{}, ErrUnavailable
		}
		return oneKey(ctx, t)
	}}
	clock := newTestClock()
	r := NewResilient(f, clock.now, fastOptions())
	ask := func(n int) error {
		title := testTitle()
		title.Asset = fmt.Sprintf("/%d/", n)
		_, err := r.Fetch(context.Background(), title)
		return err
	}
	for i := range 3 {
		if err := ask(i); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
	}
	wantBroken := func(asked int64) {
		t.Helper()
		if err := ask(9); !errors.Is(err, ErrBroken) || !errors.Is(err, ErrUnavailable) || f.asked.Load() != asked {
			t.Fatalf("asked %d times: %v", f.asked.Load(), err)
		}
	}
	wantBroken(3)
	clock.advance(1100 * time.Millisecond) // one probe, which fails: the next break is twice as long
	if err := ask(4); errors.Is(err, ErrBroken) || f.asked.Load() != 4 {
		t.Fatal(err)
	}
	clock.advance(1100 * time.Millisecond)
	wantBroken(4)
	clock.advance(time.Second)
	out = false
	if err := ask(5); err != nil {
		t.Fatal(err)
	}
	if err := ask(6); err != nil {
		t.Fatal(err)
	}
}

// TestResilientKeepsNothingForLong: after a while a question goes to the server again.
func TestResilientKeepsNothingForLong(t *testing.T) {
	f := &fakeServer{answer: oneKey}
	clock := newTestClock()
	r := NewResilient(f, clock.now, fastOptions())
	for i, step := range []time.Duration{0, 29 * time.Second, 2 * time.Second} {
		clock.advance(step)
		if _, err := r.Fetch(context.Background(), testTitle()); err != nil {
			t.Fatal(err)
		}
		if want := []int64{1, 1, 2}[i]; f.asked.Load() != want {
			t.Errorf("step %d: asked %d times", i, f.asked.Load())
		}
	}
	for i := range 3 * maxKeptBundles {
		title := testTitle()
		title.Period = uint32(i)
		if _, err := r.Fetch(context.Background(), title); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.kept) > maxKeptBundles {
		t.Errorf("%d answers kept", len(r.kept))
	}
}

func TestResilientRefusesMixedKeys(t *testing.T) {
	one := testKey(1)
	secret := one.Secret()
	kid := one.KID()
	otherKID, err := drm.NewContentKey(testKey(2).KID(), secret[:], secret[:])
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := drm.NewContentKey(one.KID(), kid[:], kid[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(context.Context, Title) (Bundle, error){
		"one key, two KIDs": func(context.Context, Title) (Bundle, error) {
			return Bundle{Keys: map[drm.TrackClass]drm.ContentKey{drm.ClassSD: one, drm.ClassHD: otherKID}}, nil
		},
		"one KID, two keys": func(context.Context, Title) (Bundle, error) {
			return Bundle{Keys: map[drm.TrackClass]drm.ContentKey{drm.ClassSD: one, drm.ClassHD: otherKey}}, nil
		},
		"no key": func(context.Context, Title) (Bundle, error) {
			return Bundle{Keys: map[drm.TrackClass]drm.ContentKey{drm.ClassSD: {}}}, nil
		},
		"panic": func(context.Context, Title) (Bundle, error) { panic(fmt.Sprintf("%x", secret)) },
	} {
		_, err := NewResilient(&fakeServer{answer: answer, split: true}, newTestClock().now, fastOptions()).Fetch(context.Background(), testTitle())
		if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), fmt.Sprintf("%x", secret)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCachedSignals: signals outlive an outage as keys do.
func TestCachedSignals(t *testing.T) {
	out := false
	f := &fakeServer{answer: func(ctx context.Context, t Title) (Bundle, error) {
		if out {
			return Bundle{}, ErrUnavailable
		}
		return oneKey(ctx, t)
	}}
	clock := newTestClock()
	c, err := NewCached(NewBundled(NewResilient(f, clock.now, fastOptions())), clock.now, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := Request{testTitle(), drm.ClassShared}
	want := func(is error) {
		t.Helper()
		list, ok, err := c.Signals(context.Background(), r)
		if !errors.Is(err, is) || is == nil && (!ok || len(list) != 1 || list[0].HLSKeyURI != "x") {
			t.Errorf("%v, %t, %v", list, ok, err)
		}
	}
	want(nil)
	out = true
	clock.advance(5 * time.Hour)
	want(nil)
	clock.advance(20 * time.Hour)
	want(ErrUnavailable)
}

// TestPrefetchBringsSignals: what is fetched ahead of need costs the server one question, and no question later.
func TestPrefetchBringsSignals(t *testing.T) {
	f := &fakeServer{answer: oneKey}
	clock := newTestClock()
	c, err := NewCached(NewBundled(NewResilient(f, clock.now, fastOptions())), clock.now, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := Request{testTitle(), drm.ClassShared}
	r.Period = 1
	c.Prefetch(r)
	for range 2 {
		if _, err := c.ContentKey(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := c.Signals(context.Background(), r); !ok || err != nil {
			t.Fatal(err)
		}
		clock.advance(time.Minute) // beyond what Resilient keeps
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestCachedSignalsOfOthers: a source that is no Signaler leaves them to its caller.
func TestCachedSignalsOfOthers(t *testing.T) {
	c, err := NewCached(testDerived(t, false), newTestClock().now, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if list, ok, err := c.Signals(context.Background(), Request{testTitle(), drm.ClassShared}); list != nil || ok || err != nil {
		t.Errorf("%v, %t, %v", list, ok, err)
	}
}
