package segcrypt

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// structures are ways in which packagers lay the same samples out: with sidx, one frame in each moof, in single moofs, with
// base_data_offset.
var structures = map[string]func(t testing.TB, m *media, dir string){
	"dash with sidx": ffmpegStructure("-f dash -dash_segment_type mp4 -seg_duration 1 -global_sidx 0 -format_options movflags=+dash " +
		"-init_seg_name init.mp4 -media_seg_name seg-$Number$.m4s"),
	"frame by frame": ffmpegStructure("-f dash -dash_segment_type mp4 -seg_duration 1 -streaming 1 -ldash 1 -frag_type every_frame " +
		"-init_seg_name init.mp4 -media_seg_name seg-$Number$.m4s"),
	"hls": ffmpegStructure("-f hls -hls_segment_type fmp4 -hls_time 1 -hls_playlist_type vod -hls_fmp4_init_filename init.mp4"),
	"shaka-packager": func(t testing.TB, m *media, dir string) {
		runTool(t, testtools.Packager, "--quiet", "--segment_duration", "1", "--generate_sidx_in_media_segments=true",
			fmt.Sprintf("in=%s,stream=%s,init_segment=%s,segment_template=%s", m.path, m.stream,
				filepath.Join(dir, "init.mp4"), filepath.Join(dir, "seg-$Number$.m4s")))
	},
}

func ffmpegStructure(options string) func(t testing.TB, m *media, dir string) {
	return func(t testing.TB, m *media, dir string) {
		args := append([]string{"-v", "error", "-i", m.path, "-c", "copy", "-strict", "experimental"}, strings.Fields(options)...)
		out := "out.mpd"
		if strings.Contains(options, "-f hls") {
			out = "out.m3u8"
			args = append(args, "-hls_segment_filename", filepath.Join(dir, "seg-%d.m4s"))
		}
		runTool(t, testtools.FFmpeg, append(args, filepath.Join(dir, out))...)
	}
}

// TestCodecsAndStructures: every codec in every structure under either scheme is decrypted by two programs that share no code
// with us, and the packets equal the source's.
func TestCodecsAndStructures(t *testing.T) {
	for structure, write := range structures {
		for _, name := range []string{"avc", "hevc", "av1-tiles", "vp9-hidden", "aac", "opus", "ec-3", "flac"} {
			t.Run(structure+"/"+name, func(t *testing.T) {
				t.Parallel()
				m, dir := loadMedia(t, name), t.TempDir()
				write(t, m, dir)
				init, segments := readStructure(t, dir)
				want := packetHashes(t, slices.Concat(init, slices.Concat(segments...)))
				for _, scheme := range drm.Schemes {
					pr := newTestProtector(t, init, testProtection(scheme))
					protected := slices.Clone([]byte(pr.Init()))
					for _, seg := range segments {
						protected = append(protected, mustProtect(t, pr, seg)...)
					}
					if got := packetHashes(t, protected, "-decryption_key", testKeyHex); !slices.Equal(got, want) {
						t.Errorf("%s: ffmpeg: %d of %d packets differ", scheme, countDiffer(got, want), len(want))
					}
					if got := packetHashes(t, decryptByPackager(t, protected, m.stream)); !slices.Equal(got, want) {
						t.Errorf("%s: packager: %d of %d packets differ", scheme, countDiffer(got, want), len(want))
					}
				}
			})
		}
	}
}

// readStructure returns the init segment and the media segments, in the order of their numbers.
func readStructure(t testing.TB, dir string) (init Clear, segments []Clear) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "seg-*.m4s"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d segments, %v", len(paths), err)
	}
	slices.SortFunc(paths, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, path := range append([]string{filepath.Join(dir, "init.mp4")}, paths...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, b)
	}
	return segments[0], segments[1:]
}
