package entitlement

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-drm/caddy-drm/token"
)

// backendServer runs an HTTP backend and returns its URL.
func backendServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL + "/auth?site=7"
}

func newBackend(t *testing.T, config HTTPConfig) *HTTP {
	t.Helper()
	h, err := NewHTTP(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestPostJSON(t *testing.T) {
	var seen map[string]any
	answer := `{"allow":true,"subject":"7","plans":["gold"],"countries":["at"],"paths":["/vod/"],"max_streams":2,"level":"high","expires":1767229200,"check_after":60,"reason":"paid"}`
	at := backendServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.RawQuery != "site=7" || r.Header.Get("Authorization") != "Bearer test" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		seen = nil
		_ = json.NewDecoder(r.Body).Decode(&seen)
		_, _ = io.WriteString(w, answer)
	})
	h := newBackend(t, HTTPConfig{URL: at, Authorization: "Bearer test"})
	got, err := h.Ask(t.Context(), testQuestion)
	if err != nil {
		t.Fatal(err)
	}
	want := Answer{Allowed: true, Holds: time.Minute, Claims: token.Claims{
		Subject: "7", Plans: []string{"gold"}, Countries: []string{"AT"}, Scope: []string{"/vod"}, MaxStreams: 2, Level: "high", Expires: time.Unix(1767229200, 0),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	told := map[string]any{
		"event": "start", "tenant": "north", "host": "media.example", "asset": "/vod/demo/", "path": "/vod/demo/a.mpd", "protocol": "dash",
		"token_sha256": "d4dccc6f9c8e6f2f2e9c7c3f", "token_id": "0123456789abcdef", "subject": "viewer", "device": "tv", "address": "192.0.2.7", "country": "AT",
		"asn": 64500.0, "user_agent": "Player/1", "referer": "https://a.example/", "number": 0.0, "duration": 0.0, "asset_clients": 3.0, "clients": 9.0,
	}
	if digest, _ := seen["token_sha256"].(string); len(digest) != 64 {
		t.Errorf("token_sha256 %q", digest)
	}
	told["token_sha256"] = seen["token_sha256"]
	if diff := cmp.Diff(told, seen); diff != "" {
		t.Error(diff)
	}
	withToken := newBackend(t, HTTPConfig{URL: at, Authorization: "Bearer test", SendToken: true})
	if _, err := withToken.Ask(t.Context(), testQuestion); err != nil || seen["token"] != "secret&token" || seen["token_sha256"] != nil {
		t.Errorf("%v, %v", seen, err)
	}
	for text, allowed := range map[string]string{
		`{"allow":false}`: "no", `{"allow":true}`: "yes", `{}`: "unknown", ``: "unknown", `{"allow":true,"only_on":"tv"}`: "unknown", `{"allow":true}{}`: "unknown",
		`{"allow":true,"countries":[]}`: "unknown", `{"allow":true,"paths":["vod"]}`: "unknown", `{"allow":true,"countries":["Austria"]}`: "unknown",
		`{"allow":true,"max_streams":-1}`: "unknown", `{"allow":true,"check_after":-1}`: "unknown", `{"allow":"yes"}`: "unknown", `[]`: "unknown",
		`{"allow":true,"reason":"` + strings.Repeat("x", maxAnswer) + `"}`: "unknown",
	} {
		answer = text
		got, err := h.Ask(t.Context(), testQuestion)
		said := map[bool]string{true: "yes", false: "no"}[got.Allowed]
		if err != nil {
			said = "unknown"
		}
		if said != allowed {
			t.Errorf("%.60s: %s, %v", text, said, err)
		}
	}
}

func TestFlussonic(t *testing.T) {
	var seen url.Values
	header := http.Header{}
	at := backendServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s", r.Method)
		}
		seen = r.URL.Query()
		for name, values := range header {
			w.Header()[name] = values
		}
	})
	h := newBackend(t, HTTPConfig{URL: at, Method: Flussonic})
	header.Set("X-AuthDuration", "30")
	header.Set("X-UserId", "7")
	header.Set("X-Max-Sessions", "2")
	got, err := h.Ask(t.Context(), testQuestion)
	if err != nil || !got.Allowed || got.Holds != 30*time.Second || got.Claims.Subject != "7" || got.Claims.MaxStreams != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	want := url.Values{
		"site": {"7"}, "name": {"vod/demo"}, "proto": {"dash"}, "ip": {"192.0.2.7"}, "request_type": {"new_session"}, "request_number": {"0"}, "stream_clients": {"3"},
		"total_clients": {"9"}, "token": {"secret&token"}, "host": {"media.example"}, "country": {"AT"}, "user_agent": {"Player/1"}, "referer": {"https://a.example/"},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	update := testQuestion
	update.Event, update.Number, update.Playback, update.Duration = Update, 4, "abc", 90*time.Second
	if _, err := h.Ask(t.Context(), update); err != nil || seen.Get("request_type") != "update_session" || seen.Get("request_number") != "4" || seen.Get("session_id") != "abc" || seen.Get("duration") != "90" {
		t.Errorf("%v, %v", seen, err)
	}
	header.Set("X-Unique", "true")
	if got, err := h.Ask(t.Context(), update); err != nil || got.Claims.MaxStreams != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, value := range map[string]string{"X-AuthDuration": "soon", "X-Max-Sessions": "-1"} {
		header = http.Header{name: {value}}
		if _, err := h.Ask(t.Context(), update); err == nil {
			t.Errorf("%s: %s is accepted", name, value)
		}
	}
	if h.Explains() {
		t.Error("a question to such a backend counts")
	}
}

func TestStatuses(t *testing.T) {
	status := 0
	elsewhere := backendServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	at := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	h := newBackend(t, HTTPConfig{URL: at})
	for code, want := range map[int]string{
		200: "yes", 401: "no", 402: "no", 403: "no", 404: "no", 410: "no", 451: "no", 201: "unknown", 302: "unknown", 307: "unknown", 400: "unknown", 429: "unknown", 500: "unknown", 503: "unknown",
	} {
		status = code
		got, err := h.Ask(t.Context(), testQuestion)
		said := map[bool]string{true: "yes", false: "no"}[got.Allowed]
		if err != nil {
			said = "unknown"
			if got.Allowed || strings.Contains(err.Error(), "secret") {
				t.Errorf("%d: %+v, %v", code, got, err)
			}
		}
		if said != want {
			t.Errorf("%d: %s, want %s", code, said, want)
		}
	}
}

func TestBackendsThatFail(t *testing.T) {
	slow := backendServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not look whether the client is there
		<-r.Context().Done()
	})
	broken := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"allow":true}`)
	})
	large := backendServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 4*maxHeader))
	})
	for name, at := range map[string]string{"slow": slow, "broken off": broken, "a large header": large, "not there": "http://127.0.0.1:1/"} {
		for _, method := range []Method{PostJSON, Flussonic} {
			h := newBackend(t, HTTPConfig{URL: at, Method: method, Timeout: 100 * time.Millisecond})
			got, err := h.Ask(t.Context(), testQuestion)
			if err == nil || got.Allowed || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "token") {
				t.Errorf("%s by %s: %+v, %v", name, method, got, err)
			}
		}
	}
}

func TestHTTPConfigs(t *testing.T) {
	for at, config := range map[string]HTTPConfig{
		"": {}, "/auth": {}, "ftp://a.example/": {}, "https://u:p@a.example/": {}, "http://a.example/": {}, "http://10.0.0.1/": {}, "https://a.example/#x": {},
		"https://a.example/": {Method: "get"}, "https://b.example/": {Timeout: time.Minute}, "https://c.example/": {Timeout: -1},
	} {
		config.URL = at
		if _, err := NewHTTP(config); err == nil {
			t.Errorf("%q is accepted", at)
		}
	}
	for at, config := range map[string]HTTPConfig{
		"https://a.example/": {}, "http://localhost:1/": {}, "http://127.0.0.1/": {}, "http://[::1]/": {}, "http://auth.internal/": {Plaintext: true},
	} {
		config.URL = at
		h := newBackend(t, config)
		h.Close()
	}
	for address, refused := range map[string]bool{"127.0.0.1:80": false, "10.1.2.3:80": false, "[fd00::1]:80": false, "93.184.216.34:80": true, "[2001:db8::1]:80": true} {
		if err := refusePublic("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}
