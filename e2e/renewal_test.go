package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/token"
)

// A live channel whose sessions end while it is watched: an app sends its newest access token with each manifest, and the viewer is let
// go on. A session lasts 24 s, is followed by another in its last 12 s, and the channel is watched for about 34 s.
const (
	renewalOptions = "session %s 16s {\n\t\t\trenew 12s\n\t\t}"
	renewalToken   = 8 * time.Second
	renewalEvery   = 4 * time.Second
	renewalUntil   = 36.0
)

// tokenServer hands out access tokens, as an app's server does, each good for renewalToken from then on.
func tokenServer(t *testing.T) string {
	t.Helper()
	key := signingKey(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := token.SignPrefix(key, token.Claims{Subject: "viewer", Scope: []string{"/live"}, Expires: time.Now().Add(renewalToken)})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestSessionsAreRenewedWhileWatching(t *testing.T) {
	long(t)
	for _, c := range []struct {
		player            player.Player
		manifest, session string
	}{
		{player.Shaka, "manifest.mpd?drm=cenc", "path"},
		{player.DashJS, "manifest.mpd?drm=cenc", "query"},
		{player.DashJS, "manifest.mpd?drm=cenc", "path"},
		{player.HlsJS, "master.m3u8?drm=cenc&keyformat=clearkey", "path"},
		{player.HlsJS, "master.m3u8?drm=cenc&keyformat=clearkey", "query"},
		{player.Shaka, "master.m3u8?drm=cenc&keyformat=identity", "query"},
	} {
		t.Run(string(c.player)+" "+c.manifest+" "+c.session, func(t *testing.T) {
			parallel(t)
			startBrowser(t)
			origin := newLiveOrigin(t)
			address := liveGatewayWith(t, origin.URL, strings.Replace(renewalOptions, "%s", c.session, 1))
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/live/" + c.manifest, TokenURL: tokenServer(t), TokenEvery: renewalEvery})
			if err := s.PlayUntil(testContext(t), renewalUntil); err != nil {
				t.Fatal(err)
			}
			result := resultOf(t, s)
			if len(result.Fatal) > 0 || result.AudioBytes == 0 || len(result.UsableKeys()) == 0 {
				t.Errorf("live playback: %s", result)
			}
			var sessions []string
			for _, request := range result.Requests {
				if request.Status >= http.StatusBadRequest {
					t.Errorf("%s was answered with %d", withoutQuery(request.URL), request.Status)
				}
				if request.Kind != player.Segment {
					continue
				}
				if session := sessionOf(t, request.URL); session != "" && !slices.Contains(sessions, session) {
					sessions = append(sessions, session)
				}
			}
			if len(sessions) < 2 || len(sessions) > 4 {
				t.Errorf("segments were asked for with %d sessions, want two or three:\n%s", len(sessions), result)
			}
			if licenses := len(result.Licenses()); licenses > 2*len(sessions)+2 {
				t.Errorf("%d requests for licenses with %d sessions", licenses, len(sessions))
			}
		})
	}
}

// sessionOf returns the session in an address.
func sessionOf(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(u.Path, "/~s."); ok {
		session, _, _ := strings.Cut(rest, "/")
		return session
	}
	return u.Query().Get("session")
}
