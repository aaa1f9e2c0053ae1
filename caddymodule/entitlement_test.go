package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// entitlementBackend answers what the test says, and notes what it is told.
type entitlementBackend struct {
	mu     sync.Mutex
	status int
	answer string
	header http.Header
	told   []map[string]any // JSON bodies, or queries
}

func (b *entitlementBackend) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told := map[string]any{}
		for name := range r.URL.Query() {
			told[name] = r.URL.Query().Get(name)
		}
		_ = json.Unmarshal(body, &told)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, told)
		for name, values := range b.header {
			w.Header()[name] = values
		}
		w.WriteHeader(b.status)
		_, _ = io.WriteString(w, b.answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (b *entitlementBackend) say(status int, answer string, header http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status, b.answer, b.header = status, answer, header
}

// last returns what the backend was told last, and how often it was told anything.
func (b *entitlementBackend) last() (map[string]any, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.told) == 0 {
		return nil, 0
	}
	return b.told[len(b.told)-1], len(b.told)
}

func entitledSite(options string) string {
	return "http://:PORT {\n\tdrm {\n\ttenant members\n\tlicense_server clearkey\n" + options + "\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"
}

// TestEntitlement: a backend lets viewers in whose tokens only it understands, and ends what it let begin.
func TestEntitlement(t *testing.T) {
	for method, answer := range map[string]struct {
		body   string
		header http.Header
	}{
		"post_json": {`{"allow":true,"subject":"7","check_after":1}`, nil},
		"flussonic": {"", http.Header{"X-Authduration": {"1"}, "X-Userid": {"7"}, "X-Max-Sessions": {"2"}}},
	} {
		t.Run(method, func(t *testing.T) {
			backend := &entitlementBackend{}
			backend.say(200, answer.body, answer.header)
			g := startGateway(t, entitledSite("entitlement BACKEND/auth {\n method "+method+"\n send_token\n cache 1s\n}"), "BACKEND", backend.start(t))
			if res := g.get(t, "/demo/manifest.mpd"); res.reason() != "token_missing" {
				t.Errorf("without a token: %d %s", res.status, res.reason())
			}
			links := g.links(t, "/demo/manifest.mpd?token=opaque", "User-Agent", "Player/1")
			told, n := backend.last()
			if n != 1 || told["token"] != "opaque" || told["user_agent"] != "Player/1" {
				t.Errorf("told %v, %d times", told, n)
			}
			segment := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url
			if sessionIn(t, segment) == "" {
				t.Fatal("no session")
			}
			g.mustGet(t, segment)
			if _, n := backend.last(); n != 1 {
				t.Errorf("asked for a segment within its lease: %d times", n)
			}
			time.Sleep(1100 * time.Millisecond)
			backend.say(403, "", nil)
			g.mustGet(t, segment) // asks behind the request
			waitFor(t, "a refusal", func() bool { return g.get(t, segment).reason() == "not_entitled" })
			told, _ = backend.last()
			if told["event"] != "update" && told["request_type"] != "update_session" {
				t.Errorf("told %v", told)
			}
			if res := g.get(t, "/demo/manifest.mpd?token=another"); res.status != 403 || res.reason() != "not_entitled" {
				t.Errorf("refused at the start: %d %s", res.status, res.reason())
			}
			backend.say(500, "", nil)
			if res := g.get(t, "/demo/manifest.mpd?token=a-third"); res.status != 503 || res.reason() != "entitlement_unknown" {
				t.Errorf("without an answer: %d %s", res.status, res.reason())
			}
		})
	}
}

// TestEntitlementBesidesTokens: what the token restricts stays restricted, and the backend has its say behind it.
func TestEntitlementBesidesTokens(t *testing.T) {
	backend := &entitlementBackend{}
	backend.say(200, `{"allow":true,"plans":["gold"]}`, nil)
	g := startGateway(t, entitledSite("token signed {\n key {env.TEST_TOKEN_SECRET}\n}\nentitlement BACKEND"), "BACKEND", backend.start(t))
	good := tokenFor(t, "/demo")
	if res := g.get(t, "/demo-av1/manifest.mpd?token="+good); res.reason() != "token_scope" {
		t.Errorf("%d %s", res.status, res.reason())
	}
	if res := g.get(t, "/demo/manifest.mpd?token=opaque"); res.reason() != "token_invalid" {
		t.Errorf("%d %s", res.status, res.reason())
	}
	if _, n := backend.last(); n != 0 {
		t.Error("the backend is asked about tokens that are none")
	}
	g.mustGet(t, "/demo/manifest.mpd?token="+good)
	told, _ := backend.last()
	if told["subject"] != "test-viewer" || told["token"] != nil || len(told["token_sha256"].(string)) != 64 || told["asset"] != "/demo/" || told["address"] != "127.0.0.1" {
		t.Errorf("%v", told)
	}
}

// TestEntitlementRenews: where the backend lets the viewer go on, the session does without a token.
func TestEntitlementRenews(t *testing.T) {
	backend := &entitlementBackend{}
	backend.say(200, `{"allow":true,"subject":"7","check_after":1}`, nil)
	g := startGateway(t, entitledSite("entitlement BACKEND\nsession path 6s {\n renew 5s\n}"), "BACKEND", backend.start(t))
	first := sessionIn(t, linkTo(t, g.links(t, "/demo/manifest.mpd?token=opaque"), "media", "seg_1.m4s").url)
	now, end := first, time.Now().Add(9*time.Second) // the first ends 7 s after it began
	for time.Now().Before(end) {
		now = sessionIn(t, linkTo(t, g.links(t, "/demo/~s."+now+"/manifest.mpd"), "media", "seg_1.m4s").url)
		time.Sleep(300 * time.Millisecond)
	}
	if now == first {
		t.Error("the session was not renewed")
	}
	if res := g.get(t, "/demo/~s."+first+"/manifest.mpd"); res.reason() != "token_expired" {
		t.Errorf("the first session: %d %s", res.status, res.reason())
	}
}

func TestEntitlementConfigs(t *testing.T) {
	g := newGateway(t)
	for options, want := range map[string]string{
		"entitlement http://auth.example.com/":             "https",
		"entitlement https://u:p@auth.example.com/":        "credentials",
		"entitlement auth":                                 "https",
		"entitlement https://a.example/ {\n timeout 1h\n}": "timeout",
	} {
		err := validateCaddyfile(t, g, "", "license_server clearkey\n"+options, [2]string{})
		if err == nil || !strings.Contains(err.Error(), "token.entitlement") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", options, err)
		}
	}
	if err := validateCaddyfile(t, g, "", "license_server clearkey\nentitlement https://auth.example.com/", [2]string{}); err != nil {
		t.Error(err)
	}
}

// waitFor waits some seconds for what happens behind a request.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
