package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// How long each kind of load lasts. The race detector makes the gateway some ten times slower, and finds what it finds
// early.
const (
	steadyLoad = 12 * time.Second
	reloadLoad = 6 * time.Second
)

// The gateway under the race detector serves everything that two titles' manifests name, to many clients at once: each
// answer is 200, nothing races, and afterwards no goroutine is left over.
func TestLoadUnderTheRaceDetector(t *testing.T) {
	long(t)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := newGatewayOf(t, raceBinary, nodeCaddyfile(port))
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	named := crawlAll(t, address, nodesHost)
	named = append(named, crawl(t, address, nodesHost, "/members/demo", "token="+url.QueryEscape(accessToken(t, "/demo")))...)
	list := writeList(t, named)
	for _, x := range named {
		if a := x.ask(t, address, nodesHost); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	before := g.settle(t)

	t.Run("steady", func(t *testing.T) {
		run := wrk(t, address, list, steadyLoad)
		if run.requests < 100 || run.statuses != nil || run.failures != 0 {
			t.Errorf("%d requests, %d without an answer, unexpected: %q", run.requests, run.failures, run.statuses)
		}
	})
	t.Run("during reloads", func(t *testing.T) {
		finished := make(chan struct{})
		reloads := make(chan error, 1)
		go func() { reloads <- g.reloadUntil(finished) }()
		run := wrk(t, address, list, reloadLoad)
		close(finished)
		if err := <-reloads; err != nil {
			t.Error(err)
		}
		// A server that is replaced closes the connections that are idle, which a client notices as a read error.
		if run.requests < 50 || run.statuses != nil {
			t.Errorf("%d requests, unexpected: %q", run.requests, run.statuses)
		}
	})

	after, end := g.goroutines(t), time.Now().Add(20*time.Second)
	for ; after > before && time.Now().Before(end); after = g.goroutines(t) {
		time.Sleep(100 * time.Millisecond)
	}
	if after > before {
		stacks, _ := g.adminOnce("/debug/pprof/goroutine?debug=1", nil)
		t.Errorf("%d goroutines before the load, %d after it:\n%s", before, after, stacks)
	}
	if log := g.log.String(); strings.Contains(log, "DATA RACE") {
		t.Errorf("%s", log[strings.Index(log, "DATA RACE"):])
	}
}

// writeList writes the requests in the form that load.lua reads.
func writeList(t *testing.T, named []exchange) string {
	t.Helper()
	var b strings.Builder
	for _, x := range named {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", x.method, x.path, x.body)
	}
	file := filepath.Join(t.TempDir(), "requests")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// loadRun is what wrk saw.
type loadRun struct {
	requests, failures int
	statuses           []string // the lines about statuses that are not 200, at most some
}

var wrkSummary = regexp.MustCompile(`(?m)^requests (\d+) errors (\d+) (\d+) (\d+) (\d+)$`)

func wrk(t *testing.T, address, list string, length time.Duration) (run loadRun) {
	t.Helper()
	program, err := testtools.Wrk()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-t2", "-c16", fmt.Sprintf("-d%ds", int(length.Seconds())), "--timeout", "30s",
		"-H", "Host: "+nodesHost, "-s", "load.lua", address, "--", list)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	summary := wrkSummary.FindSubmatch(out)
	if summary == nil {
		t.Fatalf("wrk says nothing about its requests:\n%s", out)
	}
	for i, text := range summary[1:] {
		n, err := strconv.Atoi(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			run.requests = n
		} else {
			run.failures += n
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "unexpected status") && len(run.statuses) < 10 {
			run.statuses = append(run.statuses, strings.TrimSpace(line))
		}
	}
	t.Logf("%d requests in %s", run.requests, length)
	return run
}

// adminOnce makes one request to the admin endpoint on a connection of its own, so that none stays open there: a POST if
// there is a body.
func (g *gateway) adminOnce(path string, body io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+g.admin+path, body)
	if err != nil {
		return "", err
	}
	request.Close = true
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Cache-Control", "must-revalidate") // loads a configuration even if it is the same
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin endpoint: %s: %s", response.Status, text)
	}
	return string(text), err
}

// reloadUntil loads the running configuration again and again.
func (g *gateway) reloadUntil(finished <-chan struct{}) error {
	config, err := g.adminOnce("/config/", nil)
	if err != nil {
		return err
	}
	for {
		select {
		case <-finished:
			return nil
		case <-time.After(time.Second):
			if _, err := g.adminOnce("/load", strings.NewReader(config)); err != nil {
				return err
			}
		}
	}
}

var profileTotal = regexp.MustCompile(`^goroutine profile: total (\d+)`)

func (g *gateway) goroutines(t *testing.T) int {
	t.Helper()
	profile, err := g.adminOnce("/debug/pprof/goroutine?debug=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	total := profileTotal.FindStringSubmatch(profile)
	if total == nil {
		t.Fatalf("no goroutine profile: %.100s", profile)
	}
	n, err := strconv.Atoi(total[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settle drops our own connections and returns the number of goroutines once it stays the same for a second.
func (g *gateway) settle(t *testing.T) int {
	t.Helper()
	client.CloseIdleConnections()
	n, same := g.goroutines(t), 0
	for end := time.Now().Add(20 * time.Second); same < 5 && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
		now := g.goroutines(t)
		if same++; now != n {
			n, same = now, 0
		}
	}
	return n
}
