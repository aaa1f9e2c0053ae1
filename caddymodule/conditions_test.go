package caddymodule

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
	"github.com/caddy-drm/caddy-drm/token/cat"
)

// TestPortOfRequest: the port is known over TCP and over QUIC.
func TestPortOfRequest(t *testing.T) {
	for name, addr := range map[string]net.Addr{"TCP": &net.TCPAddr{Port: 8443}, "UDP": &net.UDPAddr{Port: 8443}} {
		r := httptest.NewRequest(http.MethodGet, "/a.mpd?x=%7e&token=secret&y=1", nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
		q := &request{Handler: &Handler{Token: &TokenConfig{queries: []string{"token"}}}, r: r}
		if got := q.tokenRequest(); got.Port != 8443 || got.RawQuery != "x=%7e&y=1" {
			t.Errorf("%s: port %d, query %q", name, got.Port, got.RawQuery)
		}
	}
}

// TestParseConditions: what sessions carry is parsed once, kept within bounds, and of a known kind or refused.
func TestParseConditions(t *testing.T) {
	empty := []byte{cat.ConditionsKind, 0xa0}
	first, err := parseConditions(empty)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := parseConditions(append([]byte(nil), empty...)); err != nil || again != first {
		t.Errorf("parsed again: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("?"), {cat.ConditionsKind}, {cat.ConditionsKind, 0xff}} {
		if c, err := parseConditions(bad); err == nil || c != nil {
			t.Errorf("%x: accepted", bad)
		}
	}
	for i := range maxParsedConditions + 10 {
		text := fmt.Sprintf("%08d", i) // {313: [text]}
		if _, err := parseConditions(append([]byte{cat.ConditionsKind, 0xa1, 0x19, 0x01, 0x39, 0x81, 0x68}, text...)); err != nil {
			t.Fatal(err)
		}
	}
	parsedConditions.RLock()
	defer parsedConditions.RUnlock()
	if kept := len(parsedConditions.byText); kept > maxParsedConditions {
		t.Errorf("%d are kept", kept)
	}
}

// TestOneAddressOpensOneAsset: the directory of the title that a URL was signed for may lie above other titles, which have keys of
// their own.
func TestOneAddressOpensOneAsset(t *testing.T) {
	kind := vendorKinds(t)["secure_link"]
	g, _ := vendorGateway(t, kind.options)
	target, pairs := kind.sign(t, "/demo/manifest.mpd", time.Now().Add(time.Hour))
	manifest := g.get(t, target, from(testClient, pairs...)...)
	if manifest.status != http.StatusOK {
		t.Fatalf("%d %s", manifest.status, manifest.reason())
	}
	session := string(manifest.body[bytes.Index(manifest.body, []byte("~s.")):])
	session = session[:strings.IndexByte(session, '/')]
	for path, want := range map[string]string{"/demo/" + session + "/manifest.mpd": "", "/demo/video/" + session + "/manifest.mpd": "token_scope"} {
		if res := g.get(t, path, from(testClient)...); res.reason() != want {
			t.Errorf("%s: %d %s, want %q", path, res.status, res.reason(), want)
		}
	}
}

// TestASharedPlaylistWidensNothing: a playlist that all titles share carries the seal of the one whose manifest named it. A token for
// that playlist's address alone is no way into the title.
func TestASharedPlaylistWidensNothing(t *testing.T) {
	kind := vendorKinds(t)["secure_link"]
	g, origin := vendorGateway(t, kind.options+"\tasset /vod/*\n\tshared /audio\n")
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		name, inTitle := strings.CutPrefix(r.URL.Path, "/vod/a/")
		if !inTitle {
			name = strings.TrimPrefix(r.URL.Path, "/")
		}
		text := string(clearFile(t, "demo/"+name))
		_, _ = io.WriteString(w, strings.Replace(text, `URI="audio/en.m3u8"`, `URI="/audio/en.m3u8"`, 1))
		return true
	})
	signed := func(path, sealed string) string {
		target, _ := kind.sign(t, path, time.Now().Add(time.Hour))
		return "http://" + g.addr + strings.Replace(target, path, sealed, 1)
	}
	at := signed("/vod/a/master.m3u8", "/vod/a/master.m3u8")
	shared := linkTo(t, playlistLinks(t, at, g.mustGet(t, at, from(testClient)...).body), "playlist", "/audio/en.m3u8").url
	title := "/vod/a/~s." + sessionIn(t, shared) + "/master.m3u8"
	if res := g.get(t, title, from(testClient)...); res.status != http.StatusOK {
		t.Fatalf("the title's own session: %d %s", res.status, res.reason())
	}
	for name, test := range map[string]struct{ playlist, title string }{
		"with the title's session": {shared, ""},
		"signed by itself":         {signed("/audio/en.m3u8", "/audio/"+sealOf(t, shared)+"/en.m3u8"), "token_scope"},
	} {
		res := g.get(t, test.playlist, from(testClient)...)
		if res.status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, res.status, res.reason())
		}
		session := sessionIn(t, linkTo(t, playlistLinks(t, test.playlist, res.body), "media", "").url)
		for _, manifest := range []string{"master.m3u8", "manifest.mpd"} {
			if res := g.get(t, "/vod/a/~s."+session+"/"+manifest, from(testClient)...); res.reason() != test.title {
				t.Errorf("%s, and its session on the title's %s: %d %s, want %q", name, manifest, res.status, res.reason(), test.title)
			}
		}
	}
}

func TestAssetConditionsInSessions(t *testing.T) {
	inner, err := parseConditions([]byte{cat.ConditionsKind, 0xa0})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []assetConditions{{asset: "/demo/"}, {asset: "/", inner: inner}} {
		b, err := c.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseConditions(b); err != nil || got != token.Conditions(c) {
			t.Errorf("%v became %v, %v", c, got, err)
		}
		if _, err := parseAssetConditions(b[:2]); err == nil {
			t.Error("cut conditions were accepted")
		}
		if _, err := parseAssetConditions(append([]byte{assetConditionsKind, 0, 0}, b...)); err == nil {
			t.Error("conditions inside of their own kind were accepted")
		}
	}
}
