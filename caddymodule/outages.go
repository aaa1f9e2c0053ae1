package caddymodule

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/entitlement"
)

// outageEvery is how often a failure that goes on is logged again, for each operation.
const outageEvery = time.Minute

// outages logs that a server which decisions rest on does not answer, or refuses, and that it answers again: while it does not, viewers are
// refused, or rules hold no longer, and nobody else would say so.
type outages struct {
	who, then string             // which server, and what holds meanwhile
	logger    func() *zap.Logger // of the moment: a shared state outlives the configuration that opened it
	now       func() time.Time

	mu      sync.Mutex
	failing map[string]*failingOperation
}

func newOutages(who, then string, logger func() *zap.Logger, now func() time.Time) *outages {
	return &outages{who: who, then: then, logger: logger, now: now, failing: make(map[string]*failingOperation)}
}

// failingOperation is one that fails, or has failed.
type failingOperation struct {
	since  time.Time // zero while it answers
	logged time.Time
	told   bool // of this failure
}

// note is told how every question came out, and logs what changes.
func (o *outages) note(operation string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	lasts, log := o.change(operation, err != nil)
	switch { // without the lock: where the log goes may be slow, and all questions pass here
	case !log:
	case err == nil:
		o.logger().Info(o.who+" answers again", zap.String("operation", operation), zap.Duration("after", lasts))
	default:
		o.logger().Error(o.who+" gives no answer; "+o.then,
			zap.String("operation", operation), zap.Duration("failing_for", lasts), zap.Error(err))
	}
}

// change remembers how a question came out, and says whether that is logged, and how long the operation fails or has failed.
func (o *outages) change(operation string, failed bool) (lasts time.Duration, log bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, f := o.now(), o.failing[operation]
	if !failed {
		if f == nil {
			return 0, false
		}
		lasts, log = now.Sub(f.since), f.told
		f.since, f.told = time.Time{}, false
		return lasts, log
	}
	if f == nil {
		f = new(failingOperation)
		o.failing[operation] = f
	}
	if f.since.IsZero() {
		f.since = now
	}
	if log = now.Sub(f.logged) >= outageEvery; log { // also if it comes and goes
		f.logged, f.told = now, true
	}
	return now.Sub(f.since), log
}

// observedState is told of each use of the shared state.
func observedState() stateObserver {
	o := newOutages("the shared state", "on_failure and revocations of the configuration say what holds now",
		func() *zap.Logger { return caddy.Log().Named("drm") }, time.Now)
	return func(operation string, took time.Duration, err error) {
		observeState(operation, took, err)
		o.note(operation, err)
	}
}

// watchedBackend is an entitlement backend whose outages are logged.
type watchedBackend struct {
	entitlement.Backend
	outages *outages
}

// Ask implements entitlement.Backend.
func (b watchedBackend) Ask(ctx context.Context, q entitlement.Question) (entitlement.Answer, error) {
	answer, err := b.Backend.Ask(ctx, q)
	b.outages.note("ask", err)
	return answer, err
}
