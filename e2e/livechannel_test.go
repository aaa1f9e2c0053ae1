package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// channel is a live channel that ffmpeg makes in real time: DASH and HLS of the same CMAF segments of about two seconds, in a folder that holds the
// last channelWindow of them. Its frames show their number as those of testdata do, from 0 at the start of the presentation.
type channel struct {
	root  string // the channel is in its folder "live"
	ended chan struct{}
}

const (
	channelWindow = 24 // segments
	channelRate   = 25 // frames per second
)

// startChannel starts a channel that ends with the test, and returns once some segments are there. The key frames of an irregular one are one to
// three seconds apart, and so are its segments.
func startChannel(t *testing.T, irregular bool) *channel {
	t.Helper()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	c := &channel{root: t.TempDir(), ended: make(chan struct{})}
	dir := filepath.Join(c.root, "live")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(ffmpeg, channelArguments(irregular)...)
	var messages bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // it is killed
		close(c.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-c.ended:
			t.Errorf("ffmpeg ended before the test:\n%s", &messages)
		default:
			_ = cmd.Process.Kill()
			<-c.ended
		}
	})
	waitForSegments(t, filepath.Join(dir, "seg-1-*.m4s"), 6, &messages)
	return c
}

// waitForSegments waits until ffmpeg has made so many segments whose paths match a pattern. messages is what it writes if it cannot.
func waitForSegments(t *testing.T, pattern string, n int, messages *bytes.Buffer) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		segments, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			t.Fatal(err)
		case len(segments) >= n:
			return
		case time.Now().After(end):
			t.Fatalf("ffmpeg has made %d of %d segments: %s", len(segments), n, messages)
		}
	}
}

func channelArguments(irregular bool) []string {
	keyFrames, least := "expr:gte(t,n_forced*2)", "2"
	if irregular { // 1, 2 and 3 seconds in turn
		keyFrames, least = "expr:gte(t,floor(n_forced/3)*6+if(eq(mod(n_forced,3),0),0,if(eq(mod(n_forced,3),1),1,3)))", "0.9"
	}
	return []string{
		"-v", "error", "-nostdin",
		"-re", "-f", "lavfi", "-i", channelPicture(), "-re", "-f", "lavfi", "-i", "sine=frequency=220:sample_rate=48000",
		"-vf", "scale=320:180:flags=area:out_color_matrix=bt709:out_range=tv,format=yuv420p,setsar=1", "-r", fmt.Sprint(channelRate),
		"-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
		"-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main", "-bf", "2", "-b_strategy", "0", "-threads", "1", "-b:v", "150k",
		"-g", "250", "-sc_threshold", "0", "-force_key_frames", keyFrames, "-c:a", "aac", "-ac", "2", "-b:a", "64k",
		"-f", "dash", "-dash_segment_type", "mp4", "-seg_duration", "2", "-window_size", fmt.Sprint(channelWindow), "-extra_window_size", "10",
		"-use_template", "1", "-use_timeline", "1", "-update_period", "2", "-hls_playlist", "1", "-adaptation_sets", "id=0,seg_duration=" + least + ",streams=v id=1,streams=a",
		"-init_seg_name", "init-$RepresentationID$.mp4", "-media_seg_name", "seg-$RepresentationID$-$Number$.m4s",
		"-format_options", "movflags=+cmaf+skip_sidx", "live.mpd",
	}
}

// channelPicture draws the picture of the test titles at half its size, without words: see testdata/README.md.
func channelPicture() string {
	var b strings.Builder
	b.WriteString("color=c=0x1f4e79:s=320x180:r=" + fmt.Sprint(channelRate) + ",format=rgb24")
	box := func(x, y, w, h int, color, when string) {
		fmt.Fprintf(&b, ",drawbox=x=%d:y=%d:w=%d:h=%d:color=%s:t=fill%s", x, y, w, h, color, when)
	}
	box(0, 0, 40, 40, "0xff0000", "")
	box(280, 0, 40, 40, "0x00c000", "")
	box(0, 140, 40, 40, "0x0000ff", "")
	box(280, 140, 40, 40, "0xffff00", "")
	box(40, 70, 240, 40, "black", "")
	for bit := range 10 {
		box(40+24*bit, 70, 24, 40, "white", fmt.Sprintf(":enable='bitand(n,%d)'", 1<<bit))
	}
	return b.String()
}

// nodesOf are gateways behind one address, which hands requests out in turn and goes on without one that is away. It keeps what was asked for.
type nodesOf struct {
	*httptest.Server
	gateways []*gateway
	configs  []string
	targets  []*url.URL
	mu       sync.Mutex
	turn     int
	seen     []passed
}

// passed is a request that went through.
type passed struct {
	method, path string
	body         []byte // of a license request
	status, node int
}

// behindOneAddress starts a gateway for each Caddyfile that config gives for a port.
func behindOneAddress(t *testing.T, n int, config func(port int) string) *nodesOf {
	t.Helper()
	b := &nodesOf{}
	ports, err := testtools.FreePorts(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stopAll(t) })
	for node, port := range ports {
		b.configs, b.gateways = append(b.configs, config(port)), append(b.gateways, nil)
		b.start(t, node)
		b.targets = append(b.targets, &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	b.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport: b,
	})
	t.Cleanup(b.Close)
	return b
}

// start starts a node.
func (b *nodesOf) start(t *testing.T, node int) {
	t.Helper()
	binary, err := gatewayBinary()
	if err != nil {
		t.Fatal(err)
	}
	if b.gateways[node], err = startGateway(binary, b.configs[node]); err != nil {
		t.Fatal(err)
	}
}

// restart ends a node as a service manager does, and starts it again. Meanwhile the others answer.
func (b *nodesOf) restart(t *testing.T, node int) {
	t.Helper()
	if err := b.gateways[node].stop(); err != nil {
		t.Errorf("stopping a node: %v", err)
	}
	b.start(t, node)
}

func (b *nodesOf) stopAll(t *testing.T) {
	for node, g := range b.gateways {
		if g == nil {
			continue
		}
		if err := g.stop(); err != nil {
			t.Errorf("stopping node %d: %v", node, err)
		}
		if t.Failed() {
			t.Logf("the log of node %d ends:\n%s", node, g.log.tail(10))
		}
	}
}

// RoundTrip implements http.RoundTripper: the node whose turn it is answers, or the next one that does.
func (b *nodesOf) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	var err error
	for range b.targets {
		b.mu.Lock()
		b.turn++
		node := b.turn % len(b.targets)
		b.mu.Unlock()
		r := r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Body = b.targets[node].Scheme, b.targets[node].Host, io.NopCloser(bytes.NewReader(body))
		var response *http.Response
		if response, err = http.DefaultTransport.RoundTrip(r); err == nil {
			b.mu.Lock()
			b.seen = append(b.seen, passed{r.Method, r.URL.Path, body, response.StatusCode, node})
			b.mu.Unlock()
			return response, nil
		}
	}
	return nil, err
}

// since returns what has passed since the first so many requests, and how many there are now.
func (b *nodesOf) since(from int) (requests []passed, now int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(requests, b.seen[from:]...), len(b.seen)
}

// all returns all requests so far.
func (b *nodesOf) all() []passed {
	requests, _ := b.since(0)
	return requests
}
