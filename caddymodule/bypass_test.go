package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Elements of ours in a path must not hide its beginning from matchers that stand in front of the gateway, and what one
// block of a site gives out must not open another.

func TestElementsOfOursDoNotHideThePath(t *testing.T) {
	g := startGateway(t, `
http://:PORT {
	handle /demo/* {
		respond "guarded" 401
	}
	drm {
		license_server clearkey
	}
	file_server {
		root TESTDATA
	}
}
http://members.test:PORT {
	drm {
		license_server clearkey
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
	}
	file_server {
		root TESTDATA
	}
}
`)
	members := []string{"Host", "members.test:" + g.replace.Replace("PORT")}
	manifest := g.mustGet(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo"), members...)
	at := strings.Index(string(manifest.body), "~s.")
	session, _, _ := strings.Cut(string(manifest.body)[at:], "/")
	for name, test := range map[string]struct {
		target string
		pairs  []string
	}{
		"a made-up session, where there are none": {"/~s.x/demo/manifest.mpd", nil},
		"one inside the path":                     {"/demo/~s.x/manifest.mpd", nil},
		"a good session above the asset":          {"/" + session + "/demo/manifest.mpd", members},
	} {
		t.Run(name, func(t *testing.T) {
			if res := g.get(t, test.target, test.pairs...); res.status != 404 && string(res.body) != "guarded" {
				t.Errorf("%d %.60q", res.status, res.body)
			}
		})
	}
	g.mustGet(t, "/demo/"+session+"/manifest.mpd", members...)
}

func TestASealDoesNotMoveAboveItsAsset(t *testing.T) {
	g := startGateway(t, plainSite)
	link := linkTo(t, g.links(t, "/demo/master.m3u8?drm=cenc"), "media", "/video/360p/seg_1.m4s").url
	path := strings.TrimPrefix(link, "http://"+g.addr)
	at := strings.Index(path, "~")
	seal, _, _ := strings.Cut(path[at:], "/")
	g.mustGet(t, link)
	if res := g.get(t, "/"+seal+strings.Replace(path, seal+"/", "", 1)); res.status != 404 {
		t.Errorf("a seal in front of the whole path: %d", res.status)
	}
}

func TestASessionOpensOnlyBlocksOfTheSameTrust(t *testing.T) {
	t.Setenv("TEST_OTHER_TOKEN_SECRET", "another-test-token-secret-0123456789abcdef")
	g := startGateway(t, `
http://:PORT {
	handle /demo/* {
		drm {
			license_server clearkey
			token signed {
				key {env.TEST_TOKEN_SECRET}
			}
		}
		file_server {
			root TESTDATA
		}
	}
	handle {
		drm {
			license_server clearkey
			token signed {
				key {env.TEST_OTHER_TOKEN_SECRET}
			}
		}
		file_server {
			root TESTDATA
		}
	}
}
`)
	weak, err := token.SecretKey("", []byte("another-test-token-secret-0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := token.SignPrefix(weak, token.Claims{Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	manifest := string(g.mustGet(t, "/demo-av1/manifest.mpd?token="+signed).body)
	session, _, _ := strings.Cut(manifest[strings.Index(manifest, "~s."):], "/")
	if res := g.get(t, "/demo/"+session+"/manifest.mpd"); res.status != 401 {
		t.Errorf("a session of the block with the other key: %d", res.status)
	}
}

func TestErrorRoutesNeverSeeARefusalUnasked(t *testing.T) {
	g := startGateway(t, `
http://:PORT {
	root TESTDATA
	drm {
		license_server clearkey
	}
	file_server
	handle_errors {
		file_server
	}
}
`)
	want := clearFile(t, "demo/video/360p/seg_1.m4s")
	if res := g.get(t, "/demo/video/360p/seg_1.m4s"); bytes.Equal(res.body, want) || res.reason() != "not_found" {
		t.Errorf("%d, %d bytes", res.status, len(res.body))
	}
}

// A key list that gives another key gives other URLs too: what a browser kept under the old ones stays what it was.
func TestAnotherKeyNeverStandsBehindAnOldURL(t *testing.T) {
	list := filepath.Join(t.TempDir(), "keys.json")
	write := func(kid, key string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(`{"keys":[{"scheme":"cenc","kid":"`+kid+`","key":"`+key+`"}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	site := "http://:PORT {\n\tdrm {\n\tlicense_server clearkey\n\tscheme cenc\n\tkeys static " + list + "\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"
	write("00112233445566778899aabbccddee01", "a1b2c3d4e5f60718293a4b5c6d7e8f90")
	g := startGateway(t, site)
	old := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "").url
	g.mustGet(t, old)
	write("00112233445566778899aabbccddee02", "b1b2c3d4e5f60718293a4b5c6d7e8f91")
	g.load(t, globalBlock+site)
	if res := g.get(t, old); res.status != http.StatusNotFound || res.reason() != "key_replaced" {
		t.Errorf("an URL of the old key: %d %s", res.status, res.reason())
	}
	if fresh := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "").url; fresh == old {
		t.Error("the same URL under another key")
	} else {
		g.mustGet(t, fresh)
	}
}

// With cookies a live manifest is asked for again without the token that it began with.
func TestALiveManifestLeavesItsTokenBehindForACookie(t *testing.T) {
	o := new(scriptedOrigin)
	o.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/demo/video/360p/live.m3u8" {
			return false
		}
		_, _ = io.WriteString(w, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\nseg_1.m4s\n")
		return true
	})
	const live = "/demo/video/360p/live.m3u8?x=1"
	g := startGateway(t, "http://:PORT {\n\tdrm {\n"+memberOptions+"\tsession cookie 1h\n}\n\treverse_proxy "+o.start(t)+"\n}\n")
	res := g.get(t, live+"&token="+tokenFor(t, "/demo"))
	if res.status != http.StatusFound || strings.Contains(res.header.Get("Location"), "token") || !strings.Contains(res.header.Get("Location"), "x=1") {
		t.Fatalf("%d to %q", res.status, res.header.Get("Location"))
	}
	cookie, _, _ := strings.Cut(res.header.Get("Set-Cookie"), ";")
	if playlist := g.get(t, live, "Cookie", cookie); playlist.status != 200 {
		t.Errorf("with the cookie: %d %s", playlist.status, playlist.reason())
	}
	if res := g.get(t, live); res.status != 401 {
		t.Errorf("without: %d", res.status)
	}
}
