package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// holder drives one key of a store.
type holder struct {
	t     *testing.T
	store StreamStore
	use   StreamUse
}

func (h holder) hold(playback string, change func(*StreamUse)) StreamStatus {
	h.t.Helper()
	use := h.use
	use.Playback = digestOf(playback)
	if change != nil {
		change(&use)
	}
	statuses, err := h.store.Hold(context.Background(), []StreamUse{use})
	if err != nil || len(statuses) != 1 {
		h.t.Fatalf("%v, %v", statuses, err)
	}
	return statuses[0]
}

func (h holder) want(playback string, want StreamResult, change func(*StreamUse)) StreamStatus {
	h.t.Helper()
	got := h.hold(playback, change)
	if got.Result != want {
		h.t.Errorf("%s: result %d, want %d", playback, got.Result, want)
	}
	return got
}

func look(use *StreamUse) { use.Look = true }

func TestStreamStores(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		for name, test := range map[string]struct {
			use  StreamUse
			test func(*testing.T, holder)
		}{
			"one more than may be is refused":      {StreamUse{Limit: 2, Idle: time.Minute}, checkReject},
			"the oldest makes room":                {StreamUse{Limit: 2, Idle: time.Minute, Kick: true}, checkKick},
			"what idles makes room":                {StreamUse{Limit: 1, Idle: 2 * time.Second}, checkIdle},
			"a place that is given back is free":   {StreamUse{Limit: 1, Idle: time.Minute}, checkRelease},
			"what was forgotten counts again":      {StreamUse{Limit: 1, Idle: time.Minute}, checkComeback},
			"and makes room if it began first":     {StreamUse{Limit: 1, Idle: time.Minute, Kick: true}, checkKickComeback},
			"only the last kicked are remembered":  {StreamUse{Limit: 1, Idle: time.Minute, Kick: true}, checkKickedAreBounded},
			"two at once never exceed the limit":   {StreamUse{Limit: 3, Idle: time.Minute}, checkRace},
			"a use that is over takes no place":    {StreamUse{Limit: 1, Idle: time.Second}, checkOver},
			"many keys are answered in their turn": {StreamUse{Limit: 1, Idle: time.Minute}, checkBatch},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // each has a key of its own
				test.use.Key = digestOf(t.Name())
				test.test(t, holder{t, s.streams, test.use})
			})
		}
	})
}

func checkReject(t *testing.T, h holder) {
	h.want("c", StreamHeld, look)
	if !h.want("a", StreamHeld, nil).New || !h.want("b", StreamHeld, nil).New {
		t.Error("a new playback is not said to be")
	}
	if h.want("a", StreamHeld, nil).New {
		t.Error("the second request of a playback counts as new")
	}
	h.want("b", StreamHeld, look)
	if got := h.want("c", StreamLimited, look); got.RetryAfter <= 58*time.Second || got.RetryAfter > time.Minute {
		t.Errorf("a place is free in %s, want the idle time", got.RetryAfter)
	}
	h.want("c", StreamLimited, nil)
	h.want("c", StreamHeld, func(use *StreamUse) { use.Key = digestOf("other") })
}

func checkKick(t *testing.T, h holder) {
	h.want("a", StreamHeld, nil)
	time.Sleep(5 * time.Millisecond) // servers count milliseconds
	h.want("b", StreamHeld, nil)
	time.Sleep(5 * time.Millisecond)
	h.want("c", StreamHeld, look)
	got := h.want("c", StreamHeld, nil)
	if len(got.Kicked) != 1 || got.Kicked[0] != digestOf("a") || !got.New {
		t.Errorf("kicked %v, want a", got.Kicked)
	}
	for range 2 { // it does not come back, however often it asks
		if got := h.want("a", StreamKicked, nil); got.RetryAfter < KickedFor-time.Minute || got.RetryAfter > KickedFor {
			t.Errorf("it stays out for %s", got.RetryAfter)
		}
	}
	h.want("a", StreamKicked, look)
	h.want("b", StreamHeld, nil)
	h.want("c", StreamHeld, nil)
}

func checkIdle(_ *testing.T, h holder) {
	h.want("a", StreamHeld, nil)
	for range 5 { // together longer than it may idle
		time.Sleep(500 * time.Millisecond)
		h.want("a", StreamHeld, nil)
		h.want("b", StreamLimited, nil)
	}
	time.Sleep(2100 * time.Millisecond)
	h.want("b", StreamHeld, nil)
	h.want("a", StreamLimited, nil)
}

func checkRelease(t *testing.T, h holder) {
	h.want("a", StreamHeld, nil)
	h.want("b", StreamLimited, nil)
	use := h.use
	use.Playback = digestOf("a")
	for range 2 {
		if err := h.store.Release(context.Background(), []StreamUse{use}); err != nil {
			t.Fatal(err)
		}
	}
	h.want("b", StreamHeld, nil)
}

func checkComeback(t *testing.T, h holder) {
	renew := func(use *StreamUse) { use.Used, use.Started = 10*time.Second, time.Hour }
	h.want("a", StreamHeld, renew)
	if got := h.want("b", StreamLimited, renew); got.RetryAfter > 50*time.Second || got.RetryAfter < 48*time.Second {
		t.Errorf("a place is free in %s, want the idle time without what has passed", got.RetryAfter)
	}
}

func checkKickComeback(t *testing.T, h holder) {
	h.want("late", StreamHeld, func(use *StreamUse) { use.Started = time.Second })
	if got := h.want("early", StreamKicked, func(use *StreamUse) { use.Started = time.Minute }); got.RetryAfter == 0 {
		t.Error("it may come back at once")
	}
	h.want("late", StreamHeld, nil)
}

func checkKickedAreBounded(_ *testing.T, h holder) {
	for i := range maxKicked + 10 {
		h.want(fmt.Sprint(i), StreamHeld, nil)
		time.Sleep(2 * time.Millisecond)
	}
	h.want(fmt.Sprint(maxKicked), StreamKicked, nil)
	h.want("0", StreamHeld, nil) // forgotten, so it is one like any other
}

func checkRace(t *testing.T, h holder) {
	var held atomic.Int32
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			use := h.use
			use.Playback = digestOf(fmt.Sprint(i))
			statuses, err := h.store.Hold(context.Background(), []StreamUse{use})
			if err != nil {
				t.Error(err)
			} else if statuses[0].Result == StreamHeld {
				held.Add(1)
			}
		})
	}
	all.Wait()
	if held.Load() != 3 {
		t.Errorf("%d hold a place, want 3", held.Load())
	}
}

func checkOver(t *testing.T, h holder) {
	if h.want("a", StreamHeld, func(use *StreamUse) { use.Used = time.Minute }).New {
		t.Error("what was over before took a place")
	}
	h.want("b", StreamHeld, nil)
}

func checkBatch(t *testing.T, h holder) {
	var uses []StreamUse
	for i := range 300 {
		use := h.use
		use.Key, use.Playback = digestOf(fmt.Sprintf("%s %d", t.Name(), i/2)), digestOf(fmt.Sprint(i))
		uses = append(uses, use)
	}
	statuses, err := h.store.Hold(context.Background(), uses)
	if err != nil || len(statuses) != len(uses) {
		t.Fatalf("%d statuses, %v", len(statuses), err)
	}
	for i, status := range statuses {
		if want := []StreamResult{StreamHeld, StreamLimited}[i%2]; status.Result != want {
			t.Fatalf("use %d: %d, want %d", i, status.Result, want)
		}
	}
}

func TestReplayStores(t *testing.T) {
	everywhere(t, func(t *testing.T, s stores) {
		seen := func(name string, until time.Duration) bool {
			t.Helper()
			seen, err := s.replay.Seen(context.Background(), digestOf(t.Name()+name), time.Now().Add(until))
			if err != nil {
				t.Fatal(err)
			}
			return seen
		}
		known := func(name string) bool {
			t.Helper()
			known, err := s.replay.Known(context.Background(), digestOf(t.Name()+name))
			if err != nil {
				t.Fatal(err)
			}
			return known
		}
		if known("a") || known("a") {
			t.Error("who asks makes it known")
		}
		if seen("a", time.Minute) || !seen("a", time.Minute) || seen("b", time.Minute) {
			t.Error("the first use is seen, or the second is not")
		}
		if !known("a") || known("c") {
			t.Error("what was used is not known, or what was not is")
		}
		if seen("over", -time.Second) || seen("over", -time.Second) {
			t.Error("what is over is remembered")
		}
		if seen("short", 900*time.Millisecond) {
			t.Error("the first use is seen")
		}
		time.Sleep(2100 * time.Millisecond) // servers count whole seconds
		if seen("short", time.Minute) {
			t.Error("it is remembered for longer than it was said")
		}
		var first atomic.Int32
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if seen, err := s.replay.Seen(context.Background(), digestOf(t.Name()+"race"), time.Now().Add(time.Minute)); err == nil && !seen {
					first.Add(1)
				}
			})
		}
		all.Wait()
		if first.Load() != 1 {
			t.Errorf("%d were the first", first.Load())
		}
	})
}

func TestMemoryReplayForgetsNothing(t *testing.T) {
	m := NewMemoryReplay(2, time.Now)
	until := time.Now().Add(time.Minute)
	for i, want := range []error{nil, nil, ErrUnavailable} {
		if seen, err := m.Seen(t.Context(), digestOf(fmt.Sprint(i)), until); seen || !errors.Is(err, want) {
			t.Errorf("token %d: %t, %v", i, seen, err)
		}
	}
	if seen, err := m.Seen(t.Context(), digestOf("0"), until); !seen || err != nil {
		t.Errorf("%t, %v", seen, err)
	}
}
