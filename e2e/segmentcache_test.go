package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// cacheOrigin serves a title whose segments are files with an ETag of their content.
func cacheOrigin(t *testing.T) *chunkedOrigin {
	t.Helper()
	origin := newChunkedOrigin(t)
	origin.put("/t/manifest.mpd", []byte(simpleMPD("video/360p", "audio/en")))
	origin.putTrack("t", "video/360p", newChunkedTrack(t, "video/360p"))
	origin.putTrack("t", "audio/en", newChunkedTrack(t, "audio/en"))
	return origin
}

// A thousand viewers who ask for one segment at once cost one fetch, and get one body under one ETag: that of a process
// without a cache.
func TestAThousandViewersCostOneFetch(t *testing.T) {
	long(t)
	origin := cacheOrigin(t)
	address, _ := chunkGateway(t, origin, "", "")
	tracks, _ := dashTracks(t, address+"/t/manifest.mpd?drm=cenc")
	origin.mu.Lock()
	origin.delay = 500 * time.Millisecond // all have asked when the answer comes
	origin.mu.Unlock()
	many := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	answers := make([]answer, 1000)
	var viewers sync.WaitGroup
	for i := range answers {
		viewers.Go(func() { answers[i] = askBy(t, many, "HTTP/1.1", http.MethodGet, tracks[0].segments[3], nil) })
	}
	viewers.Wait()
	many.CloseIdleConnections()
	first := answers[0]
	for i, a := range answers {
		if a.status != http.StatusOK || !bytes.Equal(a.body, first.body) || a.header.Get("ETag") != first.header.Get("ETag") {
			t.Fatalf("viewer %d: %s, ETag %s", i, a, a.header.Get("ETag"))
		}
	}
	if n := origin.asked("/t/video/360p/seg_4.m4s"); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
	other, _ := chunkGateway(t, origin, "segment_cache off", "")
	if a := mustGet(t, strings.Replace(tracks[0].segments[3], address, other, 1)); !bytes.Equal(a.body, first.body) ||
		a.header.Get("ETag") == "" || a.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("without a cache: %s, ETag %s, want %s", a, a.header.Get("ETag"), first.header.Get("ETag"))
	}
}

// A segment that the origin replaces is served as it was, body and ETag, for as long as it is kept; who keeps nothing has the
// new one, under another ETag.
func TestAReplacedSegmentIsNeverMixed(t *testing.T) {
	long(t)
	origin := cacheOrigin(t)
	cached, _ := chunkGateway(t, origin, "", "")
	uncached, _ := chunkGateway(t, origin, "segment_cache off", "")
	tracks, _ := dashTracks(t, cached+"/t/manifest.mpd?drm=cenc")
	target := tracks[0].segments[2]
	elsewhere := strings.Replace(target, cached, uncached, 1)
	path := "/t/video/360p/seg_3.m4s"
	replacement := origin.take("/t/video/360p/seg_7.m4s")
	old := mustGet(t, target)
	origin.put(path, replacement)
	kept, fresh := mustGet(t, target), mustGet(t, elsewhere)
	if !bytes.Equal(kept.body, old.body) || kept.header.Get("ETag") != old.header.Get("ETag") {
		t.Errorf("after the replacement %s, ETag %s", kept, kept.header.Get("ETag"))
	}
	if bytes.Equal(fresh.body, old.body) || fresh.header.Get("ETag") == old.header.Get("ETag") {
		t.Errorf("the new segment is the old one, ETag %s", fresh.header.Get("ETag"))
	}
	part := http.Header{"Range": {"bytes=9-"}, "If-Range": {old.header.Get("ETag")}}
	if a := askWith(t, http.MethodGet, elsewhere, "", "", part); a.status != http.StatusOK {
		t.Errorf("a part of the new segment for who has the old one: %s", a)
	}
}

// What is refused is asked for again, each time, and what is there in the end is served.
func TestRefusalsAreNotCached(t *testing.T) {
	long(t)
	origin := cacheOrigin(t)
	address, _ := chunkGateway(t, origin, "", "")
	tracks, _ := dashTracks(t, address+"/t/manifest.mpd?drm=cenc")
	path := "/t/video/360p/seg_5.m4s"
	clear := origin.take(path)
	for i, c := range []struct {
		data   []byte
		status int
		reason string
	}{
		{nil, http.StatusNotFound, "not_found"},
		{[]byte("<!doctype html><title>Error</title>"), http.StatusBadGateway, "media_malformed"},
		{[]byte{}, http.StatusBadGateway, "media_malformed"},
		{clear[:len(clear)/2], http.StatusBadGateway, "media_malformed"},
	} {
		origin.take(path)
		if c.data != nil {
			origin.put(path, c.data)
		}
		for range 2 {
			before := origin.asked(path)
			checkRefusal(t, get(t, tracks[0].segments[4]), c.status, c.reason)
			if origin.asked(path) != before+1 {
				t.Errorf("case %d: the origin was not asked again", i)
			}
		}
	}
	origin.put(path, clear)
	mustGet(t, tracks[0].segments[4])
}

// Two tenants of one process share the origin and nothing else.
func TestTenantsDoNotShareSegments(t *testing.T) {
	long(t)
	origin := cacheOrigin(t)
	ports, err := testtools.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for i, port := range ports {
		text += fmt.Sprintf(`%s {
	drm {
		secret {env.DRM_SECRET}
		tenant t%d
		license_server clearkey
	}
	reverse_proxy %s
}
`, localhost(port), i, origin.host())
	}
	newGateway(t, text)
	one, _ := dashTracks(t, localhost(ports[0])+"/t/manifest.mpd?drm=cenc")
	two, _ := dashTracks(t, localhost(ports[1])+"/t/manifest.mpd?drm=cenc")
	first, second := mustGet(t, one[0].segments[0]), mustGet(t, two[0].segments[0])
	if bytes.Equal(first.body, second.body) || first.header.Get("ETag") == second.header.Get("ETag") {
		t.Error("two tenants have the same segment")
	}
	checkRefusal(t, get(t, strings.Replace(one[0].segments[0], localhost(ports[0]), localhost(ports[1]), 1)), http.StatusNotFound, "not_found")
	if n := origin.asked("/t/video/360p/seg_1.m4s"); n != 2 {
		t.Errorf("the origin was asked %d times, want once for each tenant", n)
	}
}
