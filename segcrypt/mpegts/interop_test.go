package mpegts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// runTool runs a program and returns what it writes.
func runTool(tb testing.TB, dir string, find func() (string, error), args ...string) []byte {
	tb.Helper()
	program, err := find()
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(tb.Context(), program, args...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", filepath.Base(program), err, &stderr)
	}
	return out
}

func writeFile(tb testing.TB, name string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// packagerSegment has shaka-packager protect one stream of a fixture, with our key and IV. It reads E-AC-3 from MP4 only.
func packagerSegment(t *testing.T, fixture, kind string) *readSegment {
	dir := t.TempDir()
	name := "in.ts"
	writeFile(t, filepath.Join(dir, name), readFixture(t, fixture))
	if strings.HasPrefix(fixture, "eac3") {
		runTool(t, dir, testtools.FFmpeg, "-v", "error", "-i", name, "-c", "copy", "in.mp4")
		name = "in.mp4"
	}
	runTool(t, dir, testtools.Packager,
		fmt.Sprintf("in=%s,stream=%s,segment_template=out-$Number$.ts,playlist_name=a.m3u8", name, kind), "--quiet",
		"--segment_duration", "10", "--clear_lead", "0", "--protection_scheme", "cbcs", "--enable_raw_key_encryption",
		"--keys", "label=:key_id="+testKIDHex+":key="+testKeyHex, "--iv", testIVHex, "--hls_master_playlist_output", "m.m3u8")
	b, err := os.ReadFile(filepath.Join(dir, "out-1.ts"))
	if err != nil {
		t.Fatal(err)
	}
	return mustRead(t, b)
}

// units are what has to be alike whoever wrote the segment: slices without what stands around them, frames without ADTS headers.
func units(t *testing.T, st *readStream) [][]byte {
	t.Helper()
	var out [][]byte
	if st.streamType == 0xDB {
		for _, nal := range splitNALs(st.es()) {
			if kind := nal[0] & 31; kind == 1 || kind == 5 {
				out = append(out, nal)
			}
		}
		return out
	}
	es := st.es()
	headers, sizes, err := audioFrames(es)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		out, es = append(out, es[headers[i]:size]), es[size:]
	}
	return out
}

// TestPackagerParity compares our elementary streams, stream types and descriptors with those of shaka-packager for the same input,
// key and IV. What differs is around them: it writes one audio frame in a PES packet, access unit delimiters and parameter sets of
// its own, and a timestamp of its own. A descriptor that a clear stream brings along (a language) is kept by us and not by it.
func TestPackagerParity(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, st := range mustRead(t, mustProtect(t, readFixture(t, f.name))).streams {
				kind := "audio"
				if st.streamType == 0xDB {
					kind = "video"
				}
				theirs := packagerSegment(t, f.name, kind)
				if len(theirs.streams) != 1 {
					t.Fatalf("packager wrote %d streams", len(theirs.streams))
				}
				for _, their := range theirs.streams {
					if st.streamType != their.streamType || !bytes.HasSuffix(st.descriptors, their.descriptors) {
						t.Errorf("type %#x, descriptors %x; theirs %#x, %x", st.streamType, st.descriptors, their.streamType, their.descriptors)
					}
					ours, theirs := units(t, st), units(t, their)
					if len(ours) == 0 || len(ours) != len(theirs) {
						t.Fatalf("%s: %d units, theirs %d", kind, len(ours), len(theirs))
					}
					for i := range ours {
						if !bytes.Equal(ours[i], theirs[i]) {
							t.Fatalf("%s: unit %d of %d differs, %d bytes, theirs %d", kind, i, len(ours), len(ours[i]), len(theirs[i]))
						}
					}
				}
			}
		})
	}
}

// packets returns the MD5 of every packet of one kind, as ffmpeg's HLS demuxer hands them out; none if it can't read the streams.
func packets(t *testing.T, dir, playlist, kind string) []string {
	t.Helper()
	program, err := testtools.FFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-v", "quiet", "-allowed_extensions", "ALL", "-i", playlist,
		"-map", "0:"+kind, "-c", "copy", "-f", "framemd5", "-")
	command.Dir = dir
	out, err := command.Output()
	if err != nil {
		return nil
	}
	var hashes []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	return hashes
}

// TestFFmpegDecrypts has ffmpeg 5.1 play a segment twice, with and without protection, and compares the first time: the packets that
// its demuxer holds at the end of the last segment it hands out as they are, since it has no segment any more to take the key from.
func TestFFmpegDecrypts(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			seg := readFixture(t, f.name)
			writeFile(t, filepath.Join(dir, "clear.ts"), seg)
			writeFile(t, filepath.Join(dir, "protected.ts"), mustProtect(t, seg))
			writeFile(t, filepath.Join(dir, "key"), testSecret)
			writeFile(t, filepath.Join(dir, "wrong"), mustHex(testIVHex))
			for name, lines := range map[string]string{
				"clear": strings.Repeat("#EXTINF:1,\nclear.ts\n", 2),
				"ours":  keyLine("key") + strings.Repeat("#EXTINF:1,\nprotected.ts\n", 2),
				"bad":   keyLine("wrong") + strings.Repeat("#EXTINF:1,\nprotected.ts\n", 2),
			} {
				writeFile(t, filepath.Join(dir, name+".m3u8"), []byte("#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:1\n"+lines+"#EXT-X-ENDLIST\n"))
			}
			for clearType := range f.types {
				kind := "a"
				if clearType == 0x1B {
					kind = "v"
				}
				want, got, bad := packets(t, dir, "clear.m3u8", kind), packets(t, dir, "ours.m3u8", kind), packets(t, dir, "bad.m3u8", kind)
				once := len(want) / 2
				if once < 10 || len(got) != len(want) || differ(got[:once], want[:once]) > 0 {
					t.Errorf("%s: %d packets, clear %d, %d differ", kind, len(got), len(want), differ(got, want))
				}
				if n := differ(bad, want); n < once {
					t.Errorf("%s: with another key, only %d of %d packets differ", kind, n, len(want))
				}
			}
		})
	}
}

func keyLine(uri string) string {
	return fmt.Sprintf("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=%q,IV=0x%s\n", uri, testIVHex)
}

func differ(a, b []string) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestSegmentsInARow protects the segments of a live encoder one by one: their counters go on from one to the next as the clear ones do,
// and ffmpeg decrypts the row. The noise is there for escapes (see make.sh), so that PES packets grow and packets are added.
func TestSegmentsInARow(t *testing.T) {
	dir := t.TempDir()
	runTool(t, dir, testtools.FFmpeg, "-v", "error", "-f", "lavfi", "-i",
		"color=black:size=64x64:rate=25,format=yuv420p,geq=lum='if(gt(random(0),0.5),0,255)':cb=0:cr=0", "-f", "lavfi",
		"-i", "sine=frequency=440:sample_rate=48000", "-t", "4", "-c:v", "libx264", "-preset", "medium", "-bf", "2", "-g", "25", "-qp", "1",
		"-x264-params", "psy=0:psy-rd=0,0:subme=7", "-c:a", "aac", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_segment_filename", "clear-%d.ts", "clear.m3u8")
	list := "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:1\n" + keyLine("key")
	counters, grown := map[uint16][]byte{}, 0
	for i := range 4 {
		seg, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("clear-%d.ts", i)))
		if err != nil {
			t.Fatal(err)
		}
		protected := mustProtect(t, seg)
		if err := checkProtected(seg, protected); err != nil {
			t.Errorf("segment %d: %v", i, err)
		}
		for pid, st := range mustRead(t, protected).streams {
			grown += st.packets
			counters[pid] = append(counters[pid], st.counters...)
		}
		for _, st := range mustRead(t, seg).streams {
			grown -= st.packets
		}
		writeFile(t, filepath.Join(dir, fmt.Sprintf("protected-%d.ts", i)), protected)
		list += fmt.Sprintf("#EXTINF:1,\nprotected-%d.ts\n", i)
	}
	writeFile(t, filepath.Join(dir, "ours.m3u8"), []byte(list+"#EXT-X-ENDLIST\n"))
	writeFile(t, filepath.Join(dir, "key"), testSecret)
	for pid, c := range counters {
		for i := range c[1:] {
			if c[i+1] != (c[i]+1)&15 {
				t.Fatalf("pid %d: the continuity counter jumps at packet %d of %d", pid, i+1, len(c))
			}
		}
	}
	if grown < 16 || grown%16 != 0 {
		t.Errorf("%d packets were added", grown)
	}
	for _, kind := range []string{"v", "a"} {
		want, got := packets(t, dir, "clear.m3u8", kind), packets(t, dir, "ours.m3u8", kind)
		if last := len(want) * 3 / 4; len(got) != len(want) || differ(got[:last], want[:last]) > 0 {
			t.Errorf("%s: %d packets, clear %d, %d differ", kind, len(got), len(want), differ(got, want))
		}
	}
}
