package inflight

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// Budget is the memory that requests may hold at one time, in bytes. It is safe for concurrent use and must be made by
// NewBudget.
//
// golang.org/x/sync/semaphore is not enough here: it cannot be resized, and a holder who asks for more would wait behind those
// who wait for him.
type Budget struct {
	mu       sync.Mutex
	capacity int64
	used     int64
	grants   int // given and not released
	growing  list.List
	waiting  list.List
}

// waiter asks for bytes more than its grant has. It is in one of the lists of the Budget until it is settled.
type waiter struct {
	grant   *Grant
	bytes   int64
	queue   *list.List
	element *list.Element // nil once settled
	err     error
	ready   chan struct{} // closed once settled
}

// NewBudget returns a budget of that many bytes. With 0 or less there is no limit, and what is in use is only counted.
func NewBudget(bytes int64) *Budget { return &Budget{capacity: bytes} }

// Acquire returns a grant of n bytes, after waiting for its turn for at most wait. The caller releases it.
//
// It returns ErrTooLarge at once if n is more than the whole budget, ErrBusy if its turn did not come in time (with a wait of 0
// or less: not now), and the cause of ctx if that ends first. Without a grant there is nothing to release.
func (b *Budget) Acquire(ctx context.Context, n int64, wait time.Duration) (*Grant, error) {
	g := &Grant{budget: b}
	b.mu.Lock()
	w := b.newWaiter(g, max(n, 0), &b.waiting)
	if err := b.await(ctx, w, wait); err != nil {
		return nil, err
	}
	return g, nil
}

func (b *Budget) newWaiter(g *Grant, bytes int64, queue *list.List) *waiter {
	return &waiter{grant: g, bytes: bytes, queue: queue, ready: make(chan struct{})}
}

// await puts w into its queue and returns when it is settled or gives up. It is called with the lock held and returns
// without it.
func (b *Budget) await(ctx context.Context, w *waiter, wait time.Duration) error {
	settled, err := b.enqueue(ctx, w, wait)
	b.mu.Unlock()
	if settled {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return w.err
	case <-timer.C:
		err = ErrBusy
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish(w, err) // unless it was settled in the same moment
	b.settle()
	return w.err
}

func (b *Budget) enqueue(ctx context.Context, w *waiter, wait time.Duration) (settled bool, err error) {
	if ctx.Err() != nil {
		return true, context.Cause(ctx)
	}
	if b.neverFits(w) {
		return true, ErrTooLarge
	}
	w.element = w.queue.PushBack(w)
	b.settle()
	if w.element != nil && wait <= 0 {
		b.finish(w, ErrBusy)
		b.settle()
	}
	return w.element == nil, w.err
}

func (b *Budget) neverFits(w *waiter) bool {
	return b.capacity > 0 && w.bytes > b.capacity-w.grant.bytes
}

// settle gives what there is to those whose turn it is. It is called after every change, with the lock held.
func (b *Budget) settle() {
	b.admit(&b.growing)
	if b.growing.Len() == 0 {
		b.admit(&b.waiting)
	}
	if n := b.growing.Len(); n > 0 && n == b.grants {
		// Nobody is left who could release anything without being told to.
		b.finish(waiterOf(b.growing.Back()), ErrStuck)
	}
}

func (b *Budget) admit(queue *list.List) {
	for queue.Len() > 0 {
		switch w := waiterOf(queue.Front()); {
		case b.capacity <= 0 || w.bytes <= b.capacity-b.used:
			b.finish(w, nil)
		case b.neverFits(w): // since the budget was resized
			b.finish(w, ErrTooLarge)
		default:
			return
		}
	}
}

// finish takes w from its queue, with what it asked for if err is nil. It does nothing if that happened before.
func (b *Budget) finish(w *waiter, err error) {
	if w.element == nil {
		return
	}
	w.queue.Remove(w.element)
	w.element, w.err = nil, err
	if err == nil {
		b.used += w.bytes
		w.grant.bytes += w.bytes
		if w.queue == &b.waiting {
			b.grants++
		}
	}
	close(w.ready)
}

func waiterOf(element *list.Element) *waiter {
	w, _ := element.Value.(*waiter) // nothing else is put in
	return w
}

// Pressure reports whether more than half of the budget is in use, or somebody waits for it: memory should then not be held
// for slow clients.
func (b *Budget) Pressure() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.capacity > 0 && (b.used > b.capacity/2 || b.growing.Len()+b.waiting.Len() > 0)
}

// Resize changes the budget, as a new configuration wants it. What was granted stays so; a smaller budget grants nothing
// until enough was released.
func (b *Budget) Resize(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.capacity = bytes
	b.settle()
}

// Stats is a Budget at one moment.
type Stats struct {
	// Used is what is granted, in bytes, of Capacity.
	Used, Capacity int64
	// Grants counts those who hold a grant, Waiting those who wait for one or for a larger one.
	Grants, Waiting int
}

// Stats returns figures for metrics.
func (b *Budget) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Used: b.used, Capacity: b.capacity, Grants: b.grants, Waiting: b.growing.Len() + b.waiting.Len()}
}
