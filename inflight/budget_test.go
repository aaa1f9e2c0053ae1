package inflight

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errTestLeft = errors.New("test client left")

// mustAcquire takes what must be free.
func mustAcquire(t *testing.T, b *Budget, n int64) *Grant {
	t.Helper()
	g, err := b.Acquire(context.Background(), n, 0)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wantStats(t *testing.T, b *Budget, want Stats) {
	t.Helper()
	if got := b.Stats(); got != want {
		t.Errorf("stats are %+v, want %+v", got, want)
	}
}

func TestAcquire(t *testing.T) {
	left, leave := context.WithCancelCause(context.Background())
	leave(errTestLeft)
	for name, test := range map[string]struct {
		ctx      context.Context
		capacity int64
		n        int64
		want     error
	}{
		"all that is left":         {context.Background(), 100, 60, nil},
		"one byte more":            {context.Background(), 100, 61, ErrBusy},
		"the whole budget":         {context.Background(), 100, 100, ErrBusy},
		"more than the budget":     {context.Background(), 100, 101, ErrTooLarge},
		"far more than the budget": {context.Background(), 100, math.MaxInt64, ErrTooLarge},
		"nothing":                  {context.Background(), 40, 0, nil},
		"less than nothing":        {context.Background(), 40, -5, nil},
		"without a limit":          {context.Background(), 0, 1 << 40, nil},
		"client has left":          {left, 100, 1, errTestLeft},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBudget(test.capacity)
			first := mustAcquire(t, b, 40)
			g, err := b.Acquire(test.ctx, test.n, 0)
			if !errors.Is(err, test.want) || (g == nil) != (err != nil) {
				t.Fatalf("Acquire returns %v, %v", g, err)
			}
			if g != nil {
				if want := max(test.n, 0); g.Bytes() != want {
					t.Errorf("grant has %d bytes, want %d", g.Bytes(), want)
				}
				g.Release()
				g.Release()
			}
			wantStats(t, b, Stats{Used: 40, Capacity: test.capacity, Grants: 1})
			first.Release()
			wantStats(t, b, Stats{Capacity: test.capacity})
		})
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g := mustAcquire(t, b, 100)
		start := time.Now()
		if _, err := b.Acquire(context.Background(), 1, 10*time.Second); !errors.Is(err, ErrBusy) {
			t.Errorf("Acquire returns %v", err)
		}
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		ctx, cancel := context.WithTimeoutCause(context.Background(), 3*time.Second, errTestLeft)
		defer cancel()
		if _, err := b.Acquire(ctx, 1, 10*time.Second); !errors.Is(err, errTestLeft) {
			t.Errorf("Acquire returns %v", err)
		}
		if waited := time.Since(start); waited != 13*time.Second {
			t.Errorf("waited %v", waited-10*time.Second)
		}
		g.Release()
		wantStats(t, b, Stats{Capacity: 100})
	})
}

// TestFirstComeFirstServed has a large request wait; small ones that would fit stay behind it.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g := mustAcquire(t, b, 50)
		var order []int
		var mu sync.Mutex
		for n, size := range []int64{90, 10, 10, 90, 10} {
			go func() {
				g, err := b.Acquire(context.Background(), size, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				time.Sleep(time.Second)
				g.Release()
			}()
			synctest.Wait()
		}
		if len(order) != 0 || !b.Pressure() {
			t.Errorf("%v overtook the large one", order)
		}
		wantStats(t, b, Stats{Used: 50, Capacity: 100, Grants: 1, Waiting: 5})
		if _, err := b.Acquire(context.Background(), 10, 0); !errors.Is(err, ErrBusy) {
			t.Errorf("who does not wait overtook those who do: %v", err)
		}
		g.Release()
		time.Sleep(time.Minute)
		synctest.Wait()
		slices.Sort(order[:2])  // 90 and 10 fit at one time
		slices.Sort(order[2:4]) // and again
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) {
			t.Errorf("served in the order %v", order)
		}
		wantStats(t, b, Stats{Capacity: 100})
	})
}

// TestWhoGivesUpLetsOthersPass cancels a large request in front of a small one that fits.
func TestWhoGivesUpLetsOthersPass(t *testing.T) {
	for name, wait := range map[string]time.Duration{"deadline": time.Second, "cancel": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(100)
				g := mustAcquire(t, b, 50)
				defer g.Release()
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				defer cancel()
				go func() {
					if _, err := b.Acquire(ctx, 90, wait); err == nil {
						t.Error("there was no room")
					}
				}()
				synctest.Wait()
				start := time.Now()
				small, err := b.Acquire(context.Background(), 50, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); waited != min(wait, 2*time.Second) {
					t.Errorf("waited %v", waited)
				}
				small.Release()
			})
		})
	}
}

func TestPressure(t *testing.T) {
	b := NewBudget(100)
	if b.Pressure() {
		t.Error("an empty budget is under pressure")
	}
	g := mustAcquire(t, b, 50)
	if b.Pressure() {
		t.Error("half is pressure")
	}
	h := mustAcquire(t, b, 1)
	if !b.Pressure() {
		t.Error("more than half is none")
	}
	h.Release()
	g.Release()
	b = NewBudget(0)
	mustAcquire(t, b, 1<<40)
	if b.Pressure() {
		t.Error("pressure without a limit")
	}
}

func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		g := mustAcquire(t, b, 80)
		results := make(chan error, 3)
		for _, size := range []int64{90, 40, 10} {
			go func() {
				g, err := b.Acquire(context.Background(), size, time.Hour)
				if err == nil {
					defer g.Release()
				}
				results <- err
				time.Sleep(time.Second)
			}()
			synctest.Wait()
		}
		b.Resize(50) // 90 never fits now; 40 has to wait for what is still used
		if err := <-results; !errors.Is(err, ErrTooLarge) {
			t.Errorf("what is too large now got %v", err)
		}
		synctest.Wait()
		wantStats(t, b, Stats{Used: 80, Capacity: 50, Grants: 1, Waiting: 2})
		b.Resize(120) // 80 + 40
		if err := <-results; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantStats(t, b, Stats{Used: 120, Capacity: 120, Grants: 2, Waiting: 1})
		b.Resize(0)
		if err := <-results; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		g.Release()
		wantStats(t, b, Stats{})
	})
}
