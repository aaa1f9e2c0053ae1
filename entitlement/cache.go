package entitlement

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/caddy-drm/caddy-drm/token"
)

// CacheConfig sets a Cache; zero fields mean the defaults.
type CacheConfig struct {
	// MaxAge bounds how long an answer to a start counts for others who ask the same (default 30 s, and never longer than it
	// says). A refusal counts for a few seconds.
	MaxAge time.Duration
	// MaxAnswers is how many answers are kept (default 65 536).
	MaxAnswers int
	// MaxWaiting bounds the questions under way (default 256); who comes in excess of them gets no answer.
	MaxWaiting int
	// OnFailure says what counts while there is no answer. Default: FailDeny.
	OnFailure Failure
}

const (
	defaultMaxAge     = 30 * time.Second
	defaultMaxAnswers = 1 << 16
	defaultMaxWaiting = 256
)

// Cache asks a backend about starts, once for all who ask the same at the same time. It is safe for concurrent use.
type Cache struct {
	backend Backend
	config  CacheConfig
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	slots   chan struct{}
	flight  singleflight.Group

	mu      sync.Mutex
	answers *lru[[sha256.Size]byte, kept]
	// downUntil is when a backend that gave no answer is asked again: who comes before does not wait for its time limit.
	downUntil time.Time
}

type kept struct {
	answer Answer
	at     time.Time
	until  time.Time
}

// NewCache returns a Cache of backend. Close it when it is no longer used.
func NewCache(backend Backend, config CacheConfig) *Cache {
	if config.MaxAge <= 0 {
		config.MaxAge = defaultMaxAge
	}
	if config.MaxAnswers <= 0 {
		config.MaxAnswers = defaultMaxAnswers
	}
	if config.MaxWaiting <= 0 {
		config.MaxWaiting = defaultMaxWaiting
	}
	c := &Cache{
		backend: backend, config: config, slots: make(chan struct{}, config.MaxWaiting),
		answers: newLRU[[sha256.Size]byte, kept](config.MaxAnswers),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Close ends what waits for an answer.
func (c *Cache) Close() { c.stop() }

// Ask returns the answer to a question, or an error that wraps token.ErrEntitlementUnknown. fresh is false for an answer that was
// given before, or that stands in for one.
func (c *Cache) Ask(ctx context.Context, q Question, now time.Time) (answer Answer, fresh bool, err error) {
	key := q.key()
	known, found := c.known(key)
	if found && now.Before(known.until) && !now.Before(known.at) {
		return known.answer, false, nil
	}
	if c.isDown(now) {
		answer, err = c.withoutAnswer(known, found, now, errDown)
		return answer, false, err
	}
	result := c.flight.DoChan(string(key[:]), func() (any, error) {
		answer, err := c.askNow(q)
		c.remember(key, answer, err, now)
		return answer, err
	})
	select {
	case <-ctx.Done():
		return Answer{}, false, fmt.Errorf("%w: %w", token.ErrEntitlementUnknown, context.Cause(ctx))
	case r := <-result:
		if r.Err != nil {
			answer, err = c.withoutAnswer(known, found, now, r.Err)
			return answer, false, err
		}
		answer, _ = r.Val.(Answer)
		return answer, true, nil
	}
}

// askNow asks on behalf of everybody who waits: that one of them leaves is nothing to the others.
func (c *Cache) askNow(q Question) (Answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		return c.backend.Ask(c.ctx, q)
	default:
		return Answer{}, errBusy
	}
}

func (c *Cache) known(key [sha256.Size]byte) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers.get(key)
}

func (c *Cache) isDown(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A clock that was set back must not keep the backend unasked for longer.
	return now.Before(c.downUntil) && c.downUntil.Sub(now) <= retryAfter
}

func (c *Cache) remember(key [sha256.Size]byte, answer Answer, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if !errors.Is(err, errBusy) { // that is us, and says nothing of the backend
			c.downUntil = now.Add(retryAfter)
		}
		return
	}
	holds := answer.holds()
	if answer.Allowed {
		holds = min(holds, c.config.MaxAge)
	}
	c.answers.put(key, kept{answer: answer, at: now, until: now.Add(holds)})
}

var errDown = errors.New("the entitlement backend gave no answer a moment ago")

// withoutAnswer is what counts when the backend gives none.
func (c *Cache) withoutAnswer(known kept, found bool, now time.Time, cause error) (Answer, error) {
	switch {
	case c.config.OnFailure == FailAllow:
		return Answer{Allowed: true}, nil
	case c.config.OnFailure == FailCached && found && now.Sub(known.at) < maxStale:
		return known.answer, nil
	}
	return Answer{}, fmt.Errorf("%w: %w", token.ErrEntitlementUnknown, cause)
}

// key names all of a question that its answer may depend on.
func (q Question) key() [sha256.Size]byte {
	b := make([]byte, 0, 512)
	for _, field := range []string{
		string(q.Event), q.Tenant, q.Asset, q.Host, q.Token, q.Subject, q.Device, q.TokenID, q.Addr.String(), q.Country, q.UserAgent, q.Protocol,
	} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return sha256.Sum256(binary.BigEndian.AppendUint32(b, q.ASN))
}
