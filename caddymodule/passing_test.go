package caddymodule

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

const passingSite = `
http://:PORT {
	drm {
		tenant one
		license_server clearkey
		protected_input pass
	}
	reverse_proxy ORIGIN
}
`

// packaged protects the demo title with shaka-packager, as segments below t/ and as single files below f/.
func packaged(t *testing.T, scheme string) (dir string) {
	t.Helper()
	packager, err := testtools.Packager()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, track := range map[string]string{"v": "demo/video/360p", "a": "demo/audio/en"} {
		whole := clearFile(t, track+"/init.mp4")
		for n := range 20 {
			whole = append(whole, clearFile(t, fmt.Sprintf("%s/seg_%d.m4s", track, n+1))...)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".mp4"), whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for form, tracks := range map[string][2]string{
		"t": {"init_segment=t/video/init.mp4,segment_template=t/video/$Number$.m4s", "init_segment=t/audio/init.mp4,segment_template=t/audio/$Number$.m4s"},
		"f": {"output=f/video.mp4", "output=f/audio.mp4"},
	} {
		args := []string{
			"in=v.mp4,stream=video,playlist_name=video.m3u8,iframe_playlist_name=iframes.m3u8," + tracks[0],
			"in=a.mp4,stream=audio,playlist_name=audio.m3u8,hls_group_id=a," + tracks[1],
			"--protection_scheme", scheme, "--enable_raw_key_encryption", "--clear_lead", "0", "--protection_systems", "Widevine,PlayReady",
			"--keys", "label=:key_id=00112233445566778899aabbccddeeff:key=0123456789abcdef0123456789abcdef",
			"--segment_duration", "2", "--hls_playlist_type", "VOD", "--quiet",
			"--hls_master_playlist_output", form + "/master.m3u8", "--mpd_output", form + "/manifest.mpd",
		}
		if form == "t" {
			args = append(args, "--generate_static_live_mpd")
		}
		for _, folder := range []string{form, form + "/video", form + "/audio"} { // its threads stumble over each other making them
			if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), packager, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

// serveDir answers below /p/ from a folder, as a script of an origin. Pairs of path and body go first.
func serveDir(dir string, pairs ...string) func(http.ResponseWriter, *http.Request) bool {
	files := http.StripPrefix("/p/", http.FileServer(http.Dir(dir)))
	return func(w http.ResponseWriter, r *http.Request) bool {
		for i := 0; i < len(pairs); i += 2 {
			if r.URL.Path == pairs[i] {
				return answerAt(pairs[i], pairs[i+1])(w, r)
			}
		}
		if strings.HasPrefix(r.URL.Path, "/p/") {
			files.ServeHTTP(w, r)
			return true
		}
		return false
	}
}

func readFile(t *testing.T, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	signalsOfMPD      = regexp.MustCompile(`(?s)<ContentProtection.*?(/>|</ContentProtection>)`)
	signalsOfPlaylist = regexp.MustCompile(`(?m)^#EXT-X-(SESSION-)?KEY.*$`)
)

// sameSignals checks that a manifest has the signals of the origin's, and no others.
func sameSignals(t *testing.T, name string, got, origin []byte) {
	t.Helper()
	signals := signalsOfPlaylist
	if strings.HasSuffix(name, ".mpd") {
		signals = signalsOfMPD
	}
	want := signals.FindAllString(string(origin), -1)
	if found := signals.FindAllString(string(got), -1); !slices.Equal(found, want) || len(want) == 0 && !strings.HasSuffix(name, "master.m3u8") {
		t.Errorf("%s: %d signals, want %d\n%q", name, len(found), len(want), found)
	}
}

// TestProtectedMediaPasses: what shaka-packager protected leaves byte for byte, with its signals and none of ours, as segments,
// as single files, in ranges and I-frames, from the segment cache and without it. By default it is refused.
func TestProtectedMediaPasses(t *testing.T) {
	for _, scheme := range []string{"cenc", "cbcs"} {
		dir := packaged(t, scheme)
		origin := &scriptedOrigin{}
		origin.play(serveDir(dir))
		server := origin.start(t)
		for _, cache := range []string{"off", "16MiB"} {
			t.Run(scheme+", segment_cache "+cache, func(t *testing.T) {
				g := newGateway(t, "ORIGIN", server)
				g.load(t, strings.Replace(globalBlock, "segment_cache off", "segment_cache "+cache, 1)+passingSite)
				for _, form := range []string{"t", "f"} {
					checkPassing(t, g, dir, form)
				}
			})
		}
		t.Run(scheme+", refused by default", func(t *testing.T) {
			g := startGateway(t, proxySite, "ORIGIN", server)
			for _, form := range []string{"t", "f"} {
				video := linkTo(t, playlistLinks(t, "http://"+g.addr+"/p/"+form+"/master.m3u8", g.mustGet(t, "/p/"+form+"/master.m3u8").body), "playlist", "video.m3u8").url
				for _, target := range []string{"/p/" + form + "/manifest.mpd", video} {
					if res := g.get(t, target); res.status != 502 || !strings.HasSuffix(res.reason(), "_already_protected") {
						t.Errorf("%s: %d %s", target, res.status, res.reason())
					}
				}
			}
		})
	}
}

func checkPassing(t *testing.T, g *gateway, dir, form string) {
	t.Helper()
	counts := make(map[string]int)
	for _, manifest := range []string{"manifest.mpd", "master.m3u8"} {
		at := "/p/" + form + "/" + manifest
		sameSignals(t, manifest, g.mustGet(t, at).body, readFile(t, dir, form, manifest))
		for _, l := range g.links(t, at) {
			if l.kind == "key" || l.kind == "license" {
				continue // of the origin, and compared above
			}
			counts[manifest+" "+l.kind]++
			clean := strings.TrimPrefix(l.cleanPath(t), "/p/")
			res, want := g.mustGet(t, l.url), readFile(t, dir, clean)
			if l.kind == "playlist" {
				sameSignals(t, clean, res.body, want)
				continue
			}
			if bytes.Equal(res.body, want) {
				counts[manifest+" whole"]++
			}
			if !bytes.Contains(want, res.body) || len(res.body) < 500 {
				t.Errorf("%s: %d bytes, not those of the origin", clean, len(res.body))
			}
			checkPassed(t, g, l.url, res)
		}
	}
	// Whole files are all of t/ but its I-frames; in f/ every address stands for a range.
	if whole := map[string]int{"t": 42}[form]; counts["manifest.mpd whole"] != whole || counts["master.m3u8 whole"] < whole || counts["master.m3u8 whole"] > whole+1 {
		t.Errorf("%s: whole files %v", form, counts)
	}
	if counts["manifest.mpd media"] != 40 || counts["master.m3u8 media"] != 60 || counts["manifest.mpd init"] != 2 || counts["master.m3u8 init"] < 2 {
		t.Errorf("%s: links %v", form, counts)
	}
}

// checkPassed holds an answer to what holds for all media.
func checkPassed(t *testing.T, g *gateway, target string, whole reply) {
	t.Helper()
	etag := whole.header.Get("ETag")
	if len(etag) < 20 || whole.header.Get("Cache-Control") != cachePrivateMedia || whole.header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.HasSuffix(whole.header.Get("Content-Type"), "/mp4") {
		t.Errorf("%s: %v", target, whole.header)
	}
	if res := g.get(t, target, "Range", "bytes=100-163", "If-Range", etag); res.status != 206 || !bytes.Equal(res.body, whole.body[100:164]) {
		t.Errorf("%s: a range: %d, %d bytes", target, res.status, len(res.body))
	}
	if res := g.get(t, target, "If-None-Match", etag); res.status != 304 {
		t.Errorf("%s: its own ETag: %d", target, res.status)
	}
	if res := g.send(t, http.MethodHead, target); res.status != 200 || res.header.Get("ETag") != etag || res.header.Get("Content-Length") != fmt.Sprint(len(whole.body)) {
		t.Errorf("%s: HEAD: %d %v", target, res.status, res.header)
	}
}

// TestClearMediaNeverPasses: under a seal that lets protected media pass, an origin that has clear media now is refused, whether
// the init segment is known already or not, and in every container that holds clear media.
func TestClearMediaNeverPasses(t *testing.T) {
	for _, scheme := range []string{"cenc", "cbcs"} {
		dir := packaged(t, scheme)
		origin := &scriptedOrigin{}
		origin.play(serveDir(dir))
		g := startGateway(t, passingSite, "ORIGIN", origin.start(t))
		for _, track := range []struct{ name, clear string }{{"video", "demo/video/360p"}, {"audio", "demo/audio/en"}} {
			links := g.links(t, "/p/t/manifest.mpd")
			segment, init := linkTo(t, links, "media", track.name+"/2.m4s").url, linkTo(t, links, "init", track.name+"/init.mp4").url
			want := g.mustGet(t, segment)
			clear, clearInit := clearFile(t, track.clear+"/seg_2.m4s"), clearFile(t, track.clear+"/init.mp4")
			protected := readFile(t, dir, "t", track.name, "2.m4s")
			free := append(slices.Clone(protected), 0, 0, 0, 0, 'f', 'r', 'e', 'e')
			free[len(free)-5], free[len(free)-6], free[len(free)-7] = byte(8+len(clear)), byte((8+len(clear))>>8), byte((8+len(clear))>>16)
			for name, body := range map[string][]byte{
				"the clear segment": clear, "a clear segment behind the protected one": append(slices.Clone(protected), clear...),
				"a clear segment in front of it": append(slices.Clone(clear), protected...), "a clear copy in free space": append(free, clear...),
				"half of it": protected[:len(protected)/2], "nothing": {}, "an HTML page": []byte("<!DOCTYPE html><title>Sorry</title>"),
				"a transport stream": bytes.Repeat(append([]byte{0x47, 0x1f, 0xff, 0x10}, make([]byte, 184)...), 20), "its init segment": readFile(t, dir, "t", track.name, "init.mp4"),
			} {
				origin.play(serveDir(dir, "/p/t/"+track.name+"/2.m4s", string(body)))
				res := g.get(t, segment)
				refusedAs(t, scheme+" "+track.name+", "+name, res, 502, "media_not_protected", clear)
			}
			origin.play(serveDir(dir, "/p/t/"+track.name+"/2.m4s", string(clear), "/p/t/"+track.name+"/init.mp4", string(clearInit)))
			refusedAs(t, "both are clear, and the old init segment is known", g.get(t, segment), 502, "media_not_protected", clear)
			forgetInits()
			refusedAs(t, "both are clear", g.get(t, segment), 404, "init_replaced", clear)
			refusedAs(t, "a clear init segment", g.get(t, init), 404, "init_replaced", clearInit)
			origin.play(serveDir(dir))
			if again := g.mustGet(t, segment); !bytes.Equal(again.body, want.body) || again.header.Get("ETag") != want.header.Get("ETag") {
				t.Error("a refusal was remembered")
			}
		}
	}
}

func refusedAs(t *testing.T, name string, res reply, status int, reason string, clear []byte) {
	t.Helper()
	if res.status != status || res.reason() != reason || res.header.Get("Cache-Control") != cacheNoStore || res.header.Get("ETag") != "" {
		t.Errorf("%s: %d %s, want %d %s", name, res.status, res.reason(), status, reason)
	}
	if bytes.Contains(res.body, clear[len(clear)/2:len(clear)/2+min(64, len(clear)/2)]) {
		t.Errorf("%s: the answer holds clear bytes", name)
	}
}

// TestOneTrackIsProtected: of a title with protected video and clear sound, the one passes and the other is encrypted and
// announced as always. Signals over clear tracks, and both in one AdaptationSet, are refused.
func TestOneTrackIsProtected(t *testing.T) {
	dir := packaged(t, "cenc")
	mpd, playlist := string(readFile(t, dir, "t", "manifest.mpd")), string(readFile(t, dir, "t", "audio.m3u8"))
	at := strings.Index(mpd, `<AdaptationSet id="1"`)
	mixed := mpd[:at] + signalsOfMPD.ReplaceAllString(mpd[at:], "")
	pairs := []string{"/p/t/manifest.mpd", mixed, "/p/t/audio.m3u8", signalsOfPlaylist.ReplaceAllString(playlist, "#"), "/p/t/audio/init.mp4", string(clearFile(t, "demo/audio/en/init.mp4"))}
	for n := range 20 {
		pairs = append(pairs, fmt.Sprintf("/p/t/audio/%d.m4s", n+1), string(clearFile(t, fmt.Sprintf("demo/audio/en/seg_%d.m4s", n+1))))
	}
	origin := &scriptedOrigin{}
	origin.play(serveDir(dir, pairs...))
	g := startGateway(t, passingSite, "ORIGIN", origin.start(t))
	for _, manifest := range []string{"manifest.mpd", "master.m3u8"} {
		links := g.links(t, "/p/t/"+manifest+"?drm=cenc")
		if got := g.mustGet(t, linkTo(t, links, "media", "video/3.m4s").url); !bytes.Equal(got.body, readFile(t, dir, "t", "video", "3.m4s")) {
			t.Errorf("%s: video does not pass", manifest)
		}
		clear := clearFile(t, "demo/audio/en/seg_3.m4s")
		if got := g.mustGet(t, linkTo(t, links, "media", "audio/3.m4s").url); leaks(got.body, clear, pieceOfCenc) || !bytes.Contains(got.body, []byte("senc")) {
			t.Errorf("%s: audio is not protected", manifest)
		}
		linkTo(t, links, "license", "")
	}
	body := string(g.mustGet(t, "/p/t/manifest.mpd?drm=cenc").body)
	at = strings.Index(body, `<AdaptationSet id="1"`)
	sameSignals(t, "manifest.mpd", []byte(body[:at]), []byte(mpd[:strings.Index(mpd, `<AdaptationSet id="1"`)]))
	if own := signalsOfMPD.FindAllString(body[at:], -1); len(own) != 2 {
		t.Errorf("signals of the clear track: %q", own)
	}
	video, audio := strings.Index(mpd, `<Representation id="1"`), strings.Index(mpd, `</Representation>`)
	inOneSet := mpd[:audio] + "</Representation>" + mpd[video:strings.LastIndex(mpd, "</AdaptationSet>")] + "</AdaptationSet></Period></MPD>"
	for name, test := range map[string]struct{ path, body string }{
		"signals over a clear track":   {"/p/t/manifest.mpd", mpd},
		"both in one set":              {"/p/t/manifest.mpd", inOneSet},
		"keys over a clear track":      {"/p/t/video.m3u8", playlist},
		"a clear track behind another": {"/p/t/video.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"video/init.mp4\"\n#EXTINF:2,\nvideo/1.m4s\n#EXT-X-MAP:URI=\"audio/init.mp4\"\n#EXTINF:2,\naudio/1.m4s\n"},
	} {
		origin.play(serveDir(dir, append([]string{test.path, test.body}, pairs...)...))
		if res := g.get(t, test.path); res.status != 502 || res.reason() != "manifest_mixed_protection" {
			t.Errorf("%s: %d %s %s", name, res.status, res.reason(), res.body)
		}
	}
}

// TestSealsThatPass: that a track passes is in the seal, and nothing but that. Under forged ones, and under the same ones in a
// site that refuses protected media, nothing leaves.
func TestSealsThatPass(t *testing.T) {
	dir := packaged(t, "cenc")
	origin := &scriptedOrigin{}
	origin.play(serveDir(dir))
	server := origin.start(t)
	g := startGateway(t, passingSite, "ORIGIN", server)
	links := g.links(t, "/p/t/master.m3u8?drm=cenc")
	video, audio := linkTo(t, links, "media", "video/1.m4s").url, linkTo(t, links, "media", "audio/1.m4s").url
	if other := linkTo(t, g.links(t, "/p/t/master.m3u8?drm=cbcs"), "media", "video/1.m4s").url; other != video {
		t.Error("the address depends on a scheme of ours")
	}
	for name, target := range map[string]string{
		"audio's on video":          strings.Replace(video, sealOf(t, video), sealOf(t, audio), 1),
		"one segment's on the next": strings.Replace(video, "/1.m4s", "/2.m4s", 1),
	} {
		if res := g.get(t, target); res.status != 404 || res.reason() != "not_found" {
			t.Errorf("%s: %d %s", name, res.status, res.reason())
		}
	}
	clearInit, err := segcrypt.ParseInit(clearFile(t, "demo/video/360p/init.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	k, path := sealer(t, testSecretHex, "one"), address.Path("/demo/video/360p/seg_1.m4s")
	good := address.Seal{Kind: address.SealMedia, Passes: true, Asset: "/demo/", Init: "/demo/video/360p/init.mp4", InitDigest: clearInit.Digest()}
	for name, edit := range map[string]func(*address.Seal){
		"for a clear track":   func(*address.Seal) {},
		"without an init":     func(s *address.Seal) { s.Init, s.InitDigest = "", [16]byte{} },
		"with a scheme":       func(s *address.Seal) { s.Scheme = 1 },
		"of aes-128":          func(s *address.Seal) { s.Scheme = 3 },
		"with another digest": func(s *address.Seal) { s.InitDigest[0] ^= 1 },
	} {
		seal := good
		edit(&seal)
		if res := g.get(t, "/demo/video/360p/"+address.SealElement(k.Seal(seal, path))+"/seg_1.m4s"); res.status != 404 {
			t.Errorf("forged %s: %d %s", name, res.status, res.reason())
		}
	}
	g.load(t, globalBlock+strings.Replace(passingSite, "protected_input pass", "protected_input refuse", 1))
	if res := g.get(t, video); res.status != 404 || res.reason() != "not_found" {
		t.Errorf("where it is refused: %d %s", res.status, res.reason())
	}
}

// TestAGrowingSegmentPasses: without a length it is looked at whole before its first byte leaves.
func TestAGrowingSegmentPasses(t *testing.T) {
	dir := packaged(t, "cbcs")
	origin := &scriptedOrigin{}
	origin.play(serveDir(dir))
	g := startGateway(t, passingSite, "ORIGIN", origin.start(t))
	target := linkTo(t, g.links(t, "/p/t/manifest.mpd"), "media", "video/2.m4s").url
	protected, clear := readFile(t, dir, "t", "video", "2.m4s"), clearFile(t, "demo/video/360p/seg_3.m4s")
	for name, tail := range map[string][]byte{"protected to the end": protected, "clear at the end": clear} {
		origin.play(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/p/t/video/2.m4s" {
				return serveDir(dir)(w, r)
			}
			for _, part := range [][]byte{protected, tail} {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
			}
			return true
		})
		res := g.get(t, target)
		if name == "clear at the end" {
			refusedAs(t, name, res, 502, "media_not_protected", clear)
		} else if res.status != 200 || !bytes.Equal(res.body, slices.Concat(protected, tail)) || res.header.Get("ETag") == "" {
			t.Errorf("%s: %d %s, %d bytes", name, res.status, res.reason(), len(res.body))
		}
	}
}
