package segcrypt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestMuxers takes init and media segments as common packagers write them to disk: with styp and sidx, in chunks of one
// frame, with base_data_offset, as subtitles.
func TestMuxers(t *testing.T) {
	ffmpegCopy := func(options string) func(t *testing.T, in *media, dir string) {
		return func(t *testing.T, in *media, dir string) {
			args := append([]string{"-v", "error", "-i", in.path, "-c", "copy"}, strings.Fields(options)...)
			out := "out.mpd"
			if strings.Contains(options, "-f hls") {
				out = "out.m3u8"
				args = append(args, "-hls_segment_filename", filepath.Join(dir, "seg-%d.m4s"))
			}
			runTool(t, testtools.FFmpeg, append(args, filepath.Join(dir, out))...)
		}
	}
	packager := func(t *testing.T, in *media, dir string) {
		runTool(t, testtools.Packager, "--quiet", "--segment_duration", "1", "--generate_sidx_in_media_segments=true",
			fmt.Sprintf("in=%s,stream=%s,init_segment=%s,segment_template=%s", in.path, in.stream,
				filepath.Join(dir, "init-0.mp4"), filepath.Join(dir, "seg-$Number$.m4s")))
	}
	names := "-init_seg_name init-$RepresentationID$.mp4 -media_seg_name seg-$Number$.m4s -seg_duration 1 -f dash "
	for name, write := range map[string]func(t *testing.T, in *media, dir string){
		"ffmpeg dash":                 ffmpegCopy(names),
		"ffmpeg dash with sidx":       ffmpegCopy(names + "-global_sidx 0 -format_options movflags=+dash"),
		"ffmpeg dash, frame by frame": ffmpegCopy(names + "-streaming 1 -ldash 1 -frag_type every_frame"),
		"ffmpeg hls":                  ffmpegCopy("-f hls -hls_segment_type fmp4 -hls_time 1 -hls_playlist_type vod -hls_fmp4_init_filename init-0.mp4"),
		"shaka-packager":              packager,
	} {
		for _, stream := range []string{"avc", "aac"} {
			t.Run(name+"/"+stream, func(t *testing.T) {
				in, dir := loadMedia(t, stream), t.TempDir()
				write(t, in, dir)
				init, err := os.ReadFile(filepath.Join(dir, "init-0.mp4"))
				if err != nil {
					t.Fatal(err)
				}
				segments, err := filepath.Glob(filepath.Join(dir, "seg-*.m4s"))
				if err != nil || len(segments) < 2 {
					t.Fatalf("%d segments, %v", len(segments), err)
				}
				checkSegments(t, init, segments)
			})
		}
	}
}

func checkSegments(t *testing.T, init Clear, segments []string) {
	t.Helper()
	slices.Sort(segments)
	for _, scheme := range drm.Schemes {
		pr := newTestProtector(t, init, testProtection(scheme))
		for i, path := range segments {
			seg, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out := mustProtect(t, pr, seg)
			clear, _, err := decryptSegment(out, scheme, pr.init.tracks[0].trex.sampleSize)
			if err != nil || !bytes.Equal(clear, mdatPayload(seg)) {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
			if i > 0 || scheme != drm.SchemeCenc {
				continue
			}
			t.Logf("%s → %s", topLevelTypes(t, seg), topLevelTypes(t, out))
			whole := slices.Concat(pr.Init(), out)
			if got, want := packetHashes(t, whole, "-decryption_key", testKeyHex), packetHashes(t, slices.Concat(init, seg)); !slices.Equal(got, want) {
				t.Errorf("%s: ffmpeg reads %d packets, %d differ", filepath.Base(path), len(got), countDiffer(got, want))
			}
		}
	}
}

// TestTextFromPackager: WebVTT and TTML as packagers cut them pass byte for byte.
func TestTextFromPackager(t *testing.T) {
	dir := t.TempDir()
	vtt := "WEBVTT\n\n00:00:00.500 --> 00:00:02.000 align:start\nHello\n\n00:00:02.500 --> 00:00:04.000\nagain\n"
	if err := os.WriteFile(filepath.Join(dir, "in.vtt"), []byte(vtt), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"vtt+mp4", "ttml+mp4"} {
		runTool(t, testtools.Packager, "--quiet", "--segment_duration", "2", fmt.Sprintf(
			"in=%s,stream=text,format=%s,init_segment=%s,segment_template=%s", filepath.Join(dir, "in.vtt"), format,
			filepath.Join(dir, format+"-init.mp4"), filepath.Join(dir, format+"-$Number$.m4s")))
		init, err := os.ReadFile(filepath.Join(dir, format+"-init.mp4"))
		if err != nil {
			t.Fatal(err)
		}
		pr := newTestProtector(t, init, Protection{})
		segments, err := filepath.Glob(filepath.Join(dir, format+"-*.m4s"))
		if err != nil || len(segments) == 0 {
			t.Fatalf("%s: %d segments, %v", format, len(segments), err)
		}
		for _, path := range segments {
			seg, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if out := mustProtect(t, pr, seg); !bytes.Equal(out, seg) || !bytes.Equal(pr.Init(), init) {
				t.Errorf("%s changed", filepath.Base(path))
			}
		}
	}
}
