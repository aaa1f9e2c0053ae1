package e2e_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// exampleSite starts examples/<name>.Caddyfile on a port of its own and returns its address.
func exampleSite(t *testing.T, name string) string {
	t.Helper()
	root, err := testtools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", name+".Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := localhost(port)
	if !strings.Contains(string(text), "http://localhost:8080") {
		t.Fatal("the example has another address")
	}
	newGateway(t, strings.ReplaceAll(string(text), "http://localhost:8080", address))
	return address
}

// The examples of whole services start, hand out nothing to strangers and nothing in clear.
func TestExamplesServe(t *testing.T) {
	t.Run("ott", func(t *testing.T) {
		site := exampleSite(t, "ott")
		checkRefusal(t, get(t, site+"/demo/manifest.mpd"), http.StatusUnauthorized, "token_missing")
		checkRefusal(t, get(t, site+"/demo/video/360p/seg_1.m4s"), http.StatusNotFound, "not_found")
	})
	t.Run("iptv", func(t *testing.T) { checkIPTV(t, exampleSite(t, "iptv")) })
	t.Run("cdn-tenants", func(t *testing.T) { checkCDNTenants(t, exampleSite(t, "cdn-tenants")) })
}

// checkIPTV watches a channel with a token that the middleware signs.
func checkIPTV(t *testing.T, site string) {
	checkRefusal(t, get(t, site+"/channels/demo/master.m3u8"), http.StatusUnauthorized, "token_missing")
	binary, err := gatewayBinary()
	if err != nil {
		t.Fatal(err)
	}
	key, err := testtools.Testdata("tokens", "signed.key")
	if err != nil {
		t.Fatal(err)
	}
	token, err := exec.CommandContext(t.Context(), binary, "drm", "token", "flussonic", "--key-file", key, "--stream", "demo", "--ip", "127.0.0.1").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The token is bound to the address, so the name must not lead to the other family.
	byAddress, host := strings.Replace(site, "localhost", "127.0.0.1", 1), strings.TrimPrefix(site, "http://")
	ask := func(target string) answer {
		a := askWith(t, http.MethodGet, target, host, "", nil)
		if a.status != http.StatusOK {
			t.Fatal(a)
		}
		return a
	}
	master := ask(byAddress + "/channels/demo/master.m3u8?token=" + url.QueryEscape(strings.TrimSpace(string(token))))
	variant := ""
	for line := range strings.Lines(string(master.body)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			variant = line
		}
	}
	base, err := url.Parse(master.url)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := url.Parse(variant)
	if err != nil {
		t.Fatal(err)
	}
	playlist := ask(base.ResolveReference(reference).String())
	if !strings.Contains(string(playlist.body), "METHOD=AES-128") {
		t.Errorf("the playlist has no AES-128 key:\n%s", playlist.body)
	}
	// The backend of the other site is not there, and nobody was let in before.
	checkRefusal(t, get(t, site+"/web/demo/master.m3u8?token=opaque"), http.StatusServiceUnavailable, "entitlement_unknown")
}

// checkCDNTenants asks as a viewer, as the CDN, and as somebody who has found the edge.
func checkCDNTenants(t *testing.T, site string) {
	viewer := viewerToken(t, "viewer")
	manifest := func(customer string) answer {
		return askWith(t, http.MethodGet, site+"/"+customer+"/demo/manifest.mpd", "", "", viewer)
	}
	checkRefusal(t, manifest("south"), http.StatusUnauthorized, "token_invalid")
	mpd := manifest("north")
	if mpd.status != http.StatusOK {
		t.Fatal(mpd)
	}
	tracks, _ := parseMPD(t, mpd.url, mpd.body)
	segment := tracks[0].segments[0]
	checkRefusal(t, get(t, segment), http.StatusForbidden, "pull_auth")
	pulled := askWith(t, http.MethodGet, segment, "", "", http.Header{"X-Pull-Secret": {testPullSecret}})
	if pulled.status != http.StatusOK || !strings.HasPrefix(pulled.header.Get("Cache-Control"), "public, max-age=86400") {
		t.Errorf("%s, Cache-Control %q", pulled, pulled.header.Get("Cache-Control"))
	}
}
