package caddymodule

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSlowReadersOfGrowingSegments: a segment that came chunk by chunk counts for as long as somebody reads it, and not only while it comes.
func TestSlowReadersOfGrowingSegments(t *testing.T) {
	const readers, chunks = 16, 250
	chunk := clearFile(t, "demo/video/360p/seg_2.m4s")
	size := chunks * len(chunk)
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/360p/seg_") {
			return false
		}
		for range chunks {
			_, _ = w.Write(chunk)
			w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's is one
		}
		return true
	})
	g := newGateway(t, "ORIGIN", origin.start(t))
	g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache 1MiB\n\t\tin_flight 96MiB 30s", 1)+proxySite)
	t.Cleanup(func() { sharedMemory().inFlight.Resize(defaultInFlight) })
	first := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/360p/seg_2.m4s").url
	if res := g.mustGet(t, first); len(res.body) < size {
		t.Fatalf("%d bytes", len(res.body))
	}
	before := heapInUse()
	var conns []net.Conn
	for n := range readers {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:forcetypeassert // that is what Dial made
		target := strings.Replace(pathOf(t, first), "seg_2.m4s", fmt.Sprintf("seg_%d.m4s", 100+n), 1)
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, g.addr)
		time.Sleep(250 * time.Millisecond) // one after the other, as they are made
	}
	time.Sleep(2 * time.Second) // longer than adoption
	if grown := (heapInUse() - before) >> 20; grown > 150 {
		t.Errorf("%d readers of %d MiB each hold %d MiB, of 96 that are allowed; in flight: %+v", readers, size>>20, grown, sharedMemory().inFlight.Stats())
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); sharedMemory().inFlight.Stats().Used > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still in flight: %+v", sharedMemory().inFlight.Stats())
		}
	}
	if res := g.mustGet(t, first); !bytes.Contains(res.body, []byte("moof")) {
		t.Errorf("%d bytes", len(res.body))
	}
}
