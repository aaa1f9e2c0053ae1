package state

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"
)

// Replay remembers what may be used once. It is safe for concurrent use.
type Replay interface {
	// Seen reports whether id was given to Seen before, on any node, and remembers it until that time. An error means that nobody
	// can tell: what must not be used twice is then refused. id is a digest of the tenant and the token, made by the caller.
	Seen(ctx context.Context, id [16]byte, until time.Time) (bool, error)
	// Known reports whether id was given to Seen before, and remembers nothing: it is for who only wants to know.
	Known(ctx context.Context, id [16]byte) (bool, error)
}

// MaxSeen is how many single-use tokens one node's memory holds at the same time, about 100 bytes each.
const MaxSeen = 1 << 20

// MemoryReplay is the Replay of one node.
type MemoryReplay struct {
	now   func() time.Time
	limit int

	mu   sync.Mutex
	ids  map[[16]byte]struct{}
	ends seenHeap
}

// NewMemoryReplay returns an empty Replay. Where limit (0: MaxSeen) tokens are remembered, Seen fails: to forget one would be to
// let it be used again.
func NewMemoryReplay(limit int, now func() time.Time) *MemoryReplay {
	if limit == 0 {
		limit = MaxSeen
	}
	return &MemoryReplay{now: now, limit: limit, ids: make(map[[16]byte]struct{})}
}

// Seen implements Replay.
func (m *MemoryReplay) Seen(_ context.Context, id [16]byte, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.forget(now)
	if _, seen := m.ids[id]; seen {
		return true, nil
	}
	if !now.Before(until) {
		return false, nil // whoever judges the time refuses it
	}
	if len(m.ids) >= m.limit {
		return false, fmt.Errorf("%w: %d single-use tokens are remembered", ErrUnavailable, m.limit)
	}
	m.ids[id] = struct{}{}
	heap.Push(&m.ends, seenUntil{until, id})
	return false, nil
}

// Known implements Replay.
func (m *MemoryReplay) Known(_ context.Context, id [16]byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(m.now())
	_, seen := m.ids[id]
	return seen, nil
}

// forget drops what is over. The lock is held.
func (m *MemoryReplay) forget(now time.Time) {
	for len(m.ends) > 0 && !now.Before(m.ends[0].end) {
		delete(m.ids, m.ends[0].id)
		heap.Pop(&m.ends)
	}
}

type seenUntil struct {
	end time.Time
	id  [16]byte
}

// seenHeap has the one that ends first in front.
type seenHeap []seenUntil

func (h seenHeap) Len() int           { return len(h) }
func (h seenHeap) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h seenHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *seenHeap) Push(x any) {
	if s, ok := x.(seenUntil); ok {
		*h = append(*h, s)
	}
}

// Pop implements heap.Interface.
func (h *seenHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
