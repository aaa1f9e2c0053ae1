package e2e_test

import (
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// shakaHLS is Shaka on the playlists of a channel. Under cbcs it takes keys of the format identity alone.
func shakaHLS(scheme drm.ProtectionScheme) liveWay {
	manifest := "master.m3u8?drm=" + scheme.String()
	if scheme == drm.SchemeCbcs {
		manifest += "&keyformat=identity"
	}
	return liveWay{player.Shaka, manifest, map[string]any{"manifest": map[string]any{"defaultPresentationDelay": 8}}, false}
}

// Shaka watches the playlists of a channel whose keys change, in each scheme: without a stall, with the right pictures, and on when
// all keys are replaced. Its keys are of the format identity, and each is asked for once. It does not go back: its window stays what was listed when
// it began, which is little here.
func TestShakaWatchesPlaylistsWhoseKeysRotate(t *testing.T) {
	long(t)
	startBrowser(t)
	channel := startChannel(t, false)
	nodes := channelNodes(t, channel.root, "rotate "+rotateEvery.String())
	for _, scheme := range drm.Schemes {
		t.Run(scheme.String(), func(t *testing.T) {
			c := shakaHLS(scheme)
			_, from := nodes.since(0)
			s := mustPlay(t, player.Options{Player: c.player, URL: nodes.URL + "/live/" + c.manifest, Config: c.config})
			begin := resultOf(t, s).CurrentTime
			watch := &frameWatch{t: t, s: s, origin: c.origin}
			for step := range 4 {
				watch.playUntil(begin + float64(step+1)*1.05*rotateEvery.Seconds())
			}
			checkSmooth(t, resultOf(t, s))
			passed, _ := nodes.since(from)
			checkIdentityKeysAskedOnce(t, passed, 5)
			if scheme == drm.SchemeCbcs {
				rekeyWhileWatching(t, nodes, s)
			}
		})
	}
}

// checkIdentityKeysAskedOnce checks that nothing was refused, and that at least so many keys of the format identity were asked for, each once.
func checkIdentityKeysAskedOnce(t *testing.T, requests []passed, least int) {
	t.Helper()
	asked := map[string]int{}
	for _, request := range requests {
		if request.status >= http.StatusBadRequest && path.Base(request.path) != "favicon.ico" {
			t.Errorf("%s %s was answered with %d", request.method, path.Base(request.path), request.status)
		}
		if strings.Contains(request.path, "/.drm/") && strings.Contains(request.path, "/key/") {
			asked[path.Base(request.path)]++
		}
	}
	for kid, n := range asked {
		if n > 1 {
			t.Errorf("key %s was asked for %d times", kid, n)
		}
	}
	if len(asked) < least {
		t.Errorf("%d keys were asked for, want %d", len(asked), least)
	}
}
