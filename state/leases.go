package state

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// lease is a node's leave to serve one playback without asking.
type lease struct {
	key     leaseKey
	uses    []StreamUse
	rules   []string // of each use, in words
	idle    int64    // ms; the longest of the uses
	started int64    // Unix ms
	first   chan struct{}

	used      atomic.Int64 // Unix ms of the last request
	ends      atomic.Int64 // Unix ms of the session's end, 0 for none; a session that is renewed ends later
	confirmed atomic.Int64 // Unix ms of when the store last agreed; 0: it never has
	retryAt   atomic.Int64 // Unix ms until which a refusal stands without another look at the store
	freeAt    atomic.Int64 // Unix ms of when a refused player may find a place
	outcome   atomic.Uint32
	rule      atomic.Uint32 // index of the use that refused
}

// pendingLease is the outcome of a lease whose first answer has not come.
const pendingLease = uint32(255)

// refusalStands is how long a limited playback is refused without another look at the store.
const refusalStands = int64(time.Second / time.Millisecond)

func newLease(key leaseKey, uses []StreamUse, rules []string, s Stream, now int64) *lease {
	key.asset = strings.Clone(key.asset) // nothing of a request's memory stays alive
	l := &lease{key: key, uses: uses, rules: rules, started: now, first: make(chan struct{})}
	for _, use := range uses {
		l.idle = max(l.idle, use.Idle.Milliseconds())
	}
	l.ends.Store(endOf(s))
	l.used.Store(now)
	l.outcome.Store(pendingLease)
	return l
}

func endOf(s Stream) int64 {
	if s.Ends.IsZero() {
		return 0
	}
	return s.Ends.UnixMilli()
}

func (l *lease) isPast(now int64) bool {
	ends := l.ends.Load()
	return ends != 0 && now >= ends
}

// answer returns the verdict that the lease holds by itself, if it does: a fresh lease, or a refusal that stands. Neither lasts longer
// because the clock was set back.
func (l *lease) answer(now, fresh, ends int64, look bool) (StreamVerdict, bool) {
	switch outcome := StreamOutcome(l.outcome.Load()); outcome {
	case OutcomeAdmitted:
		if age := now - l.confirmed.Load(); now-l.used.Load() >= l.idle || age >= fresh || age <= -fresh {
			return StreamVerdict{}, false
		}
		if !look {
			l.used.Store(now)
			if ends > l.ends.Load() {
				l.ends.Store(ends)
			}
		}
		return StreamVerdict{Outcome: OutcomeAdmitted}, true
	case OutcomeKicked, OutcomeLimited:
		if left := l.retryAt.Load() - now; left <= 0 || left > longestRefusal(outcome) {
			return StreamVerdict{}, false
		}
		l.used.Store(now)
		return l.verdict(now), true
	default:
		return StreamVerdict{}, false
	}
}

// longestRefusal is how long a refusal can stand without another look at the store, in ms.
func longestRefusal(outcome StreamOutcome) int64 {
	if outcome == OutcomeKicked {
		return KickedFor.Milliseconds()
	}
	return refusalStands
}

// verdict returns the outcome as it stands.
func (l *lease) verdict(now int64) StreamVerdict {
	v := StreamVerdict{Outcome: StreamOutcome(l.outcome.Load())}
	if v.Outcome != OutcomeAdmitted {
		v.RetryAfter = time.Duration(max(l.freeAt.Load()-now, 1000)) * time.Millisecond
		if i := int(l.rule.Load()); i < len(l.rules) {
			v.Rule = l.rules[i]
		}
	}
	return v
}

// settle takes over what a store said of the uses at now.
func (l *lease) settle(statuses []StreamStatus, now int64) {
	for i, status := range statuses {
		switch status.Result {
		case StreamHeld:
			continue
		case StreamLimited:
			l.retryAt.Store(now + min(refusalStands, max(status.RetryAfter.Milliseconds(), 1)))
			l.freeAt.Store(now + status.RetryAfter.Milliseconds())
			l.rule.Store(uint32(i))
			l.outcome.Store(uint32(OutcomeLimited))
		default:
			l.kick(i, now, status.RetryAfter)
		}
		return
	}
	l.confirmed.Store(now)
	l.outcome.Store(uint32(OutcomeAdmitted))
}

// kick ends the stream by the rule with that index.
func (l *lease) kick(rule int, now int64, stays time.Duration) {
	l.retryAt.Store(now + stays.Milliseconds())
	l.freeAt.Store(now + stays.Milliseconds())
	l.rule.Store(uint32(rule))
	l.outcome.Store(uint32(OutcomeKicked))
}

// over reports whether the lease can be forgotten: nobody has used it for as long as its stream lasts, or its refusal is old.
func (l *lease) over(now int64) bool {
	switch StreamOutcome(l.outcome.Load()) {
	case OutcomeAdmitted:
		return now-l.used.Load() >= l.idle || l.isPast(now)
	case OutcomeLimited:
		return now >= l.retryAt.Load()
	case OutcomeKicked:
		return now-l.used.Load() >= l.idle // the store remembers for longer
	default:
		return false // its first answer is on its way, and whoever waits for it takes it away
	}
}

// current returns the uses as of now.
func (l *lease) current(now int64) []StreamUse {
	uses := make([]StreamUse, len(l.uses))
	for i, use := range l.uses {
		if ends := l.ends.Load(); ends != 0 { // the stream does not outlive its session
			use.Idle = min(use.Idle, time.Duration(max(ends-l.used.Load(), 1))*time.Millisecond)
		}
		use.Used = time.Duration(max(now-l.used.Load(), 0)) * time.Millisecond
		use.Started = time.Duration(max(now-l.started, 0)) * time.Millisecond
		uses[i] = use
	}
	return uses
}

// leaseShards is how many independent tables share the leases. It is a power of two.
const leaseShards = 64

// leaseTable finds leases by key on requests, and by playback for a store that has kicked one.
type leaseTable struct {
	seeds  [2]maphash.Seed
	limit  int // of a shard
	shards [leaseShards]leaseShard

	playbacks sync.Map // Digest of a playback to its *lease
}

type leaseShard struct {
	mu     sync.RWMutex
	leases map[leaseKey]*lease
}

func newLeaseTable(limit int) *leaseTable {
	t := &leaseTable{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, limit: max(1, limit/leaseShards)}
	for i := range t.shards {
		t.shards[i].leases = make(map[leaseKey]*lease)
	}
	return t
}

func (t *leaseTable) shard(key *leaseKey) *leaseShard {
	h := key.who[0] ^ binary.LittleEndian.Uint64(key.playback[:]) // playbacks of one subject need not share a shard
	return &t.shards[(h^h>>32)%leaseShards]
}

func (t *leaseTable) find(key leaseKey) *lease {
	shard := t.shard(&key)
	shard.mu.RLock()
	l := shard.leases[key]
	shard.mu.RUnlock()
	return l
}

// put stores l unless another lease stands in the place of old, and returns the one that stands there then. Nil: the table is full.
func (t *leaseTable) put(l, old *lease) *lease {
	shard := t.shard(&l.key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if other := shard.leases[l.key]; other != old {
		return other
	}
	if old == nil && len(shard.leases) >= t.limit {
		return nil
	}
	shard.leases[l.key] = l
	if len(l.uses) > 0 {
		t.playbacks.Store(l.uses[0].Playback, l)
	}
	return l
}

// remove forgets l, if it still stands there.
func (t *leaseTable) remove(l *lease) {
	shard := t.shard(&l.key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.leases[l.key] == l {
		delete(shard.leases, l.key)
	}
	if len(l.uses) > 0 {
		t.playbacks.CompareAndDelete(l.uses[0].Playback, l)
	}
}

// each calls f for every lease. Leases that come and go meanwhile may be missed.
func (t *leaseTable) each(f func(*lease)) {
	var leases []*lease
	for i := range t.shards {
		shard := &t.shards[i]
		leases = leases[:0]
		shard.mu.RLock()
		for _, l := range shard.leases {
			leases = append(leases, l)
		}
		shard.mu.RUnlock()
		for _, l := range leases {
			f(l)
		}
	}
}

func (t *leaseTable) len() (n int) {
	for i := range t.shards {
		t.shards[i].mu.RLock()
		n += len(t.shards[i].leases)
		t.shards[i].mu.RUnlock()
	}
	return n
}
