package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestReloadDuringDownload: a slow client gets its whole segment while the configuration is replaced under it.
func TestReloadDuringDownload(t *testing.T) {
	big := &scriptedOrigin{}
	g := startGateway(t, strings.Replace(proxySite, "drm {", "drm {\n\t\ttenant one", 1), "ORIGIN", big.start(t))
	links := g.links(t, "/demo/manifest.mpd?drm=cenc")
	target := linkTo(t, links, "media", "/video/360p/seg_10.m4s").url
	want := g.mustGet(t, target).body
	res, err := g.open(t, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var got bytes.Buffer
	other := strings.Replace(proxySite, "drm {", "drm {\n\t\ttenant one\n\t\tlimit 1000 per 1s\n\t\tcors https://play.example.com", 1)
	for i := range 5 {
		if _, err := io.CopyN(&got, res.Body, int64(len(want)/8)); err != nil {
			t.Fatal(err)
		}
		g.load(t, globalBlock+[]string{other, strings.Replace(proxySite, "drm {", "drm {\n\t\ttenant one", 1)}[i%2])
	}
	if _, err := io.Copy(&got, res.Body); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes, want %d, the same", got.Len(), len(want))
	}
	for _, l := range links {
		if l.kind != "license" {
			g.mustGet(t, l.url)
		}
	}
}

// TestReloadDuringFetch: the origin answers after the configuration that asked is gone.
func TestReloadDuringFetch(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, strings.Replace(proxySite, "drm {", "drm {\n\t\ttenant one", 1), "ORIGIN", origin.start(t))
	target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_10.m4s").url
	want := g.mustGet(t, target).body
	asked, answer := make(chan struct{}), make(chan struct{})
	origin.play(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "seg_10.m4s") {
			close(asked)
			<-answer
		}
		return false
	})
	bodies := make(chan []byte, 1)
	go func() {
		res, err := g.client.Get(target)
		if err != nil {
			bodies <- []byte(err.Error())
			return
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		bodies <- b
	}()
	<-asked
	time.AfterFunc(300*time.Millisecond, func() { close(answer) })
	g.load(t, globalBlock+strings.Replace(proxySite, "drm {", "drm {\n\t\ttenant one\n\t\tlimit 1000 per 1s", 1))
	if got := <-bodies; !bytes.Equal(got, want) {
		t.Errorf("%d bytes: %.100q", len(got), got)
	}
}

// TestFiftyReloads: URLs of before still work, and nothing is left running.
func TestFiftyReloads(t *testing.T) {
	site := strings.Replace(membersSite, "session path", "limit 100000 per 1s\n\tgeo country {\n\t\tallow AT\n\t}\n\tsession path", 1)
	g := startGateway(t, site)
	links := g.links(t, "/demo/master.m3u8?drm=cenc&keyformat=identity&token="+tokenFor(t, "/demo"))
	key, segment := linkTo(t, links, "key", "").url, linkTo(t, links, "media", "").url
	wantKey, wantSegment := g.mustGet(t, key), g.mustGet(t, segment)
	for range 3 { // what runs once per process is running now
		g.load(t, globalBlock+site)
	}
	before := goroutines(g)
	for range 50 {
		g.load(t, globalBlock+site)
	}
	after := goroutines(g) // what old configurations hold goes when they have been idle for a while
	for end := time.Now().Add(20 * time.Second); after > before+10 && time.Now().Before(end); {
		after = goroutines(g)
	}
	if after > before+10 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines became %d\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
	if got := g.mustGet(t, key); !bytes.Equal(got.body, wantKey.body) {
		t.Error("another key after reloads")
	}
	if got := g.mustGet(t, segment); !bytes.Equal(got.body, wantSegment.body) || got.header.Get("ETag") != wantSegment.header.Get("ETag") {
		t.Error("another segment after reloads")
	}
}

// goroutines counts once it has come to rest.
func goroutines(g *gateway) int {
	g.client.CloseIdleConnections()
	least := runtime.NumGoroutine()
	for range 20 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
		least = min(least, runtime.NumGoroutine())
	}
	return least
}
