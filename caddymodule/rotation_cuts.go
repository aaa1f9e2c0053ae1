package caddymodule

import (
	"sync"
	"time"
)

// periodCuts remembers where the Periods of live MPDs begin whose segments differ in length: once the first segment of a crypto period
// has left the window, the MPD tells it no more, and players stop at a Period that moves.
//
// It is of this node. Nodes that first see such a channel at different times may cut differently; where segments are all as long, cuts
// follow from the MPD and nothing is asked here.
type periodCuts struct {
	mu    sync.Mutex
	known map[periodCut]*rememberedCut
}

type periodCut struct{ manifest, original, id string }

type rememberedCut struct {
	start time.Duration
	used  time.Time
}

const (
	// maxCuts bounds the Periods of all channels; each is forgotten cutsKept after it was listed last.
	maxCuts  = 100_000
	cutsKept = time.Hour
)

func newPeriodCuts() *periodCuts { return &periodCuts{known: make(map[periodCut]*rememberedCut)} }

// of returns the memory of one manifest.
func (c *periodCuts) of(manifest string) func(original, id string, start time.Duration) (time.Duration, error) {
	return func(original, id string, start time.Duration) (time.Duration, error) {
		now := time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		key := periodCut{manifest, original, id}
		if cut, ok := c.known[key]; ok {
			cut.used = now
			return cut.start, nil
		}
		if len(c.known) >= maxCuts {
			c.forget(now)
		}
		c.known[key] = &rememberedCut{start, now}
		return start, nil
	}
}

// forget drops what was not used for long, or all if that is nothing.
func (c *periodCuts) forget(now time.Time) {
	for key, cut := range c.known {
		if now.Sub(cut.used) > cutsKept {
			delete(c.known, key)
		}
	}
	if len(c.known) >= maxCuts {
		clear(c.known)
	}
}
