package caddymodule

import (
	"context"
	"time"

	"github.com/caddy-drm/caddy-drm/state"
)

// Stores that tell of each question how it came out, as those of streams and revocations do by themselves.

// observeFunc is told of each use of the shared state.
type observeFunc func(operation string, took time.Duration, err error)

// since is for defer: the error is that of the moment in which the question is answered.
func (f observeFunc) since(operation string, start time.Time, err *error) {
	f(operation, time.Since(start), *err)
}

type observedGrants struct {
	state.GrantStore
	observe   observeFunc
	operation string
}

// Grant implements state.GrantStore.
func (o observedGrants) Grant(ctx context.Context, grants ...state.Grant) (err error) {
	defer o.observe.since(o.operation, time.Now(), &err)
	return o.GrantStore.Grant(ctx, grants...)
}

// Granted implements state.GrantStore.
func (o observedGrants) Granted(ctx context.Context, ids ...[16]byte) (until []time.Time, err error) {
	defer o.observe.since(o.operation, time.Now(), &err)
	return o.GrantStore.Granted(ctx, ids...)
}

// Release implements state.GrantStore.
func (o observedGrants) Release(ctx context.Context, ids ...[16]byte) (err error) {
	defer o.observe.since(o.operation, time.Now(), &err)
	return o.GrantStore.Release(ctx, ids...)
}

type observedReplay struct {
	state.Replay
	observe observeFunc
}

// Seen implements state.Replay.
func (o observedReplay) Seen(ctx context.Context, id [16]byte, until time.Time) (seen bool, err error) {
	defer o.observe.since("single_use", time.Now(), &err)
	return o.Replay.Seen(ctx, id, until)
}

// Known implements state.Replay.
func (o observedReplay) Known(ctx context.Context, id [16]byte) (known bool, err error) {
	defer o.observe.since("single_use", time.Now(), &err)
	return o.Replay.Known(ctx, id)
}

type observedCuts struct {
	state.CutStore
	observe observeFunc
}

// Cut implements state.CutStore.
func (o observedCuts) Cut(ctx context.Context, id [16]byte, start, keep time.Duration) (kept time.Duration, err error) {
	defer o.observe.since("cuts", time.Now(), &err)
	return o.CutStore.Cut(ctx, id, start, keep)
}
