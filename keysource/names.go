package keysource

import (
	"slices"
	"sync"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

const (
	// namesFor is how long the names of a title's keys are remembered: long enough that a flood of questions for keys that do not exist
	// costs one look at the title, and short enough that a key which the source gets in between is not missed for long. That a title has
	// no key at all is remembered with the answers of the source, for an even shorter time.
	namesFor = 15 * time.Second
	// maxNamedTitles bounds the memory, some 200 bytes a title and crypto period.
	maxNamedTitles = 16384
)

// names remembers for a moment which keys a title has, of a source that cannot tell without being asked for the keys themselves. It is safe
// for concurrent use.
type names struct {
	now func() time.Time

	mu    sync.Mutex
	known map[Title]titleNames
}

type titleNames struct {
	kids  []drm.KID
	until time.Time
}

// learn notes all the names of a title. Where there is no room, what is over goes, and else what comes first to hand.
func (n *names) learn(t Title, kids []drm.KID) {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.known[t]; !known && len(n.known) >= maxNamedTitles {
		n.makeRoom(now)
	}
	n.known[t] = titleNames{slices.Clone(kids), now.Add(namesFor)}
}

func (n *names) makeRoom(now time.Time) {
	for t, entry := range n.known {
		if !now.Before(entry.until) {
			delete(n.known, t)
		}
	}
	for t := range n.known {
		if len(n.known) < maxNamedTitles {
			return
		}
		delete(n.known, t)
	}
}

// mayHold is false if it is known that the title has no key of these names.
func (n *names) mayHold(t Title, kids []drm.KID) bool {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	entry, known := n.known[t]
	if !known || !now.Before(entry.until) {
		return true
	}
	return slices.ContainsFunc(entry.kids, func(kid drm.KID) bool { return slices.Contains(kids, kid) })
}

// LearnNames notes the names of all keys that the source has for t, so that MayHold can tell for a moment without another question. Of a
// source that is a Namer, and of a title without keys, nothing is noted: the title may be one whose keys come with the next moment.
func (c *Cached) LearnNames(t Title, kids []drm.KID) {
	if c.Names() || len(kids) == 0 {
		return
	}
	c.names.learn(t, kids)
}
