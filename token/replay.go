package token

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errReplayFull is no refusal of the token: nobody knows whether it was used.
var errReplayFull = errors.New("no room to remember another used token")

// MemoryReplay is a Replay for one process. It forgets a token when that has expired and never before: when it is full, it
// fails, and tokens that may be used once are refused until there is room. It is safe for concurrent use.
type MemoryReplay struct {
	now func() time.Time
	max int

	mu   sync.Mutex
	used map[[16]byte]int64 // until when, in seconds since 1970
	// sweepAt is the earliest instant at which another look for what can be forgotten is worth it.
	sweepAt int64
}

// replaySweepSeconds keeps a full memory from being searched for every token.
const replaySweepSeconds = 1

// NewMemoryReplay returns a memory for up to max tokens, each of which takes some 60 bytes.
func NewMemoryReplay(max int, now func() time.Time) *MemoryReplay {
	return &MemoryReplay{now: now, max: max, used: make(map[[16]byte]int64)}
}

// Seen implements Replay.
func (r *MemoryReplay) Seen(_ context.Context, id [16]byte, until time.Time) (bool, error) {
	now := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	if end, found := r.used[id]; found && now <= end {
		return true, nil
	}
	if len(r.used) >= r.max {
		if now < r.sweepAt {
			return false, errReplayFull
		}
		r.sweepAt = now + replaySweepSeconds
		for used, end := range r.used {
			if now > end {
				delete(r.used, used)
			}
		}
		if len(r.used) >= r.max {
			return false, errReplayFull
		}
	}
	r.used[id] = until.Unix() + 1 // the second that until lies in is the token's
	return false, nil
}
