package keysource

import (
	"context"
	"slices"
	"time"
)

// told is an answer to Signals.
type told struct {
	signals []Signal
	ok      bool
}

// openSignals remembers signals as keys are, if the source has any: without them no manifest can be written while a key server is out.
func (c *Cached) openSignals(options CacheOptions, now func() time.Time, slots chan struct{}) (err error) {
	signaler, ok := c.src.(Signaler)
	if !ok {
		return nil
	}
	c.signals, err = newTable(options, now, slots, func(ctx context.Context, r Request) (told, error) {
		list, ok, err := signaler.Signals(ctx, r)
		return told{slices.Clone(list), ok}, err
	})
	return err
}

var _ Signaler = (*Cached)(nil)

// Signals implements Signaler, also over a source that is none: then it is always false.
func (c *Cached) Signals(ctx context.Context, r Request) ([]Signal, bool, error) {
	if c.signals == nil {
		return nil, false, nil
	}
	t, err := c.signals.get(ctx, r)
	return slices.Clone(t.signals), t.ok, err
}
