package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// The seal of a range of a single file opens that range and nothing else: no other file, no other segment, no number.
func TestSealsOfRangesDoNotMove(t *testing.T) {
	long(t)
	track := newChunkedTrack(t, "video/360p")
	origin := newChunkedOrigin(t)
	origin.put("/t/film.mp4", track.whole())
	origin.put("/t/other.mp4", track.whole())
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"film.mp4\",BYTERANGE=\"%d@0\"\n", len(track.init))
	for n, at := 1, len(track.init); n <= 3; n++ {
		size := len(track.segment(n))
		fmt.Fprintf(&b, "#EXTINF:2,\n#EXT-X-BYTERANGE:%d@%d\nfilm.mp4\n", size, at)
		at += size
	}
	origin.put("/t/video.m3u8", []byte(b.String()+"#EXT-X-ENDLIST\n"))
	for _, cache := range cacheWords {
		address, _ := chunkGateway(t, origin, "segment_cache "+cache, "")
		playlist := address + "/t/video.m3u8"
		tr := parsePlaylist(t, playlist, playlist, mustGet(t, playlist+"?keyformat=identity&drm=cenc").body)
		for i, target := range tr.segments {
			if got := mustGet(t, target).body; bytes.Equal(got, mustGet(t, tr.segments[(i+1)%3]).body) {
				t.Error("two ranges are the same")
			} else {
				checkNoClear(t, got, track.segment(i+1))
			}
		}
		flipped := []byte(tr.segments[0])
		flipped[strings.Index(tr.segments[0], "~")+40] ^= 1
		for name, target := range map[string]string{
			"another file":       strings.Replace(tr.segments[0], "film.mp4", "other.mp4", 1),
			"a number":           strings.Replace(tr.segments[0], "film.mp4", "~n.1/film.mp4", 1),
			"a number of init":   strings.Replace(tr.init, "film.mp4", "~n.1/film.mp4", 1),
			"init of another":    strings.Replace(tr.init, "film.mp4", "other.mp4", 1),
			"flipped":            string(flipped),
			"cut":                strings.Replace(tr.segments[0], "/film.mp4", "", 1) + "x/film.mp4",
			"no seal":            address + "/t/film.mp4",
			"two seals":          strings.Replace(tr.segments[0], "/film.mp4", strings.TrimPrefix(tr.segments[1], address+"/t"), 1),
			"a number, no seal":  address + "/t/~n.1/film.mp4",
			"a seal on segments": strings.Replace(tr.segments[0], "film.mp4", "seg_1.m4s", 1),
		} {
			t.Run("cache "+cache+" "+name, func(t *testing.T) {
				checkRefusal(t, get(t, target), http.StatusNotFound, "not_found")
			})
		}
	}
}

// Instead of a segment of transport stream the origin has something else: nothing of that leaves.
func TestWhatIsNoTransportStreamIsRefused(t *testing.T) {
	long(t)
	ts := newTransportStream(t)
	for _, option := range []string{"aes-128", "sample-aes"} {
		origin := newChunkedOrigin(t)
		origin.put("/t/video.m3u8", []byte(transportPlaylist(9)))
		address, _ := chunkGateway(t, origin, "", "transport_stream "+option)
		playlist := address + "/t/video.m3u8"
		tr := parsePlaylist(t, playlist, playlist, mustGet(t, playlist+"?drm="+drm.SchemeCbcs.String()).body)
		for i, data := range [][]byte{
			[]byte("<!doctype html><title>Error</title>" + strings.Repeat(" ", 1000)), {}, ts[1:], ts[:100], bytes.Repeat([]byte{0}, 1880), clearSegment(t, "video/360p", 1),
		} {
			origin.put(fmt.Sprintf("/t/seg_%d.ts", i+1), data)
			if a := get(t, tr.segments[i]); a.status != http.StatusBadGateway || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, case %d: %s", option, i, a)
			}
		}
		origin.put("/t/seg_9.ts", ts)
		whole := mustGet(t, tr.segments[8]).body
		if at := len(ts) / 2; bytes.Contains(whole, ts[at:at+188]) && option == "aes-128" {
			t.Error("the segment holds a clear packet")
		}
		if option == "sample-aes" { // protected already: not again
			origin.put("/t/seg_8.ts", whole)
			checkRefusal(t, get(t, tr.segments[7]), http.StatusBadGateway, "media_already_protected")
		}
	}
}
