package keysource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ResilientOptions tune Resilient. The zero value of each field means its default.
type ResilientOptions struct {
	// Attempts is how often the server is asked for one title before the question fails; default 3.
	Attempts int
	// Wait is the wait before the second attempt, doubled before each further one; default 200 milliseconds.
	Wait time.Duration
	// Timeout bounds all attempts at one title; default 10 seconds.
	Timeout time.Duration
	// Keep is how long an answer also serves the other questions about its title, those for other classes and for signals; default 30
	// seconds. It is no cache in the sense of Cached: old answers serve nobody.
	Keep time.Duration
	// BreakAfter is the number of questions in a row that may fail before the server is left alone; default 5.
	BreakAfter int
	// BreakFor is how long it is left alone then, doubled while it stays out up to BreakForMost; defaults 1 second and 30 seconds.
	BreakFor, BreakForMost time.Duration
	// Jitter returns a duration a little below the one given, so that nodes do not ask all at once; default the duration itself.
	Jitter func(time.Duration) time.Duration
}

func (o ResilientOptions) withDefaults() ResilientOptions {
	for _, d := range []struct {
		value *time.Duration
		std   time.Duration
	}{
		{&o.Wait, 200 * time.Millisecond},
		{&o.Timeout, 10 * time.Second},
		{&o.Keep, 30 * time.Second},
		{&o.BreakFor, time.Second},
		{&o.BreakForMost, 30 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.std
		}
	}
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	if o.BreakAfter <= 0 {
		o.BreakAfter = 5
	}
	if o.Jitter == nil {
		o.Jitter = func(d time.Duration) time.Duration { return d }
	}
	return o
}

// maxKeptBundles bounds the answers that Resilient keeps at hand.
const maxKeptBundles = 1024

// ErrBroken is returned, inside ErrUnavailable, while a server that kept failing is left alone.
var ErrBroken = errors.New("the key server keeps failing and is left alone for a while")

// Resilient asks another Fetcher once for all that ask for one title at a time, tries again what may be over soon, and leaves a server
// that keeps failing alone, so that neither side drowns in questions that cannot be answered. It needs no closing: what runs ends by
// its Timeout.
type Resilient struct {
	fetcher Fetcher
	now     func() time.Time
	options ResilientOptions

	mu      sync.Mutex
	flights map[Title]*bundleFlight
	kept    map[Title]keptBundle

	failures int           // questions in a row
	broken   time.Duration // how long the last break was
	until    time.Time     // end of the break
	probing  bool          // one question is under way to find out whether it is over
}

type bundleFlight struct {
	done   chan struct{}
	bundle Bundle
	err    error
}

type keptBundle struct {
	bundle Bundle
	until  time.Time
}

var _ Fetcher = (*Resilient)(nil)

// NewResilient puts itself in front of f. now may be called from several goroutines.
func NewResilient(f Fetcher, now func() time.Time, options ResilientOptions) *Resilient {
	return &Resilient{
		fetcher: f, now: now, options: options.withDefaults(), flights: make(map[Title]*bundleFlight), kept: make(map[Title]keptBundle),
	}
}

// Split implements Fetcher.
func (r *Resilient) Split() bool { return r.fetcher.Split() }

// Fetch implements Fetcher. A caller whose context ends leaves alone.
func (r *Resilient) Fetch(ctx context.Context, t Title) (Bundle, error) {
	f, bundle, err := r.join(ctx, t)
	if f == nil {
		return bundle, err
	}
	select {
	case <-f.done:
		return f.bundle, f.err
	case <-ctx.Done():
		return Bundle{}, fmt.Errorf("waiting for the key server: %w", ctx.Err())
	}
}

// join returns the flight for t, or what is known without one.
func (r *Resilient) join(ctx context.Context, t Title) (*bundleFlight, Bundle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if k, ok := r.kept[t]; ok && now.Before(k.until) {
		return nil, k.bundle, nil
	}
	if f, ok := r.flights[t]; ok {
		return f, Bundle{}, nil
	}
	if r.failures >= r.options.BreakAfter {
		if r.probing || now.Before(r.until) {
			return nil, Bundle{}, fmt.Errorf("%w: %w", ErrUnavailable, ErrBroken)
		}
		r.probing = true
	}
	f := &bundleFlight{done: make(chan struct{})}
	r.flights[t] = f
	go r.fly(context.WithoutCancel(ctx), t, f)
	return f, Bundle{}, nil
}

func (r *Resilient) fly(ctx context.Context, t Title, f *bundleFlight) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	bundle, err := r.attempts(ctx, t)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, t)
	r.settle(err)
	if f.err = err; err == nil {
		f.bundle = bundle
		r.keep(t, bundle)
	}
	close(f.done)
}

// attempts asks until there is an answer, a failure that will stay, or no time left.
func (r *Resilient) attempts(ctx context.Context, t Title) (bundle Bundle, err error) {
	wait := r.options.Wait
	for attempt := 1; ; attempt++ {
		if bundle, err = r.once(ctx, t); err == nil || !errors.Is(err, ErrTemporary) || attempt >= r.options.Attempts {
			return bundle, err
		}
		timer := time.NewTimer(r.options.Jitter(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Bundle{}, err
		}
		wait *= 2
	}
}

func (r *Resilient) once(ctx context.Context, t Title) (bundle Bundle, err error) {
	defer func() {
		if recover() != nil { // the goroutine is ours; what it panicked with may hold anything
			bundle, err = Bundle{}, fmt.Errorf("%w: the key source panicked", ErrUnavailable)
		}
	}()
	if bundle, err = r.fetcher.Fetch(ctx, t); err != nil {
		return Bundle{}, err
	}
	if err := bundle.check(); err != nil {
		return Bundle{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return bundle, nil
}

// settle counts failures. That a title is unknown is an answer. The caller holds mu.
func (r *Resilient) settle(err error) {
	r.probing = false
	if err == nil || errors.Is(err, ErrUnknownKey) {
		r.failures, r.broken = 0, 0
		return
	}
	if r.failures++; r.failures < r.options.BreakAfter {
		return
	}
	r.broken = min(max(2*r.broken, r.options.BreakFor), r.options.BreakForMost)
	r.until = r.now().Add(r.options.Jitter(r.broken))
}

// keep holds an answer for the next questions about its title. The caller holds mu.
func (r *Resilient) keep(t Title, bundle Bundle) {
	now := r.now()
	if len(r.kept) >= maxKeptBundles {
		for other, k := range r.kept {
			if !now.Before(k.until) {
				delete(r.kept, other)
			}
		}
		if len(r.kept) >= maxKeptBundles {
			clear(r.kept) // Cached has them all
		}
	}
	r.kept[t] = keptBundle{bundle: bundle, until: now.Add(r.options.Keep)}
}

// Format keeps every verb from reaching the fields.
func (r *Resilient) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "key server") }
