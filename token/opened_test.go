package token

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func newOpenedSessions(t testing.TB) *OpenedSessions {
	t.Helper()
	opened, err := NewOpenedSessions(100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.entries.Close)
	return opened
}

// rememberingKey returns a key and one of its sessions, which has been opened once and is remembered.
func rememberingKey(t testing.TB, opened *OpenedSessions) (*SessionKey, string) {
	t.Helper()
	k, err := NewSessionKey(testSecret("s")[:SessionKeyBytes], SessionConfig{Opened: opened})
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(s, testNow); err != nil {
		t.Fatal(err)
	}
	opened.entries.Wait()
	return k, s
}

func TestARememberedSessionIsNotOpenedAgain(t *testing.T) {
	opened := newOpenedSessions(t)
	k, s := rememberingKey(t, opened)
	fresh, err := newTestSessionKey(t, "s", 0).Open(s, testNow)
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.Open(s, testNow)
	if err != nil || !reflect.DeepEqual(again, fresh) {
		t.Errorf("remembered %v, %v; opened %v", again, err, fresh)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = k.Open(s, testNow) }); n > 0 || err != nil {
		t.Errorf("%v allocations to open it again, %v", n, err)
	}
}

// What is remembered is no way around the end of a session, nor around the key of another tenant.
func TestARememberedSessionIsStillJudged(t *testing.T) {
	opened := newOpenedSessions(t)
	k, s := rememberingKey(t, opened)
	if _, err := k.Open(s, testNow.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: %v, want ErrExpired", err)
	}
	other, err := NewSessionKey(testSecret("other")[:SessionKeyBytes], SessionConfig{Opened: opened})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(s, testNow); !errors.Is(err, ErrSignature) {
		t.Errorf("under another key: %v, want ErrSignature", err)
	}
	if _, err := k.Open(s[:len(s)-2]+"AA", testNow); err == nil {
		t.Error("a session with another MAC was opened")
	}
}

func BenchmarkSessionOpenRemembered(b *testing.B) {
	k, s := rememberingKey(b, newOpenedSessions(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(s, testNow); err != nil {
			b.Fatal(err)
		}
	}
}
