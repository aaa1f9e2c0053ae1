package player

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

var encryptedCases = []struct {
	player   Player
	manifest string
}{{Shaka, "manifest.mpd"}, {DashJS, "manifest.mpd"}, {HlsJS, "master.m3u8"}}

func TestEncryptedTitle(t *testing.T) {
	for _, scheme := range drm.Schemes {
		dir := encryptDemo(t, scheme, true)
		for _, c := range encryptedCases {
			t.Run(fmt.Sprintf("%s decrypts %s", c.player, scheme), func(t *testing.T) {
				server := serveEncrypted(t, dir)
				s := mustPlay(t, Options{Player: c.player, URL: server.URL + "/" + c.manifest})
				result := checkDemo(t, s, 180, "/video/180p/", 5.6, 33.2)
				checkKeys(t, result, server)
			})
		}
	}
}

// With separate keys and a pssh that lists one of them, hls.js asks for that one alone; the filter asks by EXT-X-KEY.
func TestKeyIDFilterFindsSeparateKeys(t *testing.T) {
	server := serveEncrypted(t, encryptDemo(t, drm.SchemeCbcs, false))
	s := mustPlay(t, Options{Player: HlsJS, URL: server.URL + "/master.m3u8", KeyIDFilter: true})
	checkFrames(t, s, 5.6)
	result, err := s.Result(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	checkKeys(t, result, server)
}

// checkKeys checks that both keys arrived through the license server.
func checkKeys(t *testing.T, r Result, server *encryptedServer) {
	t.Helper()
	if r.KeySystem != "org.w3.clearkey" {
		t.Errorf("key system %q, want org.w3.clearkey", r.KeySystem)
	}
	usable := strings.Join(r.UsableKeys(), " ")
	for _, kid := range []string{testVideoKID, testAudioKID} {
		if !strings.Contains(usable, strings.ReplaceAll(kid, "-", "")) {
			t.Errorf("key %s is not usable:\n%s", kid, r)
		}
	}
	licenses := r.Licenses()
	if len(licenses) == 0 || len(licenses) != int(server.licenses.Load()) {
		t.Errorf("%d license requests seen in the browser, %d by the server", len(licenses), server.licenses.Load())
	}
	for _, q := range licenses {
		if q.Status != http.StatusOK || !strings.HasPrefix(q.URL, server.URL+"/license") {
			t.Errorf("license request: %+v", q)
		}
	}
}

// The controls: without them the tests above could pass on content that was never encrypted.
func TestWrongKeyShowsNothing(t *testing.T) {
	for _, scheme := range drm.Schemes {
		dir := encryptDemo(t, scheme, true)
		for _, c := range encryptedCases {
			t.Run(fmt.Sprintf("%s %s", c.player, scheme), func(t *testing.T) {
				server := serveEncrypted(t, dir)
				for kid := range server.keys {
					server.keys[kid] = "ffffffffffffffffffffffffffffffff"
				}
				failed := mustNotPlay(t, Options{Player: c.player, URL: server.URL + "/" + c.manifest})
				if len(failed.Result.Fatal) == 0 {
					t.Errorf("the wrong key is no fatal error:\n%s", failed.Result)
				}
			})
		}
	}
}

func TestRefusedLicenseIsAFatalError(t *testing.T) {
	dir := encryptDemo(t, drm.SchemeCenc, true)
	for _, c := range encryptedCases {
		t.Run(string(c.player), func(t *testing.T) {
			server := serveEncrypted(t, dir)
			server.refuse.Store(http.StatusForbidden)
			failed := mustNotPlay(t, Options{Player: c.player, URL: server.URL + "/" + c.manifest})
			if len(failed.Result.Fatal) == 0 || failed.Result.DecodedFrames > 0 {
				t.Errorf("want a fatal error and no frames:\n%s", failed.Result)
			}
			refused := 0
			for _, q := range failed.Result.Licenses() {
				switch q.Status {
				case http.StatusForbidden:
					refused++
				case 0: // hls.js asks for two licenses at once, and gives up at the first refusal
				default:
					t.Errorf("license request has status %d, want 403", q.Status)
				}
			}
			if refused == 0 {
				t.Errorf("no license request was answered with 403:\n%s", failed.Result)
			}
		})
	}
}
