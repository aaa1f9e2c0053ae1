package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Every protected track, fetched as a player would, becomes the clear source again in the hands of tools that share no
// code with us.
func TestIndependentToolsDecryptEveryTrack(t *testing.T) {
	e := sharedExample(t)
	for _, ti := range titles {
		for _, scheme := range drm.Schemes {
			manifest := fmt.Sprintf("%s/%s/%s/manifest.mpd", e.url, scheme, ti.name)
			tracks, _ := dashTracks(t, manifest)
			ti.checkTracks(t, tracks)
			for _, tr := range tracks {
				t.Run(fmt.Sprintf("%s %s %s", ti.name, scheme, tr.folder), func(t *testing.T) {
					checkDecrypts(t, ti, scheme, tr)
				})
			}
		}
	}
}

func checkDecrypts(t *testing.T, ti title, scheme drm.ProtectionScheme, tr track) {
	t.Helper()
	want := packetHashes(t, clearTrack(t, ti, tr.folder), "")
	if len(want) < 50 {
		t.Fatalf("the clear track has %d packets", len(want))
	}
	protected := fetchTrack(t, tr)
	if !bytes.Contains(protected, []byte("schm\x00\x00\x00\x00"+scheme.String())) {
		t.Errorf("the init segment does not say %s", scheme)
	}
	key := contentKey(t, tr.license, tr.kid)
	if got := packetHashes(t, protected, key); !slices.Equal(got, want) {
		t.Errorf("ffmpeg decrypts to other packets: %s", compare(got, want))
	}
	if got := packetHashes(t, unpackage(t, protected, tr, key), ""); !slices.Equal(got, want) {
		t.Errorf("shaka-packager decrypts to other packets: %s", compare(got, want))
	}
	// The controls: under another key, and without one, nothing may be the same but tiny packets of headers, which stay
	// clear: half of an AV1 track are frames of a few bytes.
	for name, other := range map[string]string{"wrong key": strings.Repeat("00", 16), "no key": ""} {
		for i, got := range packetHashes(t, protected, other) {
			if got.hash == want[i].hash && got.size > 64 {
				t.Errorf("%s: packet %d of %d bytes is the clear one", name, i, got.size)
			}
		}
	}
}

// clearTrack joins the files of a track as they lie in testdata.
func clearTrack(t *testing.T, ti title, folder string) []byte {
	t.Helper()
	var joined []byte
	for n := 0; n <= ti.segments; n++ {
		name := fmt.Sprintf("seg_%d.m4s", n)
		if n == 0 {
			name = "init.mp4"
		}
		path, err := testtools.Testdata(ti.name, folder, name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, data...)
	}
	return joined
}

// fetchTrack joins what the gateway serves for a track.
func fetchTrack(t *testing.T, tr track) []byte {
	t.Helper()
	joined := mustGet(t, tr.init).body
	for _, segment := range tr.segments {
		joined = append(joined, mustGet(t, segment).body...)
	}
	return joined
}

// packet is what framemd5 says of one packet.
type packet struct {
	size int
	hash string
}

// packetHashes returns size and hash of each packet of a file of one track, decrypted by ffmpeg if a key is given. The file
// comes through a pipe: ffmpeg seeks in files, and then mixes up the sample information of encrypted fragments.
func packetHashes(t *testing.T, media []byte, key string) []packet {
	t.Helper()
	args := []string{"-v", "error"}
	if key != "" {
		args = append(args, "-decryption_key", key)
	}
	return framemd5(t, media, append(args, "-i", "pipe:0")...)
}

// framemd5 runs ffmpeg with the given input and returns the fifth and sixth field of each line of its framemd5 output: size
// and hash of the packet.
func framemd5(t *testing.T, stdin []byte, input ...string) []packet {
	t.Helper()
	ffmpeg, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), ffmpeg, append(input, "-c", "copy", "-f", "framemd5", "pipe:1")...)
	var messages bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, &messages)
	}
	var packets []packet
	for line := range strings.Lines(string(out)) {
		if line[0] == '#' {
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) < 6 {
			t.Fatalf("framemd5 line %q", line)
		}
		size, err := strconv.Atoi(strings.TrimSpace(fields[4]))
		if err != nil {
			t.Fatalf("framemd5 line %q", line)
		}
		packets = append(packets, packet{size, strings.TrimSpace(fields[5])})
	}
	return packets
}

// unpackage decrypts a track with shaka-packager.
func unpackage(t *testing.T, protected []byte, tr track, key string) []byte {
	t.Helper()
	packager, err := testtools.Packager()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "protected.mp4"), filepath.Join(dir, "clear.mp4")
	if err := os.WriteFile(in, protected, 0o600); err != nil {
		t.Fatal(err)
	}
	stream, _, _ := strings.Cut(tr.folder, "/")
	cmd := exec.CommandContext(t.Context(), packager, fmt.Sprintf("in=%s,stream=%s,output=%s", in, stream, out),
		"--enable_raw_key_decryption", "--keys", fmt.Sprintf("label=:key_id=%s:key=%s", strings.ReplaceAll(tr.kid, "-", ""), key))
	if messages, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("shaka-packager: %v\n%s", err, messages)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compare(got, want []packet) string {
	n := 0
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			n++
		}
	}
	return fmt.Sprintf("%d of %d are equal, %d in all", n, len(want), len(got))
}

// HLS names the same tracks, and both of its key formats lead to the same key.
func TestHLSKeysAgreeWithLicenses(t *testing.T) {
	e := sharedExample(t)
	for _, ti := range titles {
		for _, scheme := range drm.Schemes {
			t.Run(ti.name+" "+scheme.String(), func(t *testing.T) {
				site := fmt.Sprintf("%s/%s/%s", e.url, scheme, ti.name)
				identity := hlsTracks(t, site+"/master.m3u8?keyformat=identity")
				clearkey := hlsTracks(t, site+"/master.m3u8?keyformat=clearkey")
				ti.checkTracks(t, identity)
				ti.checkTracks(t, clearkey)
				for i, tr := range identity {
					raw := mustGet(t, tr.rawKey)
					if want := contentKey(t, clearkey[i].license, tr.kid); fmt.Sprintf("%x", raw.body) != want {
						t.Errorf("%s: the identity key is not the key of the license", tr.folder)
					}
					if tr.license != "" || clearkey[i].rawKey != "" {
						t.Errorf("%s: a key format that was not asked for", tr.folder)
					}
				}
			})
		}
	}
}

// ffmpeg's HLS demuxer plays the gateway's playlists from beginning to end, keys and all, and every frame is the source's.
func TestFFmpegPlaysHLS(t *testing.T) {
	e := sharedExample(t)
	for _, ti := range titles {
		for _, scheme := range drm.Schemes {
			t.Run(ti.name+" "+scheme.String(), func(t *testing.T) {
				master := fmt.Sprintf("%s/%s/%s/master.m3u8?keyformat=identity", e.url, scheme, ti.name)
				media, _ := playlists(t, master, mustGet(t, master).body)
				for _, playlist := range media {
					tr := parsePlaylist(t, master, playlist, mustGet(t, playlist).body)
					got := framemd5(t, nil, "-v", "error", "-i", playlist)
					want := packetHashes(t, clearTrack(t, ti, tr.folder), "")
					if !slices.Equal(got, want) {
						t.Errorf("%s: %s", tr.folder, compare(got, want))
					}
				}
			})
		}
	}
}
