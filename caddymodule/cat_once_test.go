package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

// onceToken is good for one use, and like no other of the process.
func onceToken(t *testing.T) string {
	t.Helper()
	return catToken(t, cat.Replay, 1, cat.ID, []byte("once-"+strconv.FormatInt(time.Now().UnixNano(), 36)))
}

// TestAFailureUsesATokenUp: a token for one use is spent when the request is admitted, whatever the origin says then; no failure of its
// makes it good for a second session. What is refused before does not spend it.
func TestAFailureUsesATokenUp(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	origin := &scriptedOrigin{}
	site := strings.Replace(catSite, "file_server {\n\t\t\troot TESTDATA\n\t\t}", "reverse_proxy ORIGIN", 1)
	g := newGateway(t, "ORIGIN", origin.start(t), "OPTIONS", "session cookie\n\t\t\tgeo country {\n\t\t\t\tdeny DE\n\t\t\t}")
	g.load(t, catGlobal+site)
	broken := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	for name, test := range map[string]struct {
		script func(http.ResponseWriter, *http.Request) bool
		from   string // of the first request
		reason string // of that
		second string
	}{
		"a broken origin":  {broken, "203.0.113.1", "origin_unavailable", "token_replayed"},
		"a blocked viewer": {nil, "192.0.2.1", "country_denied", ""},
		"all is well":      {nil, "203.0.113.1", "", "token_replayed"},
	} {
		once := onceToken(t)
		origin.play(test.script)
		if res := g.get(t, catManifest+"?cat="+once, "X-Forwarded-For", test.from); res.reason() != test.reason {
			t.Errorf("%s: %d %s, want %q", name, res.status, res.reason(), test.reason)
		}
		origin.play(nil)
		if res := g.get(t, catManifest+"?cat="+once, "X-Forwarded-For", "203.0.113.1"); res.reason() != test.second {
			t.Errorf("%s, again: %d %s, want %q", name, res.status, res.reason(), test.second)
		}
	}
}
