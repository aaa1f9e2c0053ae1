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

// muxedFile joins the tracks of avc and aac into one fragmented file, with the flags of ffmpeg's muxer given.
func muxedFile(t *testing.T, flags string) (init Clear, fragments []Clear) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "muxed.mp4")
	args := fmt.Sprintf("-v error -y -i %s -i %s -map 0:v -map 1:a -c copy -movflags %s -flags +bitexact %s",
		loadMedia(t, "avc").path, loadMedia(t, "aac").path, flags, path)
	runTool(t, testtools.FFmpeg, strings.Fields(args)...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return cutFile(t, b)
}

// trackPackets is packetHashes of one stream.
func trackPackets(t *testing.T, file []byte, stream string, options ...string) []string {
	t.Helper()
	args := append([]string{"-v", "error"}, options...)
	args = append(args, "-i", "pipe:", "-map", "0:"+stream, "-c", "copy", "-f", "framemd5", "-")
	var hashes []string
	for _, line := range strings.Split(string(pipeTool(t, file, testtools.FFmpeg, args...)), "\n") {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	return hashes
}

// TestMuxedInterop: files with picture and sound, as ffmpeg lays them out, are decrypted by ffmpeg and by shaka-packager, with
// one key and with a key for each track.
func TestMuxedInterop(t *testing.T) {
	for name, flags := range map[string]string{
		"default base is moof":       "+frag_keyframe+empty_moov+default_base_moof+skip_trailer",
		"base_data_offset":           "+frag_keyframe+empty_moov+skip_trailer",
		"the end of the data before": "+frag_keyframe+empty_moov+omit_tfhd_offset+skip_trailer",
		"a fragment for every frame": "+frag_every_frame+empty_moov+default_base_moof+skip_trailer",
		"CMAF":                       "+frag_keyframe+empty_moov+cmaf+skip_trailer",
	} {
		init, fragments := muxedFile(t, flags)
		seg := slices.Concat(fragments...)
		clear := slices.Concat(init, seg)
		for _, scheme := range drm.Schemes {
			t.Run(name+"/"+scheme.String(), func(t *testing.T) {
				one := newTestProtector(t, init, testProtection(scheme))
				out := mustProtect(t, one, seg)
				checkWriteTo(t, one, seg, out)
				if got, _, err := decryptSegment(out, scheme, 0); err != nil || !bytes.Equal(got, mdatPayload(seg)) {
					t.Errorf("own reader: %v", err)
				}
				checkMuxed(t, scheme, slices.Concat(one.Init(), out), clear, testKeyHex, testKeyHex)

				p := testProtection(scheme)
				p.TrackKeys = map[uint32]drm.ContentKey{2: otherKey(t)}
				two := newTestProtector(t, init, p)
				checkMuxed(t, scheme, slices.Concat(two.Init(), mustProtect(t, two, seg)), clear, testKeyHex, strings.Repeat("07", 16))
			})
		}
	}
}

// checkMuxed decrypts each track of a protected file with its key.
func checkMuxed(t *testing.T, scheme drm.ProtectionScheme, protected, clear []byte, videoKey, audioKey string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "protected.mp4")
	if err := os.WriteFile(path, protected, 0o600); err != nil {
		t.Fatal(err)
	}
	otherKID := drm.KID{9}
	for stream, key := range map[string]string{"v": videoKey, "a": audioKey} {
		want := trackPackets(t, clear, stream)
		if got := trackPackets(t, protected, stream, "-decryption_key", key); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("ffmpeg, %s: %d packets, %d differ from the clear %d", stream, len(got), countDiffer(got, want), len(want))
		}
		if scheme == drm.SchemeCbcs && stream == "a" && audioKey == videoKey {
			// shaka-packager keeps one decryptor per KID, and takes the pattern of the video track for the sound as well.
			continue
		}
		out := filepath.Join(t.TempDir(), "clear.mp4")
		keys := "label=:key_id=" + testKIDHex + ":key=" + testKeyHex
		if audioKey != videoKey {
			keys = fmt.Sprintf("label=V:key_id=%s:key=%s,label=A:key_id=%x:key=%s", testKIDHex, videoKey, otherKID[:], audioKey)
		}
		runTool(t, testtools.Packager, fmt.Sprintf("in=%s,stream=%s,output=%s", path, map[string]string{"v": "video", "a": "audio"}[stream], out),
			"--quiet", "--enable_raw_key_decryption", "--keys", keys)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if got := packetHashes(t, b); !slices.Equal(got, want) {
			t.Errorf("packager, %s: %d packets, %d differ from the clear %d", stream, len(got), countDiffer(got, want), len(want))
		}
	}
}
