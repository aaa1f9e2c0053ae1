package caddymodule

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCompressedAnswers: a server that compresses although nobody asked for it is named as such: what it sent looks like a broken document.
func TestCompressedAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if accepts := r.Header.Get("Accept-Encoding"); accepts != "" {
			t.Errorf("asked for %q", accepts)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte("<CPIX/>"))
		_ = z.Close()
		w.Header().Set("Content-Encoding", r.URL.Query().Get("as"))
		_, _ = w.Write(b.Bytes())
	}))
	defer server.Close()
	transport, err := (&KeyServerConn{URL: server.URL}).transport()
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.exchange(t.Context(), http.MethodPost, server.URL+"?as=gzip", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("compressed: %v", err)
	}
	if _, err = transport.exchange(t.Context(), http.MethodPost, server.URL+"?as=identity", nil, nil); err != nil {
		t.Errorf("identity: %v", err)
	}
}
