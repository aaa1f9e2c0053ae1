package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-drm/caddy-drm/state"
)

// stateObserver is told of each use of the shared state: what it was asked for, how long that took, and how it came out.
type stateObserver func(operation string, took time.Duration, err error)

// since tells of a use that began at start, unless who wanted it has left: that says nothing of the server.
func (o stateObserver) since(ctx context.Context, start time.Time, operation string, err error) {
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		o(operation, time.Since(start), err)
	}
}

// observedGrants is a GrantStore whose uses are told of.
type observedGrants struct {
	state.GrantStore
	observe stateObserver
}

// Grant implements state.GrantStore.
func (g observedGrants) Grant(ctx context.Context, grants ...state.Grant) error {
	start := time.Now()
	err := g.GrantStore.Grant(ctx, grants...)
	g.observe.since(ctx, start, "grant", err)
	return err
}

// Granted implements state.GrantStore.
func (g observedGrants) Granted(ctx context.Context, ids ...[16]byte) ([]time.Time, error) {
	start := time.Now()
	until, err := g.GrantStore.Granted(ctx, ids...)
	g.observe.since(ctx, start, "granted", err)
	return until, err
}

// Release implements state.GrantStore.
func (g observedGrants) Release(ctx context.Context, ids ...[16]byte) error {
	start := time.Now()
	err := g.GrantStore.Release(ctx, ids...)
	g.observe.since(ctx, start, "release", err)
	return err
}

// observedReplay is a Replay whose uses are told of.
type observedReplay struct {
	state.Replay
	observe stateObserver
}

// Seen implements state.Replay.
func (r observedReplay) Seen(ctx context.Context, id [16]byte, until time.Time) (bool, error) {
	start := time.Now()
	seen, err := r.Replay.Seen(ctx, id, until)
	r.observe.since(ctx, start, "once", err)
	return seen, err
}

// Known implements state.Replay.
func (r observedReplay) Known(ctx context.Context, id [16]byte) (bool, error) {
	start := time.Now()
	known, err := r.Replay.Known(ctx, id)
	r.observe.since(ctx, start, "once", err)
	return known, err
}

// observedCuts is a CutStore whose uses are told of.
type observedCuts struct {
	state.CutStore
	observe stateObserver
}

// Cut implements state.CutStore.
func (c observedCuts) Cut(ctx context.Context, id [16]byte, start, keep time.Duration) (time.Duration, error) {
	began := time.Now()
	cut, err := c.CutStore.Cut(ctx, id, start, keep)
	c.observe.since(ctx, began, "cut", err)
	return cut, err
}
