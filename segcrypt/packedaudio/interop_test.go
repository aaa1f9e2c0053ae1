package packedaudio

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

func runTool(t *testing.T, dir string, find func() (string, error), args ...string) []byte {
	t.Helper()
	program, err := find()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, &stderr)
	}
	return out
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustProtect(t *testing.T, seg []byte) []byte {
	t.Helper()
	out, err := testEncryptor(t).ProtectSegment(nil, seg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPackagerParity compares frames and descriptions with those of shaka-packager for the same input, key and IV.
func TestPackagerParity(t *testing.T) {
	for _, name := range []string{"tone.aac", "tone.ac3", "tone.ec3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			seg := readFixture(t, name)
			writeFile(t, filepath.Join(dir, name), seg)
			runTool(t, dir, testtools.FFmpeg, "-v", "error", "-i", name, "-c", "copy", "in.mp4")
			runTool(t, dir, testtools.Packager,
				"in=in.mp4,stream=audio,segment_template=out-$Number$"+filepath.Ext(name)+",playlist_name=a.m3u8", "--quiet",
				"--segment_duration", "10", "--clear_lead", "0", "--protection_scheme", "cbcs", "--enable_raw_key_encryption",
				"--keys", "label=:key_id="+testKIDHex+":key="+testKeyHex, "--iv", testIVHex, "--hls_master_playlist_output", "m.m3u8")
			theirs, err := os.ReadFile(filepath.Join(dir, "out-1"+filepath.Ext(name)))
			if err != nil {
				t.Fatal(err)
			}
			private, audio, err := readSegment(mustProtect(t, seg))
			if err != nil {
				t.Fatal(err)
			}
			theirPrivate, theirAudio, err := readSegment(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(private[descriptionOwner], theirPrivate[descriptionOwner]) {
				t.Errorf("description %x, theirs %x", private[descriptionOwner], theirPrivate[descriptionOwner])
			}
			ours, other := payloads(audio), payloads(theirAudio)
			if len(ours) == 0 || len(ours) != len(other) {
				t.Fatalf("%d frames, theirs %d", len(ours), len(other))
			}
			for i := range ours {
				if !bytes.Equal(ours[i], other[i]) {
					t.Fatalf("frame %d of %d differs", i, len(ours))
				}
			}
		})
	}
}

// payloads returns the frames, without ADTS headers, in which the packager writes bits of its own. Others are of one size each.
func payloads(audio []byte) [][]byte {
	var out [][]byte
	for len(audio) > 7 {
		header, size := 7, int(audio[3]&3)<<11|int(audio[4])<<3|int(audio[5])>>5
		if audio[0] != 0xFF {
			header, size = 0, 384 // 96 kbit/s
		}
		if size < 7 || size > len(audio) {
			return nil
		}
		out, audio = append(out, audio[header:size]), audio[size:]
	}
	return out
}

// TestFFmpegDecrypts has ffmpeg play a segment twice, with and without protection, and compares the first time: of the last segment it
// hands out some packets as they are. Of packed AC-3, ffmpeg 5.1 decrypts nothing, whoever wrote it; E-AC-3 it takes for no audio.
func TestFFmpegDecrypts(t *testing.T) {
	for _, name := range []string{"tone.aac"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			seg := readFixture(t, name)
			writeFile(t, filepath.Join(dir, "clear"+filepath.Ext(name)), seg)
			writeFile(t, filepath.Join(dir, "protected"+filepath.Ext(name)), mustProtect(t, seg))
			writeFile(t, filepath.Join(dir, "key"), mustHex(testKeyHex))
			hashes := func(which, key string) []string {
				list := "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:1\n" + key +
					strings.Repeat("#EXTINF:1,\n"+which+filepath.Ext(name)+"\n", 2) + "#EXT-X-ENDLIST\n"
				writeFile(t, filepath.Join(dir, which+".m3u8"), []byte(list))
				var hashes []string
				for line := range strings.Lines(string(runTool(t, dir, testtools.FFmpeg, "-v", "quiet", "-allowed_extensions", "ALL",
					"-i", which+".m3u8", "-c", "copy", "-f", "framemd5", "-"))) {
					if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
						hashes = append(hashes, strings.TrimSpace(fields[5]))
					}
				}
				return hashes
			}
			want := hashes("clear", "")
			got := hashes("protected", fmt.Sprintf("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=%q,IV=0x%s\n", "key", testIVHex))
			if once := len(want) / 2; once < 10 || len(got) != len(want) || !slices.Equal(got[:once], want[:once]) {
				t.Errorf("%d packets, clear %d", len(got), len(want))
			}
		})
	}
}
