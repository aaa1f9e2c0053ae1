package segcache

import (
	"context"
	"testing"
	"time"
)

// BenchmarkGet looks up what is kept by frequency, what is kept because it is new, and what is not there.
func BenchmarkGet(b *testing.B) {
	c := newTestCache(b, 64<<20, time.Now)
	put(b, c, 1, testEntry(1, 64<<10))
	age(b, c)
	put(b, c, 2, testEntry(2, 64<<10))
	for name, key := range map[string]Key{"likely": testKey(1), "recent": testKey(2), "missing": testKey(3)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c.Get(key)
				}
			})
		})
	}
}

// BenchmarkDo is the whole way of a request: at hand, and made by one call each, whose own cost is nothing.
func BenchmarkDo(b *testing.B) {
	e := testEntry(1, 64<<10)
	makeEntry := func(context.Context) (*Entry, error) { return e, nil }
	b.Run("hit", func(b *testing.B) {
		c := newTestCache(b, 64<<20, time.Now)
		put(b, c, 1, e)
		b.ReportAllocs()
		for b.Loop() {
			if _, hit, _ := c.Do(b.Context(), testKey(1), makeEntry); !hit {
				b.Fatal("not at hand")
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		c := newTestCache(b, 64<<20, time.Now)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			if _, hit, _ := c.Do(b.Context(), testKey(n), makeEntry); hit {
				b.Fatal("at hand")
			}
		}
	})
}
