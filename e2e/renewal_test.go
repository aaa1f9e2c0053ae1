package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/token"
)

// envRenewals set to "long" renews sessions at least three times in each player, by shorter ones; the short form does so at least once.
const envRenewals = "CADDY_DRM_RENEWALS"

// renewals are the times of a live channel whose sessions end while it is watched: an app sends its newest access token with each manifest, and
// the viewer is let go on. A session lasts as long as its token and then for extend, and is followed by another in its last part.
type renewals struct {
	token, extend, renew, every time.Duration
	atLeast, atMost             int // sessions that segments are asked for with
}

// renewalUntil is how far the channel is watched, in seconds: for about 34 s.
const renewalUntil = 36.0

func renewalsOfRun() renewals {
	if os.Getenv(envRenewals) == "long" {
		return renewals{token: 6 * time.Second, extend: 10 * time.Second, renew: 9 * time.Second, every: 3 * time.Second, atLeast: 4, atMost: 7}
	}
	return renewals{token: 8 * time.Second, extend: 16 * time.Second, renew: 12 * time.Second, every: 4 * time.Second, atLeast: 2, atMost: 4}
}

func (r renewals) options(session string) string {
	return fmt.Sprintf("session %s %s {\n\t\t\trenew %s\n\t\t}", session, r.extend, r.renew)
}

// tokenServer hands out access tokens, as an app's server does, each good for so long from then on.
func tokenServer(t *testing.T, life time.Duration) string {
	t.Helper()
	key := signingKey(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := token.SignPrefix(key, token.Claims{Subject: "viewer", Scope: []string{"/live"}, Expires: time.Now().Add(life)})
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
		{player.DashJS, "manifest.mpd?drm=cenc", "cookie"},
		{player.HlsJS, "master.m3u8?drm=cenc&keyformat=clearkey", "cookie"},
	} {
		t.Run(string(c.player)+" "+c.manifest+" "+c.session, func(t *testing.T) {
			parallel(t)
			startBrowser(t)
			times, origin := renewalsOfRun(), newLiveOrigin(t)
			address := liveGatewayWith(t, origin.URL, times.options(c.session))
			begin := time.Now()
			s := mustPlay(t, player.Options{Player: c.player, URL: address + "/live/" + c.manifest, TokenURL: tokenServer(t, times.token), TokenEvery: times.every})
			firstEnds := time.Now().Add(times.token + times.extend) // it was handed out earlier
			if err := s.PlayUntil(testContext(t), renewalUntil); err != nil {
				t.Fatal(err)
			}
			result := resultOf(t, s)
			if len(result.Fatal) > 0 || result.AudioBytes == 0 || len(result.UsableKeys()) == 0 {
				t.Errorf("live playback: %s", result)
			}
			sessions, late := checkRenewed(t, result, firstEnds)
			if late == 0 {
				t.Errorf("no segment was asked for after the first session had ended, %s after the start:\n%s", firstEnds.Sub(begin), result)
			}
			if c.session == "cookie" {
				if len(sessions) > 0 {
					t.Error("an address carries a session")
				}
				return // the browser keeps to itself which cookie it sends
			}
			if len(sessions) < times.atLeast || len(sessions) > times.atMost {
				t.Errorf("segments were asked for with %d sessions, want %d to %d:\n%s", len(sessions), times.atLeast, times.atMost, result)
			}
			if licenses := len(result.Licenses()); licenses > 2*len(sessions)+2 {
				t.Errorf("%d requests for licenses with %d sessions", licenses, len(sessions))
			}
		})
	}
}

// checkRenewed checks that nothing was refused, and returns the sessions that segments were asked for with, and how many segments were
// answered after an instant.
func checkRenewed(t *testing.T, result player.Result, after time.Time) (sessions []string, late int) {
	t.Helper()
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
		if at, err := http.ParseTime(request.Header["date"]); err == nil && at.After(after) {
			late++
		}
	}
	return sessions, late
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
