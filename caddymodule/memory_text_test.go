package caddymodule

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestSlowReadersOfText: manifests, subtitles and pictures cost no more memory than segments do, however many ask for them and do not
// read. Anybody can open a hundred connections.
func TestSlowReadersOfText(t *testing.T) {
	const (
		readers = 40
		size    = 12 << 20 // more than what the system takes off the gateway's hands
	)
	mpd := string(clearFile(t, "demo/manifest.mpd"))
	comment := "<!--" + strings.Repeat("a long manifest ", size/16) + "-->"
	texts := map[string][]byte{
		"/demo/poster.jpg":   append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte("picture."), size/8)...),
		"/demo/long.mpd":     []byte(strings.Replace(mpd, "</MPD>", comment+"</MPD>", 1)),
		"/demo/unsized.jpg":  append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte("picture."), size/8)...),
		"/demo/long.m3u8":    []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"video/360p/init.mp4\"\n" + strings.Repeat("# a long playlist\n", size/18) + "#EXTINF:2,\nvideo/360p/seg_1.m4s\n#EXT-X-ENDLIST\n"),
		"/demo/subtitle.vtt": append([]byte("WEBVTT\n\n"), bytes.Repeat([]byte("NOTE ...\n"), size/9)...),
	}
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		body, ok := texts[r.URL.Path]
		if ok && !strings.Contains(r.URL.Path, "unsized") {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		if ok {
			_, _ = w.Write(body)
		}
		return ok
	})
	g := newGateway(t, "ORIGIN", origin.start(t))
	g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache off\n\t\tin_flight 96MiB 5s", 1)+
		strings.Replace(proxySite, "license_server", "sidecar .jpg .vtt\n\t\tlicense_server", 1))
	t.Cleanup(func() { sharedMemory().inFlight.Resize(defaultInFlight) })
	for path, body := range texts {
		t.Run(path, func(t *testing.T) {
			if res := g.mustGet(t, path); len(res.body) < len(body)/2 {
				t.Fatalf("%d bytes", len(res.body))
			}
			before := heapInUse()
			var conns []net.Conn
			for range readers {
				conn, err := net.Dial("tcp", g.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
				_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:forcetypeassert // that is what Dial made
				_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, g.addr)
			}
			time.Sleep(2 * time.Second)
			if grown := (heapInUse() - before) >> 20; grown > 160 {
				t.Errorf("%d readers of %d MiB each hold %d MiB, of 96 that are allowed", readers, size>>20, grown)
			}
			for _, conn := range conns {
				_ = conn.Close()
			}
			g.mustGet(t, path)
		})
	}
	for deadline := time.Now().Add(5 * time.Second); sharedMemory().inFlight.Stats().Used > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still in flight: %+v", sharedMemory().inFlight.Stats())
		}
	}
}

// heapInUse is without idle buffers, which go by themselves a little later.
func heapInUse() int64 {
	clearBuffers.trim()
	protectedBuffers.trim()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse)
}
