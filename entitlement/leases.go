package entitlement

import (
	"context"
	"encoding/hex"
	"sync"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// LeasesConfig sets Leases; zero fields mean the defaults.
type LeasesConfig struct {
	// Extend is for how long behind the end of the last yes a session may be made to last.
	Extend time.Duration
	// MaxPlaybacks is how many are known (default 65 536). One that was forgotten is let go on, and asked about again.
	MaxPlaybacks int
	// MaxWaiting bounds the questions under way (default 64); the others are asked a little later.
	MaxWaiting int
	// OnFailure says what counts while there is no answer: FailDeny ends a playback when its lease does, the others let it go on.
	OnFailure Failure
	// NeedsToken leaves alone playbacks whose access token is not known here, because they began on another node.
	NeedsToken bool
}

// Leases says of playbacks whether they may go on, by what the backend said last, and asks again behind them. It is safe for concurrent
// use.
type Leases struct {
	backend Backend
	config  LeasesConfig
	ctx     context.Context
	stop    context.CancelFunc
	slots   chan struct{}
	wait    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	leases *lru[[8]byte, *lease]
	assets map[string]int // playbacks by asset
}

// lease is what is known of one playback.
type lease struct {
	question Question
	began    time.Time
	used     time.Time // the last request
	until    time.Time // when it is asked about again
	granted  time.Time // the last yes; zero if there was none here
	ends     time.Time // when that yes is over
	expires  time.Time // as the last answer said
	refused  bool
	unknown  bool // the last question had no answer, and the one before is over
	asking   bool
}

const (
	defaultPlaybacks = 1 << 16
	defaultUpdates   = 64
	// idlePlayback is how long a playback without requests counts as one.
	idlePlayback = 10 * time.Minute
	// retryLease is when a playback is asked about again that got a no, or no answer.
	retryLease = 10 * time.Second
	// maxKeptToken bounds an access token that is kept for questions about the playback.
	maxKeptToken = 2 << 10
)

// NewLeases returns Leases that ask backend. Close them when they are no longer used.
func NewLeases(backend Backend, config LeasesConfig) *Leases {
	if config.MaxPlaybacks <= 0 {
		config.MaxPlaybacks = defaultPlaybacks
	}
	if config.MaxWaiting <= 0 {
		config.MaxWaiting = defaultUpdates
	}
	l := &Leases{
		backend: backend, config: config, slots: make(chan struct{}, config.MaxWaiting),
		leases: newLRU[[8]byte, *lease](config.MaxPlaybacks), assets: make(map[string]int),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// Close ends the questions under way and waits for them.
func (l *Leases) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop()
	l.wait.Wait()
}

// Counts returns how many playbacks of an asset, and of all assets, are known.
func (l *Leases) Counts(asset string) (ofAsset, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.assets[asset], l.leases.len()
}

// Start notes a playback that begins with an answer.
func (l *Leases) Start(playback [8]byte, q Question, answer Answer, now time.Time) {
	if len(q.Token) > maxKeptToken {
		q.Token = ""
	}
	if answer.Claims.Subject != "" && q.Subject == "" {
		q.Subject = answer.Claims.Subject
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(playback, &lease{
		question: q, began: now, used: now, until: now.Add(answer.holds()), granted: now, ends: now.Add(answer.holds()), expires: answer.Claims.Expires, refused: !answer.Allowed,
	}, now)
}

// Check says whether a playback may go on: nil, or an error that wraps token.ErrNotEntitled or token.ErrEntitlementUnknown. ask is the
// question about it, of which a playback that began here knows more. It never waits. With explaining nothing is asked.
func (l *Leases) Check(playback [8]byte, ask Question, now time.Time, explaining bool) (renewUntil time.Time, err error) {
	if playback == [8]byte{} {
		return renewUntil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known, found := l.leases.get(playback)
	if !found {
		if explaining || l.config.NeedsToken {
			return renewUntil, nil
		}
		known = &lease{question: ask, began: now}
		l.put(playback, known, now)
	}
	if !explaining {
		known.used = now
		if !now.Before(known.until) {
			l.update(playback, known, now)
		}
	}
	switch {
	case known.refused:
		return renewUntil, token.ErrNotEntitled
	case known.unknown:
		return renewUntil, token.ErrEntitlementUnknown
	case known.granted.IsZero():
		return renewUntil, nil
	}
	renewUntil = known.ends.Add(l.config.Extend)
	if !known.expires.IsZero() {
		renewUntil = known.expires
	}
	return renewUntil, nil
}

// put is called with the lock held. Playbacks that nobody watches any more make room.
func (l *Leases) put(playback [8]byte, added *lease, now time.Time) {
	for last, ok := l.leases.last(); ok && (now.Sub(last.used) > idlePlayback || l.leases.len() >= l.config.MaxPlaybacks); last, ok = l.leases.last() {
		l.count(last.question.Asset, -1)
		l.leases.dropLast()
	}
	if before, ok := l.leases.get(playback); ok {
		l.count(before.question.Asset, -1)
	}
	l.leases.put(playback, added)
	l.count(added.question.Asset, 1)
}

func (l *Leases) count(asset string, n int) {
	if l.assets[asset] += n; l.assets[asset] <= 0 {
		delete(l.assets, asset)
	}
}

// update is called with the lock held, and asks behind the request. Where too many questions are under way the next request asks.
func (l *Leases) update(playback [8]byte, known *lease, now time.Time) {
	if known.asking || l.closed {
		return
	}
	select {
	case l.slots <- struct{}{}:
	default:
		return
	}
	known.asking = true
	known.question.Event = Update
	known.question.Number++
	q := known.question
	q.Playback, q.Duration = hex.EncodeToString(playback[:]), now.Sub(known.began)
	q.AssetClients, q.Clients = l.assets[q.Asset], l.leases.len()
	l.wait.Go(func() {
		defer func() { <-l.slots }()
		answer, err := l.backend.Ask(l.ctx, q)
		l.mu.Lock()
		defer l.mu.Unlock()
		known.settle(answer, err, now, l.config.OnFailure)
	})
}

// settle notes what the backend said, or did not say.
func (k *lease) settle(answer Answer, err error, asked time.Time, onFailure Failure) {
	k.asking = false
	switch {
	case err != nil:
		k.until = asked.Add(retryLease)
		switch onFailure {
		case FailAllow:
			k.unknown = false
		case FailCached:
			k.unknown = asked.Sub(k.granted) > maxStale
		default:
			k.unknown = true
		}
	case !answer.Allowed:
		k.refused, k.unknown = true, false
		k.until = asked.Add(retryLease)
	default:
		k.refused, k.unknown = false, false
		k.granted, k.expires, k.until = asked, answer.Claims.Expires, asked.Add(answer.holds())
		k.ends = k.until
	}
}
