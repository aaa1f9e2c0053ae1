package caddymodule

import (
	"strings"
	"testing"
	"time"
)

// TestMemoryIsTaken: who has waited for memory as long as configured is told to come again, with nothing of the segment, and
// is served when there is memory.
func TestMemoryIsTaken(t *testing.T) {
	origin := &scriptedOrigin{}
	for _, cache := range []string{"off", "16MiB"} {
		t.Run("segment_cache "+cache, func(t *testing.T) {
			g := newGateway(t, "ORIGIN", origin.start(t))
			g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache "+cache+"\n\t\tin_flight 16MiB 100ms", 1)+proxySite)
			t.Cleanup(func() { sharedMemory().inFlight.Resize(defaultInFlight) })
			target := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/360p/seg_2.m4s").url
			grant, err := sharedMemory().inFlight.Acquire(t.Context(), 16<<20, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			res := g.get(t, target)
			grant.Release()
			if res.status != 503 || res.reason() != "busy" || res.header.Get("Retry-After") == "" || res.header.Get("ETag") != "" {
				t.Errorf("%d %s, Retry-After %q", res.status, res.reason(), res.header.Get("Retry-After"))
			}
			if after := g.mustGet(t, target); len(after.body) < 10_000 {
				t.Errorf("%d bytes", len(after.body))
			}
		})
	}
}
