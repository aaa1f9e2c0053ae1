package caddymodule

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/inflight"
	"github.com/caddy-drm/caddy-drm/segcache"
)

// Defaults of what bounds memory.
const (
	defaultSegmentCache = 256 << 20
	defaultInFlight     = 512 << 20
	defaultInFlightWait = 10 * time.Second
	spoolOff            = wordOff
	// maxSpooled bounds the bytes of all files that slow clients read from.
	maxSpooled = 8 << 30
)

// memory is the one cache of protected segments and the one budget of the process. Like the other caches they outlive a
// reload, which changes their sizes: requests of an old configuration may still use them.
type memory struct {
	segments *segcache.Cache
	inFlight *inflight.Budget
	holds    *holds
	solo     *sync.Map // keys of segments that are made for one client alone
}

// spool is what an inflight.Spool does.
type spool interface {
	Write(body io.WriterTo, size int64) (*inflight.Spooled, error)
}

var sharedMemory = sync.OnceValue(func() memory {
	segments, err := segcache.New(defaultSegmentCache, time.Now)
	if err != nil {
		panic(err) // the size is a constant of ours
	}
	return memory{
		segments: segments, inFlight: inflight.NewBudget(defaultInFlight), solo: new(sync.Map),
		holds: &holds{bodies: make(map[*byte]*hold)},
	}
})

// openMemory finds what the process shares, and settles the sizes of this configuration.
func (a *App) openMemory() {
	a.memory = sharedMemory()
	if a.SegmentCache == 0 {
		a.SegmentCache = defaultSegmentCache
	}
	if a.InFlight == 0 {
		a.InFlight = defaultInFlight
	}
	if a.InFlightWait == 0 {
		a.InFlightWait = caddy.Duration(defaultInFlightWait)
	}
	if a.Spool != spoolOff {
		a.spool = inflight.NewSpool(a.Spool, maxSpooled)
	}
}

// resizeMemory gives what the process shares the sizes of this configuration, once it is the one that runs.
func (a *App) resizeMemory() error {
	a.inFlight.Resize(a.InFlight)
	return a.segments.Resize(max(a.SegmentCache, 0))
}

// claim is the memory that one request holds of the budget.
type claim struct {
	app   *App
	ctx   context.Context //nolint:containedctx // of the request whose claim it is
	grant *inflight.Grant
}

func (a *App) claim(ctx context.Context) *claim { return &claim{app: a, ctx: ctx} }

// reserve makes the claim one for bytes in all, and waits for its turn if it has to.
func (c *claim) reserve(bytes int64) (err error) {
	bytes = charged(bytes)
	if c.grant == nil {
		c.grant, err = c.app.inFlight.Acquire(c.ctx, bytes, time.Duration(c.app.InFlightWait))
		return err
	}
	return c.grant.Grow(c.ctx, bytes, time.Duration(c.app.InFlightWait))
}

// growNow is reserve for who has begun to answer and must not wait.
func (c *claim) growNow(bytes int64) error {
	if c.grant == nil {
		return inflight.ErrBusy
	}
	return c.grant.Grow(c.ctx, charged(bytes), 0)
}

// textual returns what reserves memory for a manifest or a sidecar of which times as much is held as there are bytes of it. What a
// connection takes anyway is not worth counting, and not worth waiting for while segments take all.
func (c *claim) textual(times int64) func(bytes int64) error {
	return func(bytes int64) error {
		if bytes <= smallEntry {
			return nil
		}
		return c.reserve(times * bytes)
	}
}

// beside returns what reserves memory beside a body of that many bytes, which is claimed already.
func (c *claim) beside(body int) func(bytes int64) error {
	return func(bytes int64) error { return c.reserve(int64(body) + bytes) }
}

// charged is what a body counts: its bytes, and three tenths for what its connection and the garbage collector need besides.
func charged(bytes int64) int64 { return bytes + bytes*3/10 }

// handOver returns a claim of all that c holds, for work that outlives the request. c holds nothing then, and may reserve anew.
func (c *claim) handOver() *claim {
	held := &claim{app: c.app, ctx: context.WithoutCancel(c.ctx), grant: c.grant}
	c.grant = nil
	return held
}

// release gives the memory back. It may be called twice.
func (c *claim) release() {
	if c.grant != nil {
		c.grant.Release()
	}
}

// holds counts the entries of the segment cache that are being sent: their bytes live on when the cache lets go of them.
type holds struct {
	mu     sync.Mutex
	bodies map[*byte]*hold // by the first byte of the body

	collector collector
}

// hold is a body that is being sent to a number of clients.
type hold struct {
	readers int
	claim   *claim
	ready   chan struct{} // closed when the claim was granted, or refused with err
	err     error
	adopted *time.Timer // ends the part of a reader that nobody has taken over yet; nil once somebody has
}

const (
	// smallEntry is what a connection's own buffers take, slow client or not. It is not worth counting.
	smallEntry = 256 << 10
	// adoption is how long a body counts that was made for clients who have not begun to read it.
	adoption = time.Second
)

// adopt lets the claim under which a body was made go over to those who read it.
func (h *holds) adopt(body []byte, from *claim) { h.adoptBeside(body, from, 0) }

// adoptBeside is adopt for a body and as many bytes beside it as somebody still reads. release, nil if nothing is counted, says that those
// are done. It may be called twice.
func (h *holds) adoptBeside(body []byte, from *claim, beside int) (release func()) {
	if len(body) <= smallEntry || from.grant == nil {
		return nil
	}
	claim := &claim{app: from.app, ctx: from.ctx, grant: from.grant}
	from.grant = nil
	claim.grant.Shrink(charged(int64(len(body) + beside)))
	held := &hold{readers: 1, claim: claim, ready: make(chan struct{})}
	if beside > 0 {
		held.readers++
	}
	close(held.ready)
	h.mu.Lock()
	h.bodies[&body[0]] = held
	held.adopted = time.AfterFunc(adoption, func() { h.release(&body[0], held) })
	h.mu.Unlock()
	h.collector.made(int64(len(body)), claim.app)
	if beside == 0 {
		return nil
	}
	return sync.OnceFunc(func() {
		claim.grant.Shrink(charged(int64(len(body))))
		h.release(&body[0], held)
	})
}

// hold claims a body for as long as anybody reads it. release may be called twice.
func (h *holds) hold(ctx context.Context, body []byte, app *App) (release func(), err error) {
	if len(body) <= smallEntry {
		return func() {}, nil
	}
	h.mu.Lock()
	held, ok := h.bodies[&body[0]]
	if !ok {
		held = &hold{claim: app.claim(context.WithoutCancel(ctx)), ready: make(chan struct{})}
		h.bodies[&body[0]] = held
	}
	held.readers++
	if held.adopted != nil && held.adopted.Stop() {
		held.readers-- // the first reader stands for itself now, and may be done long before the adoption would end
	}
	held.adopted = nil
	h.mu.Unlock()
	if !ok {
		held.err = held.claim.reserve(int64(len(body)))
		close(held.ready)
	}
	release = sync.OnceFunc(func() { h.release(&body[0], held) })
	select {
	case <-held.ready:
		err = held.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (h *holds) release(first *byte, held *hold) {
	h.mu.Lock()
	held.readers--
	last := held.readers == 0
	if last && h.bodies[first] == held {
		delete(h.bodies, first)
	}
	h.mu.Unlock()
	if last {
		held.claim.release()
	}
}
