package segcache

import (
	"context"
	"runtime/debug"
)

// flight is the making of one entry, for all who wait for it.
type flight struct {
	cancel  context.CancelFunc
	waiting int           // callers; guarded by the Cache's lock
	done    chan struct{} // closed when entry and err are set
	entry   *Entry
	err     error
	feed    *Feed
}

// makeFunc makes an entry. It may hand it on chunk by chunk through feed meanwhile.
type makeFunc func(ctx context.Context, feed *Feed) (*Entry, error)

// join returns the flight for key, which it starts if there is none, and whether another caller had started it. An entry
// that was finished meanwhile is returned instead.
func (c *Cache) join(ctx context.Context, key Key, makeEntry makeFunc) (*Entry, *flight, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.recent.get(key); e != nil && e.serves(key, c.now()) {
		return e, nil, true
	}
	f, shared := c.flights[key]
	if !shared {
		detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{cancel: cancel, done: make(chan struct{})}
		f.feed = newFeed(f, func() { c.leave(key, f) })
		c.flights[key] = f
		go c.fly(detached, key, f, makeEntry)
	}
	f.waiting++
	return nil, f, shared
}

// leave takes one caller off a flight. The last one cancels it; who comes afterwards starts another.
func (c *Cache) leave(key Key, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		c.forget(key, f)
		f.cancel()
	}
}

// forget lets the next caller start anew. Another flight may have taken the place of one that everybody left.
func (c *Cache) forget(key Key, f *flight) {
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

func (c *Cache) fly(ctx context.Context, key Key, f *flight, makeEntry makeFunc) {
	defer f.cancel()
	returned := false
	defer func() { // also when makeEntry panics or ends the goroutine
		if !returned {
			f.entry, f.err = nil, &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		oldest := c.land(key, f)
		close(f.done)
		f.feed.end()
		c.promote(oldest)
	}()
	f.entry, f.err = makeEntry(ctx, f.feed)
	returned = true
}

// land settles the result and, in one step with the end of the flight, puts an entry where the next caller finds it. It
// returns the entries that had to make room.
func (c *Cache) land(key Key, f *flight) (oldest []*Entry) {
	kept := false
	switch {
	case f.err != nil:
		f.entry = nil
	case f.entry == nil:
		f.err = errNoEntry
	default:
		e := *f.entry // the maker's own value stays as it is
		e.key, e.Stored = key, c.now()
		if e.TTL == 0 {
			e.TTL = DefaultTTL
		}
		f.entry = &e
		kept = e.TTL > 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept {
		oldest = c.recent.add(f.entry)
	}
	c.forget(key, f)
	return oldest
}
