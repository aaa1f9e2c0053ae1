package caddymodule

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestNothingIsHeldForWhoGetsNoBody: HEAD, and a client that has the text already, leave nothing in flight behind them.
func TestNothingIsHeldForWhoGetsNoBody(t *testing.T) {
	const size = 1 << 20
	mpd := string(clearFile(t, "demo/manifest.mpd"))
	texts := map[string][]byte{
		"/demo/long.mpd":   []byte(strings.Replace(mpd, "</MPD>", "<!--"+strings.Repeat("a long manifest ", size/16)+"--></MPD>", 1)),
		"/demo/poster.jpg": append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte("picture."), size/8)...),
	}
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		body, ok := texts[r.URL.Path]
		if ok {
			_, _ = w.Write(body)
		}
		return ok
	})
	g := startGateway(t, strings.Replace(proxySite, "license_server", "sidecar .jpg\n\t\tlicense_server", 1), "ORIGIN", origin.start(t))
	inFlight := func() int64 {
		for deadline := time.Now().Add(adoption / 2); time.Now().Before(deadline) && sharedMemory().inFlight.Stats().Used > 0; {
			time.Sleep(time.Millisecond)
		}
		return sharedMemory().inFlight.Stats().Used
	}
	for path := range texts {
		etag := g.mustGet(t, path).header.Get("ETag")
		if used := inFlight(); used > 0 {
			t.Errorf("%s: %d bytes behind the whole answer", path, used)
		}
		if res := g.send(t, http.MethodHead, path); res.status != http.StatusOK || res.header.Get("ETag") != etag {
			t.Errorf("%s: HEAD is %d", path, res.status)
		}
		if used := inFlight(); used > 0 {
			t.Errorf("%s: %d bytes behind HEAD", path, used)
		}
		if res := g.get(t, path, "If-None-Match", etag); res.status != http.StatusNotModified {
			t.Errorf("%s: %d for who has it", path, res.status)
		}
		if used := inFlight(); used > 0 {
			t.Errorf("%s: %d bytes behind 304", path, used)
		}
	}
}
