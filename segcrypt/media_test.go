package segcrypt

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// testKIDHex and testKeyHex are the key of all tests, the same as in the published-vector style of standards documents.
const (
	testKIDHex      = "0123456789abcdef0123456789abcdef"
	testKeyHex      = "00112233445566778899aabbccddeeff"
	testWrongKeyHex = "ff112233445566778899aabbccddeeff"
	testIVHex       = "000102030405060708090a0b0c0d0e0f"
)

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func testKey() drm.ContentKey {
	k, err := drm.NewContentKey(drm.KID(mustHex(testKIDHex)), mustHex(testKeyHex), mustHex(testIVHex))
	if err != nil {
		panic(err)
	}
	return k
}

func testProtection(scheme drm.ProtectionScheme) Protection {
	return Protection{Scheme: scheme, Key: testKey(), IVSecret: [32]byte{1, 2, 3}}
}

// fixture is a fragmented file that ffmpeg makes: name, ffmpeg arguments after the input, and the stream that packager sees.
type fixture struct {
	name   string
	stream string
	args   string
}

const (
	videoIn = "-f lavfi -i testsrc2=size=480x272:rate=25 -t 2 -pix_fmt yuv420p "
	tinyIn  = "-f lavfi -i testsrc2=size=192x112:rate=25 -t 1 -pix_fmt yuv420p "
	audioIn = "-f lavfi -i sine=frequency=440:sample_rate=48000 -t 2 -ac 2 "
)

var fixtures = []fixture{
	{"avc", "video", videoIn + "-c:v libx264 -preset medium -g 25 -bf 3 -b:v 900k"},
	{"avc-slices-cavlc", "video", videoIn + "-c:v libx264 -profile:v baseline -g 25 -x264-params slices=4"},
	{"avc-interlaced", "video", videoIn + "-c:v libx264 -g 25 -flags +ildct+ilme -x264-params tff=1:weightp=2:ref=5"},
	{"avc-444", "video", strings.Replace(videoIn, "yuv420p", "yuv444p", 1) + "-c:v libx264 -profile:v high444 -g 25"},
	{"hevc", "video", videoIn + "-c:v libx265 -preset fast -tag:v hvc1 -g 25 -x265-params log-level=error:bframes=4:weightb=1"},
	{"hevc-plain", "video", videoIn + "-c:v libx265 -preset medium -tag:v hvc1 -g 25 -x265-params log-level=error:no-wpp=1:no-sao=1:weightp=0"},
	{"hevc-slices", "video", videoIn + "-c:v libx265 -preset superfast -tag:v hev1 -g 25 -x265-params log-level=error:slices=3"},
	{"av1", "video", videoIn + "-c:v libaom-av1 -cpu-used 8 -g 25 -b:v 500k -strict experimental"},
	{"av1-tiles", "video", strings.Replace(videoIn, "480x272", "640x360", 1) + "-c:v libsvtav1 -preset 10 -g 25 -svtav1-params tile-columns=2:tile-rows=1"},
	{"av1-grain", "video", tinyIn + "-c:v libaom-av1 -cpu-used 8 -g 25 -b:v 100k -aom-params film-grain-test=1:error-resilient=1"},
	{"av1-lossless", "video", tinyIn + "-c:v libaom-av1 -cpu-used 8 -g 25 -aom-params lossless=1"},
	{"av1-superres", "video", tinyIn + "-c:v libsvtav1 -preset 8 -g 25 -svtav1-params superres-mode=1:superres-denom=12:scm=1:film-grain=10"},
	{"hevc-10bit", "video", strings.Replace(tinyIn, "yuv420p", "yuv444p10", 1) +
		"-c:v libx265 -preset medium -tag:v hvc1 -g 25 -x265-params log-level=error:ref=5:bframes=5:b-pyramid=1:weightp=1:opt-ref-list-length-pps=1:opt-qp-pps=1"},
	{"vp9", "video", videoIn + "-c:v libvpx-vp9 -deadline realtime -cpu-used 5 -g 25 -b:v 500k"},
	{"vp9-hidden", "video", videoIn + "-c:v libvpx-vp9 -deadline good -cpu-used 5 -g 25 -b:v 300k -auto-alt-ref 1 -lag-in-frames 25 -pass 2"},
	{"vp9-tiles", "video", strings.Replace(tinyIn, "192x112", "1280x128", 1) + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -tile-columns 2 -tile-rows 1 -error-resilient 1"},
	{"vp9-444", "video", strings.Replace(tinyIn, "yuv420p", "yuv444p", 1) + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -aq-mode 2"},
	{"vp9-10bit", "video", strings.Replace(tinyIn, "yuv420p", "yuv420p10le", 1) + "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -lossless 1"},
	{"aac", "audio", audioIn + "-c:a aac -b:a 96k"},
	{"opus", "audio", audioIn + "-c:a libopus -b:a 64k"},
	{"flac", "audio", audioIn + "-c:a flac -strict experimental"},
	{"ac-3", "audio", audioIn + "-c:a ac3"},
	{"ec-3", "audio", audioIn + "-c:a eac3"},
	{"aac-quicktime", "", audioIn + "-c:a aac -b:a 96k -f mov"},
	{"avc3", "video", videoIn + "-c:v libx264 -preset medium -g 25 -tag:v avc3 -x264-params repeat-headers=1"},
	{"hevc-in-band", "video", videoIn + "-c:v libx265 -preset fast -tag:v hev1 -g 25 -x265-params log-level=error:repeat-headers=1"},
	{"alac", "audio", audioIn + "-c:a alac"},
	{"mp3", "audio", audioIn + "-c:a libmp3lame"},
	{"dts", "audio", audioIn + "-c:a dca -strict experimental"},
}

// media is a fixture, cut into init segment and fragments (moof and mdat each).
type media struct {
	fixture
	path      string
	init      Clear
	fragments []Clear
}

func (m *media) all() Clear {
	var all Clear
	for _, f := range m.fragments {
		all = append(all, f...)
	}
	return all
}

var (
	mediaDir   string
	mediaMutex sync.Mutex
	mediaCache = map[string]*media{}
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "segcrypt")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mediaDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func findFixture(name string) fixture {
	for _, f := range fixtures {
		if f.name == name {
			return f
		}
	}
	panic("no fixture " + name)
}

// loadMedia encodes a fixture once per test run.
func loadMedia(t testing.TB, name string) *media {
	t.Helper()
	mediaMutex.Lock()
	defer mediaMutex.Unlock()
	if m := mediaCache[name]; m != nil {
		return m
	}
	m := &media{fixture: findFixture(name), path: filepath.Join(mediaDir, name+".mp4")}
	if encode, second := strings.CutSuffix(m.args, "-pass 2"); second { // libvpx hides frames only when it knows what comes
		log := filepath.Join(mediaDir, name)
		runTool(t, testtools.FFmpeg, strings.Fields("-hide_banner -v error -y "+encode+"-pass 1 -passlogfile "+log+" -f null -")...)
		m.args += " -passlogfile " + log
	}
	args := strings.Fields("-hide_banner -v error -y " + m.args +
		" -movflags +frag_keyframe+delay_moov+default_base_moof+skip_trailer -frag_duration 1000000 -flags +bitexact " + m.path)
	runTool(t, testtools.FFmpeg, args...)
	b, err := os.ReadFile(m.path)
	if err != nil {
		t.Fatal(err)
	}
	m.init, m.fragments = cutFile(t, b)
	mediaCache[name] = m
	return m
}

// cutFile splits a fragmented file. Boxes other than ftyp, moov, moof and mdat are left out.
func cutFile(t testing.TB, b []byte) (init Clear, fragments []Clear) {
	t.Helper()
	var moof box
	err := eachBox(b, 0, len(b), "file", func(x box) error {
		switch x.typ {
		case typFtyp, typMoov:
			init = append(init, b[x.off:x.end]...)
		case typMoof:
			moof = x
		case typMdat:
			fragments = append(fragments, Clear(b[moof.off:x.end]))
		}
		return nil
	})
	if err != nil || len(fragments) == 0 {
		t.Fatalf("cutting the file: %d fragments, %v", len(fragments), err)
	}
	return init, fragments
}

// runTool runs a program that the tests need and returns its standard output.
func runTool(t testing.TB, find func() (string, error), args ...string) []byte {
	t.Helper()
	return pipeTool(t, nil, find, args...)
}

// pipeTool is runTool with standard input.
func pipeTool(t testing.TB, stdin []byte, find func() (string, error), args ...string) []byte {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// newTestProtector parses and binds, and fails the test on error.
func newTestProtector(t testing.TB, init Clear, p Protection) *Protector {
	t.Helper()
	in, err := ParseInit(init)
	if err != nil {
		t.Fatal(err)
	}
	pr, err := NewProtector(in, p)
	if err != nil {
		t.Fatal(err)
	}
	return pr
}

func mustProtect(t testing.TB, pr *Protector, seg Clear) Protected {
	t.Helper()
	out, err := pr.ProtectSegment(nil, seg)
	if err != nil {
		t.Fatal(err)
	}
	if cap(out) > len(out)+len(out)/4+4096 {
		t.Errorf("allocated %d bytes for %d", cap(out), len(out))
	}
	return out
}
