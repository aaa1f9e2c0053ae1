package caddymodule

import (
	"sync"

	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// dateAnchors remembers a date of each live playlist: encoders may write one in ten minutes, and without it keys would be those of another clock.
type dateAnchors struct {
	mu    sync.Mutex
	known map[string]hls.Anchor
}

// maxAnchors bounds the playlists whose dates are remembered. All are forgotten when there are more: the next date of each is not far.
const maxAnchors = 1 << 14

func newDateAnchors() *dateAnchors { return &dateAnchors{known: make(map[string]hls.Anchor)} }

// of remembers a date of a playlist, or returns the last one if there is none.
func (a *dateAnchors) of(playlist string, dated hls.Anchor) hls.Anchor {
	a.mu.Lock()
	defer a.mu.Unlock()
	if dated == (hls.Anchor{}) {
		return a.known[playlist]
	}
	if _, known := a.known[playlist]; !known && len(a.known) >= maxAnchors {
		clear(a.known)
	}
	a.known[playlist] = dated
	return dated
}
