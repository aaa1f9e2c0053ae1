package entitlement

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// script is a Backend of tests.
type script struct {
	mu       sync.Mutex
	answer   Answer
	err      error
	asked    []Question
	hold     chan struct{} // if set, answers wait for it
	explains bool
}

func (s *script) Ask(ctx context.Context, q Question) (Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, q)
	answer, err, hold := s.answer, s.err, s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return answer, err
}

func (s *script) Explains() bool { return s.explains }

func (s *script) say(answer Answer, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.err = answer, err
}

func (s *script) questions() []Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func yes(holds time.Duration) Answer { return Answer{Allowed: true, Holds: holds} }

func TestCache(t *testing.T) {
	backend := &script{answer: yes(10 * time.Minute)}
	c := NewCache(backend, CacheConfig{MaxAge: time.Minute})
	defer c.Close()
	ask := func(after time.Duration, want string, questions int) {
		t.Helper()
		answer, _, err := c.Ask(t.Context(), testQuestion, testNow.Add(after))
		said := map[bool]string{true: "yes", false: "no"}[answer.Allowed]
		if err != nil {
			said = "unknown"
			if !errors.Is(err, token.ErrEntitlementUnknown) {
				t.Errorf("%v", err)
			}
		}
		if got := len(backend.questions()); said != want || got != questions {
			t.Errorf("after %s: %s, %d questions; want %s, %d", after, said, got, want, questions)
		}
	}
	ask(0, "yes", 1)
	ask(59*time.Second, "yes", 1)
	backend.say(Answer{}, nil)
	ask(61*time.Second, "no", 2)
	ask(65*time.Second, "no", 2)
	backend.say(yes(0), nil)
	ask(67*time.Second, "yes", 3) // a refusal is believed for seconds
	backend.say(Answer{}, errors.New("down"))
	ask(10*time.Minute, "unknown", 4)
	ask(10*time.Minute+500*time.Millisecond, "unknown", 4) // and left alone for one
	ask(10*time.Minute+2*time.Second, "unknown", 5)
	backend.say(yes(0), nil)
	ask(10*time.Minute+4*time.Second, "yes", 6)
	other := testQuestion
	other.Addr = netip.MustParseAddr("192.0.2.8")
	if _, fresh, err := c.Ask(t.Context(), other, testNow.Add(10*time.Minute+4*time.Second)); err != nil || !fresh {
		t.Error("another viewer is given an answer that is not about him")
	}
}

func TestOnFailure(t *testing.T) {
	for how, want := range map[Failure][2]bool{FailDeny: {false, false}, FailAllow: {true, true}, FailCached: {true, false}} { // known, and not
		backend := &script{answer: yes(0)}
		c := NewCache(backend, CacheConfig{OnFailure: how})
		if _, _, err := c.Ask(t.Context(), testQuestion, testNow); err != nil {
			t.Fatal(err)
		}
		backend.say(Answer{}, errors.New("down"))
		stranger := testQuestion
		stranger.Token = "another"
		for i, q := range []Question{testQuestion, stranger} {
			answer, _, err := c.Ask(t.Context(), q, testNow.Add(time.Hour))
			if answer.Allowed != want[i] || (err == nil) != want[i] {
				t.Errorf("%s, question %d: %t, %v", how, i, answer.Allowed, err)
			}
		}
		if answer, _, _ := c.Ask(t.Context(), testQuestion, testNow.Add(25*time.Hour)); answer.Allowed != (how == FailAllow) {
			t.Errorf("%s: an answer of yesterday counts: %t", how, answer.Allowed)
		}
		c.Close()
	}
}

func TestOneQuestionForAllWhoAsk(t *testing.T) {
	backend := &script{answer: yes(0), hold: make(chan struct{})}
	c := NewCache(backend, CacheConfig{MaxWaiting: 1})
	defer c.Close()
	var group sync.WaitGroup
	var allowed atomic.Int32
	leaving, leave := context.WithCancel(t.Context())
	for i := range 100 {
		group.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			if answer, _, err := c.Ask(ctx, testQuestion, testNow); err == nil && answer.Allowed {
				allowed.Add(1)
			}
		})
	}
	for len(backend.questions()) == 0 {
		time.Sleep(time.Millisecond)
	}
	stranger := testQuestion
	stranger.Token = "another"
	if _, _, err := c.Ask(t.Context(), stranger, testNow); !errors.Is(err, token.ErrEntitlementUnknown) {
		t.Errorf("in excess of what may wait: %v", err)
	}
	leave()
	close(backend.hold)
	group.Wait()
	if n := len(backend.questions()); allowed.Load() < 99 || n > 2 { // those who come when it is over are given the answer
		t.Errorf("%d allowed, %d questions", allowed.Load(), n)
	}
}
