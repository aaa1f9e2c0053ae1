package caddymodule

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// proxySite protects a server of the test.
const proxySite = `
http://:PORT {
	drm {
		license_server clearkey
	}
	reverse_proxy ORIGIN
}
`

// scriptedOrigin serves testdata and notes what it is asked. A test may put a handler in front, for some or all paths.
type scriptedOrigin struct {
	mu      sync.Mutex
	script  func(w http.ResponseWriter, r *http.Request) bool // true if it answered
	history []*http.Request
}

// start runs the origin and returns its address.
func (o *scriptedOrigin) start(t *testing.T) string {
	t.Helper()
	files := http.FileServer(http.Dir(testdata(t)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.history = append(o.history, r.Clone(r.Context()))
		script := o.script
		o.mu.Unlock()
		if script == nil || !script(w, r) {
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (o *scriptedOrigin) play(script func(w http.ResponseWriter, r *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.script = script
}

func (o *scriptedOrigin) seen() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.history
}

func (o *scriptedOrigin) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history = nil
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	if _, err := zw.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
