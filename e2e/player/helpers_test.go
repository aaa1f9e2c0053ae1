package player

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
)

// browser is shared by the tests: starting one takes seconds. It is nil with -short.
var browser *Browser

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runWithBrowser(m))
}

func runWithBrowser(m *testing.M) int {
	if !testing.Short() {
		var err error
		if browser, err = Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err) // a tool that is missing is a failure, not a reason to skip
			return 1
		}
		defer browser.Close()
	}
	return m.Run()
}

// play starts a session that ends with the test. With -short it skips: the browser tests take minutes.
func play(t *testing.T, o Options) (*Session, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a browser")
	}
	s, err := browser.Play(testContext(t), o)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// mustPlay is play for what has to work.
func mustPlay(t *testing.T, o Options) *Session {
	t.Helper()
	s, err := play(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustNotPlay is play for what has to fail.
func mustNotPlay(t *testing.T, o Options) *PlaybackError {
	t.Helper()
	if _, err := play(t, o); err != nil {
		return playbackError(t, err)
	}
	t.Fatal("it plays")
	return nil
}

// playbackError unwraps the *PlaybackError that a failed step must return.
func playbackError(t *testing.T, err error) *PlaybackError {
	t.Helper()
	var failed *PlaybackError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *PlaybackError", err)
	}
	return failed
}
