package keysource

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// maxFlights bounds the questions under way and waiting for their turn: each is a goroutine of a few kilobytes.
const maxFlights = 16384

// table remembers the answers to questions of one kind. Three layers hold them:
//
//	hint    ristretto, large and without a lock of ours; it may drop or refuse any item, so nothing depends on it
//	inUse   a bounded map of the most recently used answers, so that a key in use is not asked for twice
//	failed  a bounded map of refusals and failures, apart, so that made-up titles cannot push keys out
//
// When none of them can answer, one flight per question asks the source. Looking into the maps and joining a flight is
// one step under mu: otherwise a caller could miss the answer, be late for the flight, and start another.
type table[K comparable, V any] struct {
	options CacheOptions
	now     func() time.Time
	fetch   func(context.Context, K) (V, error)
	accept  func(q K, value V, held func(K) (V, bool)) error // last check of an answer, against others; may be nil
	slots   chan struct{}                                    // one token per question at the source
	seed    maphash.Seed

	stop    context.Context // ends with close
	cancel  context.CancelFunc
	running sync.WaitGroup

	// reading is held while hint is read: its Close races with its Get, and a server closes a cache while requests of its
	// old configuration still run.
	reading sync.RWMutex
	hint    *ristretto.Cache[uint64, *answer[K, V]] // nil once closed

	mu      sync.Mutex
	closed  bool
	inUse   map[K]*answer[K, V]
	failed  map[K]failure
	flights map[K]*flight[V]
}

// answer is one answer of the source. Only its atomics change; gone makes it void wherever it is still held.
type answer[K comparable, V any] struct {
	question K
	value    V
	at       time.Time    // when the source was asked
	used     atomic.Int64 // last use, in seconds of Unix time
	retryAt  atomic.Int64 // the source is left alone until then, in nanoseconds of Unix time
	gone     atomic.Bool
}

// failure is what is remembered of a question without an answer.
type failure struct {
	err   error
	until time.Time
	at    time.Time // when the source last said that it has no such key; zero: it did not
	out   bool      // it could not be asked again since
}

// flight is one question under way. value and err are set before done is closed.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func newTable[K comparable, V any](options CacheOptions, now func() time.Time, slots chan struct{},
	fetch func(context.Context, K) (V, error),
) (*table[K, V], error) {
	hint, err := ristretto.NewCache(&ristretto.Config[uint64, *answer[K, V]]{
		NumCounters: 10 * int64(options.Likely),
		MaxCost:     int64(options.Likely),
		BufferItems: 64,
		// Each answer costs 1: otherwise ristretto adds 56 to it and keeps next to nothing.
		IgnoreInternalCost: true,
		KeyToHash:          func(h uint64) (uint64, uint64) { return h, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("opening key cache: %w", err)
	}
	stop, cancel := context.WithCancel(context.Background())
	return &table[K, V]{
		options: options, now: now, fetch: fetch, slots: slots, seed: maphash.MakeSeed(),
		stop: stop, cancel: cancel, hint: hint,
		inUse: make(map[K]*answer[K, V]), failed: make(map[K]failure), flights: make(map[K]*flight[V]),
	}, nil
}

// get answers q from memory, else from the source. An error comes with the zero value.
func (t *table[K, V]) get(ctx context.Context, q K) (V, error) {
	now := t.now()
	a := t.fromHint(q, now)
	if a == nil {
		var f *flight[V]
		var err error
		if a, f, err = t.lookup(q, now); err != nil {
			var none V
			return none, err
		}
		if a == nil {
			return wait(ctx, f)
		}
	}
	if second := now.Unix(); a.used.Load() < second {
		a.used.Store(second)
	}
	if now.Sub(a.at) >= t.options.Fresh && a.retryAt.Load() <= now.UnixNano() {
		t.refresh(q)
	}
	return a.value, nil
}

// wait returns what f brings, unless ctx ends first. The flight goes on for the others.
func wait[V any](ctx context.Context, f *flight[V]) (V, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, fmt.Errorf("waiting for content key: %w", ctx.Err())
	}
}

// usable reports whether a may be served at now.
func (t *table[K, V]) usable(a *answer[K, V], now time.Time) bool {
	return !a.gone.Load() && now.Sub(a.at) < t.options.HardLimit
}

// fromHint looks q up outside mu. Two questions may have one hash; comparing them keeps their keys apart.
func (t *table[K, V]) fromHint(q K, now time.Time) *answer[K, V] {
	hash := maphash.Comparable(t.seed, q)
	t.reading.RLock()
	defer t.reading.RUnlock()
	if t.hint == nil {
		return nil
	}
	a, ok := t.hint.Get(hash)
	if !ok || a.question != q || !t.usable(a, now) {
		return nil
	}
	return a
}

// lookup returns the answer in use, or the failure that is still remembered, or the flight that will know.
func (t *table[K, V]) lookup(q K, now time.Time) (*answer[K, V], *flight[V], error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, errClosed
	}
	if a, ok := t.inUse[q]; ok && t.usable(a, now) {
		t.remind(a)
		return a, nil, nil
	}
	if f, ok := t.failed[q]; ok && now.Before(f.until) {
		return nil, nil, f.err
	} else if ok && f.out && now.Sub(f.at) < t.options.HardLimit { // nobody waits for a source that is out
		t.join(q)
		return nil, nil, f.err
	}
	f := t.join(q)
	if f == nil {
		return nil, nil, errBusy
	}
	return nil, f, nil
}

// refresh has the source asked again, without waiting.
func (t *table[K, V]) refresh(q K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.join(q)
	}
}

// join returns the flight for q and starts it if there is none, or nil when there are too many. The caller holds mu of an
// open table.
func (t *table[K, V]) join(q K) *flight[V] {
	if f, ok := t.flights[q]; ok {
		return f
	}
	if len(t.flights) >= maxFlights {
		return nil
	}
	f := &flight[V]{done: make(chan struct{})}
	t.flights[q] = f
	t.running.Add(1) // under mu of an open table, so that close never waits on a count that still rises
	go t.fly(q, f)
	return f
}

// remind puts a into the hint. The caller holds mu of an open table, so the hint is open too.
func (t *table[K, V]) remind(a *answer[K, V]) {
	t.hint.Set(maphash.Comparable(t.seed, a.question), a, 1)
}

// fly asks the source, records what it says, and wakes those who wait. Its context is the table's own, since the caller
// who asked first may be the first to leave.
func (t *table[K, V]) fly(q K, f *flight[V]) {
	defer t.running.Done()
	ctx, cancel := context.WithTimeout(t.stop, t.options.FetchTimeout)
	defer cancel()
	asked := t.now()
	value, err := t.askSource(ctx, q)
	if err != nil && !errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	t.land(q, f, value, err, asked)
}

// askSource waits for a turn and asks. A source that panics is one that cannot answer: the goroutine is ours, and the
// process would end. What it panicked with stays out of the error, since it may hold anything.
func (t *table[K, V]) askSource(ctx context.Context, q K) (value V, err error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return value, fmt.Errorf("waiting for a turn at the key source: %w", ctx.Err())
	}
	defer func() {
		if recover() != nil {
			var none V
			value, err = none, errors.New("key source panicked")
		}
	}()
	return t.fetch(ctx, q)
}

// land settles f: the answer replaces an older one, ErrUnknownKey voids it, and a source that is out leaves in use what it said last.
func (t *table[K, V]) land(q K, f *flight[V], value V, err error, asked time.Time) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flights, q)
	defer close(f.done)
	out := err != nil && !errors.Is(err, ErrUnknownKey)
	if err == nil && t.accept != nil && !t.closed {
		err = t.accept(q, value, func(other K) (V, bool) { return t.held(other, now) })
	}
	if err != nil {
		f.err = t.recordFailure(q, failure{err: err, at: asked}, out, now)
		return
	}
	f.value = value
	if t.closed {
		return
	}
	a := &answer[K, V]{question: q, value: value, at: asked}
	a.used.Store(now.Unix())
	if old := t.current(q); old != nil {
		old.gone.Store(true)
	}
	if _, ok := t.inUse[q]; !ok && len(t.inUse) >= t.options.KeysInUse {
		t.evictAnswer(now)
	}
	t.inUse[q] = a
	delete(t.failed, q)
	t.remind(a)
}

// recordFailure remembers that f came of q, and returns what those who asked are told. A source that is out has said nothing: that it had
// no such key goes on to hold then, as a key would, or else a title without a track of some class would have no license while its other keys
// are at hand. The caller holds mu.
func (t *table[K, V]) recordFailure(q K, f failure, out bool, now time.Time) error {
	if t.closed {
		return f.err
	}
	wait := t.options.RetryAfter
	a := t.current(q)
	if errors.Is(f.err, ErrUnknownKey) {
		wait = t.options.UnknownFor
		if a != nil {
			a.gone.Store(true)
			delete(t.inUse, q)
		}
	} else {
		if a != nil {
			a.retryAt.Store(now.Add(wait).UnixNano())
			if t.usable(a, now) {
				return f.err
			}
		}
		f.at = time.Time{}
		if last := t.failed[q]; out && !last.at.IsZero() && now.Sub(last.at) < t.options.HardLimit {
			f.err, f.at, f.out = last.err, last.at, true
		}
	}
	if _, ok := t.failed[q]; !ok && len(t.failed) >= t.options.KeysInUse {
		t.evictFailure(now)
	}
	f.until = now.Add(wait)
	t.failed[q] = f
	return f.err
}

// current returns the answer to q that any layer holds, or nil. The caller holds mu of an open table.
func (t *table[K, V]) current(q K) *answer[K, V] {
	if a, ok := t.inUse[q]; ok {
		return a
	}
	if a, ok := t.hint.Get(maphash.Comparable(t.seed, q)); ok && a.question == q && !a.gone.Load() {
		return a
	}
	return nil
}

// held returns the value that any layer holds for q. The caller holds mu of an open table.
func (t *table[K, V]) held(q K, now time.Time) (V, bool) {
	if a := t.current(q); a != nil && t.usable(a, now) {
		return a.value, true
	}
	var none V
	return none, false
}

// close ends the flights and forgets everything. It waits for the source to observe its context.
func (t *table[K, V]) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cancel()
	t.running.Wait()

	t.reading.Lock()
	if t.hint != nil {
		t.hint.Close()
		t.hint = nil
	}
	t.reading.Unlock()

	t.mu.Lock()
	clear(t.inUse)
	clear(t.failed)
	t.mu.Unlock()
}
