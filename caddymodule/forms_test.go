package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// The tests of this package hold the rows of hostile input for every form that media comes in: see allForms. A form is a way to
// address clear media and a way to protect it, and every test that loops over the forms loops over all of them.

// formsSite has a prefix for each set of options; the origin sees paths without it.
const formsSite = `
http://:PORT {
	handle_path /sample/* {
		drm {
			tenant forms
			license_server clearkey
			transport_stream sample-aes
			max_segment_size 4MiB
		}
		reverse_proxy ORIGIN
	}
	handle_path /whole/* {
		drm {
			tenant whole
			license_server clearkey
			scheme aes-128
			max_segment_size 4MiB
		}
		reverse_proxy ORIGIN
	}
	handle_path /pass/* {
		drm {
			tenant pass
			license_server clearkey
			protected_input pass
			max_segment_size 4MiB
		}
		reverse_proxy ORIGIN
	}
	handle {
		drm {
			tenant forms
			license_server clearkey
			max_segment_size 4MiB
		}
		reverse_proxy ORIGIN
	}
}
`

// form is one way in which media is addressed and protected.
type form struct {
	name     string
	manifest string // with prefix and query
	file     string // at the origin: what the address stands for, or what holds it
	init     string // at the origin: what holds the init segment
	nth      int    // which of the media links of that file, from 0
	growing  bool   // the origin says no length
	whole    bool   // the address stands for the whole file
	piece    int    // consecutive clear bytes that no answer may hold; 0 where the origin's bytes leave as they are
	cenc     bool   // another keystream for other content
}

// allForms is every form of the media path.
func allForms() []form {
	return []form{
		{name: "segment by template, cenc", manifest: "/demo/manifest.mpd?drm=cenc", file: "/demo/video/360p/seg_2.m4s", init: "/demo/video/360p/init.mp4", whole: true, piece: pieceOfCenc, cenc: true},
		{name: "segment by template, cbcs", manifest: "/demo/manifest.mpd?drm=cbcs", file: "/demo/video/360p/seg_3.m4s", init: "/demo/video/360p/init.mp4", whole: true, piece: pieceOfCbcs},
		{name: "growing segment", manifest: "/demo/manifest.mpd?drm=cenc", file: "/demo/video/360p/seg_4.m4s", init: "/demo/video/360p/init.mp4", whole: true, growing: true, piece: pieceOfCenc, cenc: true},
		{name: "entry of an index", manifest: "/x/single/m.mpd?drm=cenc", file: "/x/single/v.mp4", init: "/x/single/v.mp4", nth: 2, piece: pieceOfCenc, cenc: true},
		{name: "entry of an index, sound", manifest: "/x/single/m.mpd?drm=cbcs", file: "/x/single/a.mp4", init: "/x/single/a.mp4", nth: 2, piece: pieceOfCenc},
		{name: "byte range", manifest: "/x/single/v.m3u8?drm=cenc", file: "/x/single/v.mp4", init: "/x/single/v.mp4", nth: 2, piece: pieceOfCenc, cenc: true},
		{name: "I-frame", manifest: "/x/single/i.m3u8?drm=cenc", file: "/x/single/v.mp4", init: "/x/single/v.mp4", nth: 2, piece: pieceOfCenc, cenc: true},
		{name: "part", manifest: "/x/parts/v.m3u8?drm=cenc", file: "/x/parts/v_2.m4s", init: "/x/parts/v_init.mp4", whole: true, piece: pieceOfCenc, cenc: true},
		{name: "part behind a lead", manifest: "/x/parts/av1.m3u8?drm=cenc", file: "/x/parts/av1_2.m4s", init: "/x/parts/av1_init.mp4", whole: true, piece: pieceOfCenc, cenc: true},
		{name: "two tracks in one file", manifest: "/x/muxed/m.m3u8?drm=cenc", file: "/x/muxed/s_2.m4s", init: "/x/muxed/init.mp4", whole: true, piece: pieceOfCenc, cenc: true},
		{name: "transport stream, AES-128", manifest: "/x/ts/v.m3u8", file: "/x/ts/v_2.ts", whole: true, piece: pieceOfCenc},
		{name: "transport stream, SAMPLE-AES", manifest: "/sample/x/ts/v.m3u8", file: "/x/ts/v_2.ts", whole: true, piece: pieceOfCbcs},
		{name: "packed audio, AES-128", manifest: "/x/ts/a.m3u8", file: "/x/ts/a_2.aac", whole: true, piece: pieceOfCenc},
		{name: "packed audio, SAMPLE-AES", manifest: "/sample/x/ts/a.m3u8", file: "/x/ts/a_2.aac", whole: true, piece: pieceOfCenc},
		{name: "fragmented MP4, AES-128", manifest: "/whole/demo/video/360p.m3u8", file: "/demo/video/360p/seg_2.m4s", init: "/demo/video/360p/init.mp4", whole: true, piece: pieceOfCenc},
		{name: "range, AES-128", manifest: "/whole/x/single/v.m3u8", file: "/x/single/v.mp4", init: "/x/single/v.mp4", nth: 2, piece: pieceOfCenc},
		{name: "segment that passes", manifest: "/pass/x/theirs/m.mpd", file: "/x/theirs/v_2.m4s", init: "/x/theirs/v.mp4", whole: true},
	}
}

// formsMade is the folder of allForms, made once.
var formsMade struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if formsMade.dir != "" {
		_ = os.RemoveAll(formsMade.dir)
	}
	os.Exit(code)
}

// formsDir returns the folder, which an origin serves below /x/.
func formsDir(t *testing.T) string {
	t.Helper()
	track := func(folder string, segments int) []byte {
		whole := clearFile(t, folder+"/init.mp4")
		for n := range segments {
			whole = append(whole, clearFile(t, fmt.Sprintf("%s/seg_%d.m4s", folder, n+1))...)
		}
		return whole
	}
	inputs := map[string][]byte{"v.mp4": track("demo/video/360p", 20), "a.mp4": track("demo/audio/en", 20), "av1.mp4": track("demo-av1/video/360p", 3)}
	formsMade.Do(func() { formsMade.dir, formsMade.err = makeForms(inputs) })
	if formsMade.err != nil {
		t.Fatal(formsMade.err)
	}
	return formsMade.dir
}

func makeForms(inputs map[string][]byte) (string, error) {
	dir, err := os.MkdirTemp("", "forms-")
	for _, name := range []string{"single", "ts", "parts", "muxed", "theirs"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	for name, body := range inputs {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), body, 0o600))
	}
	if err != nil {
		return dir, err
	}
	const fragments = "-c copy -f mp4 -movflags empty_moov+default_base_moof+frag_keyframe -frag_duration 200000 "
	for _, step := range []struct {
		tool func() (string, error)
		args string
	}{
		{testtools.Packager, "in=v.mp4,stream=video,output=single/v.mp4,playlist_name=v.m3u8,iframe_playlist_name=i.m3u8 " +
			"in=a.mp4,stream=audio,output=single/a.mp4,playlist_name=a.m3u8,hls_group_id=aud --mpd_output single/m.mpd --hls_master_playlist_output single/m.m3u8 --segment_duration 2"},
		{testtools.Packager, "in=v.mp4,stream=video,segment_template=ts/v_$Number$.ts,playlist_name=v.m3u8 " +
			"in=a.mp4,stream=audio,segment_template=ts/a_$Number$.aac,playlist_name=a.m3u8,hls_group_id=aud --hls_master_playlist_output ts/m.m3u8 --segment_duration 2"},
		{testtools.Packager, "in=v.mp4,stream=video,init_segment=theirs/v.mp4,segment_template=theirs/v_$Number$.m4s --mpd_output theirs/m.mpd --generate_static_live_mpd " +
			"--protection_scheme cbcs --enable_raw_key_encryption --clear_lead 0 --segment_duration 2 --keys label=:key_id=00112233445566778899aabbccddeeff:key=0123456789abcdef0123456789abcdef"},
		{testtools.FFmpeg, "-i v.mp4 -i a.mp4 -map 0:v -map 1:a -c copy -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 " +
			"-hls_segment_filename muxed/s_%d.m4s muxed/m.m3u8"},
		{testtools.FFmpeg, "-i v.mp4 -t 6 " + fragments + "parts/v.mp4"},
		{testtools.FFmpeg, "-i av1.mp4 " + fragments + "parts/av1.mp4"},
	} {
		path, err := step.tool()
		if err != nil {
			return dir, err
		}
		args := append([]string{"--quiet"}, strings.Fields(step.args)...)
		if step.args[0] == '-' {
			args = append([]string{"-v", "error", "-nostdin", "-y"}, args[1:]...)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%s: %w\n%s", step.args, err, out)
		}
	}
	return dir, errors.Join(cutParts(filepath.Join(dir, "parts"), "v"), cutParts(filepath.Join(dir, "parts"), "av1"))
}

// cutParts writes the init segment and the chunks of a fragmented file, and a playlist of parts.
func cutParts(dir, name string) error {
	file, err := os.ReadFile(filepath.Join(dir, name+".mp4"))
	if err != nil {
		return err
	}
	moof := bytes.Index(file, []byte("moof")) - 4
	if moof < 0 {
		return errors.New("no moof")
	}
	playlist := "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MAP:URI=\"" + name + "_init.mp4\"\n"
	err = os.WriteFile(filepath.Join(dir, name+"_init.mp4"), file[:moof], 0o600)
	for n, rest := 0, file[moof:]; len(rest) > 0 && n < 9; n++ {
		size := len(rest)
		if next := bytes.Index(rest[8:], []byte("moof")); next >= 0 {
			size = next + 4
		}
		independent := ""
		if n == 0 {
			independent = ",INDEPENDENT=YES"
		}
		playlist += fmt.Sprintf("#EXT-X-PART:DURATION=0.2,URI=\"%s_%d.m4s\"%s\n", name, n, independent)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s_%d.m4s", name, n)), rest[:size], 0o600))
		rest = rest[size:]
	}
	return errors.Join(err, os.WriteFile(filepath.Join(dir, name+".m3u8"), []byte(playlist), 0o600))
}

// formsOrigin is an origin of allForms. A test may answer in its place.
type formsOrigin struct {
	scriptedOrigin
	dir string
}

func newFormsOrigin(t *testing.T) (o *formsOrigin, address string) {
	t.Helper()
	o = &formsOrigin{dir: formsDir(t)}
	o.play(o.files)
	return o, o.start(t)
}

// files answers below /x/.
func (o *formsOrigin) files(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/x/") {
		return false
	}
	http.StripPrefix("/x/", http.FileServer(http.Dir(o.dir))).ServeHTTP(w, r)
	return true
}

// fault answers one path otherwise; good is what is asked for, the range of it.
func (o *formsOrigin) fault(t *testing.T, path string, answer func(w http.ResponseWriter, r *http.Request, good []byte)) {
	t.Helper()
	file := o.read(t, path)
	o.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return o.files(w, r)
		}
		answer(w, r, ranged(r, file))
		return true
	})
}

func (o *formsOrigin) read(t *testing.T, path string) []byte {
	t.Helper()
	if name, ok := strings.CutPrefix(path, "/x/"); ok {
		return readFile(t, o.dir, name)
	}
	return clearFile(t, strings.TrimPrefix(path, "/"))
}

// ranged is the range that a request of the gateway wants.
func ranged(r *http.Request, file []byte) []byte {
	var first, last int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n == 2 && last < len(file) {
		return file[first : last+1]
	}
	return file
}

// find returns the address of a form.
func (f form) find(t *testing.T, g *gateway) string {
	t.Helper()
	n := 0
	for _, l := range g.links(t, f.manifest) {
		if l.kind == "media" && strings.HasSuffix(l.cleanPath(t), f.file) {
			if n == f.nth {
				return l.url
			}
			n++
		}
	}
	t.Fatalf("%s: %d links to %s", f.name, n, f.file)
	return ""
}

// ofForms runs a test for each form, with the segment cache and without it.
func ofForms(t *testing.T, test func(t *testing.T, g *gateway, o *formsOrigin, f form, target string)) {
	t.Helper()
	o, address := newFormsOrigin(t)
	for _, cache := range []string{"off", "16MiB"} {
		g := newGateway(t, "ORIGIN", address)
		g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache "+cache, 1)+formsSite)
		for _, f := range allForms() {
			t.Run(f.name+", segment_cache "+cache, func(t *testing.T) {
				forgetSegments(t)
				o.play(o.files)
				if f.growing {
					o.fault(t, f.file, grow)
				}
				test(t, g, o, f, f.find(t, g))
			})
		}
	}
}

// grow sends a segment in two pieces, without a length.
func grow(w http.ResponseWriter, _ *http.Request, good []byte) {
	_, _ = w.Write(good[:len(good)/3])
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write(good[len(good)/3:])
}

// forgetSegments makes the process one that has protected nothing yet.
func forgetSegments(t *testing.T) {
	t.Helper()
	size := sharedMemory().segments.Stats().MaxBytes
	for _, n := range []int64{0, size} {
		if err := sharedMemory().segments.Resize(n); err != nil {
			t.Fatal(err)
		}
	}
}

// holds looks for clear bytes of a segment in an answer.
func (f form) holds(answer, clear []byte) bool {
	return f.piece > 0 && len(clear) > 2*f.piece && leaks(answer, clear, f.piece)
}

// clearBytes are what the address of a form stands for: what the gateway asked the origin for, last of all. For an I-frame that is
// the rest of its chunk, which it asked for behind the range itself.
func (o *formsOrigin) clearBytes(t *testing.T, f form) (clear []byte) {
	t.Helper()
	file := o.read(t, f.file)
	for _, asked := range slices.Backward(o.seen()) {
		if asked.URL.Path != f.file {
			continue
		}
		clear = append(bytes.Clone(ranged(asked, file)), clear...)
		if f.name != "I-frame" || bytes.Contains(clear, []byte("moof")) {
			return clear
		}
	}
	t.Fatal("the origin was not asked")
	return nil
}
