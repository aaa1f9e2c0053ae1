package caddymodule

import (
	"context"
	"sync"
)

// editFlights makes each rewritten manifest once for all who ask for it at the same time. It goes on when the one who began it leaves, and
// is given up when everybody has left: it takes time and memory by the length of the manifest, and to ask and leave costs nothing.
type editFlights struct {
	mu    sync.Mutex
	byKey map[string]*editFlight
	ended func(err error) // for tests: told what each flight came to, under the lock
}

type editFlight struct {
	waiting int // requests; guarded by the lock of editFlights
	cancel  context.CancelFunc
	done    chan struct{} // closed when edit and err are set
	edit    *manifestEdit
	err     error
}

// join returns the flight for key, which it starts if there is none: makeEdit then runs with a context of its own.
func (f *editFlights) join(ctx context.Context, key string, makeEdit func(ctx context.Context) (*manifestEdit, error)) (flight *editFlight, started bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flight, shared := f.byKey[key]
	if !shared {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), initTimeout)
		flight = &editFlight{cancel: cancel, done: make(chan struct{})}
		if f.byKey == nil {
			f.byKey = make(map[string]*editFlight)
		}
		f.byKey[key] = flight
		go f.fly(detached, key, flight, makeEdit)
	}
	flight.waiting++
	return flight, !shared
}

func (f *editFlights) fly(ctx context.Context, key string, flight *editFlight, makeEdit func(ctx context.Context) (*manifestEdit, error)) {
	defer func() {
		if v := recover(); v != nil { // the goroutine is ours: the server would not catch it
			flight.edit, flight.err = nil, &originError{err: errOriginPanic}
		}
		f.mu.Lock()
		f.forget(key, flight)
		if f.ended != nil {
			f.ended(flight.err)
		}
		f.mu.Unlock()
		flight.cancel()
		close(flight.done)
	}()
	flight.edit, flight.err = makeEdit(ctx)
}

// wait returns what the flight makes, or leaves it with the cause of the end of ctx.
func (f *editFlights) wait(ctx context.Context, key string, flight *editFlight) (*manifestEdit, error) {
	select {
	case <-flight.done:
		return flight.edit, flight.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if flight.waiting--; flight.waiting == 0 {
		f.forget(key, flight) // who comes now starts another
		flight.cancel()
	}
	return nil, context.Cause(ctx)
}

// forget lets the next request start anew. The caller holds the lock.
func (f *editFlights) forget(key string, flight *editFlight) {
	if f.byKey[key] == flight {
		delete(f.byKey, key)
	}
}
