package wholesegment

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestFFmpegDecrypts has ffmpeg play two segments, with an IV in the playlist and with the one of the sequence number.
func TestFFmpegDecrypts(t *testing.T) {
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	e := newEncryptor(t, testKeyHex)
	iv := [16]byte(mustHex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"))
	for name, seg := range map[string][]byte{
		"seg.ts":  readFixture(t, "mpegts", "testdata", "avc-b-slices.ts"),
		"seg.aac": readFixture(t, "packedaudio", "testdata", "tone.aac"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, b := range map[string][]byte{
				"clear-" + name: seg, "iv-" + name: e.Append(nil, seg, iv), "key": mustHex(testKeyHex),
				"7-" + name: e.Append(nil, seg, IVFromSequence(7)), "8-" + name: e.Append(nil, seg, IVFromSequence(8)),
			} {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			packets := func(key, first, second string) []string {
				list := "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-TARGETDURATION:1\n" + key +
					"#EXTINF:1,\n" + first + name + "\n#EXTINF:1,\n" + second + name + "\n#EXT-X-ENDLIST\n"
				if err := os.WriteFile(filepath.Join(dir, "a.m3u8"), []byte(list), 0o600); err != nil {
					t.Fatal(err)
				}
				command := exec.CommandContext(t.Context(), ffmpeg, "-v", "quiet", "-allowed_extensions", "ALL", "-i", "a.m3u8",
					"-map", "0", "-c", "copy", "-f", "framemd5", "-")
				command.Dir = dir
				out, err := command.Output()
				if err != nil {
					t.Fatal(err)
				}
				var hashes []string
				for line := range strings.Lines(string(out)) {
					if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
						hashes = append(hashes, strings.TrimSpace(fields[0]+fields[5]))
					}
				}
				return hashes
			}
			want := packets("", "clear-", "clear-")
			key := `#EXT-X-KEY:METHOD=AES-128,URI="key"`
			if got := packets(fmt.Sprintf("%s,IV=0x%x\n", key, iv), "iv-", "iv-"); len(want) < 50 || !slices.Equal(got, want) {
				t.Errorf("IV in the playlist: %d packets, clear %d", len(got), len(want))
			}
			if got := packets(key+"\n", "7-", "8-"); !slices.Equal(got, want) {
				t.Errorf("IV of the sequence number: %d packets, clear %d", len(got), len(want))
			}
		})
	}
}
