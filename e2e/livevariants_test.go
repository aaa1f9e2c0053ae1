package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// startVariants starts a live channel of HLS alone in the folder "live" below the one that it returns: two renditions of video, two languages and
// subtitles, or picture and sound in one segment. Segments have the extension ts, or m4s.
func startVariants(t *testing.T, extension string, muxed bool) (root string) {
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
	var cues strings.Builder
	for n := range 150 {
		at := time.Time{}.Add(time.Duration(2*n) * time.Second)
		fmt.Fprintf(&cues, "%d\n%s --> %s\nLine %d\n\n", n+1, at.Format("15:04:05,000"), at.Add(time.Second).Format("15:04:05,000"), n)
	}
	if err := os.WriteFile(filepath.Join(root, "cues.srt"), []byte(cues.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	kind := map[string]string{"ts": "mpegts", "m4s": "fmp4"}[extension]
	arguments := []string{
		"-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", channelPicture(), "-re", "-f", "lavfi", "-i", "sine=frequency=220:sample_rate=48000",
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-re", "-i", "../cues.srt",
	}
	streams, init := "v:0,a:0,name:main", "init.mp4"
	if muxed {
		arguments = append(arguments, "-map", "0:v", "-map", "1:a")
	} else {
		arguments = append(arguments, "-map", "0:v", "-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s", "-c:s", "webvtt", "-filter:v:1", "scale=640:360:flags=area,format=yuv420p")
		init = "init_%v.mp4"
		streams = "v:0,agroup:sound,name:low,s:0,sgroup:text v:1,agroup:sound,name:high a:0,agroup:sound,language:en,default:yes,name:en a:1,agroup:sound,language:fr,name:fr"
	}
	cmd := exec.Command(ffmpeg, append(arguments,
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-pix_fmt", "yuv420p", "-threads", "1", "-g", "50", "-sc_threshold", "0", "-b:v", "200k", "-c:a", "aac", "-ac", "2",
		"-f", "hls", "-hls_time", "2", "-hls_list_size", "12", "-hls_segment_type", kind, "-hls_flags", "delete_segments+program_date_time+independent_segments",
		"-hls_fmp4_init_filename", init, "-master_pl_name", "master.m3u8", "-var_stream_map", streams,
		"-hls_segment_filename", "%v_%d."+extension, "%v.m3u8")...)
	var messages bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &messages
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("ffmpeg: %s", &messages)
		}
	})
	waitForSegments(t, filepath.Join(dir, "*_5."+extension), 1, &messages)
	return root
}

// Live HLS of several renditions and languages, or with picture and sound in one segment, as transport streams and as fragmented MP4, whose keys
// rotate: each player goes over three changes without a stall, and changes the rendition.
func TestLiveVariantsWhoseKeysRotate(t *testing.T) {
	long(t)
	startBrowser(t)
	for _, c := range []struct {
		extension, site string
		muxed           bool
		players         map[player.Player]string // their queries
	}{
		{"ts", "scheme auto", false, map[player.Player]string{player.HlsJS: "", player.Shaka: ""}},
		{"ts", "transport_stream sample-aes", true, map[player.Player]string{player.HlsJS: ""}},
		{"m4s", "scheme auto", true, map[player.Player]string{player.Shaka: "?drm=cbcs&keyformat=identity"}},
		{"m4s", "scheme aes-128", false, map[player.Player]string{player.Shaka: ""}},
	} {
		name := fmt.Sprintf("%s %s muxed %t", c.extension, c.site, c.muxed)
		t.Run(name, func(t *testing.T) {
			root := startVariants(t, c.extension, c.muxed)
			nodes := behindOneAddress(t, 1, func(port int) string {
				return fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
		group channels {
			rotate 6s
		}
	}
}
http://:%d {
	root %s
	drm {
		tenant channels
		license_server clearkey
		group channels
		%s
	}
	file_server
}
`, port, root, c.site)
			})
			for p, query := range c.players {
				t.Run(string(p)+" "+query, func(t *testing.T) { watchVariants(t, nodes, p, query, c.muxed) })
			}
		})
	}
}

func watchVariants(t *testing.T, nodes *nodesOf, p player.Player, query string, muxed bool) {
	_, from := nodes.since(0)
	config := map[player.Player]any{player.Shaka: map[string]any{"manifest": map[string]any{"defaultPresentationDelay": 8}}}[p]
	s := mustPlay(t, player.Options{Player: p, URL: nodes.URL + "/live/master.m3u8" + query, Config: config})
	begin := resultOf(t, s).CurrentTime
	playInTime(t, s, begin+14)
	checkSmooth(t, resultOf(t, s))
	if !muxed {
		if err := s.SwitchVideo(testContext(t), 360); err != nil {
			t.Error(err)
		}
	}
	// Not in time: a switch of renditions costs a small machine more than a second.
	if err := s.PlayUntil(testContext(t), begin+22); err != nil {
		t.Fatal(err)
	}
	if picture, err := s.Read(testContext(t)); err != nil || !picture.Corners {
		t.Errorf("the picture is not whole: %v", err)
	}
	result := resultOf(t, s)
	if len(result.Fatal) > 0 {
		t.Error(result)
	}
	requests, _ := nodes.since(from)
	keys := map[string]bool{}
	for _, request := range requests {
		if request.status >= http.StatusBadRequest && path.Base(request.path) != "favicon.ico" {
			t.Errorf("%s %s was answered with %d", request.method, path.Base(request.path), request.status)
		}
		if strings.Contains(request.path, "/.drm/") {
			keys[path.Base(request.path)] = true
		}
	}
	if len(keys) < 4 {
		t.Errorf("%d keys in %d s", len(keys), 22)
	}
}
