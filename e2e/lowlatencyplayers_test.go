package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// How many seconds a low-latency channel is watched, once it plays, and how often its buffer is looked at meanwhile.
const (
	lowLatencyPlay    = 6
	lowLatencySamples = 15
)

// watchLowLatency plays some seconds of the channel behind a gateway, and checks that pictures and sound go on, and that the
// player holds media of a segment that is still being made.
func watchLowLatency(t *testing.T, o *lowLatencyOrigin, options player.Options) player.Result {
	t.Helper()
	s := mustPlay(t, options)
	before := resultOf(t, s)
	result, ahead := before, 0
	for n := 1; n <= lowLatencySamples; n++ {
		if err := s.PlayUntil(testContext(t), before.CurrentTime+float64(n*lowLatencyPlay)/lowLatencySamples); err != nil {
			t.Fatal(err)
		}
		result = resultOf(t, s)
		whole := o.now().Truncate(liveSegment) // looked at later than the buffer
		if bufferEnd(t, result) > whole.Seconds()+0.1 {
			ahead++
		}
	}
	t.Logf("%.2f s behind the live edge; %d of %d times in a segment that is being made",
		o.now().Seconds()-result.CurrentTime, ahead, lowLatencySamples)
	if ahead == 0 {
		t.Errorf("the player held whole segments only:\n%s", result)
	}
	frames := result.DecodedFrames - before.DecodedFrames
	if len(result.Fatal) > 0 || frames < lowLatencyPlay*20 || result.AudioBytes <= before.AudioBytes || len(result.UsableKeys()) != 1 {
		t.Errorf("%d frames in %d s:\n%s", frames, lowLatencyPlay, result)
	}
	if picture, err := s.Read(testContext(t)); err != nil || !picture.Corners {
		t.Errorf("the picture is not whole: %v", err)
	}
	checkEncrypted(t, result)
	return result
}

// bufferEnd is the time in seconds until which the player holds both pictures and sound.
func bufferEnd(t *testing.T, result player.Result) float64 {
	t.Helper()
	if len(result.Buffered) == 0 {
		return 0
	}
	_, text, _ := strings.Cut(result.Buffered[len(result.Buffered)-1], "-")
	end, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// hls.js lives on parts and blocking reloads, which reach the origin.
func TestLowLatencyHLSPlays(t *testing.T) {
	long(t)
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			parallel(t)
			startBrowser(t)
			origin := newLowLatencyOrigin(t, 5)
			address, _ := chunkGateway(t, &chunkedOrigin{Server: origin.Server}, "", "")
			master := address + "/live/master.m3u8?keyformat=clearkey&drm=" + scheme.String()
			result := watchLowLatency(t, origin, player.Options{
				Player: player.HlsJS, URL: master, Config: map[string]any{"lowLatencyMode": true},
			})
			checkPartsWereAsked(t, origin, result)
			checkLowLatencyPlaylists(t, master)
		})
	}
}

// checkPartsWereAsked checks what hls.js asked for, and what of that came to the origin.
func checkPartsWereAsked(t *testing.T, origin *lowLatencyOrigin, result player.Result) {
	t.Helper()
	parts, blocking := 0, 0
	for _, request := range result.Requests {
		if request.Status >= http.StatusBadRequest {
			t.Errorf("status %d for %s", request.Status, withoutQuery(request.URL))
		}
		switch {
		case request.Kind == player.Segment && strings.Contains(request.URL, "/part_"):
			parts++
		case request.Kind == player.Manifest && holdsAll(request.URL, []string{"_HLS_msn=", "_HLS_part="}):
			blocking++
		}
	}
	if parts < 8 || blocking < 8 {
		t.Errorf("hls.js asked for %d parts and %d times for a playlist with one more:\n%s", parts, blocking, result)
	}
	for _, folder := range lowLatencyFolders {
		if n := origin.requests(folder+"/ll.m3u8", "_HLS_msn=", "_HLS_part="); n < 4 {
			t.Errorf("%s: %d blocking reloads reached the origin", folder, n)
		}
	}
	if n := origin.requests("_HLS_skip"); n > 0 {
		t.Errorf("the origin was asked for %d delta updates", n)
	}
}

// checkLowLatencyPlaylists checks that the gateway leaves blocking reloads to the origin, that it has no delta updates, that
// all media is sealed, and that a report names the rendition as the multivariant playlist does.
func checkLowLatencyPlaylists(t *testing.T, master string) {
	t.Helper()
	media, _ := playlists(t, master, mustGet(t, master).body)
	if len(media) != len(lowLatencyFolders) {
		t.Fatalf("%d media playlists", len(media))
	}
	for i, target := range media {
		text := string(mustGet(t, target).body)
		if !holdsAll(text, []string{"CAN-BLOCK-RELOAD=YES", "PART-HOLD-BACK=2.0"}) || strings.Contains(text, "CAN-SKIP-UNTIL") {
			t.Errorf("%s: another EXT-X-SERVER-CONTROL", withoutQuery(target))
		}
		seen := map[string]int{}
		for line := range strings.Lines(text) {
			tag, attributes, _ := strings.Cut(strings.TrimSpace(line), ":")
			uri := uriAttribute.FindStringSubmatch(attributes)
			if uri == nil {
				continue
			}
			seen[tag]++
			switch tag {
			case "#EXT-X-PART", "#EXT-X-PRELOAD-HINT":
				if !strings.Contains(uri[1], "~") {
					t.Errorf("%s without a seal", tag)
				}
			case "#EXT-X-RENDITION-REPORT":
				if other := media[1-i]; resolve(t, target, uri[1]) != other {
					t.Errorf("a report is of %s, the rendition is %s", resolve(t, target, uri[1]), other)
				}
			}
		}
		if seen["#EXT-X-PART"] < 8 || seen["#EXT-X-PRELOAD-HINT"] != 1 || seen["#EXT-X-RENDITION-REPORT"] != 1 {
			t.Errorf("%s lists %v", withoutQuery(target), seen)
		}
	}
}

// A viewer always waits for the next part. One who leaves is no failure of the origin.
func TestViewersWhoLeaveABlockingReload(t *testing.T) {
	long(t)
	origin := newLowLatencyOrigin(t, 5)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, fmt.Sprintf(`http://localhost:%d {
	drm {
		secret {env.DRM_SECRET}
		tenant test
		license_server clearkey
		asset /*
	}
	reverse_proxy %s
}
`, port, strings.TrimPrefix(origin.URL, "http://")))
	master := localhost(port) + "/live/master.m3u8?keyformat=clearkey"
	media, _ := playlists(t, master, mustGet(t, master).body)
	for _, target := range media {
		segment, _ := origin.tracks[lowLatencyFolders[0]].published(origin.now())
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		leave(t, origin, fmt.Sprintf("%s%s_HLS_msn=%d&_HLS_part=3", target, separator, segment+1))
	}
	time.Sleep(300 * time.Millisecond) // a line that does not come cannot be waited for
	if text := g.log.String(); strings.Contains(text, `"level":"error"`) {
		t.Error("the gateway reports an error")
	}
}

// leave asks for a playlist, and goes away while the origin has the request.
func leave(t *testing.T, origin *lowLatencyOrigin, target string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := origin.requests("_HLS_msn=")
	time.AfterFunc(20*time.Second, cancel)
	go func() {
		for origin.requests("_HLS_msn=") == before && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
		t.Errorf("status %d before the part was there", response.StatusCode)
	}
	if origin.requests("_HLS_msn=") == before {
		t.Error("the request did not reach the origin")
	}
}

// Shaka and dash.js show chunks of a segment that is still being made.
func TestLowLatencyDASHPlays(t *testing.T) {
	long(t)
	for _, test := range []struct {
		player player.Player
		scheme fmt.Stringer
		config map[string]any
	}{
		{player.Shaka, drm.SchemeCbcs, map[string]any{"streaming": map[string]any{"lowLatencyMode": true}}},
		{player.DashJS, drm.SchemeCenc, map[string]any{"streaming": map[string]any{
			"delay":       map[string]any{"liveDelay": 3},
			"liveCatchup": map[string]any{"enabled": true},
		}}},
	} {
		t.Run(string(test.player)+" "+test.scheme.String(), func(t *testing.T) {
			parallel(t)
			startBrowser(t)
			origin := newLowLatencyOrigin(t, 1)
			address, _ := chunkGateway(t, &chunkedOrigin{Server: origin.Server}, "", "")
			watchLowLatency(t, origin, player.Options{
				Player: test.player, URL: address + "/live/manifest.mpd?drm=" + test.scheme.String(), Config: test.config,
			})
			origin.mu.Lock()
			defer origin.mu.Unlock()
			for _, folder := range lowLatencyFolders {
				if origin.early[folder] < 2 {
					t.Errorf("%s: %d requests for a segment that was still being made", folder, origin.early[folder])
				}
			}
		})
	}
}
