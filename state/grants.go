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
	// Release forgets id before its time.
	Release(ctx context.Context, id [16]byte) error
}

// ErrNotGranted is returned by Wait for a session that has no license for the key.
var ErrNotGranted = errors.New("no license for the key was granted to the session")

// Grants is a node's view of a GrantStore: it asks once for each session and key, and lets who comes a little early wait. It is safe for
// concurrent use.
type Grants struct {
	store GrantStore
	now   func() time.Time

	mu    sync.Mutex
	known map[[16]byte]knownGrant   // kept as long as it holds
	early map[[16]byte]earlySegment // what a track was given before its license
	heard chan struct{}             // closed, and made anew, with each grant of this node

	earlySweep sweep
}

// knownGrant is what a node knows of a grant: until when it holds, and when the store was last asked.
type knownGrant struct {
	until, asked time.Time
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
	// grantFresh is how long a node does not ask again whether a grant was released on another.
	grantFresh = 30 * time.Second
	// earlyFor is how long a track keeps its early segment.
	earlyFor = 10 * time.Minute
)

// NewGrants returns the view of a node.
func NewGrants(store GrantStore, now func() time.Time) *Grants {
	return &Grants{
		store: store, now: now, known: make(map[[16]byte]knownGrant), early: make(map[[16]byte]earlySegment), heard: make(chan struct{}),
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

// Release ends a grant: here at once, on other nodes within grantFresh and their next request.
func (g *Grants) Release(ctx context.Context, id [16]byte) error {
	if err := g.store.Release(ctx, id); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.known, id)
	return nil
}

// Until returns until when id is granted, by the store; the zero time: it is not.
func (g *Grants) Until(ctx context.Context, id [16]byte) (time.Time, error) {
	return g.store.Granted(ctx, id)
}

func (g *Grants) remember(id [16]byte, until time.Time) {
	now := g.now()
	if len(g.known) >= maxKnownGrants {
		for id, known := range g.known {
			if !now.Before(known.until) {
				delete(g.known, id)
			}
		}
		if len(g.known) >= maxKnownGrants {
			clear(g.known)
		}
	}
	g.known[id] = knownGrant{until, now}
}

// Wait returns nil as soon as one of ids is granted, and ErrNotGranted if none is within that time. Any other error is the store's: nobody
// can tell then.
func (g *Grants) Wait(ctx context.Context, wait time.Duration, ids ...[16]byte) error {
	deadline := g.now().Add(wait)
	for {
		granted, heard := g.knows(ids)
		if granted {
			return nil
		}
		granted, err := g.ask(ctx, ids)
		if granted || err != nil {
			return err
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

// knows reports whether this node knows that one of ids is granted, and returns what is closed with its next grant. What it has not asked
// about for a while it asks about behind the request, which does not wait for the store.
func (g *Grants) knows(ids [][16]byte) (granted bool, heard <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, id := range ids {
		known, ok := g.known[id]
		if !ok || !now.Before(known.until) {
			continue
		}
		if now.Sub(known.asked) >= grantFresh {
			g.known[id] = knownGrant{known.until, now}
			go g.askAgain(id)
		}
		return true, g.heard
	}
	return false, g.heard
}

// ask asks the store for each of ids until one is granted.
func (g *Grants) ask(ctx context.Context, ids [][16]byte) (granted bool, err error) {
	for _, id := range ids {
		until, err := g.store.Granted(ctx, id)
		if err != nil {
			return false, err
		}
		if g.now().Before(until) {
			g.mu.Lock()
			g.remember(id, until)
			g.mu.Unlock()
			return true, nil
		}
	}
	return false, nil
}

// askAgain finds out whether a grant has been released on another node. While the store cannot tell, it holds.
func (g *Grants) askAgain(id [16]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), grantTimeout)
	defer cancel()
	until, err := g.store.Granted(ctx, id)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.known[id]; !known || err != nil {
		return
	}
	if g.now().Before(until) {
		g.remember(id, until)
	} else {
		delete(g.known, id)
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

// MayBeEarly reports what Early would, and changes nothing.
func (g *Grants) MayBeEarly(track, segment [16]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.early[track]
	return !ok || !g.now().Before(e.until) || e.segment == segment
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

// Release implements GrantStore.
func (m *MemoryGrants) Release(_ context.Context, id [16]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.grants, id)
	return nil
}
