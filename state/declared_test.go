package state

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lateStore answers each question after the next of delays, as a server on a slow network does; without one, when the context ends: it is
// frozen.
type lateStore struct {
	*MemoryStreams
	mu     sync.Mutex
	delays []time.Duration
}

func (l *lateStore) Hold(ctx context.Context, uses []StreamUse) ([]StreamStatus, error) {
	l.mu.Lock()
	var answer <-chan time.Time
	if len(l.delays) > 0 {
		answer = time.After(l.delays[0])
		l.delays = l.delays[1:]
	}
	l.mu.Unlock()
	select {
	case <-answer:
		return l.MemoryStreams.Hold(ctx, uses)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestTheDeclaredTimeIsExact: on a clock that nothing but waiting moves, a request waits for the declared time and not a nanosecond
// longer: with a server that never answers, in every mode and for every kind of question, also for the questions of others, and with one that
// has answered half of it when the time is over.
func TestTheDeclaredTimeIsExact(t *testing.T) {
	const declared = 50 * time.Millisecond
	kick := subjects(2)
	kick.By, kick.Kick = StreamsByDevice, true
	for name, test := range map[string]struct {
		delays   []time.Duration
		requests int
		change   func(*Stream)
	}{
		"a frozen server":                   {nil, 1, nil},
		"a frozen server, looking":          {nil, 1, func(s *Stream) { s.Look = true }},
		"a frozen server, and a crowd":      {nil, 2 * maxQuestions, nil},
		"one that has answered the half":    {[]time.Duration{declared - time.Millisecond}, 1, nil},
		"one that is a nanosecond late":     {[]time.Duration{declared + 1}, 1, nil},
		"one that answers, and is too slow": {[]time.Duration{declared / 2, declared/2 + 1}, 1, nil},
	} {
		for _, mode := range []FailureMode{FailOpen, FailClosed, FailLocal} {
			t.Run(name+", "+mode.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &lateStore{MemoryStreams: NewMemoryStreams(time.Now), delays: test.delays}
					s := NewStreams(Config{Store: store, OnFailure: mode, Timeout: declared, Renew: time.Hour})
					defer s.Close()
					gate := s.NewGate(NewDigester(testKey()), "tenant", []StreamRule{subjects(2), kick})
					var all sync.WaitGroup
					var mu sync.Mutex
					var longest time.Duration
					for i := range test.requests {
						all.Go(func() {
							request := stream(fmt.Sprint(i / 4)) // some wait for the same answer
							if test.change != nil {
								test.change(request)
							}
							start := time.Now()
							gate.Admit(t.Context(), start, *request)
							mu.Lock()
							longest = max(longest, time.Since(start))
							mu.Unlock()
						})
					}
					all.Wait()
					if longest != declared {
						t.Errorf("the longest waited for %s, want %s", longest, declared)
					}
					time.Sleep(2 * renewTimeout) // the questions themselves are over by now
				})
			})
		}
	}
}

// TestNobodyWaitsForAServerThatIsOut: after some failures in a row nobody waits at all, however many come.
func TestNobodyWaitsForAServerThatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStreams(Config{Store: &lateStore{MemoryStreams: NewMemoryStreams(time.Now)}, OnFailure: FailLocal, Renew: time.Hour})
		defer s.Close()
		gate := s.NewGate(NewDigester(testKey()), "tenant", []StreamRule{subjects(2)})
		var waited time.Duration
		for i := range 100 {
			start := time.Now()
			gate.Admit(t.Context(), start, *stream(fmt.Sprint(i)))
			waited += time.Since(start)
		}
		if want := maxFailures * s.timeout; waited != want {
			t.Errorf("100 requests waited for %s together, want %s", waited, want)
		}
		time.Sleep(2 * renewTimeout)
	})
}
