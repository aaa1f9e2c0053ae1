package state

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// GrantStore keeps what licenses were granted, for all nodes. An id is a digest of the session and the key, made by the caller. It is safe
// for concurrent use.
type GrantStore interface {
	// Grant remembers id until that time.
	Grant(ctx context.Context, id [16]byte, until time.Time) error
	// Granted returns until when id is remembered; the zero time: it is not.
	Granted(ctx context.Context, id [16]byte) (until time.Time, err error)
}

// ErrNotGranted is returned by Wait for a session that has no license for the key.
var ErrNotGranted = errors.New("no license for the key was granted to the session")

// Grants is a node's view of a GrantStore: it asks once for each session and key, and lets who comes a little early wait. It is safe for
// concurrent use.
type Grants struct {
	store GrantStore
	now   func() time.Time

	mu    sync.Mutex
	known map[[16]byte]time.Time    // until when; kept as long as it holds
	early map[[16]byte]earlySegment // what a track was given before its license
	heard chan struct{}             // closed, and made anew, with each grant of this node

	earlySweep sweep
}

// earlySegment is the one segment of a track that goes without a license.
type earlySegment struct {
	segment [16]byte
	until   time.Time
}

const (
	// maxKnownGrants bounds both maps of a node, 100 bytes or so an entry. What is dropped is asked for again.
	maxKnownGrants = 1 << 18
	// grantPoll is the time between two questions for a grant that another node may have made.
	grantPoll = 250 * time.Millisecond
	// earlyFor is how long a track keeps its early segment.
	earlyFor = 10 * time.Minute
)

// NewGrants returns the view of a node.
func NewGrants(store GrantStore, now func() time.Time) *Grants {
	return &Grants{
		store: store, now: now, known: make(map[[16]byte]time.Time), early: make(map[[16]byte]earlySegment), heard: make(chan struct{}),
	}
}

// Add grants id until that time, on all nodes.
func (g *Grants) Add(ctx context.Context, id [16]byte, until time.Time) error {
	if err := g.store.Grant(ctx, id, until); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(id, until)
	close(g.heard)
	g.heard = make(chan struct{})
	return nil
}

func (g *Grants) remember(id [16]byte, until time.Time) {
	if len(g.known) >= maxKnownGrants {
		now := g.now()
		for id, until := range g.known {
			if !now.Before(until) {
				delete(g.known, id)
			}
		}
		if len(g.known) >= maxKnownGrants {
			clear(g.known)
		}
	}
	g.known[id] = until
}

// Wait returns nil as soon as id is granted, and ErrNotGranted if it is not within that time. Any other error is the store's: nobody can
// tell then.
func (g *Grants) Wait(ctx context.Context, id [16]byte, wait time.Duration) error {
	deadline := g.now().Add(wait)
	for {
		g.mu.Lock()
		until, known := g.known[id]
		heard := g.heard
		g.mu.Unlock()
		if known && g.now().Before(until) {
			return nil
		}
		until, err := g.store.Granted(ctx, id)
		switch {
		case err != nil:
			return err
		case g.now().Before(until):
			g.mu.Lock()
			g.remember(id, until)
			g.mu.Unlock()
			return nil
		}
		left := deadline.Sub(g.now())
		if left <= 0 {
			return ErrNotGranted
		}
		if err := g.pause(ctx, heard, min(left, grantPoll)); err != nil {
			return err
		}
	}
}

func (g *Grants) pause(ctx context.Context, heard <-chan struct{}, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-heard:
	case <-timer.C:
	}
	return nil
}

// Early reports whether a segment is the one of its track that goes without a license: players ask for one only when they have seen
// encrypted media. The first that is asked for is it, again and again.
func (g *Grants) Early(track, segment [16]byte) bool {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if e, ok := g.early[track]; ok && now.Before(e.until) {
		return e.segment == segment
	}
	if len(g.early) >= maxKnownGrants && g.earlySweep.due(now) {
		maps.DeleteFunc(g.early, func(_ [16]byte, e earlySegment) bool { return !now.Before(e.until) })
	}
	if len(g.early) >= maxKnownGrants {
		return false
	}
	g.early[track] = earlySegment{segment, now.Add(earlyFor)}
	return true
}

// MemoryGrants is the GrantStore of one node.
type MemoryGrants struct {
	now func() time.Time

	mu     sync.Mutex
	grants map[[16]byte]time.Time
	sweep  sweep
}

// maxGrants is how many grants one node's memory holds, some 60 bytes each.
const maxGrants = 1 << 20

// NewMemoryGrants returns an empty GrantStore.
func NewMemoryGrants(now func() time.Time) *MemoryGrants {
	return &MemoryGrants{now: now, grants: make(map[[16]byte]time.Time)}
}

// Grant implements GrantStore. Where maxGrants hold it fails: who was let in is not forgotten for somebody new.
func (m *MemoryGrants) Grant(_ context.Context, id [16]byte, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.grants[id]; !known && len(m.grants) >= maxGrants {
		if now := m.now(); m.sweep.due(now) {
			maps.DeleteFunc(m.grants, func(_ [16]byte, until time.Time) bool { return !now.Before(until) })
		}
		if len(m.grants) >= maxGrants {
			return ErrUnavailable
		}
	}
	m.grants[id] = until
	return nil
}

// sweep says when a full map is looked through for what is over. Each look is at all of it, while everybody else waits: one for each who is
// refused would be a way to hold up all others.
type sweep struct{ last time.Time }

// sweepEvery is the time between two looks.
const sweepEvery = 10 * time.Second

func (s *sweep) due(now time.Time) bool {
	if since := now.Sub(s.last); since >= 0 && since < sweepEvery {
		return false
	}
	s.last = now
	return true
}

// Granted implements GrantStore.
func (m *MemoryGrants) Granted(_ context.Context, id [16]byte) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.grants[id], nil
}
