package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/token"
)

const pullSecret = "pull-secret-of-the-tests-0123456789"

// startCache runs nginx as a shared cache in front of the gateway at address, and returns its own.
func startCache(t *testing.T, address, more string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in everybody's PATH
		if _, err := os.Stat(program); err != nil {
			t.Fatal("nginx is not installed; run scripts/bench-tools.sh")
		}
	}
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := os.MkdirTemp(scratch, "nginx-") //nolint:usetesting // what a worker writes as it ends fails no test
	if err != nil {
		t.Fatal(err)
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // workers of another user could not write to the folder
	}
	config := fmt.Sprintf(`%s
daemon off;
pid %[2]s/pid;
error_log stderr crit;
worker_processes 1;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	proxy_cache_path %[2]s/cache keys_zone=media:4m use_temp_path=off;
	server {
		listen 127.0.0.1:%[3]d;
		location / {
			proxy_pass %[4]s;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header X-Pull-Secret %[5]s;
			proxy_cache media;
			proxy_cache_lock on;
			proxy_cache_key $scheme$host$request_uri;
			%[6]s
			add_header X-Cache $upstream_cache_status always;
		}
	}
}
`, user, prefix, port, address, pullSecret, more)
	file := filepath.Join(prefix, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-p", prefix, "-c", file)
	log := new(logBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	at := fmt.Sprintf("http://127.0.0.1:%d", port)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get(at + "/ready"); err == nil {
			_ = res.Body.Close()
			return at
		}
		if time.Now().After(end) {
			t.Fatalf("nginx does not serve:\n%s", log)
		}
	}
}

// countedOrigin serves testdata and counts what it is asked for.
type countedOrigin struct {
	mu    sync.Mutex
	asked map[string]int
}

func (o *countedOrigin) start(t *testing.T) string {
	t.Helper()
	root, err := testtools.Testdata()
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(root))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked[r.URL.Path]++
		o.mu.Unlock()
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (o *countedOrigin) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

// signingKey is the key of the gateways' tokens.
func signingKey(t *testing.T) token.Key {
	t.Helper()
	file, err := testtools.Testdata("tokens", "signed.key")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := token.SecretKey("", bytes.TrimSpace(secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// viewerToken is an access token of one viewer.
func viewerToken(t *testing.T, subject string) http.Header {
	t.Helper()
	text, err := token.SignPrefix(signingKey(t), token.Claims{Subject: subject, Scope: []string{"/demo"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + text}}
}

// A shared cache keeps encrypted media for all, and nothing that belongs to one viewer.
func TestBehindASharedCache(t *testing.T) {
	long(t)
	for _, session := range []string{"query", "cookie"} {
		for name, more := range map[string]string{"with Vary": "", "without Vary": "proxy_ignore_headers Vary;"} {
			t.Run(session+" "+name, func(t *testing.T) {
				origin := &countedOrigin{asked: map[string]int{}}
				port, err := testtools.FreePort()
				if err != nil {
					t.Fatal(err)
				}
				gateway := localhost(port)
				t.Setenv("PULL_SECRET", pullSecret)
				newGateway(t, `{
	drm {
		segment_cache off
	}
}
`+gateway+` {
	drm {
		tenant cdn
		license_server clearkey
		token signed {
			key {file.testdata/tokens/signed.key}
		}
		session `+session+` 4h
		delivery behind_cdn {
			pull_auth header X-Pull-Secret {env.PULL_SECRET}
		}
	}
	reverse_proxy `+strings.TrimPrefix(origin.start(t), "http://")+`
}
`)
				checkSharedCache(t, origin, gateway, startCache(t, gateway, more), session)
			})
		}
	}
}

func checkSharedCache(t *testing.T, origin *countedOrigin, gateway, cache, session string) {
	manifest := cache + "/demo/manifest.mpd?drm=cenc"
	read := func(subject string) (mpd answer, tracks []track, credential http.Header) {
		t.Helper()
		a := askWith(t, http.MethodGet, manifest, "localhost:"+gateway[strings.LastIndexByte(gateway, ':')+1:], "", viewerToken(t, subject))
		if a.status != http.StatusOK || a.header.Get("X-Cache") == "HIT" {
			t.Fatalf("%s, %s", a, a.header.Get("X-Cache"))
		}
		tracks, _ = parseMPD(t, manifest, a.body)
		for _, cookie := range (&http.Response{Header: a.header}).Cookies() {
			credential = http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}}
		}
		return a, tracks, credential
	}
	host := "localhost:" + gateway[strings.LastIndexByte(gateway, ':')+1:]
	ask := func(target string, header http.Header) answer {
		return askWith(t, http.MethodGet, target, host, "", header)
	}
	checkRefusal(t, ask(manifest, nil), http.StatusUnauthorized, "token_missing")
	a, tracksOfA, cookieOfA := read("a")
	b, tracksOfB, _ := read("b")
	checkRefusal(t, ask(manifest, nil), http.StatusUnauthorized, "token_missing") // the others' success is not his

	segment := tracksOfA[0].segments[0]
	if segment != tracksOfB[0].segments[0] {
		t.Fatalf("media has another address for each viewer")
	}
	first, second := ask(segment, nil), ask(segment, nil)
	if first.status != http.StatusOK || second.status != http.StatusOK || second.header.Get("X-Cache") != "HIT" || !bytes.Equal(first.body, second.body) {
		t.Errorf("%s, %s; the second from the cache: %s", first, second, second.header.Get("X-Cache"))
	}
	clean := tracksOfA[0].folder
	for path, n := range origin.asked {
		if strings.HasSuffix(path, "/seg_1.m4s") && n != 1 {
			t.Errorf("%s was fetched %d times from the origin (%s)", path, n, clean)
		}
	}
	direct := strings.Replace(segment, cache, gateway, 1)
	checkRefusal(t, get(t, direct), http.StatusForbidden, "pull_auth")

	if session == "query" {
		for _, pair := range [][2]answer{{a, b}, {b, a}} {
			mine := sessionOf(t, between(t, pair[0].body, "Laurl"))
			if mine == "" || bytes.Contains(pair[1].body, []byte(mine)) {
				t.Error("one viewer's session stands in another's manifest")
			}
		}
	} else if bytes.Contains(a.body, []byte("session=")) || a.header.Get("Set-Cookie") == b.header.Get("Set-Cookie") {
		t.Error("cookies of two viewers are the same, or a session stands in an address")
	}
	license := strings.Replace(between(t, a.body, "Laurl"), gateway, cache, 1)
	bare, _, _ := strings.Cut(license, "?")
	if refused := askWith(t, http.MethodPost, bare, host, "{}", nil); refused.status != http.StatusUnauthorized {
		t.Errorf("a license for nobody: %s", refused)
	}
	if asked := askWith(t, http.MethodPost, license, host, "{", cookieOfA); asked.reason() != "license_request_malformed" || asked.header.Get("X-Cache") == "HIT" {
		t.Errorf("a license for a viewer: %s", asked)
	}
	checkTextStaysPrivate(t, ask, manifest, a.body, cookieOfA)
	if n := origin.count("/demo/video/360p/init.mp4"); n == 0 {
		t.Error("the counted origin was not asked at all")
	}
}

func checkTextStaysPrivate(t *testing.T, ask func(string, http.Header) answer, manifest string, body []byte, cookie http.Header) {
	t.Helper()
	_, sidecars := parseMPD(t, manifest, body)
	if len(sidecars) == 0 {
		t.Fatal("the title has no text")
	}
	for range 2 {
		if text := ask(sidecars[0], cookie); text.status != http.StatusOK || text.header.Get("X-Cache") == "HIT" {
			t.Errorf("text for a viewer: %s, %s", text, text.header.Get("X-Cache"))
		}
	}
	bare, _, _ := strings.Cut(sidecars[0], "?")
	if text := ask(bare, nil); text.status != http.StatusUnauthorized {
		t.Errorf("text for nobody: %s", text)
	}
}

// between returns the text of the first element of that local name.
func between(t *testing.T, body []byte, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(string(body), name)
	if _, rest, found := strings.Cut(rest, ">"); ok && found {
		text, _, _ := strings.Cut(rest, "<")
		return strings.ReplaceAll(strings.TrimSpace(text), "&amp;", "&")
	}
	t.Fatalf("no %s", name)
	return ""
}
