package caddymodule

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const plantedMessage = "message-of-the-upstream-6Tz3Hv8Kc1Qw"

// licenseServerFaults are what license servers do to us, and how it ends for who asks for a license.
var licenseServerFaults = map[string]struct {
	answer     func(w http.ResponseWriter, r *http.Request)
	status     int
	reason     string
	passesBody bool // of a refusal that is for the player
}{
	"does not answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 503, "license_server_unavailable", false},
	"500":             {answerWith(500, "text/plain", plantedMessage), 500, "license_server_refused", true},
	"502":             {answerWith(502, "text/plain", plantedMessage), 503, "license_server_unavailable", false},
	"503":             {answerWith(503, "text/plain", plantedMessage), 503, "license_server_unavailable", false},
	"504":             {answerWith(504, "text/plain", plantedMessage), 503, "license_server_unavailable", false},
	"407":             {answerWith(407, "text/plain", plantedMessage), 502, "license_server_failed", false},
	"nothing":         {answerWith(200, "application/octet-stream", ""), 502, "license_server_failed", false},
	"10 MB":           {answerWith(200, "application/octet-stream", strings.Repeat(plantedMessage, 10<<20/len(plantedMessage))), 503, "license_server_unavailable", false},
	"10 MB of 403":    {answerWith(403, "application/octet-stream", strings.Repeat(plantedMessage, 10<<20/len(plantedMessage))), 503, "license_server_unavailable", false},
	"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/"+plantedMessage, http.StatusTemporaryRedirect)
	}, 502, "license_server_failed", false},
	"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, plantedMessage)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, 503, "license_server_unavailable", false},
	"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "license_server_unavailable", false},
}

// TestFaultsAtEveryLicensePath covers row 36 for license servers: whatever one does, each path that leads to it fails closed and says so
// without its words, and those that need none go on.
func TestFaultsAtEveryLicensePath(t *testing.T) {
	for name, fault := range licenseServerFaults {
		t.Run(name, func(t *testing.T) {
			l := startAllPaths(t, "", "timeout 1s", "timeout 200ms")
			paths := l.paths(t, l.token)
			l.up.say(fault.answer)
			for path, p := range paths {
				res := l.ask(t, p)
				switch {
				case p.upstream == "":
					wantReply(t, path, res, 200, "")
				case p.upstream == "/cert": // nothing but a certificate is one, and there is none at hand
					wantReply(t, path, res, 503, "license_server_unavailable")
				default:
					wantReply(t, path, res, fault.status, fault.reason)
				}
				wantUnkept(t, path, res)
				if shows := bytes.Contains(res.body, []byte(plantedMessage)); shows != (fault.passesBody && p.upstream != "" && p.upstream != "/cert") {
					t.Errorf("%s: the words of the license server reach the player: %t", path, shows)
				}
			}
			l.searchLog(t)
		})
	}
}

// searchLog looks for what license servers say, and for the operator's credential, in the log.
func (l licensed) searchLog(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
	if err != nil || len(text) == 0 {
		t.Fatalf("%v, %d bytes of log", err, len(text))
	}
	for _, planted := range []string{plantedMessage, plantedAPIKey, l.token[len(l.token)-30:]} {
		if bytes.Contains(text, []byte(planted)) {
			t.Errorf("%s in the log", planted)
		}
	}
}

// TestLicenseServersNeedTrust: one whose certificate nobody vouches for is told nothing.
func TestLicenseServersNeedTrust(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "other")
	l := startAllPaths(t, "", "ca DIR/ca.pem", "ca "+filepath.Join(dir, "other.pem"))
	for path, p := range l.paths(t, l.token) {
		if p.upstream == "" {
			wantReply(t, path, l.ask(t, p), 200, "")
			continue
		}
		wantReply(t, path, l.ask(t, p), 503, "license_server_unavailable")
	}
	if asked := l.up.asked(); len(asked) > 0 {
		t.Errorf("a server that is not trusted is sent %v", asked)
	}
}

// TestKeyFaultsAtEveryLicensePath covers row 36 for the key server behind license paths: without keys that are whole no license is given
// and no license server is asked, and no error names a key.
func TestKeyFaultsAtEveryLicensePath(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	kid, key := unhex(t, plantedKID), unhex(t, plantedKey)
	list := func(kid, key []byte) string { return `[{"key_id":"` + b64(kid) + `","key":"` + b64(key) + `"}]` }
	answer := func(status int, body string) *http.HandlerFunc {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		return &h
	}
	var now atomic.Pointer[http.HandlerFunc]
	now.Store(answer(200, list(kid, key)))
	server := startScripted(t, func(w http.ResponseWriter, r *http.Request) { (*now.Load())(w, r) })
	const derived = "keys derived {\n\tper track_class\n}"
	ofServer := func(timeout int) string {
		return fmt.Sprintf("keys nginx_vod %s/{asset} {\n\ttimeout %dms\n}", server, timeout)
	}
	l := startAllPaths(t, "scheme cbcs", derived, ofServer(100))
	paths := l.paths(t, l.token)
	elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/keys", http.StatusFound)
	})
	stalls := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	timeout := 100
	for name, fault := range map[string]*http.HandlerFunc{
		"500": answer(500, list(kid, key)), "an empty list": answer(200, "[]"), "nothing": answer(200, ""), "a page": answer(200, "<html>"), "15 bytes": answer(200, list(kid, key[:15])),
		"a key of zeros": answer(200, list(kid, make([]byte, 16))), "no name": answer(200, list(nil, key)), "10 MB": answer(200, strings.Repeat(" ", 10<<20)+list(kid, key)),
		"elsewhere": &elsewhere, "stalls": &stalls,
	} {
		t.Run(name, func(t *testing.T) {
			now.Store(fault)
			timeout++ // another configuration has none of the keys at hand
			l.load(t, strings.Replace(l.config, derived, ofServer(timeout), 1))
			l.client.CloseIdleConnections() // which the server of the older configuration may be about to close
			s := search{t, []planted{{"the key", plantedKey, key, false}}}
			for path, p := range paths {
				before := len(l.up.asked())
				res := l.ask(t, p)
				switch {
				case path == "configuration of the player" || path == "certificate of fairplay": // neither is of a key
					wantReply(t, path, res, 200, "")
				case res.status < 500 || !isOneOf(res.reason(), "keys_unavailable", "key_unknown"):
					t.Errorf("%s: %d %s", path, res.status, res.reason())
				case len(l.up.asked()) != before:
					t.Errorf("%s: the license server is asked", path)
				}
				wantUnkept(t, path, res)
				s.answered(path, res)
			}
			text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
			if err != nil {
				t.Fatal(err)
			}
			s.find("the log", text, false)
		})
	}
	now.Store(answer(200, list(kid, key)))
	l.load(t, l.config+"# and well again\n")
	l.client.CloseIdleConnections()
	deadline := time.Now().Add(5 * time.Second) // a key server that failed is left alone for a moment
	for path, p := range paths {
		res := l.ask(t, p)
		for res.status != 200 && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			res = l.ask(t, p)
		}
		wantReply(t, path+", well again", res, 200, "")
	}
}
