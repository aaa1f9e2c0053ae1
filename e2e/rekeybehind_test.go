package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

const (
	farBehind  = 16.0 // seconds behind where players are by themselves
	rekeyAhead = 13.0 // seconds from where players are to where new keys begin
)

// Each player watches a channel so far behind the edge that it is still behind a re-key when the older keys end. It goes on with what has the new ones.
func TestPlayersFarBehindAReKeyGoOnWithTheNewKeys(t *testing.T) {
	long(t)
	startBrowser(t)
	channel := startChannel(t, false)
	nodes := behindOneAddress(t, 1, func(port int) string {
		return fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
		rekey_grace %s
	}
}
http://:%d {
	root %s
	drm {
		tenant channels
		license_server clearkey
		scheme cbcs
	}
	file_server
}
`, rekeyGrace, port, channel.root)
	})
	time.Sleep(farBehind * time.Second) // there has to be something to go back to
	dashJS, hlsJS := liveWays(drm.SchemeCbcs)[player.DashJS], liveWays(drm.SchemeCbcs)[player.HlsJS]
	dashJS.config = map[string]any{"streaming": map[string]any{ // else it would have all of it in its buffer
		"buffer": map[string]any{"bufferTimeDefault": 6, "bufferTimeAtTopQuality": 6, "bufferTimeAtTopQualityLongForm": 6},
		"delay":  map[string]any{"liveDelay": 8}, "utcSynchronization": map[string]any{"enabled": false},
	}}
	hlsJS.config = map[string]any{"maxBufferLength": 6, "maxMaxBufferLength": 6, "backBufferLength": 4}
	for n, c := range []liveWay{liveWays(drm.SchemeCbcs)[player.Shaka], dashJS, hlsJS, shakaHLS(drm.SchemeCbcs)} {
		t.Run(string(c.player)+" "+c.manifest, func(t *testing.T) {
			title := fmt.Sprintf("/%d/", n) // of its own, so that it has no other re-keys
			if err := os.Symlink("live", filepath.Join(channel.root, title)); err != nil {
				t.Fatal(err)
			}
			s := mustPlay(t, player.Options{Player: c.player, URL: nodes.URL + title + c.manifest, Config: c.config})
			begin, began := resultOf(t, s).CurrentTime, time.Now()
			if _, err := s.SeekAndRead(testContext(t), begin-farBehind); err != nil {
				t.Fatal(err)
			}
			posted := askWith(t, http.MethodPost, "http://"+nodes.gateways[0].admin+"/drm/rekeys", "", fmt.Sprintf(`{"title":%q}`, title),
				http.Header{"Content-Type": {"application/json"}})
			if posted.status != http.StatusCreated {
				t.Fatal(posted)
			}
			replaced := begin + time.Since(began).Seconds() + rekeyAhead // about: it is 8 s behind the edge
			deadline := time.Now().Add(rekeyGrace + 45*time.Second)
			result := resultOf(t, s)
			for result.CurrentTime < replaced && time.Now().Before(deadline) {
				var err error
				if result, err = s.Resume(testContext(t), time.Second); err != nil {
					t.Fatal(err)
				}
			}
			decoded := result.DecodedFrames
			result, err := s.Resume(testContext(t), 4*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Fatal) > 0 || result.CurrentTime < replaced || result.DecodedFrames < decoded+50 {
				t.Errorf("re-keyed at %.2f s: %s", replaced, result)
			}
			if p, err := s.Read(testContext(t)); err != nil || !p.Corners {
				t.Errorf("there is no whole picture: %v", err)
			}
			if len(result.UsableKeys()) < 2 {
				t.Errorf("the player has no new key:\n%s", result)
			}
		})
	}
}
