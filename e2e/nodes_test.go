package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Viewers reach both nodes by the same name, as behind DNS or a load balancer.
const (
	nodesHost = "media.test"
	otherHost = "other.test"
)

// nodeCaddyfile is the configuration of one node of several, on its port. The tenant is the host that viewers ask for.
func nodeCaddyfile(port int) string {
	return fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
	}
}
http://:%d {
	root testdata
	handle_path /members/* {
		drm {
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			session path 4h
		}
		file_server
	}
	handle {
		drm {
			license_server clearkey
			keys derived {
				per track_class
			}
		}
		file_server
	}
}
`, port)
}

func startNode(t *testing.T) (address string) {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	newGateway(t, nodeCaddyfile(port))
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// exchange is a request for something that a manifest named. The body is that of a license request.
type exchange struct {
	method, path, body string
}

// ask sends the exchange to a node in the name of a host.
func (x exchange) ask(t *testing.T, address, host string) answer {
	t.Helper()
	return ask(t, x.method, address+x.path, host, x.body)
}

// crawl asks a node for a title's manifests and returns what they name: playlists, init and media segments, subtitles,
// licenses and keys. Licenses come first, then segments, so that a node that gets them in this order is asked for keys and
// media before it has seen any manifest.
func crawl(t *testing.T, address, host, dir, query string) (named []exchange) {
	t.Helper()
	fetch := func(path string) []byte {
		a := ask(t, http.MethodGet, address+path, host, "")
		if a.status != http.StatusOK {
			t.Fatal(a)
		}
		return a.body
	}
	at := func(path string) string { return "http://" + host + path }
	path := func(target string) string { return strings.TrimPrefix(target, "http://"+host) }
	var keys, media, lists []exchange
	addTrack := func(tr track) {
		keys = append(keys, exchange{http.MethodPost, path(tr.license), licenseBody(t, tr.kid)})
		if tr.rawKey != "" {
			keys = append(keys, exchange{http.MethodGet, path(tr.rawKey), ""})
		}
		media = append(media, exchange{http.MethodGet, path(tr.segments[len(tr.segments)-1]), ""}, exchange{http.MethodGet, path(tr.init), ""})
		for _, segment := range tr.segments {
			media = append(media, exchange{http.MethodGet, path(segment), ""})
		}
	}
	mpd := dir + "/manifest.mpd?" + query
	tracks, sidecars := parseMPD(t, at(mpd), fetch(mpd))
	master := dir + "/master.m3u8?" + query
	lists = append(lists, exchange{http.MethodGet, mpd, ""}, exchange{http.MethodGet, master, ""})
	playing, subtitles := playlists(t, at(master), fetch(master))
	for _, playlist := range playing {
		tracks = append(tracks, parsePlaylist(t, at(master), playlist, fetch(path(playlist))))
		lists = append(lists, exchange{http.MethodGet, path(playlist), ""})
	}
	for _, tr := range tracks {
		addTrack(tr)
	}
	for _, other := range append(sidecars, subtitles...) {
		media = append(media, exchange{http.MethodGet, path(other), ""})
	}
	return append(append(keys, media...), lists...)
}

func crawlAll(t *testing.T, address, host string) (named []exchange) {
	t.Helper()
	for _, query := range []string{"drm=cenc", "drm=cbcs&keyformat=clearkey"} {
		named = append(named, crawl(t, address, host, "/demo", query)...)
		named = append(named, crawl(t, address, host, "/demo-av1", query)...)
	}
	return named
}

// A second node that has just started answers everything that the first one's manifests name, with the same bytes and the
// same ETags.
func TestAnyNodeAnswersAnyURL(t *testing.T) {
	long(t)
	first := startNode(t)
	named := crawlAll(t, first, nodesHost)
	token := "token=" + url.QueryEscape(accessToken(t, "/demo"))
	members := crawl(t, first, nodesHost, "/members/demo", token)
	for _, x := range members { // with a session; the manifests hold one made for this request, so they are not compared
		if !strings.Contains(x.path, "token=") {
			named = append(named, x)
		}
	}
	if len(named) < 500 {
		t.Fatalf("the manifests name %d URLs", len(named))
	}
	second := startNode(t)
	for _, x := range named {
		got, want := x.ask(t, second, nodesHost), x.ask(t, first, nodesHost)
		if want.status != http.StatusOK || got.status != want.status || !bytes.Equal(got.body, want.body) {
			t.Fatalf("%s\nbut %s", got, want)
		}
		for _, name := range []string{"ETag", "Content-Type", "Cache-Control"} {
			if got.header.Get(name) != want.header.Get(name) {
				t.Errorf("%s: %s %q, want %q", got, name, got.header.Get(name), want.header.Get(name))
			}
		}
		if x.method == http.MethodGet && want.header.Get("Cache-Control") != "no-store" && want.header.Get("ETag") == "" {
			t.Errorf("%s has no ETag", want)
		}
	}
}

// A download that began on one node goes on at another, and what is asked for in part is a part of the whole.
func TestPartsOfTwoNodesFitTogether(t *testing.T) {
	long(t)
	first, second := startNode(t), startNode(t)
	for _, scheme := range drm.Schemes {
		tracks, _ := dashTracks(t, first+"/demo/manifest.mpd?drm="+scheme.String())
		path := strings.TrimPrefix(tracks[0].segments[4], first)
		// The tenant is the host that is asked for, so the first node's name goes along to the second.
		host := strings.TrimPrefix(first, "http://")
		whole := mustGet(t, first+path)
		etag := whole.header.Get("ETag")
		for _, c := range []struct {
			method  string
			header  http.Header
			status  int
			want    []byte
			content string // Content-Range
		}{
			{http.MethodHead, nil, http.StatusOK, nil, ""},
			{http.MethodGet, http.Header{"Range": {"bytes=1000-2999"}}, http.StatusPartialContent, whole.body[1000:3000],
				fmt.Sprintf("bytes 1000-2999/%d", len(whole.body))},
			{http.MethodGet, http.Header{"Range": {"bytes=1001-"}, "If-Range": {etag}}, http.StatusPartialContent, whole.body[1001:],
				fmt.Sprintf("bytes 1001-%d/%d", len(whole.body)-1, len(whole.body))},
			{http.MethodGet, http.Header{"Range": {"bytes=1001-"}, "If-Range": {`"another"`}}, http.StatusOK, whole.body, ""},
			{http.MethodGet, http.Header{"If-None-Match": {etag}}, http.StatusNotModified, nil, ""},
		} {
			a := askWith(t, c.method, second+path, host, "", c.header)
			if a.status != c.status || !bytes.Equal(a.body, c.want) || a.header.Get("Content-Range") != c.content || a.header.Get("ETag") != etag {
				t.Errorf("%s %s %v: %s, ETag %s, Content-Range %q", scheme, c.method, c.header, a, a.header.Get("ETag"), a.header.Get("Content-Range"))
			}
		}
	}
}

// Sites share the secret and have the same paths; still nothing made for one of them works on the other: no seal, no
// license, no key, no session.
func TestNothingOfOneSiteWorksOnAnother(t *testing.T) {
	long(t)
	node := startNode(t)
	token := "token=" + url.QueryEscape(accessToken(t, "/demo"))
	for _, c := range []struct{ from, to string }{{nodesHost, otherHost}, {otherHost, nodesHost}} {
		named := crawl(t, node, c.from, "/demo", "drm=cenc")
		for _, x := range named {
			if !strings.Contains(x.path, "/~") && !strings.Contains(x.path, "/.drm/") {
				continue // a manifest at its clean path belongs to every site
			}
			checkRefusal(t, x.ask(t, node, c.to), http.StatusNotFound, "not_found")
		}
		for _, x := range crawl(t, node, c.from, "/members/demo", token) {
			if a := x.ask(t, node, c.to); !strings.Contains(x.path, "token=") && a.status == http.StatusOK {
				t.Errorf("a session of %s works on %s: %s", c.from, c.to, a)
			}
		}
	}
}

// A session alone, in front of a manifest at its clean path, is worth nothing on another site, and nothing for another
// title.
func TestSessionStaysOnItsSiteAndTitle(t *testing.T) {
	long(t)
	node := startNode(t)
	token := "token=" + url.QueryEscape(accessToken(t, "/demo"))
	session := ""
	for _, x := range crawl(t, node, nodesHost, "/members/demo", token) {
		for _, element := range strings.Split(x.path, "/") {
			if strings.HasPrefix(element, "~s.") {
				session = element
			}
		}
	}
	if session == "" {
		t.Fatal("no URL carries a session")
	}
	manifest := func(title string) string { return node + "/members/" + title + "/" + session + "/manifest.mpd" }
	if a := ask(t, http.MethodGet, manifest("demo"), nodesHost, ""); a.status != http.StatusOK {
		t.Errorf("where it belongs: %s", a)
	}
	checkRefusal(t, ask(t, http.MethodGet, manifest("demo"), otherHost, ""), http.StatusUnauthorized, "token_invalid")
	checkRefusal(t, ask(t, http.MethodGet, manifest("demo-av1"), nodesHost, ""), http.StatusForbidden, "token_scope")
}

// The seals of one title, of one block and of one track do not open another's.
func TestSealsDoNotMove(t *testing.T) {
	e := sharedExample(t)
	demo, _ := dashTracks(t, e.url+"/cenc/demo/manifest.mpd")
	other, _ := dashTracks(t, e.url+"/cenc/demo-av1/manifest.mpd")
	move := func(target, old, new string) string {
		t.Helper()
		if !strings.Contains(target, old) {
			t.Fatalf("%s is not in the URL", old)
		}
		return strings.Replace(target, old, new, 1)
	}
	for name, target := range map[string]string{
		"another block":       move(demo[0].segments[0], "/cenc/", "/vod/"),
		"another title":       move(demo[0].segments[0], "/demo/", "/demo-av1/"),
		"another track":       move(demo[0].segments[0], "video/360p", "audio/en"),
		"another title's key": move(demo[0].license, "/demo/", "/demo-av1/"),
		"no seal":             e.url + "/cenc/demo/video/360p/seg_1.m4s",
		"no seal, init":       e.url + "/cenc/demo/video/360p/init.mp4",
	} {
		t.Run(name, func(t *testing.T) {
			method, body := http.MethodGet, ""
			if strings.Contains(target, "/.drm/") {
				method, body = http.MethodPost, licenseBody(t, other[0].kid)
			}
			checkRefusal(t, ask(t, method, target, "", body), http.StatusNotFound, "not_found")
		})
	}
	// A license URL gives the keys of its title and no other's.
	checkRefusal(t, ask(t, http.MethodPost, demo[0].license, "", licenseBody(t, other[0].kid)), http.StatusForbidden, "license_no_keys")
}
