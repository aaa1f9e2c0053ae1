package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crossing is one request as an edge in front of the gateway saw it, in the order of the answers.
type crossing struct {
	method  string
	url     string
	path    string // clean, without the elements of the gateway
	session string
	body    []byte // of a license request
	status  int    // 0: nobody waited for the answer
	phase   int    // that it was passed on in: one begins whenever the rules change
	reason  string
}

// isSegment reports whether it asked for media behind an init segment.
func (p crossing) isSegment() bool { return strings.HasSuffix(p.path, ".m4s") }

func (p crossing) isLicense() bool {
	return p.method == http.MethodPost || p.method == http.MethodGet && strings.Contains(p.path, "/.drm/") && !strings.Contains(p.path, "/config/")
}

// edge stands in front of a gateway and writes down what it answers. Its rules are set while players play.
type edge struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []crossing
	rules edgeRules
	phase int
	opens *sync.Cond
}

// edgeRules is what an edge does to requests on their way.
type edgeRules struct {
	// holdLicenses and holdSegments make requests wait: all for licenses, and those for segments from this number on unless it is 0.
	holdLicenses bool
	holdSegments int
	// license changes a request for a license before it is passed on.
	license func(*http.Request)
	// bare takes license URLs out of MPDs.
	bare bool
}

var segmentNumber = regexp.MustCompile(`/seg_(\d+)\.m4s$`)

func (r edgeRules) holds(p crossing) bool {
	if number := segmentNumber.FindStringSubmatch(p.path); number != nil && r.holdSegments > 0 {
		n, err := strconv.Atoi(number[1])
		return err == nil && n >= r.holdSegments
	}
	return r.holdLicenses && p.isLicense()
}

// newEdge starts an edge in front of a gateway, which sees the edge's own host, and the addresses that the edge writes down.
func newEdge(t *testing.T, gateway string) *edge {
	t.Helper()
	target, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{}
	e.opens = sync.NewCond(&e.mu)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: e.answered,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if r.Context().Err() == nil { // else nobody is there
				w.WriteHeader(http.StatusBadGateway)
			}
		},
	}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.pass(t, proxy, w, r)
	}))
	t.Cleanup(func() {
		e.set(edgeRules{})
		e.CloseClientConnections()
		e.Close()
	})
	return e
}

func (e *edge) pass(t *testing.T, proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	target := "http://" + r.Host + r.URL.RequestURI()
	p := crossing{method: r.Method, url: target, path: cleanPath(t, target), session: sessionOf(t, target)}
	if p.isLicense() {
		p.body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(p.body))
	}
	stop := contextWakes(r, e.opens)
	defer stop()
	e.mu.Lock()
	for e.rules.holds(p) && r.Context().Err() == nil {
		e.opens.Wait()
	}
	change := e.rules.license
	p.phase = e.phase
	e.mu.Unlock()
	if r.Context().Err() != nil {
		e.note(p)
		return
	}
	if change != nil && p.isLicense() {
		change(r)
	}
	recorder := &statusRecorder{ResponseWriter: w}
	proxy.ServeHTTP(recorder, r)
	p.status, p.reason = recorder.status, w.Header().Get("Drm-Reason")
	e.note(p)
}

// contextWakes wakes those who wait for the condition when the client of the request leaves.
func contextWakes(r *http.Request, c *sync.Cond) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-r.Context().Done():
			c.L.Lock() // else one that has just looked would sleep through it
			defer c.L.Unlock()
			c.Broadcast()
		case <-done:
		}
	}()
	return func() { close(done) }
}

var laurlElement = regexp.MustCompile(`(?s)<dashif:Laurl[^>]*>.*?</dashif:Laurl>`)

// answered takes the license URLs out of an MPD if they are not to be found there.
func (e *edge) answered(answer *http.Response) error {
	e.mu.Lock()
	bare := e.rules.bare
	e.mu.Unlock()
	if !bare || answer.Header.Get("Content-Type") != "application/dash+xml" {
		return nil
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	body = laurlElement.ReplaceAll(body, nil)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.ContentLength = int64(len(body))
	answer.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush the writer below.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (e *edge) note(p crossing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, p)
}

// set changes the rules, lets through what they no longer hold, and returns the phase that begins.
func (e *edge) set(rules edgeRules) (phase int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = rules
	e.phase++
	e.opens.Broadcast()
	return e.phase
}

// log returns what has passed so far, in order.
func (e *edge) log() []crossing {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]crossing(nil), e.seen...)
}

// waitFor waits until a request has passed that is as wanted, and returns the first.
func (e *edge) waitFor(t *testing.T, what string, wanted func(crossing) bool) crossing {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		for _, p := range e.log() {
			if wanted(p) {
				return p
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s never came; passed: %s", what, e)
		}
	}
}

// String lists what has passed, without sessions and seals.
func (e *edge) String() string {
	var b strings.Builder
	for _, p := range e.log() {
		b.WriteString("\n" + p.method + " " + p.path + " " + strconv.Itoa(p.status) + " " + p.reason)
	}
	return b.String()
}
