package caddymodule

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// catalogSite takes the group of each title from a catalog.
const catalogSite = `
http://:PORT {
	root DIR
	drm {
		tenant catalog
		scheme cenc
		license_server clearkey
		rights shop {
			unlisted allow
		}
		OPTIONS
	}
	file_server
}
`

// startCatalog serves the demo title with its audio elsewhere, where several titles share it.
func startCatalog(t *testing.T, options string) *gateway {
	t.Helper()
	g := newGateway(t)
	if err := os.CopyFS(filepath.Join(g.dir, "vod"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(g.dir, "vod", "audio"), filepath.Join(g.dir, "audio")); err != nil {
		t.Fatal(err)
	}
	mpd, err := os.ReadFile(filepath.Join(g.dir, "vod", "manifest.mpd"))
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(mpd), `"audio/$`, `"../audio/$`)
	if err := os.WriteFile(filepath.Join(g.dir, "vod", "manifest.mpd"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	g.writeCatalog(t, "titles: [{path: /vod/, group: premium, territories: world, model: free}]")
	const global = "\t\tgroup premium {\n\t\t\tlevel low\n\t\t}\n\t\trights shop DIR/rights.yaml {\n\t\t\trefresh 1s\n\t\t}\n"
	g.load(t, withGroups(global)+strings.Replace(catalogSite, "OPTIONS", options, 1))
	return g
}

// TestGroupOfSharedMedia: what several titles share is of the group of the title that leads to it, not of its own path.
func TestGroupOfSharedMedia(t *testing.T) {
	g := startCatalog(t, "shared /audio/*")
	links := g.links(t, "/vod/manifest.mpd")
	g.mustGet(t, linkTo(t, links, "media", "/video/360p/seg_1.m4s").url)
	g.mustGet(t, linkTo(t, links, "init", "/audio/en/init.mp4").url)
	g.mustGet(t, linkTo(t, links, "media", "/audio/en/seg_1.m4s").url)
	mpd := string(g.mustGet(t, "/vod/manifest.mpd").body)
	kid := defaultKIDPattern.FindStringSubmatch(mpd)[1]
	if keys, res := g.license(t, laurlPattern.FindStringSubmatch(mpd)[1], kid); len(keys) != 1 {
		t.Errorf("the license: %d %s", res.status, res.body)
	}
}

// TestPlaylistsOfAGroupThatIsLeft: players load the title anew, and are not led to segments that are refused.
func TestPlaylistsOfAGroupThatIsLeft(t *testing.T) {
	g := newGateway(t)
	site := strings.NewReplacer("group rotating", "GROUP", "KEYS", "").Replace(rotatingSite)
	groups := withGroups("\t\tgroup one {\n\t\t\tlevel low\n\t\t}\n\t\tgroup two {\n\t\t\tlevel low\n\t\t}\n")
	g.load(t, groups+strings.Replace(site, "GROUP", "group one", 1))
	links := g.links(t, "/demo/master.m3u8?drm=cenc")
	playlist := linkTo(t, links, "playlist", "/video/360p.m3u8").url
	segment := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url
	g.mustGet(t, segment)
	g.load(t, groups+strings.Replace(site, "GROUP", "group two", 1))
	wantReply(t, "a segment", g.get(t, segment), http.StatusNotFound, "key_replaced")
	wantReply(t, "the playlist", g.get(t, playlist), http.StatusNotFound, "key_replaced")
}

// TestGroupWhileObserving: a title has its group for viewers as well whom a rule in front of that on rights would refuse.
func TestGroupWhileObserving(t *testing.T) {
	clock := setClock(t, time.Now())
	g := startCatalog(t, "shared /audio/*\n\t\tmode observe\n\t\ttoken jwt {\n\t\t\talgorithms HS256\n\t\t\tsecret {env.TEST_TOKEN_SECRET}\n\t\t}")
	kidOf := func(query string) string {
		return defaultKIDPattern.FindStringSubmatch(string(g.mustGet(t, "/vod/manifest.mpd"+query).body))[1]
	}
	admitted, refused := kidOf("?token="+viewerToken(t, "viewer", nil)), kidOf("")
	if admitted != refused {
		t.Error("who would be refused gets the title under another group")
	}
	segment := linkTo(t, g.links(t, "/vod/manifest.mpd?token="+viewerToken(t, "viewer", nil)), "media", "/video/360p/seg_1.m4s").url
	clock.set(time.Now().Add(48 * time.Hour)) // the session has long ended
	if res := g.get(t, segment); res.status != http.StatusOK {
		t.Errorf("a segment behind the end of the session: %d %s", res.status, res.reason())
	}
}
