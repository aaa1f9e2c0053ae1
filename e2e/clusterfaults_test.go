package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
)

// clusterLoad asks for what playbacks ask for, and begins new ones, without a pause.
type clusterLoad struct {
	n       *nodes
	playing []watched
	stop    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex
	answers map[string]int // by kind and outcome
	longest time.Duration
	viewers atomic.Int64
}

func (n *nodes) load(playing []watched) *clusterLoad {
	l := &clusterLoad{n: n, playing: playing, stop: make(chan struct{}), answers: make(map[string]int)}
	for worker := range 4 {
		l.done.Go(func() {
			for i := worker; ; i++ {
				select {
				case <-l.stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if i%5 == 0 {
					_, g := n.begin(fmt.Sprintf("new-%d-%d", time.Now().UnixNano(), l.viewers.Add(1)))
					l.note("new", g)
					continue
				}
				l.note("playing", n.fetch(rand.IntN(3), n.path(playing[i%len(playing)])))
			}
		})
	}
	return l
}

func (l *clusterLoad) note(kind string, g got) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[fmt.Sprintf("%s %d %s", kind, g.status, g.reason)]++
	l.longest = max(l.longest, g.took)
}

// take returns what was answered since the last call.
func (l *clusterLoad) take() (answers map[string]int, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	answers, longest = l.answers, l.longest
	l.answers, l.longest = make(map[string]int), 0
	return answers, longest
}

func (l *clusterLoad) end() {
	close(l.stop)
	l.done.Wait()
}

// loss is one way to lose a server, and the way back.
type loss struct {
	name       string
	begin, end func(d *redistest.Deployment, p *redistest.Proxy) error
}

var losses = []loss{
	{"killed",
		func(d *redistest.Deployment, _ *redistest.Proxy) error {
			return d.All(func(s *redistest.Server) error { s.Kill(); return nil })
		},
		func(d *redistest.Deployment, _ *redistest.Proxy) error { return d.All((*redistest.Server).Start) }},
	{"frozen",
		func(d *redistest.Deployment, _ *redistest.Proxy) error { return d.All((*redistest.Server).Freeze) },
		func(d *redistest.Deployment, _ *redistest.Proxy) error { return d.All((*redistest.Server).Thaw) }},
	{"cut off",
		func(_ *redistest.Deployment, p *redistest.Proxy) error { p.Cut(); return nil },
		func(_ *redistest.Deployment, p *redistest.Proxy) error { p.Heal(); return nil }},
}

// TestNodesWithoutTheirServer loses the server under load, in each way, and gets it back.
func TestNodesWithoutTheirServer(t *testing.T) {
	long(t)
	runs := [][2]string{{"single", "local"}, {"single", "fail_closed"}}
	if os.Getenv(envClusters) == "long" {
		runs = append(runs, [2]string{"single", "fail_open"}, [2]string{"tls", "local"}, [2]string{"sentinel", "local"}, [2]string{"cluster", "local"})
	}
	for _, run := range runs {
		t.Run(run[0]+" "+run[1], func(t *testing.T) { loseTheServer(t, run[0], run[1]) })
	}
}

func loseTheServer(t *testing.T, kind, mode string) {
	times := timesOfRun()
	d, err := redistest.Start(kind, filepath.Join(t.TempDir(), kind))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	addresses := d.Addresses
	var proxy *redistest.Proxy
	if kind == "single" { // the others name their servers themselves, so nothing can stand in between
		if proxy, err = redistest.NewProxy(addresses[0]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		addresses = []string{proxy.Addr}
	}
	n := startNodes(t, d, addresses, mode, times)
	var playing []watched
	for i := range times.viewers {
		for range 2 {
			w := n.mustBegin(fmt.Sprintf("viewer-%d", i))
			playing = append(playing, w)
		}
	}
	l := n.load(playing)
	defer func() {
		select {
		case <-l.stop:
		default:
			l.end()
		}
	}()
	time.Sleep(2 * times.renew)
	_, usual := l.take()
	for _, f := range losses {
		if f.name == "cut off" && proxy == nil {
			continue
		}
		if err := f.begin(d, proxy); err != nil {
			t.Fatal(err)
		}
		time.Sleep(times.lease / 2)
		leased, _ := checkLeased(t, f.name, l)
		time.Sleep(times.lease/2 + 2*times.renew) // leases run out
		l.take()
		time.Sleep(times.fault - times.lease)
		answers, longest := l.take()
		longest = max(longest, leased)
		checkMode(t, f.name, mode, answers)
		// The declared time, and what a request takes here when nothing is wrong: other programs run on this machine too.
		if limit := times.timeout + max(3*usual, time.Second); longest > limit {
			t.Errorf("%s: a request took %s, want at most %s", f.name, longest, limit)
		}
		if err := f.end(d, proxy); err != nil {
			t.Fatal(err)
		}
		took := n.recover(f.name, playing)
		l.take()
		t.Logf("figures | %s | %s | %s | longest request %s, %s without fault, declared %s | recovered after %s | %v",
			kind, mode, f.name, longest.Round(time.Millisecond), usual.Round(time.Millisecond), times.timeout, took.Round(100*time.Millisecond), answers)
	}
	l.end()
	time.Sleep(times.quiet)
	n.stillTwoEach(times.viewers)
	t.Logf("figures | %s | %s | requests that asked the server waited for %s at most", kind, mode, n.longestWait())
}

// mustBegin begins a playback that has to be admitted, if need be when the server answers in time.
func (n *nodes) mustBegin(subject string) watched {
	n.t.Helper()
	var g got
	for range 50 {
		var w watched
		if w, g = n.begin(subject); g.status == http.StatusOK {
			return w
		}
		for try := 0; g.status == http.StatusServiceUnavailable && w.session != "" && try < 20; try++ {
			time.Sleep(100 * time.Millisecond) // as Retry-After says; it is the same playback
			if g = n.fetch(rand.IntN(3), n.path(w)); g.status == http.StatusOK {
				return w
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.t.Fatalf("%s does not begin: %d %s", subject, g.status, g.reason)
	return watched{}
}

// checkLeased checks that what was playing goes on while leases last. A playback that a node has not served yet has no lease there.
func checkLeased(t *testing.T, name string, l *clusterLoad) (longest time.Duration, answers map[string]int) {
	t.Helper()
	answers, longest = l.take()
	if answers["playing 200 "] == 0 {
		t.Errorf("%s: nothing goes on while leases last: %v", name, answers)
	}
	return longest, answers
}

// checkMode checks what holds when leases have run out.
func checkMode(t *testing.T, name, mode string, answers map[string]int) {
	t.Helper()
	playing, fresh := 0, 0
	for what, count := range answers {
		switch what {
		case "playing 200 ":
			playing += count
		case "new 200 ":
			fresh += count
		case "playing 503 state_unavailable", "new 503 state_unavailable":
			if mode != "fail_closed" {
				t.Errorf("%s, %s: %d times %s", name, mode, count, what)
			}
		default:
			t.Errorf("%s, %s: %d times %s", name, mode, count, what)
		}
	}
	if admitted := playing > 0 && fresh > 0; admitted != (mode != "fail_closed") || mode == "fail_closed" && playing+fresh > 0 {
		t.Errorf("%s, %s: %d playing and %d new are admitted: %v", name, mode, playing, fresh, answers)
	}
}

// waits are the buckets of the time that requests waited for the server, as each gateway measures it.
var waits = regexp.MustCompile(`caddy_drm_state_latency_seconds_bucket\{operation="(take|look)",le="([^"]+)"\} (\d+)`)

// longestWait returns the bound of the bucket under which all requests of all nodes are.
func (n *nodes) longestWait() (bound string) {
	n.t.Helper()
	bound = "none"
	longest := 0.0
	for _, g := range n.gateways {
		all, count := make(map[string]string), make(map[string][][2]string)
		for _, match := range waits.FindAllStringSubmatch(string(mustGet(n.t, "http://"+g.admin+"/metrics").body), -1) {
			count[match[1]] = append(count[match[1]], [2]string{match[2], match[3]})
			all[match[1]] = match[3] // the last bucket holds all
		}
		for operation, buckets := range count {
			for _, bucket := range buckets {
				if bucket[1] == all[operation] {
					if le, err := strconv.ParseFloat(bucket[0], 64); err == nil && le > longest {
						longest, bound = le, bucket[0]+" s"
					}
					break
				}
			}
		}
	}
	return bound
}

// recover waits until every playback is served again, by every node, and a new viewer too, and returns how long that took.
func (n *nodes) recover(name string, playing []watched) time.Duration {
	n.t.Helper()
	start := time.Now()
	for {
		bad := ""
		for _, w := range playing {
			for node := range n.urls {
				if g := n.fetch(node, n.path(w)); g.status != http.StatusOK {
					bad = fmt.Sprintf("%s on node %d: %d %s", w.subject, node, g.status, g.reason)
				}
			}
		}
		if _, g := n.begin(fmt.Sprintf("again-%d", time.Now().UnixNano())); g.status != http.StatusOK {
			bad = fmt.Sprintf("a new viewer: %d %s", g.status, g.reason)
		}
		if bad == "" {
			return time.Since(start)
		}
		if time.Since(start) > 40*time.Second {
			n.t.Fatalf("%s: it does not recover: %s", name, bad)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stillTwoEach checks that the counts are exact again once traffic has been quiet.
func (n *nodes) stillTwoEach(viewers int) {
	n.t.Helper()
	for i := range viewers {
		for node := range n.urls {
			_, g := n.open(node, "", fmt.Sprintf("viewer-%d", i))
			for try := 0; g.reason == "state_unavailable" && try < 20; try++ { // a busy machine may be late by itself
				time.Sleep(100 * time.Millisecond)
				_, g = n.open(node, "", fmt.Sprintf("viewer-%d", i))
			}
			if g.status != http.StatusTooManyRequests || g.reason != "stream_limit" {
				n.t.Errorf("a third stream of viewer-%d on node %d: %d %s", i, node, g.status, g.reason)
			}
		}
	}
}
