package policy

import (
	"crypto/sha256"
	"errors"
	"hash/maphash"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// AppendAddressKey appends the key under which an address is counted: itself for IPv4, also when it comes inside an IPv6 address, and
// its /64 for IPv6, without a zone. All invalid addresses share one key.
func AppendAddressKey(dst []byte, addr netip.Addr) []byte {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return append(dst, '?')
	case addr.Is4():
		b := addr.As4()
		return append(append(dst, '4'), b[:]...)
	default:
		b := addr.As16()
		return append(append(dst, '6'), b[:8]...)
	}
}

// LimiterConfig sets a Limiter. Rate and Burst are required.
type LimiterConfig struct {
	// Rate is how many requests a second a key may make in the long run.
	Rate float64
	// Burst is how many it may make at once.
	Burst int
	// MaxKeys bounds the table (default 1 Mi, about 200 MB when it is full). Beyond it the key that was idle longest is forgotten, and would
	// start again with a full burst: a limit holds as long as fewer keys than this are active.
	MaxKeys int
}

// maxKeyBytes bounds what is remembered of a key: hosts, subjects and placeholders may be made up, and long. Longer keys are remembered
// by a digest, which nobody makes equal to another key.
const maxKeyBytes = 96

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

// limiterShard keeps its buckets in a ring in order of use: after the head comes the latest, before it the one idle longest.
type limiterShard struct {
	mu      sync.Mutex
	maxKeys int
	byKey   map[string]*bucket
	head    bucket
}

// bucket is one piece of memory for one key.
type bucket struct {
	key        string
	prev, next *bucket
	limiter    rate.Limiter
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
		l.shards[i].byKey = make(map[string]*bucket)
		l.shards[i].head.prev, l.shards[i].head.next = &l.shards[i].head, &l.shards[i].head
	}
	return l, nil
}

// Allow counts one request of key at now. If it is over the limit it is not counted, and retryAfter says when the next one would
// be let through. It does not keep key, and allocates for keys that are new alone.
func (l *Limiter) Allow(key []byte, now time.Time) (allowed bool, retryAfter time.Duration) {
	var digest [sha256.Size]byte
	key = remembered(key, &digest)
	shard := &l.shards[maphash.Bytes(l.seed, key)%limiterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	reservation := shard.bucketOf(key, l.limit, l.burst, now).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay <= 0 {
		return true, 0
	}
	reservation.CancelAt(now)
	return false, delay
}

// Peek returns how long the next request of key would have to wait; 0 if it would be let through. It counts nothing.
func (l *Limiter) Peek(key []byte, now time.Time) time.Duration {
	var digest [sha256.Size]byte
	key = remembered(key, &digest)
	shard := &l.shards[maphash.Bytes(l.seed, key)%limiterShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	b, found := shard.byKey[string(key)]
	if !found {
		return 0
	}
	if missing := 1 - b.limiter.TokensAt(now); missing > 0 {
		return time.Duration(missing / float64(l.limit) * float64(time.Second))
	}
	return 0
}

// remembered returns what stands for key in the tables: itself, or its digest, which it puts into digest.
func remembered(key []byte, digest *[sha256.Size]byte) []byte {
	if len(key) <= maxKeyBytes {
		return key
	}
	*digest = sha256.Sum256(key)
	return digest[:]
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
func (s *limiterShard) bucketOf(key []byte, limit rate.Limit, burst int, now time.Time) *rate.Limiter {
	b, found := s.byKey[string(key)]
	if found {
		b.prev.next, b.next.prev = b.next, b.prev
	} else {
		if len(s.byKey) >= s.maxKeys {
			oldest := s.head.prev
			delete(s.byKey, oldest.key)
			oldest.prev.next, oldest.next.prev = oldest.next, oldest.prev
		}
		b = &bucket{key: string(key)}
		// NewLimiter would be another piece of memory. Without a limit the bucket fills up at once, and then it gets its own.
		b.limiter.SetBurstAt(time.Time{}, burst)
		b.limiter.SetLimitAt(time.Time{}, rate.Inf)
		b.limiter.SetLimitAt(now, limit)
		s.byKey[b.key] = b
	}
	b.prev, b.next = &s.head, s.head.next
	b.prev.next, b.next.prev = b, b
	return &b.limiter
}
