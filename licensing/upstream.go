package licensing

import (
	"sync"
	"time"
)

// Defaults of Breaker and RetryBudget.
const (
	breakAfter   = 5
	breakFor     = time.Second
	breakForMost = 30 * time.Second
	retryShare   = 0.1
	retryReserve = 10
)

// Breaker leaves a server alone that failed five times in a row: for a second, and twice as long each time that it still fails, up to
// half a minute. Then one request finds out. The zero Breaker is closed. It is safe for concurrent use.
type Breaker struct {
	mu       sync.Mutex
	failures int
	broken   time.Duration
	until    time.Time
	probing  bool
}

// Allow reports whether the server may be asked. Whoever is allowed says how it went, by Settle or Abandon.
func (b *Breaker) Allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if b.probing || now.Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

// Settle says that the server answered, or that it did not.
func (b *Breaker) Settle(now time.Time, answered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if answered {
		b.failures, b.broken = 0, 0
		return
	}
	if b.failures++; b.failures < breakAfter || now.Before(b.until) { // of those who asked before it was left alone, many may fail
		return
	}
	b.broken = min(max(2*b.broken, breakFor), breakForMost)
	b.until = now.Add(b.broken)
}

// Abandon says that nobody waited for the answer.
func (b *Breaker) Abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// RetryBudget allows one further attempt for every ten requests, and ten that were saved up, so that a server in trouble is not asked
// twice as often. The zero RetryBudget is full. It is safe for concurrent use.
type RetryBudget struct {
	mu    sync.Mutex
	spent float64
}

// Earn notes a request.
func (b *RetryBudget) Earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-retryShare)
}

// Spend reports whether there may be a further attempt, and counts it.
func (b *RetryBudget) Spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent+1 > retryReserve {
		return false
	}
	b.spent++
	return true
}
