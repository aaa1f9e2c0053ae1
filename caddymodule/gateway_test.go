package caddymodule

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // file_server, reverse_proxy, the Caddyfile adapter

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/token"
)

// Secrets of the tests.
const (
	testSecretHex   = "7465737474657374736563726574a0b1c2d3e4f506172839405162738495a6b7"
	testOtherSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddee01"
	testTokenSecret = "test-token-secret-0123456789-abcdefghijklmnop"
)

// gateway is Caddy in this process, with one configuration of a test. Tests that start one are not parallel: Caddy is one
// per process.
type gateway struct {
	addr    string // host:port
	port    string
	dir     string // storage and other files of the test
	client  *http.Client
	replace *strings.Replacer
}

// globalBlock is what every test's configuration begins with.
const globalBlock = `{
	admin off
	persist_config off
	auto_https off
	grace_period 2s
	storage file_system STORAGE
	log {
		output discard
	}
	drm {
		secret {env.TEST_DRM_SECRET}
		segment_cache off
		geo_database country TESTDATA/geo/example-country.mmdb
	}
}
`

// startGateway runs Caddy with sites, a Caddyfile without its global block. PORT, TESTDATA and DIR in it are replaced, and
// further pairs of old and new.
func startGateway(t testing.TB, sites string, pairs ...string) *gateway {
	t.Helper()
	g := newGateway(t, pairs...)
	g.load(t, globalBlock+sites)
	return g
}

func newGateway(t testing.TB, pairs ...string) *gateway {
	t.Helper()
	t.Setenv("TEST_DRM_SECRET", testSecretHex)
	t.Setenv("TEST_OTHER_SECRET", testOtherSecret)
	t.Setenv("TEST_TOKEN_SECRET", testTokenSecret)
	g := &gateway{port: freePort(t), dir: t.TempDir()}
	g.addr = "127.0.0.1:" + g.port
	g.replace = strings.NewReplacer(append([]string{
		"PORT", g.port, "TESTDATA", testdata(t), "STORAGE", filepath.Join(g.dir, "storage"), "DIR", g.dir,
	}, pairs...)...)
	g.client = &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return g
}

// load runs a whole Caddyfile in place of the one before.
func (g *gateway) load(t testing.TB, text string) {
	t.Helper()
	config, err := adaptCaddyfile(g.replace.Replace(text))
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatalf("loading: %v", err)
	}
}

func adaptCaddyfile(text string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return config, err
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

func testdata(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// clearFile returns a file of testdata.
func clearFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// reason is why the gateway refused.
func (r reply) reason() string { return r.header.Get("Drm-Reason") }

// send sends a request with pairs of header name and value; Host is a pair too.
func (g *gateway) send(t testing.TB, method, target string, pairs ...string) reply {
	t.Helper()
	return g.sendBody(t, method, target, nil, pairs...)
}

func (g *gateway) sendBody(t testing.TB, method, target string, body []byte, pairs ...string) reply {
	t.Helper()
	res, err := g.open(t, method, target, body, pairs...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the body: %v", method, target, err)
	}
	return reply{status: res.StatusCode, header: res.Header, body: b}
}

// open sends a request again if the connection ended before any answer: a reload closes the old listener, the kernel
// resets what still waits in its backlog, and the old server closes what it has accepted and not read. Nothing of ours has
// seen such a request.
func (g *gateway) open(t testing.TB, method, target string, body []byte, pairs ...string) (res *http.Response, err error) {
	t.Helper()
	for range 5 {
		if res, err = g.openOnce(t, method, target, body, pairs...); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			break
		}
	}
	return res, err
}

func (g *gateway) openOnce(t testing.TB, method, target string, body []byte, pairs ...string) (*http.Response, error) {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = "http://" + g.addr + target
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "Host" {
			req.Host = pairs[i+1]
		} else {
			req.Header.Add(pairs[i], pairs[i+1])
		}
	}
	return g.client.Do(req)
}

func (g *gateway) get(t testing.TB, target string, pairs ...string) reply {
	t.Helper()
	return g.send(t, http.MethodGet, target, pairs...)
}

// mustGet is get of what has to be there.
func (g *gateway) mustGet(t testing.TB, target string, pairs ...string) reply {
	t.Helper()
	res := g.get(t, target, pairs...)
	if res.status != http.StatusOK {
		t.Fatalf("GET %s = %d %s %s", target, res.status, res.reason(), res.body)
	}
	return res
}

// raw sends a request line and header as they are, so that no client cleans them.
func (g *gateway) raw(t *testing.T, requestTarget string, header ...string) reply {
	t.Helper()
	return g.rawAs(t, requestTarget, g.addr, header...)
}

func (g *gateway) rawAs(t *testing.T, requestTarget, host string, header ...string) reply {
	t.Helper()
	conn, err := net.DialTimeout("tcp", g.addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	lines := append([]string{"GET " + requestTarget + " HTTP/1.1", "Host: " + host, "Connection: close"}, header...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("GET %s: %v", requestTarget, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", requestTarget, err)
	}
	return reply{status: res.StatusCode, header: res.Header, body: body}
}

// deploymentSecret parses one of the secrets above.
func deploymentSecret(t *testing.T, text string) keysource.Secret {
	t.Helper()
	secret, err := keysource.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// sealer makes seals as the gateway with that secret and tenant does.
func sealer(t *testing.T, secret, tenant string) *address.Sealer {
	t.Helper()
	return address.NewSealer(deploymentSecret(t, secret).Derive(labelSeal, tenant))
}

// session makes a session of a tenant, minted at a time of choice.
func session(t *testing.T, tenant string, claims token.Claims, now time.Time) string {
	t.Helper()
	trust, err := trustOf([]json.RawMessage{json.RawMessage(`{"kind":"signed","keys":[{"secret":"{env.TEST_TOKEN_SECRET}"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	key := deploymentSecret(t, testSecretHex).Derive(labelSession, tenant, trust)
	sessions, err := token.NewSessionKey(key[:], token.SessionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := sessions.Mint(claims, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// signedToken makes an access token of the kind `token signed`.
func signedToken(t *testing.T, expires time.Time, claims token.Claims) string {
	t.Helper()
	key, err := token.SecretKey("", []byte(testTokenSecret))
	if err != nil {
		t.Fatal(err)
	}
	claims.Expires = expires
	text, err := token.SignPrefix(key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tokenFor is a token for path prefixes, good for an hour.
func tokenFor(t *testing.T, prefixes ...string) string {
	t.Helper()
	return signedToken(t, time.Now().Add(time.Hour), token.Claims{Subject: "test-viewer", Scope: prefixes})
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
