package state

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Grant is a license that was granted, and until when. ID is a digest of what it is for, such as the session and the key, made by the caller.
type Grant struct {
	ID    [16]byte
	Until time.Time
}

// GrantStore keeps what licenses were granted, for all nodes. Each method asks about many at once, since a license is on several records and
// its viewer waits: a store far away is asked in one round trip. It is safe for concurrent use.
type GrantStore interface {
	// Grant remembers each grant until its time. An error may leave some of them remembered.
	Grant(ctx context.Context, grants ...Grant) error
	// Granted returns until when each id is remembered, in their order; the zero time: it is not. Beside an error there may be answers, too: then
	// the zero time says nothing.
	Granted(ctx context.Context, ids ...[16]byte) (until []time.Time, err error)
	// Release forgets ids before their time. An error may leave some of them.
	Release(ctx context.Context, ids ...[16]byte) error
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
	// waiting are those who wait for a grant that this node may make, by its ID. Each is told once, by a channel with room for that.
	waiting map[[16]byte][]chan struct{}

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
		store: store, now: now, known: make(map[[16]byte]knownGrant), early: make(map[[16]byte]earlySegment),
		waiting: make(map[[16]byte][]chan struct{}),
	}
}

// Add makes grants, on all nodes.
func (g *Grants) Add(ctx context.Context, grants ...Grant) error {
	if len(grants) == 0 {
		return nil
	}
	if err := g.store.Grant(ctx, grants...); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, grant := range grants {
		g.remember(grant.ID, grant.Until)
		for _, heard := range g.waiting[grant.ID] {
			select {
			case heard <- struct{}{}:
			default: // told already
			}
		}
	}
	return nil
}

// Release ends grants: here at once, on other nodes within grantFresh and their next request.
func (g *Grants) Release(ctx context.Context, ids ...[16]byte) error {
	if len(ids) == 0 {
		return nil
	}
	if err := g.store.Release(ctx, ids...); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		delete(g.known, id)
	}
	return nil
}

// Until returns until when each of ids is granted, by the store; the zero time: it is not.
func (g *Grants) Until(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return g.store.Granted(ctx, ids...)
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
	if g.knows(ids) {
		return nil
	}
	deadline := g.now().Add(wait)
	heard := make(chan struct{}, 1)
	g.listen(heard, ids)
	defer g.leave(heard, ids)
	for !g.knows(ids) {
		granted, err := g.ask(ctx, ids)
		if granted || err != nil {
			return err
		}
		left := deadline.Sub(g.now())
		if left <= 0 {
			return ErrNotGranted
		}
		if err := pause(ctx, heard, min(left, grantPoll)); err != nil {
			return err
		}
	}
	return nil
}

// listen has heard told of each grant of ids, until leave.
func (g *Grants) listen(heard chan struct{}, ids [][16]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		g.waiting[id] = append(g.waiting[id], heard)
	}
}

func (g *Grants) leave(heard chan struct{}, ids [][16]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		left := slices.DeleteFunc(g.waiting[id], func(other chan struct{}) bool { return other == heard })
		if g.waiting[id] = left; len(left) == 0 {
			delete(g.waiting, id)
		}
	}
}

// knows reports whether this node knows that one of ids is granted. What it has not asked about for a while it asks about behind the request,
// which does not wait for the store.
func (g *Grants) knows(ids [][16]byte) bool {
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
		return true
	}
	return false
}

// ask asks the store whether one of ids is granted. One that is counts although the store cannot tell of another, which may be on a server that
// is out.
func (g *Grants) ask(ctx context.Context, ids [][16]byte) (granted bool, err error) {
	until, err := g.store.Granted(ctx, ids...)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, end := range until {
		if g.now().Before(end) {
			g.remember(ids[i], end)
			granted = true
		}
	}
	if granted {
		return true, nil
	}
	return false, err
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
	if g.now().Before(until[0]) {
		g.remember(id, until[0])
	} else {
		delete(g.known, id)
	}
}

func pause(ctx context.Context, heard <-chan struct{}, length time.Duration) error {
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

// Grant implements GrantStore. Where there would be more than maxGrants it fails, and remembers nothing: who was let in is not forgotten for
// somebody new.
func (m *MemoryGrants) Grant(_ context.Context, grants ...Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := 0
	for _, grant := range grants {
		if _, known := m.grants[grant.ID]; !known {
			fresh++
		}
	}
	if fresh > 0 && len(m.grants)+fresh > maxGrants {
		if now := m.now(); m.sweep.due(now) {
			maps.DeleteFunc(m.grants, func(_ [16]byte, until time.Time) bool { return !now.Before(until) })
		}
		if len(m.grants)+fresh > maxGrants {
			return ErrUnavailable
		}
	}
	for _, grant := range grants {
		m.grants[grant.ID] = grant.Until
	}
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
func (m *MemoryGrants) Granted(_ context.Context, ids ...[16]byte) ([]time.Time, error) {
	until := make([]time.Time, len(ids))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, id := range ids {
		until[i] = m.grants[id]
	}
	return until, nil
}

// Release implements GrantStore.
func (m *MemoryGrants) Release(_ context.Context, ids ...[16]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.grants, id)
	}
	return nil
}
