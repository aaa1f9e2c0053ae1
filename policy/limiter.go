package policy

import (
	"container/list"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// AddressKey returns the key under which an address is counted: itself for IPv4, also when it comes inside an IPv6 address, and
// its /64 for IPv6, without a zone. All invalid addresses share one key.
func AddressKey(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return "?"
	case addr.Is4():
		b := addr.As4()
		return "4" + string(b[:])
	default:
		b := addr.As16()
		return "6" + string(b[:8])
	}
}

// SubjectKey returns the key under which a subject is counted. It never equals an AddressKey.
func SubjectKey(subject string) string { return "s" + subject }

// LimiterConfig sets a Limiter. Rate and Burst are required.
type LimiterConfig struct {
	// Rate is how many requests a second a key may make in the long run.
	Rate float64
	// Burst is how many it may make at once.
	Burst int
	// MaxKeys bounds the table (default 1 Mi, about 250 MB when it is full). Beyond it the key that was idle longest is forgotten, and would
	// start again with a full burst: a limit holds as long as fewer keys than this are active.
	MaxKeys int
}

// limiterShards is how many independent tables share the keys, so that few requests wait for one lock. It is a power of two.
const limiterShards = 16

// Limiter is a token bucket per key in a bounded table. It is safe for concurrent use, starts no goroutine, and does constant work
// per call, however many keys there are.
type Limiter struct {
	limit  rate.Limit
	burst  int
	seed   maphash.Seed // drawn per Limiter, so that nobody can aim all keys at one shard
	shards [limiterShards]limiterShard
}

// limiterShard keeps its buckets in order of use, the latest first.
type limiterShard struct {
	mu      sync.Mutex
	maxKeys int
	byKey   map[string]*list.Element // of *bucket
	order   list.List
}

type bucket struct {
	key     string
	limiter *rate.Limiter
}

// NewLimiter checks config and returns its Limiter.
func NewLimiter(config LimiterConfig) (*Limiter, error) {
	switch {
	case math.IsNaN(config.Rate) || math.IsInf(config.Rate, 0) || config.Rate <= 0:
		return nil, errors.New("a rate limit needs a positive number of requests per second")
	case config.Burst < 1:
		return nil, errors.New("a rate limit needs a burst of at least one request")
	case config.MaxKeys < 0:
		return nil, errors.New("a rate limit cannot have a negative number of keys")
	}
	if config.MaxKeys == 0 {
		config.MaxKeys = 1 << 20
	}
	l := &Limiter{limit: rate.Limit(config.Rate), burst: config.Burst, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].maxKeys = max(1, config.MaxKeys/limiterShards)
		l.shards[i].byKey = make(map[string]*list.Element)
	}
	return l, nil
}

// Allow counts one request of key at now. If it is over the limit it is not counted, and retryAfter says when the next one would
// be let through.
func (l *Limiter) Allow(key string, now time.Time) (allowed bool, retryAfter time.Duration) {
	shard := &l.shards[maphash.String(l.seed, key)%limiterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	reservation := shard.bucketOf(key, l.limit, l.burst).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay <= 0 {
		return true, 0
	}
	reservation.CancelAt(now)
	return false, delay
}

// Len returns the number of keys that are remembered.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		shard := &l.shards[i]
		shard.mu.Lock()
		n += len(shard.byKey)
		shard.mu.Unlock()
	}
	return n
}

// bucketOf finds or makes the bucket of key and moves it to the front. A full table gives up its last bucket: the one that was
// idle longest, and so most likely the fullest.
func (s *limiterShard) bucketOf(key string, limit rate.Limit, burst int) *rate.Limiter {
	if element, found := s.byKey[key]; found {
		s.order.MoveToFront(element)
		return element.Value.(*bucket).limiter
	}
	if len(s.byKey) >= s.maxKeys {
		oldest := s.order.Back()
		delete(s.byKey, oldest.Value.(*bucket).key)
		s.order.Remove(oldest)
	}
	b := &bucket{key: key, limiter: rate.NewLimiter(limit, burst)}
	s.byKey[key] = s.order.PushFront(b)
	return b.limiter
}
