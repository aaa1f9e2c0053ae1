package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/inflight"
)

// brokenSpool is on a disk that fails in the middle of what is written.
type brokenSpool struct{ asked int }

func (s *brokenSpool) Write(body io.WriterTo, size int64) (*inflight.Spooled, error) {
	s.asked++
	_, err := body.WriteTo(&brokenDisk{left: size / 2})
	return nil, err
}

type brokenDisk struct{ left int64 }

var errDisk = errors.New("the disk broke")

func (d *brokenDisk) Write(p []byte) (int, error) {
	if d.left -= int64(len(p)); d.left < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

// shortOfMemory is an app more than half of whose memory is taken.
func shortOfMemory(t *testing.T) *App {
	t.Helper()
	app := &App{memory: memory{inFlight: inflight.NewBudget(16 << 20), holds: &holds{bodies: make(map[*byte]*hold)}}}
	grant, err := app.inFlight.Acquire(t.Context(), 9<<20, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(grant.Release)
	return app
}

// TestTextThroughFiles: while memory is short only what counts as in flight goes through a file, and from memory where the disk fails.
func TestTextThroughFiles(t *testing.T) {
	for _, test := range []struct{ size, files int }{{2 << 10, 0}, {smallEntry, 0}, {1 << 20, 1}} {
		app, spool := shortOfMemory(t), &brokenSpool{}
		app.spool = spool
		w, body := httptest.NewRecorder(), bytes.Repeat([]byte{'x'}, test.size)
		q := &request{Handler: &Handler{app: app}, r: httptest.NewRequest(http.MethodGet, "/manifest.mpd", nil), w: w, kind: kindMPD}
		if err := q.writeHeld(representation{etag: `"x"`, body: body}, nil); err != nil || !bytes.Equal(w.Body.Bytes(), body) {
			t.Errorf("%d bytes: %d left, %v", test.size, w.Body.Len(), err)
		}
		if spool.asked != test.files {
			t.Errorf("%d bytes: %d files, want %d", test.size, spool.asked, test.files)
		}
		if used := app.inFlight.Stats().Used; used != 9<<20 {
			t.Errorf("%d bytes: %d in flight afterwards", test.size, used)
		}
	}
}

// TestWhatIsBesideABodyEnds: what counts for those who read a segment as it came ends with them, whoever reads the body on.
func TestWhatIsBesideABodyEnds(t *testing.T) {
	const size = 1 << 20
	app := &App{memory: memory{inFlight: inflight.NewBudget(0), holds: &holds{bodies: make(map[*byte]*hold)}}}
	claim, body := app.claim(t.Context()), make([]byte, size)
	if err := claim.reserve(4 * size); err != nil {
		t.Fatal(err)
	}
	used := func() int64 { return app.inFlight.Stats().Used }
	left := app.holds.adoptBeside(body, claim, size)
	done, err := app.holds.hold(t.Context(), body, app)
	if err != nil || used() != charged(2*size) {
		t.Fatalf("%d in flight, %v", used(), err)
	}
	left()
	left()
	if used() != charged(size) {
		t.Errorf("%d in flight for who reads the body, want %d", used(), charged(size))
	}
	done()
	if used() != 0 {
		t.Errorf("%d in flight for nobody", used())
	}
}
