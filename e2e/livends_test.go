package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// eventLength is that of a channel that ends, in seconds.
const eventLength = 32

// startEvent starts a channel of which nothing leaves, and which ends after eventLength: its MPD becomes static, and its playlists get EXT-X-ENDLIST.
func startEvent(t *testing.T) (root string) {
	t.Helper()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	dir := filepath.Join(root, "live")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	arguments := channelArguments(false)
	for i, argument := range arguments {
		switch argument {
		case "-window_size", "-extra_window_size":
			arguments[i+1] = "0"
		}
	}
	last := len(arguments) - 1
	cmd := exec.Command(ffmpeg, append(arguments[:last:last], "-t", fmt.Sprint(eventLength), arguments[last])...)
	var messages bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	waitForSegments(t, filepath.Join(dir, "seg-1-*.m4s"), 5, &messages)
	return root
}

// A channel ends while it is watched, and has other keys from then on: each player plays it to its end, and back from there.
func TestPlayersWatchAChannelToItsEnd(t *testing.T) {
	long(t)
	startBrowser(t)
	hlsJS := liveWays(drm.SchemeCbcs)[player.HlsJS]
	hlsJS.config = map[string]any{"ignorePlaylistParsingErrors": true} // the keys of a channel whose keys rotate are others once it has ended
	whole := []float64{25.5, 5.5, 15.5}
	for _, c := range []struct {
		options string
		way     liveWay
		back    []float64
	}{
		{"level low", liveWays(drm.SchemeCenc)[player.Shaka], whole}, // its keys change after 7 days
		{"level low", liveWays(drm.SchemeCenc)[player.DashJS], whole},
		{"rotate 10s", liveWays(drm.SchemeCbcs)[player.Shaka], whole},
		{"rotate 10s", hlsJS, whole},
		{"rotate 10s", shakaHLS(drm.SchemeCenc), []float64{25.5, 21.5}}, // what was listed before it began it has forgotten
	} {
		t.Run(c.options+" "+string(c.way.player)+" "+c.way.manifest, func(t *testing.T) {
			root := startEvent(t)
			nodes := channelNodes(t, root, c.options)
			s := mustPlay(t, player.Options{Player: c.way.player, URL: nodes.URL + "/live/" + c.way.manifest, Config: c.way.config})
			if err := s.PlayUntil(testContext(t), eventLength-1); err != nil {
				t.Fatal(err)
			}
			checkSmooth(t, resultOf(t, s))
			watch := &frameWatch{t: t, s: s, origin: true}
			for _, at := range c.back {
				watch.seek(at)
			}
			if result := resultOf(t, s); len(result.Fatal) > 0 {
				t.Error(result)
			}
		})
	}
}
