package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const contentSites = `
http://whole.test:PORT {
	root TESTDATA
	drm {
		tenant whole
		scheme aes-128
		license_server clearkey
	}
	file_server
}
http://moving.test:PORT {
	root TESTDATA
	drm {
		tenant moving
		license_server clearkey
		license_server widevine https://127.0.0.1:PORT/ {
			vendor generic
		}
		group GROUP
	}
	file_server
}
`

// TestCheckLooksAtContent: what is refused behind the rules is refused by the command, for all that has an address, and nothing is said to have
// passed that was not looked at.
func TestCheckLooksAtContent(t *testing.T) {
	g, admin := newGateway(t), "127.0.0.1:"+freePort(t)
	load := func(group string) {
		t.Helper()
		groups := withGroups("\t\tgroup one {\n\t\t\tlevel low\n\t\t\tsystems clearkey widevine\n\t\t}\n\t\tgroup two {\n\t\t\tlevel low\n\t\t\tsystems widevine\n\t\t}\n")
		g.load(t, strings.Replace(groups, "admin off", "admin "+admin, 1)+strings.Replace(contentSites, "GROUP", group, 1))
	}
	host := ""
	happens := func(what, method, target, body, want string) {
		t.Helper()
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		target = u.RequestURI()
		said := check(t, admin, CheckRequest{URL: "http://" + host + ":" + g.port + target, Method: method})
		res := g.sendBody(t, method, target, []byte(body), "Host", host+":"+g.port)
		happened := res.reason()
		if happened == "" {
			happened = "allowed"
		}
		if happened != want || said.Reason != want || said.Status != res.status || said.Allowed != (want == "allowed") {
			t.Errorf("%s: happened %d %s, said %d %s (%s), want %s", what, res.status, happened, said.Status, said.Reason, said.Rule, want)
		}
		if last := said.Steps[len(said.Steps)-1]; last.Rule != "content" || last.Input == "" {
			t.Errorf("%s: the last step is %+v", what, last)
		}
	}

	load("one")
	host = "whole.test"
	happens("an MPD of AES-128", http.MethodGet, "/demo/manifest.mpd", "", "scheme_unsupported")
	happens("a playlist of AES-128", http.MethodGet, "/demo/master.m3u8", "", "allowed")
	happens("a query that is none", http.MethodGet, "/demo/master.m3u8?x=%zz", "", "query_invalid")

	host = "moving.test"
	hls := g.links(t, "/demo/master.m3u8?drm=cenc&keyformat=identity", "Host", "moving.test:"+g.port)
	servers := clearKeyConfigIn(t, g.mustGet(t, "/demo/.drm/config/one.json?drm=cenc", "Host", "moving.test:"+g.port)).Shaka.DRM.Servers
	playlist := linkTo(t, hls, "playlist", "/video/360p.m3u8").url
	key := pathOf(t, hls[slices.IndexFunc(hls, func(l link) bool { return strings.Contains(l.url, "/.drm/key/") })].url)
	clearKey, widevine := servers["org.w3.clearkey"], servers["com.widevine.alpha"]
	license := `{"kids":["` + base64URL(t, key[strings.LastIndexByte(key, '/')+1:]) + `"],"type":"temporary"}`
	happens("a playlist", http.MethodGet, playlist, "", "allowed")
	happens("a key", http.MethodGet, key, "", "allowed")
	happens("a key of another name", http.MethodGet, key[:strings.LastIndexByte(key, '/')+1]+strings.Repeat("0f", 16), "", "not_found")
	happens("a license", http.MethodPost, clearKey, license, "allowed")
	happens("the configuration", http.MethodGet, "/demo/.drm/config/one.json", "", "allowed")
	happens("that of another group", http.MethodGet, "/demo/.drm/config/two.json", "", "not_found")
	if said := check(t, admin, CheckRequest{URL: widevine, Method: http.MethodPost}); !said.Allowed {
		t.Errorf("a license of Widevine: %+v", said)
	}

	load("two\n\t\tgroup one /other") // the title has left its group, and has no license of ClearKey any more
	happens("the playlist of the old group", http.MethodGet, playlist, "", "key_replaced")
	happens("its key", http.MethodGet, key, "", "key_replaced")
	happens("its license", http.MethodPost, clearKey, license, "key_replaced")
	happens("its license of Widevine", http.MethodPost, widevine, "x", "key_replaced")
	happens("its configuration", http.MethodGet, "/demo/.drm/config/one.json", "", "not_found")
}
