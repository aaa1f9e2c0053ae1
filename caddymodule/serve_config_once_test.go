package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/token/cat"
)

// TestPlayerConfigWithATokenForOneUse: the configuration is the one use. What it says leads to the manifest, its segments and licenses, in one
// stream, however sessions travel.
func TestPlayerConfigWithATokenForOneUse(t *testing.T) {
	for _, session := range []string{"path", "query", "cookie"} {
		t.Run(session, func(t *testing.T) {
			g := startCATGateway(t, "session "+session+"\n\t\t\tlimit streams 1 by subject")
			first := "/members/demo/.drm/config/default.json?drm=cenc&cat=" + onceToken(t) + "&keyformat=clearkey"
			res := g.mustGet(t, first)
			config := clearKeyConfigIn(t, res)
			var cookie []string
			if session == "cookie" {
				name, _, _ := strings.Cut(res.header.Get("Set-Cookie"), ";")
				cookie = []string{"Cookie", name}
			}
			wantReply(t, "the token again", g.get(t, strings.Replace(first, ".drm/config/default.json", "manifest.mpd", 1)), http.StatusUnauthorized, "token_replayed")
			if config.Query != "drm=cenc&keyformat=clearkey" {
				t.Errorf("without the token the query is %q", config.Query)
			}
			at := config.Manifests + "manifest.mpd?" + config.Query
			mpd := g.mustGet(t, at, cookie...).body
			wantReply(t, "a segment", g.get(t, linkTo(t, mpdLinks(t, at, mpd), "media", "/video/360p/seg_1.m4s").url, cookie...), 200, "")
			kid := defaultKIDPattern.FindStringSubmatch(string(mpd))[1]
			if session != "cookie" { // which a license request of the tests does not carry
				if keys, res := g.license(t, config.licenseURL(), kid); len(keys) != 1 {
					t.Errorf("a license: %d %s", res.status, res.reason())
				}
			}
			wantReply(t, "another stream", g.get(t, "/members/demo/manifest.mpd?cat="+catToken(t)), http.StatusTooManyRequests, "stream_limit")
		})
	}
}

// TestPlayerConfigWithATokenForOneAddress: such a token says nothing of the configuration, and is not used up on it.
func TestPlayerConfigWithATokenForOneAddress(t *testing.T) {
	g := startCATGateway(t, "")
	query := "?cat=" + catToken(t, cat.Replay, 1, cat.ID, []byte("once-and-here"), cat.URI, labels{cat.PartPath: labels{cat.MatchExact: catManifest}})
	wantReply(t, "the configuration", g.get(t, "/members/demo/.drm/config/default.json"+query), http.StatusForbidden, "token_scope")
	wantReply(t, "the manifest", g.get(t, catManifest+query), 200, "")
}
