package state

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// CutStore keeps where the Periods of live MPDs begin, for all nodes. An id is a digest of the Period, made by the caller. It is safe for
// concurrent use.
type CutStore interface {
	// Cut returns what was kept for id before or, if that is nothing, start, and keeps it for that long from now on.
	Cut(ctx context.Context, id [16]byte, start, keep time.Duration) (time.Duration, error)
}

// Cuts is a node's view of a CutStore: it asks once for each Period. It is safe for concurrent use.
type Cuts struct {
	store CutStore
	now   func() time.Time

	mu    sync.Mutex
	known map[[16]byte]knownCut
	out   time.Time // the store did not answer, and is left alone until then
}

// knownCut is where a Period begins on this node.
type knownCut struct {
	start time.Duration
	until time.Time
	kept  bool // the store has it
}

const (
	// maxKnownCuts bounds the Periods that a node knows, and those of MemoryCuts, 100 bytes or so each.
	maxKnownCuts = 1 << 17
	// cutsPause is how long a store that failed is left alone, so that manifests do not wait for it again and again.
	cutsPause = 2 * time.Second
)

// NewCuts returns the view of a node.
func NewCuts(store CutStore, now func() time.Time) *Cuts {
	return &Cuts{store: store, now: now, known: make(map[[16]byte]knownCut)}
}

// Cut returns where a Period begins: as all nodes have it that share the store, or start if they have none yet. seen says that every node that
// reads the same comes to the same start: then it holds although the store is out, and is kept there later. Otherwise an error says that nobody
// can tell.
func (c *Cuts) Cut(ctx context.Context, id [16]byte, start, keep time.Duration, seen bool) (time.Duration, error) {
	now := c.now()
	c.mu.Lock()
	known, ok := c.known[id]
	ok = ok && now.Before(known.until)
	out := now.Before(c.out)
	c.mu.Unlock()
	switch {
	case ok && (known.kept && now.Before(known.until.Add(-keep/2)) || out):
		return known.start, nil
	case ok:
		start = known.start
	}
	kept, err := start, ErrUnavailable
	if !out {
		kept, err = c.store.Cut(ctx, id, start, keep)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil && !ok:
		start = kept // players know another one of this node otherwise
	case err == nil:
	case ctx.Err() != nil && ok: // it is the caller who leaves
		return start, nil
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	default:
		if !out {
			c.out = now.Add(cutsPause)
		}
		if !ok && !seen {
			return 0, fmt.Errorf("asking where a Period begins: %w", err)
		}
	}
	if other, since := c.known[id]; since && !ok && err != nil && now.Before(other.until) {
		return other.start, nil // who asked at the same time has given it to players
	}
	if _, counted := c.known[id]; !counted && len(c.known) >= maxKnownCuts {
		forgetCuts(c.known, now)
	}
	c.known[id] = knownCut{start, now.Add(keep), err == nil}
	return start, nil
}

// forgetCuts drops what is over, or everything if that is nothing.
func forgetCuts(known map[[16]byte]knownCut, now time.Time) {
	for id, cut := range known {
		if !now.Before(cut.until) {
			delete(known, id)
		}
	}
	if len(known) >= maxKnownCuts {
		clear(known)
	}
}

// MemoryCuts is the CutStore of one node.
type MemoryCuts struct {
	now func() time.Time

	mu   sync.Mutex
	cuts map[[16]byte]knownCut
}

// NewMemoryCuts returns an empty CutStore.
func NewMemoryCuts(now func() time.Time) *MemoryCuts {
	return &MemoryCuts{now: now, cuts: make(map[[16]byte]knownCut)}
}

// Cut implements CutStore. It never fails.
func (m *MemoryCuts) Cut(_ context.Context, id [16]byte, start, keep time.Duration) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if cut, ok := m.cuts[id]; ok && now.Before(cut.until) {
		m.cuts[id] = knownCut{start: cut.start, until: now.Add(keep)}
		return cut.start, nil
	}
	if len(m.cuts) >= maxKnownCuts {
		forgetCuts(m.cuts, now)
	}
	m.cuts[id] = knownCut{start: start, until: now.Add(keep)}
	return start, nil
}
