package caddymodule

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// heldServers are license servers of which that of Widevine holds its answers until it is let go.
type heldServers struct {
	under, most atomic.Int32 // requests at this moment, and at the busiest one
	letGo       chan struct{}
}

func (h *heldServers) answer(cert []byte) func(http.ResponseWriter, *http.Request) {
	others := answerEverySystem(cert)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wv" {
			for now, most := h.under.Add(1), h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
			}
			select {
			case <-h.letGo:
			case <-r.Context().Done():
			}
			h.under.Add(-1)
		}
		others(w, r)
	}
}

// licenseCrowd sends requests through Caddy without a network, and counts the answers by status and reason.
type licenseCrowd struct {
	handler http.Handler
	path    licenseWay
	all     sync.WaitGroup
	mu      sync.Mutex
	answers map[string]int
	unasked int // refusals without Retry-After
}

// come lets so many clients ask at once, who leave with the context.
func (c *licenseCrowd) come(ctx context.Context, clients int) {
	for range clients {
		c.all.Go(func() {
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, c.path.method, c.path.url, bytes.NewReader(c.path.body)))
			c.mu.Lock()
			defer c.mu.Unlock()
			c.answers[strconv.Itoa(w.Code)+w.Header().Get(headerReason)]++
			if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				c.unasked++
			}
		})
	}
}

func (c *licenseCrowd) got(answer string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[answer]
}

// TestACrowdAtASlowLicenseServer covers row 37 for license servers. While one holds thousands of clients, few of them wait and all others are
// told to come again, at once; licenses of all other kinds are given; who leaves makes room; and in the end everybody who waited is served.
func TestACrowdAtASlowLicenseServer(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of requests within the time that players wait for a license server")
	}
	const clients = 5000
	l := startEveryLicense(t, "", "timeout 1s", "timeout 9s")
	paths := l.ways(t, "demo", l.token) // that of Widevine is the second
	held := &heldServers{letGo: make(chan struct{})}
	l.up.say(held.answer(l.up.cert))
	crowd := &licenseCrowd{handler: insideCaddy(t), path: paths[1], answers: make(map[string]int)}
	const refused, served, left = "503license_server_unavailable", "200", "499"
	before := runtime.NumGoroutine()
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	crowd.come(leaving, licenseWaiting/2)
	waitFor(t, "those who will leave are there", func() bool { return held.under.Load() == licenseConnections })
	crowd.come(t.Context(), clients)
	waitFor(t, "all who have no place are refused", func() bool { return crowd.got(refused) == clients-licenseWaiting/2 })
	// Each that waits has a goroutine, and each connection some on both of its ends, in this process.
	if now := runtime.NumGoroutine(); now > before+licenseWaiting+8*licenseConnections {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	for _, p := range paths {
		if p.name != "widevine" {
			wantReply(t, p.name+" while Widevine hangs", l.askAt(t, p, p.url), 200, "")
		}
	}
	// What a service says of its certificate waits in the same line.
	service := paths[1]
	service.body = []byte{8, 4}
	wantReply(t, "one more", l.askAt(t, service, service.url), 503, "license_server_unavailable")
	if crowd.got(served)+crowd.got(left) > 0 || held.most.Load() > licenseConnections {
		t.Errorf("%v, %d at one moment", crowd.answers, held.most.Load())
	}
	leave()
	waitFor(t, "half of them leave", func() bool { return crowd.got(left) == licenseWaiting/2 })
	crowd.come(t.Context(), licenseWaiting/2)
	waitFor(t, "others take their places", func() bool { return held.under.Load() == licenseConnections })
	close(held.letGo)
	crowd.all.Wait()
	if crowd.got(served) != licenseWaiting || crowd.got(refused) != clients-licenseWaiting/2 || crowd.unasked > 0 || held.most.Load() > licenseConnections {
		t.Errorf("%v, %d at one moment, %d without Retry-After", crowd.answers, held.most.Load(), crowd.unasked)
	}
	wantReply(t, "when all is over", l.askAt(t, service, service.url), 200, "")
	waitFor(t, "goroutines end", func() bool {
		l.client.CloseIdleConnections()
		return runtime.NumGoroutine() < before+6*licenseConnections // idle connections to the license server
	})
}

// TestACrowdForOneCertificate: the first certificate is asked for once, however many want it, and who leaves does not end the question.
func TestACrowdForOneCertificate(t *testing.T) {
	const clients = 1000
	l := startEveryLicense(t, "", "timeout 1s", "timeout 9s")
	certificate := l.ways(t, "demo", l.token)[4]
	if certificate.name != "certificate of fairplay" {
		t.Fatal(certificate.name)
	}
	letGo := make(chan struct{})
	l.up.say(func(w http.ResponseWriter, _ *http.Request) {
		<-letGo
		_, _ = w.Write(l.up.cert)
	})
	crowd := &licenseCrowd{handler: insideCaddy(t), path: certificate, answers: make(map[string]int)}
	leaving, leave := context.WithCancel(t.Context())
	crowd.come(leaving, clients/2)
	waitFor(t, "the question", func() bool { return len(l.up.asked()) == 1 })
	crowd.come(t.Context(), clients/2)
	leave()
	waitFor(t, "half of them leave", func() bool { return crowd.got("499") == clients/2 })
	close(letGo)
	crowd.all.Wait()
	if crowd.got("200") != clients/2 || len(l.up.asked()) != 1 {
		t.Errorf("%v, asked %d times", crowd.answers, len(l.up.asked()))
	}
}

// TestADeadLicenseServer: nobody listens where Widevine's should be, and every other license is given as if nothing were, also to viewers who
// come between many for Widevine.
func TestADeadLicenseServer(t *testing.T) {
	l := startEveryLicense(t, "", "UPSTREAM/wv {", "https://127.0.0.1:1/ {")
	paths := l.ways(t, "demo", l.token)
	crowd := &licenseCrowd{handler: insideCaddy(t), path: paths[1], answers: make(map[string]int)}
	for range 20 {
		crowd.come(t.Context(), 20)
		for _, p := range paths {
			if p.name != "widevine" {
				wantReply(t, p.name, l.askAt(t, p, p.url), 200, "")
			}
		}
	}
	crowd.all.Wait()
	if crowd.got("503license_server_unavailable") != 400 || crowd.unasked > 0 {
		t.Errorf("%v, %d without Retry-After", crowd.answers, crowd.unasked)
	}
}
