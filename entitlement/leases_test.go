package entitlement

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// settled waits until no question about the playback is under way.
func settled(t *testing.T, l *Leases, playback [8]byte) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		known, ok := l.leases.get(playback)
		asking := ok && known.asking
		l.mu.Unlock()
		if !asking {
			return
		}
	}
	t.Fatal("the question has no end")
}

func TestLeases(t *testing.T) {
	playback := [8]byte{1}
	for how, whenDown := range map[Failure]error{FailDeny: token.ErrEntitlementUnknown, FailAllow: nil, FailCached: nil} {
		t.Run(string(how), func(t *testing.T) {
			backend := &script{answer: yes(time.Minute)}
			l := NewLeases(backend, LeasesConfig{OnFailure: how, Extend: time.Hour})
			defer l.Close()
			l.Start(playback, testQuestion, yes(time.Minute), testNow)
			check := func(after time.Duration, want error, questions int) time.Time {
				t.Helper()
				renew, err := l.Check(playback, Question{}, testNow.Add(after), false)
				settled(t, l, playback)
				if got := len(backend.questions()); !errors.Is(err, want) || got != questions {
					t.Errorf("after %s: %v, %d questions; want %v, %d", after, err, got, want, questions)
				}
				return renew
			}
			if renew := check(30*time.Second, nil, 0); !renew.Equal(testNow.Add(time.Minute + time.Hour)) {
				t.Errorf("renewed until %s", renew)
			}
			check(61*time.Second, nil, 1) // asks behind the request
			if renew := check(100*time.Second, nil, 1); !renew.Equal(testNow.Add(121*time.Second + time.Hour)) {
				t.Errorf("renewed until %s", renew)
			}
			q := backend.questions()[0]
			if q.Event != Update || q.Number != 1 || q.Token != testQuestion.Token || q.Playback != "0100000000000000" || q.Duration != 61*time.Second || q.Clients != 1 || q.AssetClients != 1 {
				t.Errorf("%+v", q)
			}
			backend.say(Answer{}, nil)
			check(3*time.Minute, nil, 2) // what was said before counts until there is another answer
			check(3*time.Minute+time.Second, token.ErrNotEntitled, 2)
			backend.say(yes(time.Minute), nil)
			check(4*time.Minute, token.ErrNotEntitled, 3)
			check(4*time.Minute+time.Second, nil, 3)
			backend.say(Answer{}, errors.New("down"))
			check(6*time.Minute, nil, 4)
			check(6*time.Minute+time.Second, whenDown, 4)
			backend.say(yes(time.Minute), nil)
			check(7*time.Minute, whenDown, 5)
			check(7*time.Minute+time.Second, nil, 5)
		})
	}
}

func TestLeasesOfOtherNodes(t *testing.T) {
	backend := &script{answer: Answer{}}
	l := NewLeases(backend, LeasesConfig{Extend: time.Hour})
	defer l.Close()
	if renew, err := l.Check([8]byte{1}, testQuestion, testNow, true); err != nil || !renew.IsZero() || len(backend.questions()) != 0 {
		t.Errorf("an explanation: %s, %v", renew, err)
	}
	if renew, err := l.Check([8]byte{1}, testQuestion, testNow, false); err != nil || !renew.IsZero() {
		t.Errorf("at first: %s, %v", renew, err)
	}
	settled(t, l, [8]byte{1})
	if _, err := l.Check([8]byte{1}, testQuestion, testNow, false); !errors.Is(err, token.ErrNotEntitled) {
		t.Errorf("then: %v", err)
	}
	if _, err := l.Check([8]byte{}, testQuestion, testNow, false); err != nil {
		t.Errorf("a session without a playback: %v", err)
	}
	needs := NewLeases(backend, LeasesConfig{NeedsToken: true})
	defer needs.Close()
	if _, err := needs.Check([8]byte{1}, testQuestion, testNow, false); err != nil || len(backend.questions()) != 1 {
		t.Errorf("a playback whose token is elsewhere: %v, %d questions", err, len(backend.questions()))
	}
}

func TestLeasesAreBounded(t *testing.T) {
	l := NewLeases(&script{}, LeasesConfig{MaxPlaybacks: 10})
	defer l.Close()
	for i := range 100 {
		q := testQuestion
		q.Asset = fmt.Sprint(i % 2)
		l.Start([8]byte{byte(i)}, q, yes(0), testNow)
	}
	if ofAsset, all := l.Counts("0"); ofAsset != 5 || all != 10 {
		t.Errorf("%d of %d", ofAsset, all)
	}
	l.Start([8]byte{200}, testQuestion, yes(0), testNow.Add(time.Hour)) // nobody watches the others any more
	if ofAsset, all := l.Counts("0"); ofAsset != 0 || all != 1 || len(l.assets) != 1 {
		t.Errorf("%d of %d, %v", ofAsset, all, l.assets)
	}
	hold := make(chan struct{})
	busy := NewLeases(&script{hold: hold}, LeasesConfig{MaxWaiting: 1})
	for i := range 3 {
		if _, err := busy.Check([8]byte{byte(i + 1)}, testQuestion, testNow, false); err != nil {
			t.Error(err)
		}
	}
	busy.Close() // ends what is asked
}
