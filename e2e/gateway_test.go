package e2e_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// testSecret is the deployment secret of all gateways of a run. It is drawn, because the gateway refuses made-up ones.
var testSecret = rand.Text() + rand.Text()

// testPullSecret is what the CDN of the examples shows, unless a test sets another.
var testPullSecret = rand.Text() + rand.Text()

// gateway is a running caddy process.
type gateway struct {
	admin string // host:port of its admin endpoint
	cmd   *exec.Cmd
	log   *logBuffer
	gone  chan struct{} // closed when the process has ended
	err   error         // how it ended, once gone is closed
}

// startGateway runs a Caddyfile in the module's folder, where testdata lies, and returns once it serves.
func startGateway(binary, caddyfile string) (*gateway, error) {
	root, err := testtools.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(scratch, "gateway-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(caddyfile), 0o600); err != nil {
		return nil, err
	}
	port, err := testtools.FreePort()
	if err != nil {
		return nil, err
	}
	g := &gateway{admin: "127.0.0.1:" + strconv.Itoa(port), log: new(logBuffer), gone: make(chan struct{})}
	g.cmd = exec.Command(binary, "run", "--adapter", "caddyfile", "--config", file)
	g.cmd.Dir, g.cmd.Stdout, g.cmd.Stderr = root, g.log, g.log
	g.cmd.Env = append(append([]string{"PULL_SECRET=" + testPullSecret}, os.Environ()...), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "CADDY_ADMIN="+g.admin,
		"DRM_SECRET="+testSecret, "GORACE=halt_on_error=0 exitcode=66")
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the gateway: %w", err)
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.gone)
	}()
	if err := g.waitUntilServing(2 * time.Minute); err != nil {
		_ = g.stop()
		return nil, err
	}
	return g, nil
}

// waitUntilServing waits for the message that all servers of the configuration listen.
func (g *gateway) waitUntilServing(limit time.Duration) error {
	for end := time.Now().Add(limit); !strings.Contains(g.log.String(), "serving initial configuration"); {
		select {
		case <-g.gone:
			return fmt.Errorf("the gateway ended at once: %w\n%s", g.err, g.log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("the gateway does not serve after %s\n%s", limit, g.log)
		}
	}
	return nil
}

// stop ends the process as a service manager does, and reports an exit status other than 0, the race detector's, and secrets in the log.
func (g *gateway) stop() error {
	select {
	case <-g.gone:
		return errors.Join(errors.New("the gateway was gone already"), g.err)
	default:
	}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the gateway: %w", err)
	}
	select {
	case <-g.gone:
		return errors.Join(g.err, g.leaked())
	case <-time.After(30 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.gone
		return errors.New("the gateway did not stop within 30 s")
	}
}

// sessionInLog finds sessions in addresses; masked ones begin with another letter.
var sessionInLog = regexp.MustCompile(`(?:~s\.|session=)A[A-Za-z0-9_-]{30,}`)

// leaked says which of the secrets that all tests share stands in the log: those of the deployment, the key of tokens, or a viewer's session.
func (g *gateway) leaked() error {
	log := g.log.String()
	if strings.Contains(log, testSecret) {
		return errors.New("the log holds the secret of the deployment")
	}
	if file, err := testtools.Testdata("tokens", "signed.key"); err == nil {
		key, err := os.ReadFile(file)
		if err != nil || strings.Contains(log, string(bytes.TrimSpace(key))) {
			return errors.Join(errors.New("the log holds the key of tokens"), err)
		}
	}
	if at := sessionInLog.FindStringIndex(log); at != nil {
		return fmt.Errorf("the log holds a session: …%.300q", log[max(0, at[0]-250):at[0]])
	}
	return nil
}

// newGateway starts a gateway that ends with the test, which fails if it does not end well. After a failure the last lines
// of its log are shown.
func newGateway(t *testing.T, caddyfile string) *gateway {
	t.Helper()
	long(t)
	return newGatewayOf(t, gatewayBinary, caddyfile)
}

func newGatewayOf(t *testing.T, build func() (string, error), caddyfile string) *gateway {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	g, err := startGateway(binary, caddyfile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("stopping the gateway: %v", err)
		}
		if t.Failed() {
			t.Logf("the gateway's log ends:\n%s", g.log.tail(40))
		}
	})
	return g
}

// example is the gateway of Caddyfile.example, with some sites of ours beside it. Most tests share it.
type example struct {
	*gateway
	url     string // of the example's site, without a slash at its end
	test    string // of the site of testSites
	license *licenseServer
}

var shared = sync.OnceValues(startExample)

func sharedExample(t *testing.T) *example {
	t.Helper()
	long(t)
	e, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func startExample() (*example, error) {
	binary, err := gatewayBinary()
	if err != nil {
		return nil, err
	}
	text, err := exampleCaddyfile()
	if err != nil {
		return nil, err
	}
	ports, err := testtools.FreePorts(2)
	if err != nil {
		return nil, err
	}
	e := &example{url: localhost(ports[0]), test: localhost(ports[1])}
	e.license = newLicenseServer(e.test)
	text = exampleAddress.ReplaceAllString(text, e.url+" {")
	e.gateway, err = startGateway(binary, text+testSites(e.test, e.license.URL))
	if err != nil {
		e.license.Close()
		return nil, err
	}
	sharedStarted = e
	return e, nil
}

var sharedStarted *example

func stopShared() {
	if sharedStarted != nil {
		if err := sharedStarted.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the shared gateway:", err)
		}
		sharedStarted.license.Close()
	}
}

// exampleAddress is the line that opens the example's site.
var exampleAddress = regexp.MustCompile(`(?m)^http://localhost:8080 \{$`)

func exampleCaddyfile() (string, error) {
	root, err := testtools.ModuleRoot()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, "Caddyfile.example"))
	if err != nil {
		return "", err
	}
	if n := len(exampleAddress.FindAll(text, -1)); n != 1 {
		return "", fmt.Errorf("Caddyfile.example opens %d sites at http://localhost:8080, want one", n)
	}
	return string(text), nil
}

// testSites are sites that an example should not have: a session by cookie, a country that is blocked by law, and licenses
// from a server that lies.
func testSites(address, licenses string) string {
	return address + ` {
	root testdata
	handle_path /cookie/* {
		drm {
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			session cookie 4h
		}
		file_server
	}
	handle_path /query/* {
		drm {
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			session query 4h
		}
		file_server
	}
	handle_path /gated/* {
		drm {
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			require_license
		}
		file_server
	}
	handle_path /law/* {
		drm {
			license_server clearkey
			geo country {
				deny AT
				status 451
				blocked_by https://authority.invalid/
			}
		}
		file_server
	}
	handle_path /wrong/* {
		drm {
			keys derived {
				per track_class
			}
			license_server clearkey {
				url ` + licenses + `/wrong{http.drm.license_path}
			}
		}
		file_server
	}
	handle_path /refused/* {
		drm {
			license_server clearkey {
				url ` + licenses + `/refused{http.drm.license_path}
			}
		}
		file_server
	}
}
`
}

// accessToken mints a token for a path prefix with the gateway's own command.
func accessToken(t *testing.T, prefix string) string {
	t.Helper()
	return accessTokenFor(t, prefix, time.Hour)
}

func accessTokenFor(t *testing.T, prefix string, life time.Duration) string {
	t.Helper()
	binary, err := gatewayBinary()
	if err != nil {
		t.Fatal(err)
	}
	key, err := testtools.Testdata("tokens", "signed.key")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "drm", "token", "--key-file", key, "--prefix", prefix, "--expires", life.String()).Output()
	if err != nil {
		t.Fatalf("minting a token: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func localhost(port int) string { return "http://localhost:" + strconv.Itoa(port) }

// logBuffer collects what a process writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(lines int) string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// TestLeakedFindsSecrets keeps the search of logs honest.
func TestLeakedFindsSecrets(t *testing.T) {
	for text, found := range map[string]bool{
		`{"uri":"/demo/~s.REDACTED/a.mpd?session=REDACTED"}`:                             false,
		`{"uri":"/demo/~s.AmsJ0MIAAAAAAAAAAAABAAUvZGVtbwAAohVx2IwklvQA/a.mpd"}`:          true,
		`{"uri":"/demo/a.mpd?x=1&session=AmsJ0MIAAAAAAAAAAAABAAUvZGVtbwAAohVx2IwklvQA"}`: true,
		"the secret is " + testSecret:                                                    true,
	} {
		g := &gateway{log: new(logBuffer)}
		_, _ = g.log.Write([]byte(text))
		if err := g.leaked(); (err != nil) != found {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}
