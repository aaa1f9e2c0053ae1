package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/token"
)

// envClusters set to "long" makes the tests of several nodes use the gateway's own default times, every kind of server and every
// mode, and more viewers. `make clusters` does, and prints the figures of docs/clusters.md.
const envClusters = "CADDY_DRM_CLUSTERS"

// clusterTimes are the settings of a run.
type clusterTimes struct {
	timeout, lease, renew, quiet, fault time.Duration
	viewers                             int
}

func timesOfRun() clusterTimes {
	if os.Getenv(envClusters) == "long" {
		return clusterTimes{timeout: 50 * time.Millisecond, lease: 15 * time.Second, renew: 3 * time.Second, quiet: 5 * time.Second, fault: 25 * time.Second, viewers: 100}
	}
	return clusterTimes{timeout: 50 * time.Millisecond, lease: time.Second, renew: 250 * time.Millisecond, quiet: 2 * time.Second, fault: 2 * time.Second, viewers: 8}
}

// nodes are three gateways that share one state.
type nodes struct {
	t        *testing.T
	gateways []*gateway
	urls     []string
	key      token.Key
	init     string // path of an init segment, with {session} where the session goes
}

// startNodes starts three gateways on a deployment. addresses are where they look for it.
func startNodes(t *testing.T, d *redistest.Deployment, addresses []string, mode string, times clusterTimes) *nodes {
	t.Helper()
	long(t)
	t.Setenv("TEST_REDIS_PASSWORD", d.Password)
	options := []string{
		"address " + strings.Join(addresses, " "), "on_failure " + mode, "timeout " + times.timeout.String(),
		"lease " + times.lease.String(), "renew " + times.renew.String(),
	}
	switch d.Kind {
	case "sentinel":
		options = append(options, "sentinel "+d.Sentinel)
	case "cluster":
		options = append(options, "cluster")
	case "tls":
		options = append(options, "username "+d.Username, "password {env.TEST_REDIS_PASSWORD}", "tls {\n\t\t\t\tca "+d.CertFile+"\n\t\t\t}")
	}
	n := &nodes{t: t, key: signingKey(t)}
	for range 3 {
		port, err := testtools.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		n.gateways = append(n.gateways, newGateway(t, fmt.Sprintf(clusterCaddyfile, strings.Join(options, "\n\t\t\t"), port)))
		n.urls = append(n.urls, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	n.learnInit()
	return n
}

const clusterCaddyfile = `{
	drm {
		secret {env.DRM_SECRET}
		state redis {
			%s
		}
	}
}
http://:%d {
	root testdata
	handle_path /title/* {
		drm {
			tenant title
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			limit streams 10 by title
		}
		file_server
	}
	handle {
		drm {
			tenant nodes
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			limit streams 2 by subject
		}
		file_server
	}
}
`

// manifest is the path and query of the manifest for a subject.
func (n *nodes) manifest(prefix, subject string) string {
	text, err := token.SignPrefix(n.key, token.Claims{Subject: subject, Scope: []string{"/demo"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		panic(err) // the same claims but the subject each time
	}
	return prefix + "/demo/manifest.mpd?drm=cenc&token=" + url.QueryEscape(text)
}

var sessionElement = regexp.MustCompile(`~s\.[A-Za-z0-9_-]+`)

func (n *nodes) learnInit() {
	n.t.Helper()
	at := n.urls[0] + n.manifest("", "learner")
	tracks, _ := dashTracks(n.t, at)
	path := strings.TrimPrefix(tracks[len(tracks)-1].init, n.urls[0])
	n.init = sessionElement.ReplaceAllString(path, "{session}")
	if n.init == path {
		n.t.Fatal("an init segment without a session")
	}
}

// watched is one playback: the session that its manifest gave it.
type watched struct{ subject, session string }

// path is that of what the playback asks for again and again.
func (n *nodes) path(w watched) string { return strings.Replace(n.init, "{session}", w.session, 1) }

// open asks a node for the manifest of a new playback.
func (n *nodes) open(node int, prefix, subject string) (watched, got) {
	g := n.fetch(node, n.manifest(prefix, subject))
	return watched{subject, sessionElement.FindString(g.body)}, g
}

// begin opens a playback on one node and asks another for its first segment.
func (n *nodes) begin(subject string) (watched, got) {
	w, g := n.open(rand.IntN(3), "", subject)
	if g.status != http.StatusOK {
		return w, g
	}
	return w, n.fetch(rand.IntN(3), n.path(w))
}

// got is an answer, as far as these tests care.
type got struct {
	status       int
	reason, body string
	took         time.Duration
}

var loadClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// fetch asks a node; it may be called from any goroutine.
func (n *nodes) fetch(node int, path string) got {
	start := time.Now()
	response, err := loadClient.Get(n.urls[node] + path)
	if err != nil {
		return got{reason: "no answer"}
	}
	defer response.Body.Close()
	var b strings.Builder
	buffer := make([]byte, 16<<10)
	for {
		m, err := response.Body.Read(buffer)
		b.Write(buffer[:m])
		if err != nil {
			break
		}
	}
	return got{response.StatusCode, response.Header.Get("Drm-Reason"), b.String(), time.Since(start)}
}

// watchTogether lets viewers begin five playbacks each at the same moment, on all nodes, and returns those that were admitted.
func (n *nodes) watchTogether(run string, viewers int) (admitted []watched, refused int) {
	n.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range 5 * viewers {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			w, g := n.begin(fmt.Sprintf("%s-%d", run, i%viewers))
			for try := 0; g.status == http.StatusServiceUnavailable && w.session != "" && try < 20; try++ {
				time.Sleep(100 * time.Millisecond) // as Retry-After says; it is the same playback
				g = n.fetch(rand.IntN(3), n.path(w))
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case g.status == http.StatusOK:
				admitted = append(admitted, w)
			case g.status == http.StatusTooManyRequests && g.reason == "stream_limit":
				refused++
			default:
				n.t.Errorf("a playback began with %d %s after %s", g.status, g.reason, g.took)
			}
		})
	}
	all.Wait()
	return admitted, refused
}

// eachHasTwo checks that each viewer has exactly two streams, on whichever nodes they are asked for.
func (n *nodes) eachHasTwo(run string, viewers int, admitted []watched) {
	n.t.Helper()
	count := make(map[string]int)
	for _, w := range admitted {
		count[w.subject]++
		for node := range n.urls {
			if g := n.fetch(node, n.path(w)); g.status != http.StatusOK {
				n.t.Errorf("an admitted stream on node %d: %d %s", node, g.status, g.reason)
			}
		}
	}
	for i := range viewers {
		subject := fmt.Sprintf("%s-%d", run, i)
		if count[subject] != 2 {
			n.t.Errorf("%s has %d streams, want 2", subject, count[subject])
		}
		for node := range n.urls {
			if _, g := n.open(node, "", subject); g.status != http.StatusTooManyRequests {
				n.t.Errorf("a third stream on node %d: %d %s", node, g.status, g.reason)
			}
		}
	}
}

// revocationTime revokes a subject on one node, and returns how long it took until all refused it.
func (n *nodes) revocationTime(w watched) time.Duration {
	n.t.Helper()
	body := fmt.Sprintf(`{"kind":"subject","value":%q,"for":"1h"}`, w.subject)
	start := time.Now()
	a := askWith(n.t, http.MethodPost, "http://"+n.gateways[0].admin+"/drm/revocations", "", body, http.Header{"Content-Type": {"application/json"}})
	if a.status != http.StatusCreated {
		n.t.Fatalf("%s: %s", a, a.body)
	}
	for node := range n.urls {
		for {
			g := n.fetch(node, n.path(w))
			if g.status == http.StatusForbidden && g.reason == "revoked" {
				break
			}
			if time.Since(start) > 5*time.Second {
				n.t.Fatalf("node %d does not know of a revocation after 5 s: %d %s", node, g.status, g.reason)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return time.Since(start)
}

// titleStreams lets 30 viewers watch one title that may have ten, and returns how many do.
func (n *nodes) titleStreams() (streams int) {
	n.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			_, g := n.open(i%3, "/title", fmt.Sprintf("title-%d", i))
			if g.status != http.StatusOK {
				return
			}
			path := "/title" + firstMedia(g.body)
			if g := n.fetch((i+1)%3, path); g.status == http.StatusOK {
				mu.Lock()
				streams++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return streams
}

// firstMedia is the path of an init segment below the title that a manifest names.
func firstMedia(manifest string) string {
	seal := regexp.MustCompile(`initialization="([^"]+)"`).FindStringSubmatch(manifest)
	base := regexp.MustCompile(`<BaseURL>([^<]+)</BaseURL>`).FindStringSubmatch(manifest)
	if seal == nil {
		return ""
	}
	path := seal[1]
	if base != nil && !strings.Contains(path, "~s.") {
		path = base[1] + path
	}
	id := regexp.MustCompile(`<Representation id="([^"]+)"`).FindStringSubmatch(manifest)
	if id != nil {
		path = strings.ReplaceAll(path, "$RepresentationID$", id[1])
	}
	return "/demo/" + path
}

// TestNodesShareStreamsAndRevocations runs on each kind of server.
func TestNodesShareStreamsAndRevocations(t *testing.T) {
	long(t)
	times := timesOfRun()
	deployments := make(map[string]func() *redistest.Deployment)
	for _, kind := range redistest.Kinds { // all at once: sentinels take their time to find each other
		started := make(chan struct{})
		var d *redistest.Deployment
		var err error
		dir := filepath.Join(t.TempDir(), kind)
		go func() {
			d, err = redistest.Start(kind, dir)
			close(started)
		}()
		t.Cleanup(func() {
			if <-started; d != nil {
				d.Close()
			}
		})
		deployments[kind] = func() *redistest.Deployment {
			if <-started; err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	for _, kind := range []string{"single", "tls", "cluster", "sentinel"} {
		t.Run(kind, func(t *testing.T) {
			d := deployments[kind]()
			n := startNodes(t, d, d.Addresses, "fail_closed", clusterTimes{timeout: time.Second, lease: times.lease, renew: times.renew})
			admitted, refused := n.watchTogether("exact", times.viewers)
			time.Sleep(times.quiet)
			n.eachHasTwo("exact", times.viewers, admitted)
			took := n.revocationTime(admitted[0])
			streams := n.titleStreams()
			if streams < 8 || streams > 12 {
				t.Errorf("%d streams of a title that may have 10", streams)
			}
			t.Logf("figures | %s | %d of %d playbacks admitted, %d refused | revoked on three nodes after %s | title: %d of 10",
				kind, len(admitted), 5*times.viewers, refused, took.Round(time.Millisecond), streams)
		})
	}
}
