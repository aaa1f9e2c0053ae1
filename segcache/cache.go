package segcache

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	// recentShare is the part of all bytes, one in so many, that the newest entries have for themselves. A larger entry is
	// not kept: one title in a quality that nobody foresaw would push out everything else.
	recentShare = 4
	// promotionShare is the same for what is on the way from the newest to the likely ones.
	promotionShare = 8
	// counters is how many entries ristretto counts the requests of. It asks for ten times the entries that it holds; this
	// is enough for 100,000, and takes about 3 MB.
	counters = 1 << 20
)

// Cache holds protected segments up to a number of bytes, and collapses the making of one segment for all who ask for it at
// the same time. It is safe for concurrent use and must be made by New.
type Cache struct {
	now      func() time.Time
	maxBytes atomic.Int64
	likely   atomic.Pointer[ristretto.Cache[uint64, *Entry]] // nil until the size is above 0

	promoting atomic.Int64 // bytes
	resizing  sync.Mutex

	mu      sync.RWMutex // guards what follows
	recent  recent
	flights map[Key]*flight

	hits, shared, misses atomic.Uint64
}

// New returns a cache for at most maxBytes bytes of segments and what it costs to keep them; while one is moved inside the
// cache, it or an eighth may come on top. With 0 nothing is kept, and calls of Do are collapsed all the same. now is
// read at each look-up and may be called from several goroutines.
func New(maxBytes int64, now func() time.Time) (*Cache, error) {
	c := &Cache{now: now, flights: make(map[Key]*flight)}
	if err := c.Resize(maxBytes); err != nil {
		return nil, err
	}
	return c, nil
}

// Enabled reports whether anything is kept.
func (c *Cache) Enabled() bool { return c.maxBytes.Load() > 0 }

// Get returns the entry for key if the cache holds it. It allocates nothing. A miss is counted by the Do or Stream behind it.
func (c *Cache) Get(key Key) (*Entry, bool) {
	e, ok := c.lookup(key)
	if ok {
		c.hits.Add(1)
	}
	return e, ok
}

func (c *Cache) lookup(key Key) (*Entry, bool) {
	likely := c.likely.Load()
	if likely == nil || !c.Enabled() {
		return nil, false
	}
	now := c.now()
	// likely comes first and is asked always, since it counts what it is asked for.
	if e, ok := likely.Get(key.place()); ok && e.serves(key, now) {
		return e, true
	}
	c.mu.RLock()
	e := c.recent.get(key)
	c.mu.RUnlock()
	if e != nil && e.serves(key, now) {
		return e, true
	}
	return nil, false
}

// Do returns the entry for key: from the cache, from a call of makeEntry that is under way for it, or from one that it
// starts. hit reports that this caller caused no call.
//
// makeEntry runs in a goroutine of its own, with the values of the ctx of the caller who caused it and without its end: who
// leaves does not take the segment from the others. Its context is canceled when all have left. It must bound its own time, and
// must not touch what ends with a request, such as a ResponseWriter. The entry that it returns is the cache's from then on.
//
// An error of makeEntry goes to all who wait and is never kept; a panic in it becomes a *PanicError. A caller whose ctx ends
// gets its cause at once.
func (c *Cache) Do(
	ctx context.Context, key Key, makeEntry func(ctx context.Context) (*Entry, error),
) (entry *Entry, hit bool, err error) {
	if e, ok := c.lookup(key); ok { // without a closure, which would have to be allocated
		c.hits.Add(1)
		return e, true, nil
	}
	f, e, hit, err := c.start(ctx, key, func(ctx context.Context, _ *Feed) (*Entry, error) { return makeEntry(ctx) })
	if f == nil {
		return e, hit, err
	}
	select {
	case <-f.done:
		return f.entry, hit && f.err == nil, f.err
	case <-ctx.Done():
		c.leave(key, f)
		return nil, false, context.Cause(ctx)
	}
}

// Stream is Do for a segment that may come in chunks. Once the maker calls Begin of its feed, all who wait get the feed in
// place of an entry, and have to call its Leave when they are done.
func (c *Cache) Stream(
	ctx context.Context, key Key, makeEntry func(ctx context.Context, feed *Feed) (*Entry, error),
) (*Entry, *Feed, error) {
	if e, ok := c.lookup(key); ok {
		c.hits.Add(1)
		return e, nil, nil
	}
	f, e, _, err := c.start(ctx, key, makeEntry)
	if f == nil {
		return e, nil, err
	}
	select {
	case <-f.done:
		return f.entry, nil, f.err
	case <-f.feed.begun:
		if f.feed.follow() {
			return nil, f.feed, nil
		}
		return f.entry, nil, f.err
	case <-ctx.Done():
		c.leave(key, f)
		return nil, nil, context.Cause(ctx)
	}
}

// start joins the flight for key, or returns an entry that was finished meanwhile; hit reports that this caller caused no
// call.
func (c *Cache) start(ctx context.Context, key Key, makeEntry makeFunc) (f *flight, e *Entry, hit bool, err error) {
	if ctx.Err() != nil {
		return nil, nil, false, context.Cause(ctx)
	}
	e, f, hit = c.join(ctx, key, makeEntry)
	switch {
	case e != nil:
		c.hits.Add(1)
		return nil, e, true, nil
	case hit:
		c.shared.Add(1)
	default:
		c.misses.Add(1)
	}
	return f, nil, hit, nil
}

// promote offers to ristretto what is no longer new, now that its requests have been counted.
func (c *Cache) promote(entries []*Entry) {
	likely := c.likely.Load()
	for _, e := range entries {
		if likely != nil && e.serves(e.key, c.now()) && c.beginPromotion(e.cost()) {
			// An old entry goes first: ristretto would replace it without making room for what grew.
			likely.Del(e.key.place())
			likely.SetWithTTL(e.key.place(), e, e.cost(), e.TTL)
			likely.Wait()
			c.promoting.Add(-e.cost())
		}
	}
}

// beginPromotion bounds what waits for ristretto's decision, which is made by a goroutine that may be behind. A single entry
// always may.
func (c *Cache) beginPromotion(cost int64) bool {
	if sum := c.promoting.Add(cost); sum <= max(cost, c.maxBytes.Load()/promotionShare) {
		return true
	}
	c.promoting.Add(-cost)
	return false
}

// Resize changes the number of bytes, as a new configuration wants it. What is too much goes at once, the oldest first.
func (c *Cache) Resize(maxBytes int64) error {
	if maxBytes < 0 {
		return errNegative
	}
	c.resizing.Lock()
	defer c.resizing.Unlock()
	share := maxBytes / recentShare
	likely := c.likely.Load()
	if likely == nil && maxBytes > 0 {
		made, err := newLikely(maxBytes - share)
		if err != nil {
			return err
		}
		c.likely.Store(made)
	}
	c.maxBytes.Store(maxBytes)
	c.mu.Lock()
	_ = c.recent.resize(share)
	c.mu.Unlock()
	if likely != nil {
		likely.UpdateMaxCost(maxBytes - share)
		trim(likely)
	}
	return nil
}

func newLikely(maxBytes int64) (*ristretto.Cache[uint64, *Entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *Entry]{
		NumCounters: counters, MaxCost: maxBytes, BufferItems: 64, IgnoreInternalCost: true,
		KeyToHash: func(place uint64) (uint64, uint64) { return place, 0 }, // entries hold the whole key
	})
}

// trim deletes the oldest entries until the rest fits: ristretto itself does so only when something new comes, and not
// always then.
func trim(likely *ristretto.Cache[uint64, *Entry]) {
	likely.Wait()
	excess := -likely.RemainingCost()
	if excess <= 0 {
		return
	}
	var entries []*Entry
	likely.IterValues(func(e *Entry) bool {
		entries = append(entries, e)
		return false
	})
	slices.SortFunc(entries, func(a, b *Entry) int { return a.Stored.Compare(b.Stored) })
	for _, e := range entries {
		if excess <= 0 {
			break
		}
		likely.Del(e.key.place())
		excess -= e.cost()
	}
	likely.Wait()
}

// Stats are counts since the cache was made, and its size now.
type Stats struct {
	// Hits were answered from memory, Shared by the work of another caller, Misses by a call of their own.
	Hits, Shared, Misses uint64
	// Bytes is what the entries take.
	Bytes int64
	// MaxBytes is the configured size.
	MaxBytes int64
}

// Stats returns the counts for metrics.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Shared: c.shared.Load(), Misses: c.misses.Load(), MaxBytes: c.maxBytes.Load()}
	c.mu.RLock()
	s.Bytes = c.recent.bytes
	c.mu.RUnlock()
	if likely := c.likely.Load(); likely != nil {
		s.Bytes += likely.MaxCost() - likely.RemainingCost()
	}
	return s
}
