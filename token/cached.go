package token

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// Identified is implemented by verifiers whose answers may be cached. Identity changes whenever an answer might: with the
// configuration, and with the keys.
type Identified interface {
	Identity() string
}

// Bound is implemented by verifiers whose answer rests on more of the request than Claims.Check looks at, such as the path that a
// signature covers without naming it. BoundTo returns all of that for one token; an answer is remembered for it alone.
type Bound interface {
	BoundTo(raw string, req Request) string
}

func identityOf(v Verifier) string {
	if i, ok := v.(Identified); ok {
		return i.Identity()
	}
	return ""
}

// CacheConfig sets the size and the times of a Cached verifier; zero fields mean the defaults.
type CacheConfig struct {
	// MaxTokens is how many answers are kept (default 65 536). An entry takes about half a kilobyte.
	MaxTokens int64
	// PositiveTTL bounds how long a good token is remembered (default 10 minutes, and never past its expiry).
	PositiveTTL time.Duration
	// NegativeTTL is how long a bad one is (default 5 seconds): it spares the work of refusing it again.
	NegativeTTL time.Duration
}

// Cached remembers what a Verifier said about a token. Time, path and host are judged anew on every use, so a cached token
// never outlives its expiry or leaves its scope; a reloaded key set empties the cache by changing its identity.
type Cached struct {
	verifier Verifier
	config   CacheConfig
	entries  *ristretto.Cache[uint64, cacheEntry]
}

type cacheEntry struct {
	digest [sha256.Size]byte // the whole of it: the table's own key is only 64 bits of it
	claims Claims
	err    error
	from   time.Time // a negative answer holds from here…
	until  time.Time // … to here, by the request's clock
}

// NewCached wraps v, which must be Identified. Close it when it is no longer used.
func NewCached(v Verifier, config CacheConfig) (*Cached, error) {
	if identityOf(v) == "" {
		return nil, errors.New("a verifier without an identity cannot be cached")
	}
	if config.MaxTokens <= 0 {
		config.MaxTokens = 1 << 16
	}
	if config.PositiveTTL <= 0 {
		config.PositiveTTL = 10 * time.Minute
	}
	if config.NegativeTTL <= 0 {
		config.NegativeTTL = 5 * time.Second
	}
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, cacheEntry]{
		NumCounters:        10 * config.MaxTokens,
		MaxCost:            config.MaxTokens,
		BufferItems:        64,
		IgnoreInternalCost: true, // the cost is one per token
	})
	if err != nil {
		return nil, fmt.Errorf("making token cache: %w", err)
	}
	return &Cached{verifier: v, config: config, entries: entries}, nil
}

// Close releases the cache. The verifier must not be used afterwards.
func (c *Cached) Close() { c.entries.Close() }

// Identity implements Identified.
func (c *Cached) Identity() string { return identityOf(c.verifier) }

// changing is Identity as far as it matters inside of the cache.
func (c *Cached) changing() string {
	if forms, ok := c.verifier.(ByForm); ok {
		return forms.changing()
	}
	return c.Identity()
}

// Verify implements Verifier.
func (c *Cached) Verify(ctx context.Context, raw string, req Request) (Claims, error) {
	if raw == "" {
		return Claims{}, ErrMissing
	}
	if len(raw) > maxTokenBytes { // not worth hashing
		return Claims{}, fmt.Errorf("%w: over %d bytes", ErrMalformed, maxTokenBytes)
	}
	identity, boundTo := c.changing(), ""
	if b, ok := c.verifier.(Bound); ok {
		boundTo = b.BoundTo(raw, req)
	}
	digest := cacheDigest(identity, boundTo, raw)
	if e, found := c.entries.Get(binary.BigEndian.Uint64(digest[:])); found && e.digest == digest {
		if e.err == nil {
			return e.answer(req)
		}
		if !req.Now.Before(e.from) && req.Now.Before(e.until) {
			return Claims{}, e.err
		}
	}
	claims, err := c.verifier.Verify(ctx, raw, req)
	if c.changing() == identity { // else the keys changed meanwhile, and nobody knows which of them answered
		c.remember(digest, claims, err, req.Now)
	}
	return claims, err
}

func (e cacheEntry) answer(req Request) (Claims, error) {
	if err := e.claims.Check(req); err != nil {
		return Claims{}, err
	}
	return e.claims, nil
}

// remember keeps good answers, and those bad ones that no other path, host or instant could turn.
func (c *Cached) remember(digest [sha256.Size]byte, claims Claims, err error, now time.Time) {
	e := cacheEntry{digest: digest, err: err}
	ttl := c.config.NegativeTTL
	switch {
	case err == nil:
		e.claims = claims.clone()
		ttl = min(c.config.PositiveTTL, claims.Expires.Sub(now))
	case isFinal(err):
		e.from, e.until = now, now.Add(ttl)
	default:
		return
	}
	c.entries.SetWithTTL(binary.BigEndian.Uint64(digest[:]), e, 1, ttl)
}

func isFinal(err error) bool {
	return errors.Is(err, ErrMalformed) || errors.Is(err, ErrSignature) || errors.Is(err, ErrIssuer) || errors.Is(err, ErrAudience) ||
		errors.Is(err, ErrUnsupported)
}

// cacheDigest separates its parts by length, so that none can borrow from another.
func cacheDigest(identity, boundTo, raw string) [sha256.Size]byte {
	var onStack [1 << 10]byte // most fit, and cost no allocation
	b := onStack[:0]
	for _, part := range [...]string{identity, boundTo} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(part))), part...)
	}
	return sha256.Sum256(append(b, raw...))
}
