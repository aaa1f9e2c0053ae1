package inflight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// gateway is what a server does with a budget, with sizes and times but without bytes.
type gateway struct {
	t         *testing.T
	budget    *Budget
	estimate  int64 // first grant where the length is not known, 0 where it is
	spools    bool
	wait      time.Duration
	peak      atomic.Int64
	busy      atomic.Int64
	fetchTime time.Duration
}

// serve sends one segment to a client and reports whether it got it.
func (s *gateway) serve(size int64, bytesPerSecond int64) bool {
	first := size
	if s.estimate > 0 {
		first = s.estimate
	}
	g, err := s.budget.Acquire(context.Background(), first, s.wait)
	if err != nil {
		return s.refused(err)
	}
	defer g.Release()
	for arrived := first; arrived < size; arrived *= 2 { // as a buffer doubles
		time.Sleep(s.fetchTime / 8)
		if err := g.Grow(context.Background(), min(2*arrived, size), s.wait); err != nil {
			return s.refused(err)
		}
	}
	time.Sleep(s.fetchTime)
	s.peak.Store(max(s.peak.Load(), s.budget.Stats().Used)) // a sample is enough
	sending := time.Duration(size) * time.Second / time.Duration(bytesPerSecond)
	if s.spools && s.budget.Pressure() {
		time.Sleep(10 * time.Millisecond) // writing the file
		g.Release()
	}
	time.Sleep(sending)
	return true
}

func (s *gateway) refused(err error) bool {
	if !errors.Is(err, ErrBusy) {
		s.t.Error(err)
	}
	s.busy.Add(1)
	return false
}

const (
	testSegment  = 5 << 20
	testBudget   = 512 << 20
	slowClients  = 500
	slowRate     = 50_000     // about 105 s for a segment
	fastRate     = 12_500_000 // 100 Mbit/s: 0.42 s
	testDeadline = 10 * time.Second
)

// crowd starts the slow clients, and returns how many were served when all are done. meanwhile runs when they have started.
func (s *gateway) crowd(meanwhile func()) (served int) {
	var all sync.WaitGroup
	var count atomic.Int64
	for range slowClients {
		all.Go(func() {
			if s.serve(testSegment, slowRate) {
				count.Add(1)
			}
		})
		time.Sleep(time.Millisecond)
	}
	meanwhile()
	all.Wait()
	if peak := s.peak.Load(); peak > testBudget {
		s.t.Errorf("%d bytes were in use", peak)
	}
	wantStats(s.t, s.budget, Stats{Capacity: testBudget})
	return int(count.Load())
}

// TestFiveHundredSlowClients is the case that the budget is for: 2.5 GB of segments, 512 MB of memory.
func TestFiveHundredSlowClients(t *testing.T) {
	for name, estimate := range map[string]int64{"length known": 0, "length not known": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &gateway{
					t: t, budget: NewBudget(testBudget), estimate: estimate, spools: true, wait: testDeadline, fetchTime: 50 * time.Millisecond,
				}
				timed := func() time.Duration {
					start := time.Now()
					if !s.serve(testSegment, fastRate) {
						t.Error("the fast client was refused")
					}
					return time.Since(start)
				}
				unloaded := timed()
				served := s.crowd(func() {
					for range 10 {
						if loaded := timed(); loaded > 2*unloaded {
							t.Errorf("a fast client took %v, %v when it was alone", loaded, unloaded)
						}
					}
				})
				if served != slowClients {
					t.Errorf("%d were served", served)
				}
			})
		})
	}
}

// TestWithoutSpool holds what is sent in memory: as many are served as fit, and the others are told after the deadline.
func TestWithoutSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &gateway{t: t, budget: NewBudget(testBudget), wait: testDeadline, fetchTime: 50 * time.Millisecond}
		start := time.Now()
		served := s.crowd(func() {
			time.Sleep(testDeadline + time.Second)
			if busy := s.busy.Load(); busy != slowClients-testBudget/testSegment {
				t.Errorf("%d were refused %v after the start", busy, time.Since(start))
			}
		})
		if served != testBudget/testSegment {
			t.Errorf("%d were served", served)
		}
	})
}
