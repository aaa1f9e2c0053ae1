package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// liveDemo writes the video of the demo title as a channel that began at a time and has so many segments of two seconds by now.
func liveDemo(t *testing.T, dir string, began time.Time, segments int) {
	t.Helper()
	mpd := fmt.Sprintf(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" profiles="urn:mpeg:dash:profile:isoff-live:2011" minimumUpdatePeriod="PT2S" `+
		`availabilityStartTime="%s" minBufferTime="PT2S"><Period id="p0" start="PT0S"><AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1000" `+
		`startNumber="1" initialization="video/$RepresentationID$/init.mp4" media="video/$RepresentationID$/seg_$Number$.m4s"><SegmentTimeline><S t="0" d="2000" r="%d"/></SegmentTimeline>`+
		`</SegmentTemplate><Representation id="360p" bandwidth="1" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet></Period></MPD>`,
		began.UTC().Format(time.RFC3339), segments-1)
	var playlist strings.Builder
	fmt.Fprintf(&playlist, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"video/360p/init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:%s\n", began.UTC().Format(time.RFC3339))
	for n := range segments {
		fmt.Fprintf(&playlist, "#EXTINF:2,\nvideo/360p/seg_%d.m4s\n", n+1)
	}
	for name, text := range map[string]string{"live.mpd": mpd, "live.m3u8": playlist.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRekeyOfAChannel: what was there before the re-key keeps its keys for the time of grace, and then is gone; what comes behind it has new
// ones; and one license URL leads to both.
func TestRekeyOfAChannel(t *testing.T) {
	g := newGateway(t)
	channel := filepath.Join(g.dir, "demo")
	if err := os.CopyFS(channel, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	clock := setClock(t, now)
	admin := "127.0.0.1:" + freePort(t)
	g.load(t, strings.Replace(withGroups("\t\tgroup channel {\n\t\t\tlevel low\n\t\t}\n\t\trekey_grace 2s\n"), "admin off", "admin "+admin, 1)+
		strings.NewReplacer("group rotating", "group channel", "KEYS", "scheme cbcs", "TESTDATA", "DIR").Replace(rotatingSite))
	began := now.Add(-20 * time.Second)
	liveDemo(t, channel, began, 10)
	media := func(manifest string, n int) string {
		t.Helper()
		text, name := string(g.mustGet(t, manifest).body), fmt.Sprintf("/seg_%d.m4s", n)
		if at := strings.Index(text, name); at > 0 {
			return "/demo/" + text[strings.LastIndexByte(text[:at], '\n')+1:at] + name
		}
		bases := regexp.MustCompile(`<BaseURL>([^<]*)<`).FindAllStringSubmatch(text, -1)
		period := min(n/15, len(bases)-1) // the re-key begins behind the thirteenth segment
		return "/demo/" + bases[period][1] + "video/360p" + name
	}
	first := string(g.mustGet(t, "/demo/live.mpd").body)
	kid, license := defaultKIDPattern.FindStringSubmatch(first)[1], laurlPattern.FindStringSubmatch(first)[1]
	segment, listed := media("/demo/live.mpd", 3), media("/demo/live.m3u8", 3)

	if res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/rekeys", []byte(`{"group":"channel"}`), "Content-Type", "application/json"); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	if mpd := string(g.mustGet(t, "/demo/live.mpd").body); mpd != first {
		t.Errorf("with nothing new in it the MPD has changed:\n%s", mpd)
	}
	playlist := string(g.mustGet(t, "/demo/live.m3u8").body)
	liveDemo(t, channel, began, 15)
	if later := string(g.mustGet(t, "/demo/live.m3u8").body); !strings.HasPrefix(later, playlist) {
		t.Errorf("what was listed has changed:\n%s", later)
	}
	mpd := string(g.mustGet(t, "/demo/live.mpd").body)
	kids, urls := defaultKIDPattern.FindAllStringSubmatch(mpd, -1), laurlPattern.FindAllStringSubmatch(mpd, -1)
	if len(kids) != 2 || kids[0][1] != kid || kids[1][1] == kid || urls[0][1] != license || urls[1][1] != license || !strings.Contains(mpd, `id="p0-g1" start="PT26S"`) {
		t.Fatalf("want a second Period with another key:\n%s", mpd)
	}
	if keys, res := g.license(t, license, kid, kids[1][1]); len(keys) != 2 {
		t.Errorf("the license holds %d of two keys: %d", len(keys), res.status)
	}
	if media("/demo/live.mpd", 3) != segment || media("/demo/live.m3u8", 3) != listed {
		t.Error("a segment from before the re-key has another address")
	}
	wantReply(t, "a segment from before, in the time of grace", g.get(t, segment), 200, "")
	wantReply(t, "a segment from after", g.get(t, media("/demo/live.mpd", 15)), 200, "")
	wantReply(t, "one of the playlist", g.get(t, media("/demo/live.m3u8", 15)), 200, "")
	if playlist = string(g.mustGet(t, "/demo/live.m3u8").body); strings.Count(playlist, "#EXT-X-MAP:") != 2 || strings.Contains(playlist, "#EXT-X-GAP") {
		t.Errorf("want another key in the middle:\n%s", playlist)
	}

	clock.set(now.Add(9 * time.Second)) // it begins after five
	wantReply(t, "a segment from before, later", g.get(t, segment), 404, "not_found")
	if mpd := string(g.mustGet(t, "/demo/live.mpd").body); strings.Count(mpd, "<Period") != 2 || !strings.Contains(mpd, `<S t="0" d="2000"/>`) || !strings.Contains(mpd, `id="p0-g1"`) || strings.Contains(mpd, kid) {
		t.Errorf("want only what has the new key:\n%s", mpd)
	}
	mpd, playlist = string(g.mustGet(t, "/demo/live.mpd").body), string(g.mustGet(t, "/demo/live.m3u8").body)
	if left := strings.Contains(playlist, "#EXT-X-MEDIA-SEQUENCE:13\n"); !left || strings.Count(playlist, "#EXT-X-MAP:") != 1 || strings.Contains(playlist, "seg_13.") || !strings.Contains(playlist, "seg_14.") {
		t.Errorf("want what was there before to have left:\n%s", playlist)
	}
	if !strings.Contains(mpd, ` timeShiftBufferDepth="PT1S"`) {
		t.Errorf("want a window that begins with the new keys:\n%s", mpd)
	}
	if keys, res := g.license(t, license, kid, kids[1][1]); len(keys) != 1 || keys[kids[1][1]] == "" {
		t.Errorf("the license holds %d keys: %d", len(keys), res.status)
	}
	clock.set(now.Add(90 * time.Second))
	if string(g.mustGet(t, "/demo/live.mpd").body) != mpd || string(g.mustGet(t, "/demo/live.m3u8").body) != playlist {
		t.Error("manifests change when the encoder stalls")
	}
}
