package caddymodule

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// outageEvery is how often a failure that goes on is logged again, for each operation.
const outageEvery = time.Minute

// stateOutage logs that a shared state does not answer, or refuses, and that it answers again: while it does not, viewers are refused, or
// limits hold no longer, and nobody else would say so.
type stateOutage struct {
	logger func() *zap.Logger // that of the configuration of the moment, which the state outlives
	now    func() time.Time

	mu      sync.Mutex
	failing map[string]*failingOperation
}

func newStateOutage(logger func() *zap.Logger, now func() time.Time) *stateOutage {
	return &stateOutage{logger: logger, now: now, failing: make(map[string]*failingOperation)}
}

// failingOperation is one that fails, or has failed.
type failingOperation struct {
	since  time.Time // zero while it answers
	logged time.Time
	told   bool // of this failure
}

// observe is told of every question, counts it, and logs what changes.
func (o *stateOutage) observe(operation string, took time.Duration, err error) {
	observeState(operation, took, err)
	if errors.Is(err, context.Canceled) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	now, f := o.now(), o.failing[operation]
	if err == nil {
		if f != nil && f.told {
			o.logger().Info("the shared state answers again", zap.String("operation", operation), zap.Duration("after", now.Sub(f.since)))
		}
		if f != nil {
			f.since, f.told = time.Time{}, false
		}
		return
	}
	if f == nil {
		f = new(failingOperation)
		o.failing[operation] = f
	}
	if f.since.IsZero() {
		f.since = now
	}
	if now.Sub(f.logged) >= outageEvery { // also if it comes and goes
		f.logged, f.told = now, true
		o.log(operation, err, now.Sub(f.since))
	}
}

func (o *stateOutage) log(operation string, err error, lasts time.Duration) {
	o.logger().Error("the shared state gives no answer; on_failure and revocations of the configuration say what holds now",
		zap.String("operation", operation), zap.Duration("failing_for", lasts), zap.Error(err))
}
