package inflight

import (
	"context"
	"time"
)

// Grant is a part of a Budget. Its methods may be called from several goroutines, but only one may grow it at a time.
type Grant struct {
	budget *Budget
	// The lock of the Budget guards what follows.
	bytes    int64
	growing  *waiter // while Grow waits
	released bool
}

// Bytes returns the size of the grant.
func (g *Grant) Bytes() int64 {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	return g.bytes
}

// Grow makes the grant one of n bytes in all, if it is smaller, after waiting for at most wait. It goes ahead of those who have
// no grant yet.
//
// Errors are those of Acquire; ErrBusy comes at once if nobody who holds a grant could release it, because all wait to grow. The
// grant is then as it was, and the caller should give up and release it: others wait for that.
func (g *Grant) Grow(ctx context.Context, n int64, wait time.Duration) error {
	b := g.budget
	b.mu.Lock()
	if g.released || n <= g.bytes {
		defer b.mu.Unlock()
		if g.released {
			return errReleased
		}
		return nil
	}
	g.growing = b.newWaiter(g, n-g.bytes, &b.growing)
	return b.await(ctx, g.growing, wait)
}

// Shrink gives back what the grant has above n bytes.
func (g *Grant) Shrink(n int64) {
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if excess := g.bytes - max(n, 0); excess > 0 {
		g.bytes -= excess
		b.used -= excess
		b.settle()
	}
}

// Release gives everything back. A Grow that still waits returns an error. Calls after the first do nothing.
func (g *Grant) Release() {
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.released {
		return
	}
	if g.growing != nil {
		b.finish(g.growing, errReleased)
	}
	b.used -= g.bytes
	b.grants--
	g.bytes, g.released = 0, true
	b.settle()
}
