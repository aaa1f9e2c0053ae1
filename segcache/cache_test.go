package segcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// testClock is a clock that stands still until it is told.
func testClock() (now func() time.Time, advance func(time.Duration)) {
	ticks := make(chan time.Time, 1)
	ticks <- time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now = func() time.Time {
		t := <-ticks
		ticks <- t
		return t
	}
	return now, func(d time.Duration) { ticks <- (<-ticks).Add(d) }
}

// testKey is spread over all 32 bytes as a digest would be.
func testKey(n int) Key {
	var k Key
	for i := range 4 {
		binary.LittleEndian.PutUint64(k[8*i:], uint64(n+1)*0x9e3779b97f4a7c15)
	}
	return k
}

func testEntry(n, size int) *Entry {
	return &Entry{Body: bytes.Repeat([]byte{byte(n)}, size), ContentType: "video/mp4", ETag: `"test"`}
}

func newTestCache(t testing.TB, maxBytes int64, now func() time.Time) *Cache {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	c, err := New(maxBytes, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// put makes an entry through Do and reports whether that took a call.
func put(t testing.TB, c *Cache, n int, e *Entry) (called bool) {
	t.Helper()
	got, hit, err := c.Do(context.Background(), testKey(n), func(context.Context) (*Entry, error) {
		called = true
		return e, nil
	})
	if err != nil || got == nil || hit == called {
		t.Fatalf("Do: %v, hit %v, called %v, %v", got, hit, called, err)
	}
	return called
}

// settle waits until ristretto has decided about everything.
func settle(t testing.TB, c *Cache) {
	t.Helper()
	waitFor(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.flights) == 0 && c.promoting.Load() == 0
	})
	if likely := c.likely.Load(); likely != nil {
		likely.Wait()
	}
}

// age makes everything that the cache holds no longer new.
func age(t testing.TB, c *Cache) {
	t.Helper()
	c.mu.Lock()
	oldest := c.recent.resize(0)
	c.recent.resize(c.maxBytes.Load() / recentShare)
	c.mu.Unlock()
	c.promote(oldest)
	settle(t, c)
}

func TestGetReturnsWhatWasMade(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	if e, ok := c.Get(testKey(1)); ok || e != nil {
		t.Fatalf("an empty cache holds %v", e)
	}
	made := testEntry(1, 100)
	put(t, c, 1, made)
	e, ok := c.Get(testKey(1))
	if !ok || &e.Body[0] != &made.Body[0] || e.ContentType != "video/mp4" || e.ETag != `"test"` || e.Stored.IsZero() {
		t.Fatalf("Get returns %v, %v", e, ok)
	}
	if !made.Stored.IsZero() || made.TTL != 0 {
		t.Error("the maker's value was changed")
	}
	if put(t, c, 1, testEntry(2, 100)) {
		t.Error("an entry at hand was made again")
	}
	if _, ok := c.Get(testKey(2)); ok {
		t.Error("another key has the entry, too")
	}
}

func TestKeysWithOnePlace(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	put(t, c, 1, testEntry(1, 100))
	other := testKey(1)
	other[31]++
	for range 2 {
		if _, ok := c.Get(other); ok {
			t.Fatal("a key that shares 31 bytes got the entry of another")
		}
		age(t, c)
	}
	if _, ok := c.Get(testKey(1)); !ok {
		t.Fatal("the entry is gone")
	}
}

func TestTTL(t *testing.T) {
	for name, test := range map[string]struct {
		ttl, age time.Duration
		kept     bool
	}{
		"default, before its end":  {0, DefaultTTL - 1, true},
		"default, at its end":      {0, DefaultTTL, false},
		"named, before its end":    {time.Hour, time.Hour - 1, true},
		"named, at its end":        {time.Hour, time.Hour, false},
		"shorter than the default": {time.Second, 2 * time.Second, false},
		"not to be kept":           {-1, 0, false},
	} {
		for _, where := range []string{"recent", "likely"} {
			t.Run(name+", "+where, func(t *testing.T) {
				now, advance := testClock()
				c := newTestCache(t, 1<<20, now)
				e := testEntry(1, 100)
				e.TTL = test.ttl
				put(t, c, 1, e)
				if where == "likely" {
					age(t, c)
				}
				advance(test.age)
				if _, ok := c.Get(testKey(1)); ok != test.kept {
					t.Fatalf("kept: %v, want %v", ok, test.kept)
				}
				if called := put(t, c, 1, testEntry(2, 50)); called == test.kept {
					t.Fatalf("made again: %v", called)
				}
				if e, ok := c.Get(testKey(1)); !ok || test.kept != (e.Body[0] == 1) {
					t.Fatal("the new entry is not there")
				}
				age(t, c)
				if e, ok := c.Get(testKey(1)); !ok || test.kept != (e.Body[0] == 1) {
					t.Fatal("the new entry is not there when it is no longer new")
				}
			})
		}
	}
}

func TestNewestSurviveWhateverIsAdmitted(t *testing.T) {
	const size = 1 << 10
	c := newTestCache(t, 64*(size+overhead), nil)
	for n := range 48 { // fill likely, and make everything in it worth more than what comes
		put(t, c, n, testEntry(n, size))
	}
	age(t, c)
	for range 20 {
		for n := range 48 {
			c.Get(testKey(n))
		}
	}
	const ring = 64 / recentShare
	for n := 1000; n < 1200; n++ {
		put(t, c, n, testEntry(n, size))
		for newest := max(1000, n-ring+1); newest <= n; newest++ {
			if _, ok := c.Get(testKey(newest)); !ok {
				t.Fatalf("entry %d is gone when %d was the newest", newest, n)
			}
		}
	}
}

// TestHotSurvivesAStream asks for a few segments again and again while a stream of others passes that are asked for once.
func TestHotSurvivesAStream(t *testing.T) {
	if testtools.RaceEnabled {
		t.Skip("under the race detector sync.Pool drops most of ristretto's counts")
	}
	const size, hot, rounds = 1 << 10, 8, 2000
	c := newTestCache(t, 64*(size+overhead), nil)
	made := 0
	for n := range rounds {
		put(t, c, 100+n, testEntry(n, size))
		for k := range hot {
			if put(t, c, k, testEntry(k, size)) {
				made++
			}
		}
		settle(t, c) // as in TestResize
	}
	if made > rounds/100*hot {
		t.Errorf("%d hot segments were made %d times", hot, made)
	}
}

// liveBytes sums what the cache keeps alive, each entry once.
func liveBytes(c *Cache) (sum int64) {
	seen := map[*Entry]bool{}
	add := func(e *Entry) bool {
		if !seen[e] {
			seen[e] = true
			sum += e.cost()
		}
		return false
	}
	if likely := c.likely.Load(); likely != nil {
		likely.IterValues(add)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for element := c.recent.order.Front(); element != nil; element = element.Next() {
		add(entryOf(element))
	}
	return sum
}

func TestBytesAreBounded(t *testing.T) {
	const maxBytes = 1 << 20
	c := newTestCache(t, maxBytes, nil)
	for n := range 3000 {
		put(t, c, n%700, testEntry(n, 500+(n*7919)%(60<<10)))
		if n%100 == 0 {
			settle(t, c)
			if live := liveBytes(c); live > maxBytes {
				t.Fatalf("%d bytes are alive after %d entries", live, n)
			}
		}
	}
	settle(t, c)
	s := c.Stats()
	if live := liveBytes(c); live != s.Bytes || live > maxBytes || live < maxBytes/2 || s.MaxBytes != maxBytes {
		t.Fatalf("%d bytes are alive, stats say %+v", live, s)
	}
}

// TestReplacedEntryGrows covers what ristretto would let pass: an update by a larger entry makes no room.
func TestReplacedEntryGrows(t *testing.T) {
	now, advance := testClock()
	const maxBytes = 1 << 20
	c := newTestCache(t, maxBytes, now)
	for round := range 5 {
		for n := range 12 {
			put(t, c, n, testEntry(n, (round+1)*(40<<10)))
			settle(t, c)
			if s := c.Stats(); s.Bytes > maxBytes || liveBytes(c) > maxBytes {
				t.Fatalf("round %d: %d bytes are alive, stats say %+v", round, liveBytes(c), s)
			}
		}
		advance(time.Hour)
	}
}

func TestLargeEntries(t *testing.T) {
	const maxBytes = 1 << 20
	for name, test := range map[string]struct {
		body, capacity int
		kept           bool
	}{
		"a quarter":                        {maxBytes/4 - overhead, 0, true},
		"more than a quarter":              {maxBytes/4 - overhead + 1, 0, false},
		"more than all":                    {2 * maxBytes, 0, false},
		"small part of a large allocation": {100, maxBytes, false},
		"nothing":                          {0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCache(t, maxBytes, nil)
			put(t, c, 1, &Entry{Body: make([]byte, test.body, max(test.body, test.capacity))})
			if _, ok := c.Get(testKey(1)); ok != test.kept {
				t.Fatalf("kept: %v, want %v", ok, test.kept)
			}
		})
	}
}

func TestResize(t *testing.T) {
	const size, entries = 8 << 10, 200
	c := newTestCache(t, 0, nil)
	if c.Enabled() || !put(t, c, 1, testEntry(1, size)) || !put(t, c, 1, testEntry(1, size)) || liveBytes(c) != 0 {
		t.Fatal("a cache without bytes keeps something")
	}
	for _, maxBytes := range []int64{4 << 20, 1 << 20, 100 << 10, 2 << 20, 0, 1 << 20} {
		if err := c.Resize(maxBytes); err != nil {
			t.Fatal(err)
		}
		if live, s := liveBytes(c), c.Stats(); live > maxBytes || s.Bytes > maxBytes || s.MaxBytes != maxBytes {
			t.Fatalf("resized to %d: %d bytes are alive, stats say %+v", maxBytes, live, s)
		}
		for n := range entries {
			put(t, c, n, testEntry(n, size))
			settle(t, c) // in a loop as tight as this one, ristretto's goroutines would hardly run
		}
		live := liveBytes(c)
		if live > maxBytes || live < min(maxBytes/2, entries*size) || live != c.Stats().Bytes {
			t.Fatalf("of %d bytes %d are used", maxBytes, live)
		}
		if c.Enabled() != (maxBytes > 0) {
			t.Fatal("Enabled does not follow")
		}
	}
	if c.Resize(-1) == nil {
		t.Error("a negative size was taken")
	}
	if _, err := New(-1, time.Now); err == nil {
		t.Error("a negative size was taken by New")
	}
}

func TestTinySizes(t *testing.T) {
	for maxBytes := range int64(5) {
		c := newTestCache(t, maxBytes, nil)
		put(t, c, 1, testEntry(1, 10))
		if liveBytes(c) != 0 {
			t.Errorf("%d bytes hold an entry", maxBytes)
		}
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	if testtools.RaceEnabled {
		t.Skip("under the race detector sync.Pool drops some of what it is given, at random")
	}
	c := newTestCache(t, 64<<20, nil)
	put(t, c, 1, testEntry(1, 1<<10))
	age(t, c)
	put(t, c, 2, testEntry(2, 1<<10))
	for name, key := range map[string]Key{"likely": testKey(1), "recent": testKey(2), "missing": testKey(1000)} {
		if allocs := testing.AllocsPerRun(1000, func() { c.Get(key) }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
	ctx, made := context.Background(), func(context.Context) (*Entry, error) { return nil, errNoEntry }
	if allocs := testing.AllocsPerRun(1000, func() { _, _, _ = c.Do(ctx, testKey(1), made) }); allocs != 0 {
		t.Errorf("Do at hand: %v allocations", allocs)
	}
}

func TestStats(t *testing.T) {
	c := newTestCache(t, 1<<20, nil)
	c.Get(testKey(1))               // does not count
	put(t, c, 1, testEntry(1, 100)) // a miss
	put(t, c, 1, testEntry(1, 100)) // a hit
	c.Get(testKey(1))               // a hit
	if s := c.Stats(); s.Hits != 2 || s.Misses != 1 || s.Shared != 0 {
		t.Errorf("stats say %+v", s)
	}
}
