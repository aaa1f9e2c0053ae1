package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client keeps nothing between requests, follows no redirect, and undoes no coding: what the gateway sends is seen.
var client = &http.Client{
	Timeout:       time.Minute,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4},
}

// answer is a whole response.
type answer struct {
	url    string
	status int
	header http.Header
	body   []byte
}

// String describes the answer without its URL's query, and without a body that may hold keys or media.
func (a answer) String() string {
	target, _, _ := strings.Cut(a.url, "?")
	return fmt.Sprintf("%s answered %d, %s, reason %q, %d bytes", target, a.status, a.header.Get("Content-Type"), a.reason(), len(a.body))
}

// reason is why the gateway refused; the header and the body must agree.
func (a answer) reason() string {
	var problem struct {
		Reason string `json:"reason"`
		Status int    `json:"status"`
	}
	inHeader := a.header.Get("Drm-Reason")
	if a.header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(a.body, &problem); err != nil || problem.Reason != inHeader || problem.Status != a.status {
			return fmt.Sprintf("header %q, body %q %d", inHeader, problem.Reason, problem.Status)
		}
	}
	return inHeader
}

// ask sends one request. A host other than that of the URL is sent as the Host header.
func ask(t *testing.T, method, target, host, body string) answer {
	t.Helper()
	return askWith(t, method, target, host, body, nil)
}

func askWith(t *testing.T, method, target, host, body string, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	request.Host = host
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("asking: %v", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return answer{url: target, status: response.StatusCode, header: response.Header, body: data}
}

func get(t *testing.T, target string) answer {
	t.Helper()
	return ask(t, http.MethodGet, target, "", "")
}

// mustGet is get for what has to be there.
func mustGet(t *testing.T, target string) answer {
	t.Helper()
	a := get(t, target)
	if a.status != http.StatusOK {
		t.Fatal(a)
	}
	return a
}

// checkRefusal checks status, reason, and that the refusal is one of ours: nothing of the origin, nothing to be cached.
func checkRefusal(t *testing.T, a answer, status int, reason string) {
	t.Helper()
	if a.status != status || a.reason() != reason {
		t.Errorf("%s; want %d %s", a, status, reason)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, Cache-Control %q; want a problem that no cache keeps", a, a.header.Get("Cache-Control"))
	}
	for _, name := range []string{"ETag", "Location", "Last-Modified", "Content-Range"} {
		if value := a.header.Get(name); value != "" {
			t.Errorf("%s has %s: %s", a, name, value)
		}
	}
}
