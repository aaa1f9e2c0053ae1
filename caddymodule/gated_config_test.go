package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestPlayerConfigOfGatedSegments: where segments want a license, the configuration says where manifests are of the session that its
// licenses are granted to, however sessions travel.
func TestPlayerConfigOfGatedSegments(t *testing.T) {
	for _, session := range []string{"path", "query"} {
		t.Run(session, func(t *testing.T) {
			g := startGateway(t, strings.Replace(gatedSite, "require_license 1s", "require_license 100ms\n\tlimit streams 1 by subject\n\tsession "+session, 1))
			var config struct {
				Manifests string
				Shaka     shakaConfig
			}
			token := viewerToken(t, "viewer", nil)
			if err := json.Unmarshal(g.mustGet(t, "/demo/.drm/config/default.json?token="+token).body, &config); err != nil {
				t.Fatal(err)
			}
			at := config.Manifests + "manifest.mpd"
			mpd := g.mustGet(t, at).body
			segment := func(of string, mpd []byte) reply {
				return g.get(t, linkTo(t, mpdLinks(t, of, mpd), "media", "/video/360p/seg_2.m4s").url)
			}
			wantReply(t, "the first segment", g.get(t, linkTo(t, mpdLinks(t, at, mpd), "media", "/video/360p/seg_1.m4s").url), 200, "")
			wantReply(t, "a segment before the license", segment(at, mpd), http.StatusForbidden, "license_required")
			kid := defaultKIDPattern.FindStringSubmatch(string(mpd))[1]
			if keys, res := g.license(t, config.Shaka.DRM.Servers["org.w3.clearkey"], kid); len(keys) != 1 {
				t.Fatalf("%d %s", res.status, res.body)
			}
			wantReply(t, "a segment, with the license of the configuration", segment(at, mpd), 200, "")
			// All of that was one stream, and another one has no place beside it.
			wantReply(t, "another playback", g.get(t, "/demo/manifest.mpd?token="+token), http.StatusTooManyRequests, "stream_limit")
		})
	}
}

// TestPlayerConfigNamesManifestsOnlyWhereItMatters: elsewhere the session of a configuration is for licenses alone.
func TestPlayerConfigNamesManifestsOnlyWhereItMatters(t *testing.T) {
	g := startGateway(t, strings.Replace(gatedSite, "require_license 1s", "", 1))
	if body := g.mustGet(t, "/demo/.drm/config/default.json?token="+viewerToken(t, "viewer", nil)).body; strings.Contains(string(body), `"manifests"`) {
		t.Errorf("%s", body)
	}
}
