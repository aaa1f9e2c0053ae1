package state

import (
	"context"
	"sync"
	"time"
)

// MemoryStreams is the StreamStore of one node. It answers at once and never fails.
type MemoryStreams struct {
	now func() time.Time

	mu   sync.Mutex
	keys map[Digest]*countedStreams
}

// countedStreams are the playbacks of one key.
type countedStreams struct {
	playing map[Digest]playing
	kicked  map[Digest]time.Time // until when
}

type playing struct{ started, expires time.Time }

// NewMemoryStreams returns an empty store that reads the time from now.
func NewMemoryStreams(now func() time.Time) *MemoryStreams {
	return &MemoryStreams{now: now, keys: make(map[Digest]*countedStreams)}
}

// Hold implements StreamStore.
func (m *MemoryStreams) Hold(_ context.Context, uses []StreamUse) ([]StreamStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	statuses := make([]StreamStatus, len(uses))
	for i, use := range uses {
		key := m.keys[use.Key]
		if key == nil {
			key = &countedStreams{playing: make(map[Digest]playing), kicked: make(map[Digest]time.Time)}
		}
		key.expire(now)
		statuses[i] = key.hold(use, now)
		m.keep(use.Key, key)
	}
	return statuses, nil
}

// Release implements StreamStore.
func (m *MemoryStreams) Release(_ context.Context, uses []StreamUse) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, use := range uses {
		if key := m.keys[use.Key]; key != nil {
			delete(key.playing, use.Playback)
			m.keep(use.Key, key)
		}
	}
	return nil
}

// Sweep forgets what has run out.
func (m *MemoryStreams) Sweep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for digest, key := range m.keys {
		key.expire(now)
		m.keep(digest, key)
	}
}

// Len returns the number of keys that are remembered.
func (m *MemoryStreams) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.keys)
}

func (m *MemoryStreams) keep(digest Digest, key *countedStreams) {
	if len(key.playing)+len(key.kicked) == 0 {
		delete(m.keys, digest)
	} else {
		m.keys[digest] = key
	}
}

func (c *countedStreams) expire(now time.Time) {
	for playback, p := range c.playing {
		if !now.Before(p.expires) {
			delete(c.playing, playback)
		}
	}
	for playback, until := range c.kicked {
		if !now.Before(until) {
			delete(c.kicked, playback)
		}
	}
}

func (c *countedStreams) hold(use StreamUse, now time.Time) StreamStatus {
	if until, ok := c.kicked[use.Playback]; ok {
		return StreamStatus{Result: StreamKicked, RetryAfter: until.Sub(now)}
	}
	expires := now.Add(use.Idle - use.Used)
	if p, ok := c.playing[use.Playback]; ok {
		if !use.Look && expires.After(p.expires) {
			p.expires = expires
			c.playing[use.Playback] = p
		}
		return StreamStatus{Result: StreamHeld}
	}
	if len(c.playing) >= use.Limit && !use.Kick {
		return StreamStatus{Result: StreamLimited, RetryAfter: c.firstEnd().Sub(now)}
	}
	if use.Look || !now.Before(expires) {
		return StreamStatus{Result: StreamHeld}
	}
	status := StreamStatus{Result: StreamHeld, New: true}
	started := now.Add(-use.Started)
	for len(c.playing) >= use.Limit {
		oldest, at := c.oldest()
		if started.Before(at) { // it comes back after an outage, and is the one that began first
			c.kick(use.Playback, now)
			return StreamStatus{Result: StreamKicked, RetryAfter: KickedFor, Kicked: status.Kicked}
		}
		delete(c.playing, oldest)
		c.kick(oldest, now)
		status.Kicked = append(status.Kicked, oldest)
	}
	c.playing[use.Playback] = playing{started: started, expires: expires}
	return status
}

func (c *countedStreams) kick(playback Digest, now time.Time) {
	if len(c.kicked) >= maxKicked {
		var first Digest
		var at time.Time
		for other, until := range c.kicked {
			if at.IsZero() || until.Before(at) {
				first, at = other, until
			}
		}
		delete(c.kicked, first)
	}
	c.kicked[playback] = now.Add(KickedFor)
}

func (c *countedStreams) oldest() (oldest Digest, started time.Time) {
	for playback, p := range c.playing {
		if started.IsZero() || p.started.Before(started) {
			oldest, started = playback, p.started
		}
	}
	return oldest, started
}

func (c *countedStreams) firstEnd() (first time.Time) {
	for _, p := range c.playing {
		if first.IsZero() || p.expires.Before(first) {
			first = p.expires
		}
	}
	return first
}
