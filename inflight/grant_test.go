package inflight

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGrowAndShrink(t *testing.T) {
	b := NewBudget(100)
	g, other := mustAcquire(t, b, 10), mustAcquire(t, b, 30)
	for _, step := range []struct {
		grow, shrink int64
		want         error
		bytes        int64
	}{
		{grow: 5, shrink: 1000, bytes: 10},
		{grow: 70, shrink: 1000, bytes: 70},
		{grow: 71, shrink: 1000, want: ErrBusy, bytes: 70},
		{grow: 101, shrink: 1000, want: ErrTooLarge, bytes: 70},
		{grow: 0, shrink: 20, bytes: 20},
		{grow: 60, shrink: 60, bytes: 60},
		{grow: 0, shrink: -1, bytes: 0},
		{grow: 1, shrink: 1, bytes: 1},
	} {
		err := g.Grow(context.Background(), step.grow, 0)
		g.Shrink(step.shrink)
		if !errors.Is(err, step.want) || g.Bytes() != step.bytes || b.Stats().Used != 30+step.bytes {
			t.Fatalf("grow %d, shrink %d: %d bytes, %v", step.grow, step.shrink, g.Bytes(), err)
		}
	}
	g.Release()
	if err := g.Grow(context.Background(), 5, time.Hour); !errors.Is(err, errReleased) {
		t.Errorf("a released grant grows: %v", err)
	}
	g.Shrink(0)
	g.Release()
	wantStats(t, b, Stats{Used: 30, Capacity: 100, Grants: 1})
	other.Release()
	wantStats(t, b, Stats{Capacity: 100})
}

// TestGrowGoesAhead lets a holder grow before those who wait for a first grant, and shrinking serve them.
func TestGrowGoesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g, h := mustAcquire(t, b, 50), mustAcquire(t, b, 50)
		waited := make(chan time.Time, 2)
		for range 2 {
			go func() {
				first, err := b.Acquire(context.Background(), 20, time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				waited <- time.Now()
				first.Release()
			}()
		}
		synctest.Wait()
		grown := make(chan time.Time)
		go func() {
			if err := g.Grow(context.Background(), 80, time.Hour); err != nil {
				t.Error(err)
			}
			grown <- time.Now()
		}()
		time.Sleep(time.Second)
		h.Shrink(20) // 30 are free, which is what g waits for; the others need 20
		at := <-grown
		wantStats(t, b, Stats{Used: 100, Capacity: 100, Grants: 2, Waiting: 2})
		time.Sleep(time.Second)
		h.Release()
		if first := <-waited; !first.After(at) {
			t.Error("a first grant went ahead")
		}
		<-waited
		g.Release()
		wantStats(t, b, Stats{Capacity: 100})
	})
}

// TestAllGrow is the deadlock that must not be: all hold a part, and all want more.
func TestAllGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		start := time.Now()
		results := make(chan error, 10)
		for range 10 {
			go func() {
				g, err := b.Acquire(context.Background(), 10, time.Hour)
				if err == nil {
					defer g.Release()
					time.Sleep(time.Second)
					err = g.Grow(context.Background(), 40, time.Hour)
				}
				if err == nil {
					time.Sleep(time.Second)
				}
				results <- err
			}()
		}
		served := 0
		for range 10 {
			switch err := <-results; {
			case err == nil:
				served++
			case !errors.Is(err, ErrBusy):
				t.Error(err)
			}
		}
		synctest.Wait()
		// 10 × 10 are held. One gives up for each 10 that the first one lacks: 3 of them; then the others go on.
		if served != 7 || time.Since(start) > time.Minute {
			t.Errorf("%d were served, after %v", served, time.Since(start))
		}
		wantStats(t, b, Stats{Capacity: 100})
	})
}

func TestAloneTheBudgetIsEnough(t *testing.T) {
	b := NewBudget(100)
	g := mustAcquire(t, b, 10)
	for n := int64(20); n <= 100; n += 10 {
		if err := g.Grow(context.Background(), n, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Grow(context.Background(), 101, time.Hour); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestReleaseEndsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g, h := mustAcquire(t, b, 50), mustAcquire(t, b, 50)
		result := make(chan error)
		go func() { result <- g.Grow(context.Background(), 60, time.Hour) }()
		synctest.Wait()
		g.Release()
		if err := <-result; !errors.Is(err, errReleased) {
			t.Errorf("Grow returns %v", err)
		}
		h.Release()
		wantStats(t, b, Stats{Capacity: 100})
	})
}

func TestGrowWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g, h := mustAcquire(t, b, 50), mustAcquire(t, b, 50)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 5*time.Second, errTestLeft)
		defer cancel()
		start := time.Now()
		if err := g.Grow(ctx, 60, 3*time.Second); !errors.Is(err, ErrBusy) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := g.Grow(ctx, 60, time.Hour); !errors.Is(err, errTestLeft) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wantStats(t, b, Stats{Used: 100, Capacity: 100, Grants: 2})
		h.Release()
		g.Release()
	})
}

// TestNothingLeaks has many callers acquire, grow, shrink, panic and leave at random, and the budget resized meanwhile.
func TestNothingLeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine stays
		const capacity = 1000
		b := NewBudget(capacity)
		var all sync.WaitGroup
		for n := range 400 {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			all.Go(func() {
				defer func() { _ = recover() }()
				pause := func() { time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond) }
				pause()
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(400))*time.Millisecond)
				defer cancel()
				g, err := b.Acquire(ctx, random.Int64N(capacity/5), time.Duration(random.IntN(200))*time.Millisecond)
				if err != nil {
					return
				}
				defer g.Release()
				for range 4 {
					pause()
					if err := g.Grow(ctx, g.Bytes()+random.Int64N(100), time.Duration(random.IntN(200))*time.Millisecond); err != nil {
						return
					}
					if s := b.Stats(); s.Used > capacity || s.Used < g.Bytes() {
						t.Errorf("stats say %+v with a grant of %d", s, g.Bytes())
					}
					if random.IntN(10) == 0 {
						panic("test")
					}
					g.Shrink(g.Bytes() - random.Int64N(100))
				}
			})
		}
		for range 20 {
			time.Sleep(20 * time.Millisecond)
			b.Resize(capacity / 2)
			time.Sleep(20 * time.Millisecond)
			b.Resize(capacity)
		}
		all.Wait()
		wantStats(t, b, Stats{Capacity: capacity})
	})
}

// TestEverythingAtOnce is for the race detector: real time, real goroutines.
func TestEverythingAtOnce(t *testing.T) {
	b := NewBudget(100)
	var all sync.WaitGroup
	for worker := range int64(16) {
		all.Go(func() {
			for n := range int64(300) {
				g, err := b.Acquire(context.Background(), n%20, time.Second)
				if err != nil {
					continue
				}
				if g.Grow(context.Background(), 20+worker, time.Millisecond) == nil {
					g.Shrink(n % 7)
				}
				b.Pressure()
				go g.Release()
				g.Release()
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(10 * time.Second); b.Stats().Grants > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	wantStats(t, b, Stats{Capacity: 100})
}
