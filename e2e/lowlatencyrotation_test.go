package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// rotatingLowLatencyGateway is a gateway in front of a low-latency channel whose keys change every so often, or never.
func rotatingLowLatencyGateway(t *testing.T, o *lowLatencyOrigin, rotate string) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	newGateway(t, fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
		group channels {
			rotate %s
		}
	}
}
http://localhost:%d {
	drm {
		tenant test
		license_server clearkey
		group channels
		asset /*
	}
	reverse_proxy %s
}
`, rotate, port, strings.TrimPrefix(o.URL, "http://")))
	return localhost(port)
}

// Low latency goes on over key changes: hls.js and Shaka on parts, Shaka and dash.js on segments that are still sent.
func TestLowLatencyWhoseKeysRotate(t *testing.T) {
	long(t)
	startBrowser(t)
	for _, c := range []struct {
		player   player.Player
		manifest string
		chunks   int
		rotate   string
		config   map[string]any
	}{
		{player.HlsJS, "master.m3u8?drm=cbcs&keyformat=clearkey", 5, "4s", map[string]any{"lowLatencyMode": true}},
		{player.Shaka, "master.m3u8?drm=cbcs&keyformat=identity", 5, "off", map[string]any{"streaming": map[string]any{"lowLatencyMode": true}}},
		{player.Shaka, "master.m3u8?drm=cenc", 5, "4s", map[string]any{"streaming": map[string]any{"lowLatencyMode": true}}},
		{player.Shaka, "manifest.mpd?drm=cbcs", 1, "4s", map[string]any{"streaming": map[string]any{"lowLatencyMode": true}}},
		{player.DashJS, "manifest.mpd?drm=cenc", 1, "4s", map[string]any{"streaming": map[string]any{
			"delay": map[string]any{"liveDelay": 3}, "liveCatchup": map[string]any{"enabled": true},
		}}},
	} {
		t.Run(string(c.player)+" "+c.manifest+" "+c.rotate, func(t *testing.T) {
			origin := newLowLatencyOrigin(t, c.chunks)
			address := rotatingLowLatencyGateway(t, origin, c.rotate)
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/live/" + c.manifest, Config: c.config})
			before := resultOf(t, s)
			ahead := 0
			for n := 1; n <= 24; n++ {
				if err := s.PlayUntil(testContext(t), before.CurrentTime+float64(n)/2); err != nil {
					t.Fatal(err)
				}
				if bufferEnd(t, resultOf(t, s)) > origin.now().Truncate(liveSegment).Seconds()+0.1 {
					ahead++
				}
			}
			result := resultOf(t, s)
			t.Logf("%.2f s behind the live edge; %d of 24 times in a segment that is being made", origin.now().Seconds()-result.CurrentTime, ahead)
			checkSmooth(t, result)
			if keys := len(result.UsableKeys()); ahead == 0 || c.rotate != "off" && keys < 4 || result.DecodedFrames-before.DecodedFrames < 12*20 {
				t.Errorf("%d keys, %d frames in 12 s: %s", keys, result.DecodedFrames-before.DecodedFrames, result)
			}
			for _, request := range result.Requests {
				if request.Status >= http.StatusBadRequest {
					t.Errorf("status %d for %s", request.Status, withoutQuery(request.URL))
				}
			}
			if picture, err := s.Read(testContext(t)); err != nil || !picture.Corners {
				t.Errorf("the picture is not whole: %v", err)
			}
		})
	}
}
