package caddymodule

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// twoSites protects the same titles for two tenants.
const twoSites = `
http://a.test:PORT, http://:PORT {
	drm {
		tenant one
		license_server clearkey
	}
	reverse_proxy ORIGIN
}
http://b.test:PORT {
	drm {
		tenant two
		license_server clearkey
	}
	reverse_proxy ORIGIN
}
http://c.test:PORT {
	drm {
		tenant one
		secret {env.TEST_OTHER_SECRET}
		license_server clearkey
	}
	reverse_proxy ORIGIN
}
`

// TestClearCopiesByAnotherName covers rows 6 and 7 of the hostile inputs: whatever names a clear file, it is refused.
func TestClearCopiesByAnotherName(t *testing.T) {
	g := startGateway(t, plainSite)
	segment := clearFile(t, "demo/video/360p/seg_1.m4s")
	seal := sealOf(t, linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_1.m4s").url)
	for _, target := range []string{
		"/demo/video/360p/seg_1.m4s", "//demo/video/360p/seg_1.m4s", "/demo//video/360p/seg_1.m4s", "/demo/video/360p//seg_1.m4s",
		"/demo/./video/360p/seg_1.m4s", "/demo/x/../video/360p/seg_1.m4s", "/demo/%2e%2e/demo/video/360p/seg_1.m4s",
		"/demo/x/%2e%2e/video/360p/seg_1.m4s", "/demo%2fvideo%2f360p%2fseg_1.m4s", "/demo%5cvideo%5c360p%5cseg_1.m4s",
		"/demo\\video\\360p\\seg_1.m4s", "/demo/video/360p/seg_1%2em4s", "/demo/video/360p/seg_1%252em4s", "/demo/video/360p/seg_%2531.m4s",
		"/demo/video/360p/seg_1.m4s;x", "/demo/video/360p;x/seg_1.m4s", "/demo/video/360p/seg_1.m4s.", "/demo/video/360p/seg_1.m4s%20",
		"/demo/video/360p/seg_1.m4s%00", "/demo/video/360p/seg_1.m4s%00.vtt", "/demo/video/360p/seg_1.M4S", "/demo/video/360p/seg_1.mp4",
		"/demo/video/360p/seg_1.m4s?x", "/demo/video/360p/seg_1.m4s/", "/demo/video/360p/", "/demo/video/360p", "/demo/", "/",
		"/demo/video/360p/init.mp4", "/demo/video/360p/seg_1.m4s.bak", "/demo/video/360p/seg_1.m4s.tmp", "/demo/video/360p/seg_1.m4s~",
		"/demo/video/360p/.seg_1.m4s.swp", "/SHA256SUMS", "/tokens/signed.key", "/README.md", "/../caddymodule/handler.go",
		"/demo/~x/video/360p/seg_1.m4s", "/~s.x/demo/video/360p/seg_1.m4s", "/demo/~/video/360p/seg_1.m4s", "/demo/subs/en.vtt",
		"/demo/.drm/video/360p/seg_1.m4s", "/demo/.drm/key/x/00", "/demo/.drm/", "/.drm",
		"http://other.test/demo/video/360p/seg_1.m4s", "/demo/" + seal + "/x/../video/360p/seg_1.m4s",
		"/demo/" + seal + "//video/360p/seg_1.m4s", "/demo/" + seal + "/video/360p/seg_1.m4s.", "/demo/" + seal + "/video/360p/seg_01.m4s",
		"/demo/" + seal + "/" + seal + "/video/360p/seg_1.m4s", "/demo/video/360p/seg_1.m4s/" + seal,
	} {
		t.Run(target, func(t *testing.T) {
			res := g.raw(t, target)
			if res.status < 400 || res.status == 500 || bytes.Contains(res.body, segment[:64]) || leaks(res.body, segment, pieceOfCenc) {
				t.Errorf("%d, %d bytes", res.status, len(res.body))
			}
			if res.status == 404 && res.reason() != "not_found" {
				t.Errorf("reason %q", res.reason())
			}
		})
	}
}

// TestOtherSpellingsOfSealedMedia: an escape that changes nothing names the same segment, never the clear one.
func TestOtherSpellingsOfSealedMedia(t *testing.T) {
	g := startGateway(t, plainSite)
	sealed := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_1.m4s").url
	want := g.mustGet(t, sealed)
	for _, target := range []string{
		pathOf(t, sealed) + "?x=1", strings.Replace(pathOf(t, sealed), "seg_1", "%73eg_1", 1), strings.Replace(pathOf(t, sealed), "~", "%7E", 1),
	} {
		if res := g.raw(t, target); res.status != 200 || !bytes.Equal(res.body, want.body) || res.header.Get("ETag") != want.header.Get("ETag") {
			t.Errorf("%s = %d, %d bytes", target, res.status, len(res.body))
		}
	}
}

// TestSealsDoNotMove covers rows 41 and 43: a seal opens what it was made for, and nothing else.
func TestSealsDoNotMove(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, twoSites, "ORIGIN", origin.start(t))
	links := g.links(t, "/demo/manifest.mpd?drm=cenc")
	hls := g.links(t, "/demo/master.m3u8?drm=cenc")
	other := g.links(t, "/demo-av1/manifest.mpd?drm=cenc")
	video := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url
	small := linkTo(t, links, "media", "/video/180p/seg_1.m4s").url
	audio := linkTo(t, links, "media", "/audio/en/seg_1.m4s").url
	playlist := linkTo(t, hls, "playlist", "/video/360p.m3u8").url
	hlsMedia := linkTo(t, hls, "media", "/video/360p/seg_1.m4s").url
	text := linkTo(t, links, "text", "").url
	key, license := linkTo(t, hls, "key", "").url, linkTo(t, links, "license", "").url
	moved := func(from, to string) string { return strings.Replace(pathOf(t, to), sealOf(t, to), sealOf(t, from), 1) }
	licenseSeal := "~" + strings.Split(pathOf(t, license), "/")[4]
	flipped := func(path, seal string, at int) string {
		b := []byte(seal)
		if b[at] == 'A' {
			b[at] = 'B'
		} else {
			b[at] = 'A'
		}
		return strings.Replace(path, seal, string(b), 1)
	}
	cases := map[string]string{
		"audio's on video":               moved(audio, video),
		"video's on audio":               moved(video, audio),
		"another rendition's":            moved(small, video),
		"another title's":                moved(linkTo(t, other, "media", "/video/360p/seg_1.m4s").url, video),
		"this title's on another":        moved(video, linkTo(t, other, "media", "/video/360p/seg_1.m4s").url),
		"one segment's on the next":      strings.Replace(pathOf(t, hlsMedia), "seg_1", "seg_2", 1),
		"a playlist's on media":          moved(playlist, hlsMedia),
		"media's on a playlist":          moved(hlsMedia, playlist),
		"another playlist's":             strings.Replace(pathOf(t, playlist), "360p", "180p", 1),
		"media's on a sidecar":           moved(video, text),
		"a sidecar's on media":           moved(text, video),
		"media's on a license":           strings.Replace(pathOf(t, license), licenseSeal[1:], sealOf(t, video)[1:], 1),
		"a license's on media":           strings.Replace(pathOf(t, video), sealOf(t, video), licenseSeal, 1),
		"a license's on another title":   strings.Replace(pathOf(t, license), "/demo/", "/demo-av1/", 1),
		"a key's on another title":       strings.Replace(pathOf(t, key), "/demo/", "/demo-av1/", 1),
		"a key with a KID of nobody":     key[:len(key)-4] + "0000",
		"media's in front of a manifest": strings.Replace("/demo/SEAL/manifest.mpd", "SEAL", sealOf(t, video), 1),
		"truncated":                      strings.Replace(pathOf(t, video), sealOf(t, video), sealOf(t, video)[:40], 1),
		"a character longer":             strings.Replace(pathOf(t, video), sealOf(t, video), sealOf(t, video)+"A", 1),
		"padded":                         strings.Replace(pathOf(t, video), sealOf(t, video), sealOf(t, video)+"=", 1),
		"with a line break":              strings.Replace(pathOf(t, video), sealOf(t, video), sealOf(t, video)+"%0A", 1),
	}
	for i := 1; i < len(sealOf(t, video)); i += 7 {
		cases["flipped at "+sealOf(t, video)[:i]] = flipped(pathOf(t, video), sealOf(t, video), i)
	}
	for name, target := range cases {
		t.Run(name, func(t *testing.T) {
			method := http.MethodGet
			if strings.Contains(target, "/.drm/clearkey/") {
				method = http.MethodPost
			}
			res := g.sendBody(t, method, target, []byte(`{"kids":["AAECAwQFBgcICQoLDA0ODw"]}`))
			if res.status != 404 || res.reason() != "not_found" {
				t.Errorf("%s %s = %d %s", method, target, res.status, res.reason())
			}
		})
	}
	for _, host := range []string{"b.test", "c.test"} {
		for _, l := range append(append(links, hls...), link{url: playlist}) {
			method := http.MethodGet
			if l.kind == "license" {
				method = http.MethodPost
			}
			if res := g.send(t, method, l.url, "Host", host+":"+g.port); res.status != 404 {
				t.Fatalf("%s: %s %s = %d", host, method, l.url, res.status)
			}
		}
	}
}

// TestTenantsShareNothing: two tenants with the same paths have other KIDs, keys and ciphertext.
func TestTenantsShareNothing(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, twoSites, "ORIGIN", origin.start(t))
	bodies := make(map[string]string)
	for _, host := range []string{"a.test", "b.test", "c.test"} {
		at := "http://" + g.addr + "/demo/master.m3u8?drm=cenc"
		pair := []string{"Host", host + ":" + g.port}
		var all []link
		for _, l := range playlistLinks(t, at, g.mustGet(t, at, pair...).body) {
			all = append(all, l)
			if l.kind == "playlist" {
				all = append(all, playlistLinks(t, l.url, g.mustGet(t, l.url, pair...).body)...)
			}
		}
		segment := linkTo(t, all, "media", "/video/360p/seg_1.m4s").url
		key := "http://" + g.addr + pathOf(t, linkTo(t, all, "key", "").url)
		for what, target := range map[string]string{"segment": segment, "key": key} {
			body := string(g.mustGet(t, target, pair...).body)
			if earlier, ok := bodies[what+body]; ok {
				t.Errorf("%s and %s share a %s", earlier, host, what)
			}
			bodies[what+body] = host
		}
	}
}

// TestForgedSeals: what a seal authenticates is checked again where it could do harm, even under the right secret.
func TestForgedSeals(t *testing.T) {
	g := startGateway(t, strings.Replace(plainSite, "drm {", "drm {\n\t\ttenant one", 1))
	k := sealer(t, testSecretHex, "one")
	path := address.Path("/demo/video/360p/seg_1.m4s")
	good := address.Seal{Kind: address.SealMedia, Asset: "/demo/", Scheme: drm.SchemeCenc, Class: drm.ClassSD, Init: "/demo/video/360p/init.mp4"}
	for name, edit := range map[string]func(*address.Seal){
		"a digest of another init":  func(*address.Seal) {},
		"an init that is not there": func(s *address.Seal) { s.Init = "/demo/none.mp4" },
		"a later period":            func(s *address.Seal) { s.Period = 1 },
		"a later generation":        func(s *address.Seal) { s.Generation = 1 },
		"no scheme":                 func(s *address.Seal) { s.Scheme = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			seal := good
			edit(&seal)
			res := g.get(t, "/demo/video/360p/"+address.SealElement(k.Seal(seal, path))+"/seg_1.m4s")
			if res.status != 404 {
				t.Errorf("%d %s", res.status, res.reason())
			}
		})
	}
	t.Run("the sidecar seal of a media segment", func(t *testing.T) {
		sealed := k.Seal(address.Seal{Kind: address.SealSidecar, Asset: "/demo/", Scheme: drm.SchemeCenc}, path)
		res := g.get(t, "/demo/video/360p/"+address.SealElement(sealed)+"/seg_1.m4s")
		if res.status != 502 || res.reason() != "sidecar_refused" {
			t.Errorf("%d %s", res.status, res.reason())
		}
	})
}

// TestReferencesOutOfTheAsset covers row 44 and the references of row 24.
func TestReferencesOutOfTheAsset(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	for name, test := range map[string]struct{ path, body string }{
		"premium media in a free playlist": {"/free/a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"../demo/video/360p/init.mp4\"\n#EXTINF:2,\n../demo/video/360p/seg_1.m4s\n#EXT-X-ENDLIST\n"},
		"a premium playlist":               {"/free/a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/demo/video/360p.m3u8\n"},
		"premium media in a free MPD":      {"/free/a.mpd", strings.Replace(string(clearFile(t, "demo/manifest.mpd")), "<Period ", "<BaseURL>../demo/</BaseURL><Period ", 1)},
		"another host":                     {"/free/a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://169.254.169.254/latest/a.m3u8\n"},
		"a file":                           {"/free/a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:///etc/a.m3u8\n"},
		"another host in an MPD":           {"/free/a.mpd", strings.Replace(string(clearFile(t, "demo/manifest.mpd")), "<Period ", "<BaseURL>http://other.test/</BaseURL><Period ", 1)},
		"a variable that climbs":           {"/free/a.m3u8", "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"up\",VALUE=\"../demo\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$up}/video/360p.m3u8\n"},
		"a playlist named like media":      {"/free/a.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.mp4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			origin.forget()
			origin.play(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == test.path {
					_, _ = w.Write([]byte(test.body))
				}
				return r.URL.Path == test.path
			})
			res := g.get(t, test.path)
			if res.status != 502 || bytes.Contains(res.body, []byte("~")) {
				t.Errorf("%d %s %s", res.status, res.reason(), res.body)
			}
			for _, asked := range origin.seen() {
				if asked.URL.Path != test.path {
					t.Errorf("the origin was asked for %s", asked.URL.Path)
				}
			}
		})
	}
}
