package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEditFlights: one makes it for all, who leaves is not waited for, and what nobody waits for is given up.
func TestEditFlights(t *testing.T) {
	var f editFlights
	want, step, gone := &manifestEdit{size: 1}, make(chan struct{}), make(chan struct{})
	makeEdit := func(ctx context.Context) (*manifestEdit, error) {
		select {
		case <-step:
			return want, nil
		case <-ctx.Done():
			close(gone)
			return nil, ctx.Err()
		}
	}
	leaving, leave := context.WithCancel(t.Context())
	first, started := f.join(leaving, "a", makeEdit)
	second, again := f.join(t.Context(), "a", makeEdit)
	if !started || again || first != second {
		t.Errorf("started %t, and again %t", started, again)
	}
	leave()
	if _, err := f.wait(leaving, "a", first); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	close(step)
	if edit, err := f.wait(t.Context(), "a", second); edit != want || err != nil {
		t.Errorf("who stays gets %v, %v", edit, err)
	}
	step = make(chan struct{})
	alone, started := f.join(leaving, "a", makeEdit)
	if _, err := f.wait(leaving, "a", alone); !started || err == nil {
		t.Errorf("started anew %t, %v", started, err)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("it goes on for nobody")
	}
	failing, _ := f.join(t.Context(), "a", func(context.Context) (*manifestEdit, error) { panic("broken") })
	if edit, err := f.wait(t.Context(), "a", failing); edit != nil || !errors.Is(err, errOriginPanic) {
		t.Errorf("got %v, %v", edit, err)
	}
	if len(f.byKey) != 0 {
		t.Errorf("%d are left", len(f.byKey))
	}
}

// TestAskingAndLeavingIsCheap: a client that asks for a long playlist in many ways and leaves at once does not keep the gateway busy, and
// what is still made counts as in flight.
func TestAskingAndLeavingIsCheap(t *testing.T) {
	var long strings.Builder
	long.WriteString("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"360p/init.mp4\"\n")
	for n := range 30_000 {
		fmt.Fprintf(&long, "#EXTINF:2.0,\n360p/seg_%d.m4s\n", n)
	}
	long.WriteString("#EXT-X-ENDLIST\n")
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/demo/video/long.m3u8" {
			return false
		}
		_, _ = w.Write([]byte(long.String()))
		return true
	})
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	if res := g.mustGet(t, "/demo/video/long.m3u8"); len(res.body) < 2*long.Len() {
		t.Fatalf("%d bytes", len(res.body))
	}
	editing, ended, finished := &sharedCaches().editing, 0, 0
	setEnded := func(told func(error)) {
		editing.mu.Lock()
		defer editing.mu.Unlock()
		editing.ended = told
	}
	setEnded(func(err error) {
		ended++
		if err == nil {
			finished++
		}
	})
	t.Cleanup(func() { setEnded(nil) })
	const askers = 100
	asked := len(origin.seen())
	for n := range askers {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "GET /demo/video/long.m3u8?n=%d HTTP/1.1\r\nHost: %s\r\n\r\n", n, g.addr)
		for deadline := time.Now().Add(10 * time.Second); len(origin.seen()) <= asked+n && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		_ = conn.Close()
	}
	busy := func() bool {
		editing.mu.Lock()
		defer editing.mu.Unlock()
		return len(editing.byKey) > 0 || sharedMemory().inFlight.Stats().Used > 0
	}
	for deadline := time.Now().Add(time.Minute); busy(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still at work: %+v", sharedMemory().inFlight.Stats())
		}
	}
	setEnded(nil)
	if ended == 0 || finished > ended/4 {
		t.Errorf("of %d who left at once %d had a rewrite begun for them, and %d finished", askers, ended, finished)
	}
}
