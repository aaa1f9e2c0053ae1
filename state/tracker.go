package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUnavailable is wrapped by errors of a store that cannot be reached or does not answer in time.
var ErrUnavailable = errors.New("the shared state does not answer")

// Config sets Streams. Only Store is required.
type Config struct {
	Store StreamStore
	// OnFailure is what holds for playbacks whose lease has run out, and for new ones, while the store does not answer.
	OnFailure FailureMode
	// Timeout bounds how long a request waits for the store. Default 50 ms.
	Timeout time.Duration
	// Lease is how long a playback goes on after the store last agreed. Default 15 s.
	Lease time.Duration
	// Renew is the time between two rounds of renewal. Default 3 s.
	Renew time.Duration
	// MaxLeases bounds the table of leases. Default 1 Mi, about 1 KiB each. Beyond it new playbacks are treated as OnFailure says
	// for a store that does not answer, and nobody's count is kept.
	MaxLeases int
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Observe is told of each use of the store: what for, how long it took, and how it failed.
	Observe func(operation string, took time.Duration, err error)
}

// Streams holds this node's leases. It is safe for concurrent use, and runs one goroutine until Close.
type Streams struct {
	*leaseTable
	store     StreamStore
	local     *MemoryStreams // this node's own count, for when the store is out
	inMemory  bool           // the store needs no time limit
	onFailure FailureMode
	timeout   time.Duration
	lease     time.Duration
	renew     time.Duration
	now       func() time.Time
	observe   func(string, time.Duration, error)

	failures atomic.Int32  // in a row
	slots    chan struct{} // bounds the questions under way: a store that is stuck must not pile up goroutines
	stop     context.CancelFunc
	done     sync.WaitGroup
}

const (
	// maxFailures in a row make requests stop waiting for the store, until a round of renewal has reached it.
	maxFailures = 3
	// maxQuestions is how many requests ask the store at one moment.
	maxQuestions = 256
	// renewTimeout bounds one batch of a renewal, which nobody waits for, and renewBatch is its size.
	renewTimeout = time.Second
	renewBatch   = 512
)

// NewStreams starts to renew leases.
func NewStreams(c Config) *Streams {
	if c.Timeout == 0 {
		c.Timeout = 50 * time.Millisecond
	}
	if c.Lease == 0 {
		c.Lease = 15 * time.Second
	}
	if c.Renew == 0 {
		c.Renew = 3 * time.Second
	}
	if c.MaxLeases == 0 {
		c.MaxLeases = 1 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, error) {}
	}
	s := &Streams{
		leaseTable: newLeaseTable(c.MaxLeases), store: c.Store, local: NewMemoryStreams(c.Now), onFailure: c.OnFailure,
		timeout: c.Timeout, lease: c.Lease, renew: c.Renew, now: c.Now, observe: c.Observe, slots: make(chan struct{}, maxQuestions),
	}
	if memory, ok := c.Store.(*MemoryStreams); ok {
		s.local, s.inMemory = memory, true
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.done.Go(func() { s.run(ctx) })
	return s
}

// Close ends the renewal. Gates go on to work without it, until their leases run out.
func (s *Streams) Close() {
	s.stop()
	s.done.Wait()
}

// Len returns the number of leases, those of refused playbacks included.
func (s *Streams) Len() int { return s.len() }

// Held returns the number of streams that this node serves.
func (s *Streams) Held() (n int) {
	now := s.now().UnixMilli()
	s.each(func(l *lease) {
		if StreamOutcome(l.outcome.Load()) == OutcomeAdmitted && !l.over(now) {
			n++
		}
	})
	return n
}

// admitSlowly is Admit without a fresh lease.
func (g *Gate) admitSlowly(ctx context.Context, now time.Time, key leaseKey, stream Stream) StreamVerdict {
	s, ms := g.streams, now.UnixMilli()
	old := s.find(key)
	if old != nil {
		switch outcome := old.outcome.Load(); {
		case outcome == pendingLease:
			return s.wait(ctx, old, now)
		case StreamOutcome(outcome) == OutcomeAdmitted && !old.over(ms):
			return s.lapsed(old, now, stream.Look)
		}
	}
	uses, rules := g.uses(&stream)
	if len(uses) == 0 {
		return StreamVerdict{Outcome: OutcomeAdmitted}
	}
	if stream.Look {
		return s.look(ctx, uses, rules)
	}
	l := newLease(key, uses, rules, stream, ms)
	switch stands := s.put(l, old); {
	case stands == nil:
		return s.full()
	case stands != l:
		return s.wait(ctx, stands, now)
	}
	defer close(l.first)
	statuses, err := s.take(ctx, l.current(ms))
	return s.begin(l, statuses, err, ms)
}

// begin settles the first answer to a lease, or what holds without one.
func (s *Streams) begin(l *lease, statuses []StreamStatus, err error, now int64) StreamVerdict {
	switch {
	case err == nil:
		l.settle(statuses, now)
		s.sendOff(l, statuses, now)
	case s.onFailure == FailClosed:
		l.outcome.Store(uint32(OutcomeUnavailable))
		s.remove(l)
		return s.unavailable()
	case s.onFailure == FailOpen:
		l.outcome.Store(uint32(OutcomeAdmitted))
	default:
		s.countLocally(l, now)
	}
	return l.verdict(now)
}

// wait waits for another request's answer to the same lease.
func (s *Streams) wait(ctx context.Context, l *lease, now time.Time) StreamVerdict {
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case <-l.first:
	case <-timer.C:
	case <-ctx.Done():
	}
	switch outcome := l.outcome.Load(); {
	case outcome == pendingLease && s.onFailure == FailOpen:
		return StreamVerdict{Outcome: OutcomeAdmitted}
	case outcome == pendingLease || StreamOutcome(outcome) == OutcomeUnavailable:
		return s.unavailable()
	default:
		return l.verdict(now.UnixMilli())
	}
}

// lapsed answers for a playback that the store has not agreed to for the length of a lease.
func (s *Streams) lapsed(l *lease, now time.Time, look bool) StreamVerdict {
	if s.onFailure == FailClosed && !s.inMemory {
		l.used.Store(now.UnixMilli()) // whoever goes on asking will be counted again
		return s.unavailable()
	}
	if s.onFailure == FailLocal || s.inMemory {
		s.countLocally(l, now.UnixMilli())
	}
	if !look {
		l.used.Store(now.UnixMilli())
	}
	return l.verdict(now.UnixMilli())
}

// countLocally judges a lease by the node's own count. The store has not confirmed it, and is asked again in the next round.
func (s *Streams) countLocally(l *lease, now int64) {
	statuses, _ := s.local.Hold(context.Background(), l.current(now)) // memory never fails
	confirmed := l.confirmed.Load()
	l.settle(statuses, now)
	l.confirmed.Store(confirmed)
	s.sendOff(l, statuses, now)
}

// full answers where there is no room for another lease.
func (s *Streams) full() StreamVerdict {
	if s.onFailure == FailClosed {
		return s.unavailable()
	}
	return StreamVerdict{Outcome: OutcomeAdmitted}
}

func (s *Streams) unavailable() StreamVerdict {
	return StreamVerdict{Outcome: OutcomeUnavailable, RetryAfter: max(s.renew, time.Second), Rule: "the shared state does not answer"}
}

// look asks whether there would be room, and holds nothing.
func (s *Streams) look(ctx context.Context, uses []StreamUse, rules []string) StreamVerdict {
	for i := range uses {
		uses[i].Look = true
	}
	statuses, err := s.ask(ctx, "look", uses, s.timeout)
	switch {
	case err != nil && s.onFailure == FailClosed:
		return s.unavailable()
	case err != nil && s.onFailure == FailLocal:
		statuses, _ = s.local.Hold(ctx, uses) // memory never fails
	}
	for i, status := range statuses {
		if status.Result == StreamLimited {
			return StreamVerdict{Outcome: OutcomeLimited, RetryAfter: max(status.RetryAfter, time.Second), Rule: rules[i]}
		}
	}
	return StreamVerdict{Outcome: OutcomeAdmitted}
}

// take takes all uses or none. Those that refuse come first, so that nobody is kicked for a stream that another rule refuses.
func (s *Streams) take(ctx context.Context, uses []StreamUse) ([]StreamStatus, error) {
	statuses := make([]StreamStatus, len(uses))
	deadline := time.Now().Add(s.timeout) // for both questions together
	var taken []StreamUse
	for _, kick := range []bool{false, true} {
		var asked []StreamUse
		var at []int
		for i, use := range uses {
			if statuses[i].Result = StreamHeld; use.Kick == kick {
				asked, at = append(asked, use), append(at, i)
			}
		}
		if len(asked) == 0 {
			continue
		}
		answers, err := s.ask(ctx, "take", asked, time.Until(deadline))
		if err != nil {
			return nil, err
		}
		refused := false
		for j, answer := range answers {
			statuses[at[j]] = answer
			refused = refused || answer.Result != StreamHeld
			if answer.New {
				taken = append(taken, asked[j])
			}
		}
		if refused {
			s.giveBack(ctx, taken)
			return statuses, nil
		}
	}
	return statuses, nil
}

// giveBack releases what was taken for nothing. If the store does not hear of it, the uses idle out.
func (s *Streams) giveBack(ctx context.Context, uses []StreamUse) {
	if len(uses) == 0 {
		return
	}
	if s.inMemory {
		_ = s.store.Release(ctx, uses) // memory never fails
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	go func() { // it ends within the time limit
		defer cancel()
		_ = s.store.Release(ctx, uses)
	}()
}

// ask asks the store in the name of a request, which waits for that long at most and not at all for a store that is known to be
// out. The question itself goes on for as long: a client that leaves must not spoil the answer for others.
func (s *Streams) ask(ctx context.Context, operation string, uses []StreamUse, wait time.Duration) ([]StreamStatus, error) {
	if s.inMemory {
		return s.store.Hold(ctx, uses)
	}
	if s.failures.Load() >= maxFailures {
		return nil, ErrUnavailable
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: %d questions are under way", ErrUnavailable, maxQuestions)
	}
	type answer struct {
		statuses []StreamStatus
		err      error
	}
	answers := make(chan answer) // without a buffer: whoever sends knows whether it was read
	start, gone := time.Now(), make(chan struct{})
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(renewTimeout, s.timeout))
	go func() {
		defer func() { <-s.slots }()
		defer cancel()
		statuses, err := s.store.Hold(bounded, uses)
		select {
		case answers <- answer{statuses, err}:
		case <-gone:
			s.tooLate(bounded, uses, statuses)
		}
	}()
	var a answer
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case a = <-answers:
	case <-timer.C:
		close(gone)
		a.err = fmt.Errorf("%w within %s", ErrUnavailable, s.timeout)
	}
	s.note(operation, time.Since(start), a.err)
	return a.statuses, a.err
}

// tooLate gives back what the store took after the request had been refused for want of an answer. In the other modes the playback
// goes on, and counts.
func (s *Streams) tooLate(ctx context.Context, uses []StreamUse, statuses []StreamStatus) {
	if s.onFailure != FailClosed {
		return
	}
	var taken []StreamUse
	for i, status := range statuses {
		if _, again := s.playbacks.Load(uses[i].Playback); status.New && !again {
			taken = append(taken, uses[i])
		}
	}
	s.giveBack(ctx, taken)
}

// note counts failures in a row.
func (s *Streams) note(operation string, took time.Duration, err error) {
	if err != nil {
		s.failures.Add(1)
	} else {
		s.failures.Store(0)
	}
	s.observe(operation, took, err)
}
