package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// sigtermCaddyfile is a site of tokens, sessions and counted streams in front of an origin.
const sigtermCaddyfile = `{
	drm {
		secret {env.DRM_SECRET}
	}
}
http://127.0.0.1:%d {
	drm {
		tenant sigterm
		license_server clearkey
		token signed {
			key {file.testdata/tokens/signed.key}
		}
		limit streams 2 by subject
		limit requests 100000 per 1s by subject
	}
	reverse_proxy %s
}
`

// heldOrigin serves the demo, and one segment only when it is let go.
type heldOrigin struct {
	files http.Handler
	asked chan struct{}
	hold  chan struct{}
	once  sync.Once
}

func (o *heldOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/360p/seg_9.m4s") {
		o.once.Do(func() { close(o.asked) })
		<-o.hold
	}
	o.files.ServeHTTP(w, r)
}

// TestSIGTERMInTheMiddle: a gateway that is told to end finishes what it has begun or breaks it off; nobody takes a part of a segment for the
// whole, the process ends well, and the next one goes on with the sessions and the bytes of the last.
func TestSIGTERMInTheMiddle(t *testing.T) {
	long(t)
	binary, err := gatewayBinary()
	if err != nil {
		t.Fatal(err)
	}
	root, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	origin := &heldOrigin{files: http.StripPrefix("/demo/", http.FileServer(http.Dir(root))), asked: make(chan struct{}), hold: make(chan struct{})}
	server := httptest.NewServer(origin)
	t.Cleanup(server.Close)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(sigtermCaddyfile, port, strings.TrimPrefix(server.URL, "http://"))
	g, err := startGateway(binary, text)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	tracks, _ := dashTracks(t, address+"/demo/manifest.mpd?drm=cenc&token="+url.QueryEscape(accessToken(t, "/demo")))
	want := make(map[string][]byte)
	held := ""
	for _, track := range tracks {
		for _, segment := range track.segments {
			if track.folder == "video/360p" && strings.HasSuffix(segment, "/seg_9.m4s") {
				held = segment
			} else {
				want[segment] = mustGet(t, segment).body
			}
		}
	}
	var whole, broken atomic.Int64
	fetch := func(target string) {
		response, err := loadClient.Get(target)
		if err != nil {
			broken.Add(1)
			time.Sleep(5 * time.Millisecond)
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		switch {
		case err != nil || response.StatusCode >= http.StatusInternalServerError:
			broken.Add(1)
		case response.StatusCode != http.StatusOK:
			t.Errorf("a segment was answered with %d", response.StatusCode)
		case want[target] != nil && !bytes.Equal(body, want[target]):
			t.Errorf("%d bytes were taken for the whole of %d", len(body), len(want[target]))
		default:
			whole.Add(1)
		}
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				for target := range want {
					select {
					case <-stop:
						return
					default:
						fetch(target)
					}
				}
			}
		})
	}
	all.Go(func() { fetch(held) })
	<-origin.asked
	time.Sleep(200 * time.Millisecond)
	before := whole.Load()
	time.AfterFunc(time.Second, func() { close(origin.hold) }) // while the gateway waits for what is under way
	if err := g.stop(); err != nil {
		t.Errorf("the gateway ended with %v\n%s", err, g.log.tail(20))
	}
	close(stop)
	all.Wait()
	if before == 0 || broken.Load() == 0 {
		t.Errorf("%d segments before the end, %d requests that it broke off", before, broken.Load())
	}
	if log := g.log.String(); strings.Contains(log, "panic") {
		t.Errorf("%s", g.log.tail(20))
	}
	if g, err = startGateway(binary, text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	for target, body := range want {
		if again := mustGet(t, target); !bytes.Equal(again.body, body) {
			t.Errorf("%s is another one after a restart", withoutQuery(target))
		}
	}
	mustGet(t, held)
}
