package caddymodule

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heldBackend lets everybody in, and holds its answers while it is told to.
type heldBackend struct {
	asked, under, most atomic.Int32 // questions ever, at this moment, and at the busiest one
	hold               atomic.Pointer[chan struct{}]
}

func (b *heldBackend) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		for now, most := b.under.Add(1), b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
		}
		defer b.under.Add(-1)
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice who leaves
		if hold := b.hold.Load(); hold != nil {
			select {
			case <-*hold:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, `{"allow":true,"subject":"7"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// crowd asks for a manifest so often at once, and counts the answers by status and reason. Every second client leaves with the context.
func crowd(t *testing.T, leaving context.Context, g *gateway, clients int, tokenOf func(i int) string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	answers := make(map[string]int)
	var all sync.WaitGroup
	for i := range clients {
		ctx := t.Context()
		if i%2 == 1 {
			ctx = leaving
		}
		all.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.addr+"/demo/manifest.mpd?token="+tokenOf(i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			answer := "left"
			if res, err := g.client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				answer = strconv.Itoa(res.StatusCode) + res.Header.Get("Drm-Reason")
			} else if ctx.Err() == nil {
				answer = err.Error()
			}
			mu.Lock()
			answers[answer]++
			mu.Unlock()
		})
	}
	all.Wait()
	return answers
}

// TestACrowdAtASlowBackend covers row 37 for what came with tokens: there is one question for all who ask the same, whoever of them leaves.
func TestACrowdAtASlowBackend(t *testing.T) {
	const clients = 600
	backend, hold := &heldBackend{}, make(chan struct{})
	backend.hold.Store(&hold)
	g := startGateway(t, entitledSite("entitlement BACKEND {\n send_token\n timeout 10s\n}"), "BACKEND", backend.start(t))
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		waitFor(t, "a question", func() bool { return backend.asked.Load() > 0 })
		time.Sleep(500 * time.Millisecond) // some have come by then, and some come later: both is right
		leave()
		close(hold)
	}()
	answers := crowd(t, leaving, g, clients, func(int) string { return "opaque" })
	if answers["200"] < clients/2 || answers["200"]+answers["left"] != clients {
		t.Errorf("answers: %v", answers)
	}
	if n := backend.asked.Load(); n > 3 { // who looked for the answer a moment too early asks again
		t.Errorf("%d questions for one token", n)
	}
}

// TestACrowdAtADeadBackend: with a token each, no more questions are under way than may be, all waiting ends, and all places
// are free again afterwards.
func TestACrowdAtADeadBackend(t *testing.T) {
	const clients, places = 600, 256
	backend, hold := &heldBackend{}, make(chan struct{})
	backend.hold.Store(&hold)
	defer close(hold)
	g := startGateway(t, entitledSite("entitlement BACKEND {\n send_token\n timeout 1s\n}"), "BACKEND", backend.start(t))
	start := time.Now()
	answers := crowd(t, t.Context(), g, clients, func(i int) string { return "opaque-" + strconv.Itoa(i) })
	if answers["503entitlement_unknown"] != clients {
		t.Errorf("answers: %v", answers)
	}
	if took := time.Since(start); took > 30*time.Second { // a second, on a machine that has nothing else to do
		t.Errorf("the last answer came after %s", took)
	}
	if most := backend.most.Load(); most == 0 || most > places {
		t.Errorf("%d questions at one moment, want at most %d", most, places)
	}
	backend.hold.Store(nil)
	var answered map[string]int
	waitFor(t, "everybody is let in", func() bool { // once the backend is asked again
		answered = crowd(t, t.Context(), g, places/2, func(i int) string { return "later-" + strconv.Itoa(i) })
		return answered["200"] == places/2
	})
}
