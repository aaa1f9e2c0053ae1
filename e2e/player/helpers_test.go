package player

import (
	"errors"
	"testing"
)

// playbackError unwraps the *PlaybackError that a failed step must return.
func playbackError(t *testing.T, err error) *PlaybackError {
	t.Helper()
	var failed *PlaybackError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a *PlaybackError", err)
	}
	return failed
}
