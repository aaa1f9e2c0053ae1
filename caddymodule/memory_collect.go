package caddymodule

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
)

// collector asks the garbage collector to run. Left alone it lets the heap double, and the heap of a gateway with a cache is mostly
// bodies: what the cache let go of and nobody reads any more would take as much memory as what is of use.
type collector struct {
	since   atomic.Int64 // bytes of bodies made since it last looked
	kept    atomic.Int64 // bytes of the heap that the last collection left
	running atomic.Bool
}

const (
	// collectAfter is how many bytes of bodies are made between two looks.
	collectAfter = 32 << 20
	// collectBeyond is how much the heap grows at least between two collections that were asked for: what else the process holds
	// is no reason to collect all the time.
	collectBeyond = 64 << 20
)

// made counts a body, and collects if memory is short or the heap is above what may be in flight and in the cache.
func (c *collector) made(bytes int64, app *App) {
	if c.since.Add(bytes) <= collectAfter || !c.running.CompareAndSwap(false, true) {
		return
	}
	c.since.Store(0)
	heap := heapBytes()
	if !app.inFlight.Pressure() && (heap <= app.InFlight+max(app.SegmentCache, 0) || heap <= c.kept.Load()+collectBeyond) {
		c.running.Store(false)
		return
	}
	go func() {
		defer c.running.Store(false)
		runtime.GC()
		c.kept.Store(heapBytes())
	}()
}

// heapBytes returns what objects take, dead ones that were not swept yet among them.
func heapBytes() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(sample[0].Value.Uint64())
}
