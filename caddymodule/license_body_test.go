package caddymodule

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// deadlineWriter remembers the deadlines of its connection.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (w *deadlineWriter) SetReadDeadline(at time.Time) error {
	w.deadlines = append(w.deadlines, at)
	return nil
}

// TestDeadlineOfLicenseBodies: it ends with the body, since key and license servers may take longer, and stays for one that does not come.
func TestDeadlineOfLicenseBodies(t *testing.T) {
	for name, test := range map[string]struct {
		body  io.Reader
		lifts bool
	}{
		"whole": {strings.NewReader("challenge"), true}, "empty": {strings.NewReader(""), true}, "too long": {strings.NewReader("a challenge of more"), false},
		"not to its end": {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("challenge"))), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
			q := &request{w: w, r: httptest.NewRequestWithContext(t.Context(), "POST", "/", test.body)}
			if _, err := q.readLicenseBody(10); (err == nil) != test.lifts || err != nil && !errors.Is(err, errBody) {
				t.Errorf("error %v", err)
			}
			if len(w.deadlines) == 0 || w.deadlines[0].IsZero() {
				t.Fatalf("deadlines %v, want one first", w.deadlines)
			}
			if lifted := w.deadlines[len(w.deadlines)-1].IsZero(); lifted != test.lifts {
				t.Errorf("lifted %t, want %t", lifted, test.lifts)
			}
		})
	}
}
