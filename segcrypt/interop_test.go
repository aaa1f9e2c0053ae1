package segcrypt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// packetHashes returns the MD5 of every packet, as ffmpeg reads them. The file goes through a pipe, like segments that a
// player loads: with a file that it can seek in, ffmpeg looks up auxiliary information of later fragments by other rules.
func packetHashes(t testing.TB, file []byte, options ...string) []string {
	t.Helper()
	args := append([]string{"-v", "error"}, options...)
	args = append(args, "-i", "pipe:", "-map", "0", "-c", "copy", "-f", "framemd5", "-")
	var hashes []string
	for _, line := range strings.Split(string(pipeTool(t, file, testtools.FFmpeg, args...)), "\n") {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	if len(hashes) == 0 {
		t.Fatal("ffmpeg found no packets")
	}
	return hashes
}

func keyArguments(mode string) []string {
	return []string{"--enable_raw_key_" + mode, "--keys", "label=:key_id=" + testKIDHex + ":key=" + testKeyHex}
}

// TestProtectInterop decrypts with two programs that share no code with us, and with the test's own reader.
func TestProtectInterop(t *testing.T) {
	for _, f := range fixtures {
		if f.stream == "" {
			continue // of a test of its own
		}
		for _, scheme := range drm.Schemes {
			t.Run(f.name+"/"+scheme.String(), func(t *testing.T) {
				t.Parallel()
				m := loadMedia(t, f.name)
				pr := newTestProtector(t, m.init, testProtection(scheme))
				protected := slices.Concat(pr.Init(), mustProtect(t, pr, m.all()))
				want := packetHashes(t, slices.Concat(m.init, m.all()))

				clear, samples, err := decryptSegment(protected, scheme, 0)
				if err != nil || !bytes.Equal(clear, mdatPayload(m.all())) {
					t.Errorf("own reader: the samples differ (%v)", err)
				}
				if got := packetHashes(t, protected, "-decryption_key", testKeyHex); !slices.Equal(got, want) {
					t.Errorf("ffmpeg: %d packets, %d differ from the clear %d", len(got), countDiffer(got, want), len(want))
				}
				if got := packetHashes(t, protected); countDiffer(got, want) != countProtected(samples) {
					t.Errorf("without the key %d of %d packets differ, want %d", countDiffer(got, want), len(want), countProtected(samples))
				}
				if got := packetHashes(t, protected, "-decryption_key", testWrongKeyHex); countDiffer(got, want) != countProtected(samples) {
					t.Errorf("with another key %d of %d packets differ, want %d", countDiffer(got, want), len(want), countProtected(samples))
				}
				second := decryptByPackager
				if f.name == "mp3" { // packager's muxer has no MP3
					second = decryptByMP4FF
				}
				if got := packetHashes(t, second(t, protected, f.stream)); !slices.Equal(got, want) {
					t.Errorf("second tool: %d packets, %d differ from the clear %d", len(got), countDiffer(got, want), len(want))
				}
			})
		}
	}
}

// decryptByPackager returns a protected file as shaka-packager decrypts it.
func decryptByPackager(t testing.TB, protected []byte, stream string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "protected.mp4"), filepath.Join(dir, "clear.mp4")
	if err := os.WriteFile(in, protected, 0o600); err != nil {
		t.Fatal(err)
	}
	runTool(t, testtools.Packager, append([]string{fmt.Sprintf("in=%s,stream=%s,output=%s", in, stream, out), "--quiet"},
		keyArguments("decryption")...)...)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decryptByMP4FF is decryptByPackager with mp4ff, for what packager cannot write.
func decryptByMP4FF(t testing.TB, protected []byte, _ string) []byte {
	t.Helper()
	file, err := mp4.DecodeFile(bytes.NewReader(protected))
	if err != nil {
		t.Fatal(err)
	}
	info, err := mp4.DecryptInit(file.Init)
	if err != nil {
		t.Fatal(err)
	}
	for _, seg := range file.Segments {
		if err := mp4.DecryptSegment(seg, info, mustHex(testKeyHex)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := file.Encode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// countProtected counts the samples with at least one protected block. Few have none: AV1 frames that repeat another, or whose
// tiles are shorter than a block.
func countProtected(samples []readSample) int {
	n := 0
	for _, s := range samples {
		if s.subs == nil && len(s.data) >= 16 || slices.ContainsFunc(s.subs, func(s subsample) bool { return s.protected >= 16 }) {
			n++
		}
	}
	return n
}

func countDiffer(a, b []string) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// TestSubsampleParity compares our subsamples, sample by sample, with those that shaka-packager writes for the same input. No
// codec that it knows differs; AC-4 it protects in whole samples, against 23001-7:2023, and VVC it does not know.
func TestSubsampleParity(t *testing.T) {
	for _, f := range fixtures {
		for _, scheme := range drm.Schemes {
			if f.stream == "" || f.name == "mp3" { // packager's muxer has no MP3
				continue
			}
			t.Run(f.name+"/"+scheme.String(), func(t *testing.T) {
				t.Parallel()
				m := loadMedia(t, f.name)
				pr := newTestProtector(t, m.init, testProtection(scheme))
				ours, err := readProtected(mustProtect(t, pr, m.all()), scheme, 0)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "theirs.mp4")
				runTool(t, testtools.Packager, append([]string{
					fmt.Sprintf("in=%s,stream=%s,output=%s", m.path, f.stream, path), "--quiet",
					"--protection_scheme", scheme.String(), "--clear_lead", "0",
				}, keyArguments("encryption")...)...)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if f.stream == "audio" && scheme == drm.SchemeCbcs {
					checkEmptySenc(t, b, len(ours))
					return
				}
				theirs, err := readProtected(b, scheme, 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(ours) != len(theirs) || len(ours) == 0 {
					t.Fatalf("%d samples, packager has %d", len(ours), len(theirs))
				}
				differ := 0
				for i := range ours {
					if !slices.Equal(ours[i].subs, theirs[i].subs) {
						if differ++; differ < 4 {
							t.Errorf("sample %d:\nours   %v\ntheirs %v", i, ours[i].subs, theirs[i].subs)
						}
					}
				}
				t.Logf("%d samples, %d differ", len(ours), differ)
			})
		}
	}
}

// checkEmptySenc: for whole samples under a constant IV packager writes senc boxes that say nothing of their samples; we write
// none, as 23000-19, 8.2.2.1 recommends.
func checkEmptySenc(t *testing.T, file []byte, samples int) {
	t.Helper()
	n := 0
	for at := 0; ; {
		i := bytes.Index(file[at:], []byte("senc"))
		if i < 0 {
			break
		}
		at += i + 4
		if size, flags := be32(file, at-8), be32(file, at); size != sencFixedBytes || flags != 0 {
			t.Fatalf("a senc of %d bytes with flags %x", size, flags)
		}
		n += int(be32(file, at+4))
	}
	if n != samples || samples == 0 {
		t.Errorf("packager has %d samples, ours are %d", n, samples)
	}
}
