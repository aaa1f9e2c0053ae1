package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// A window that ends while somebody watches: the reason is the same for every player, and nothing follows it.
func TestAWindowEndsDuringPlayback(t *testing.T) {
	long(t)
	for _, test := range []struct {
		player   player.Player
		manifest string
	}{
		{player.Shaka, "manifest.mpd?drm=cbcs"},
		{player.DashJS, "manifest.mpd?drm=cenc"},
		{player.HlsJS, "master.m3u8?drm=cbcs&keyformat=clearkey"},
	} {
		t.Run(string(test.player), func(t *testing.T) {
			parallel(t)
			watchUntilTheWindowEnds(t, test.player, test.manifest)
		})
	}
}

// watchUntilTheWindowEnds plays a live channel, lets the catalog say that it ends in a few seconds, and looks at what the player
// got before and after.
func watchUntilTheWindowEnds(t *testing.T, p player.Player, manifest string) {
	browser, origin := startBrowser(t), newLiveOrigin(t)
	catalog := filepath.Join(t.TempDir(), "rights.yaml")
	announceEnd(t, catalog, time.Now().Add(time.Hour))
	address := rightsGateway(t, origin.URL, catalog)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	session, err := browser.Play(ctx, player.Options{Player: p, URL: address + "/live/" + manifest, CrossOrigin: true})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	end := time.Now().Add(4 * time.Second).Truncate(time.Second) // the catalog is looked at every second
	announceEnd(t, catalog, end)
	select {
	case <-time.After(time.Until(end) + 8*time.Second):
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	result, err := session.Result(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkEnded(t, result, end)
}

func checkEnded(t *testing.T, result player.Result, end time.Time) {
	t.Helper()
	var before, after int
	for _, request := range result.Requests {
		switch {
		case request.Status == http.StatusForbidden:
			after++
			if reason, opens := request.Header["drm-reason"], request.Header["drm-opens"]; reason != "rights_ended" || opens != "" {
				t.Errorf("refused with %q, opens %q", reason, opens)
			}
			if exposed := request.Header["access-control-expose-headers"]; !strings.Contains(exposed, "Drm-Reason") {
				t.Errorf("the page may not read the reason: %q", exposed)
			}
		case request.Status == http.StatusOK && request.Kind != player.Other:
			at, err := http.ParseTime(request.Header["date"])
			if err != nil {
				t.Errorf("Date: %v", err)
			}
			if before++; at.After(end) { // Date has whole seconds: the one of the end may hold what was decided before
				t.Errorf("%s %s was answered at %s, after the end at %s", request.Kind, withoutQuery(request.URL), at, end)
			}
		case request.Status != 0 && request.Status != http.StatusOK && request.Status != http.StatusNotModified && request.Kind != player.Other:
			t.Errorf("%s %s was answered with %d", request.Kind, withoutQuery(request.URL), request.Status)
		}
	}
	if before == 0 || after == 0 || result.DecodedFrames == 0 {
		t.Errorf("%d answers before the end, %d refusals after:\n%s", before, after, result)
	}
}

// announceEnd puts a catalog in place whose one title ends at an instant.
func announceEnd(t *testing.T, file string, end time.Time) {
	t.Helper()
	text := fmt.Sprintf("titles:\n  - path: /live/\n    territories: world\n    model: free\n    windows: [{end: %s}]\n", end.UTC().Format(time.RFC3339))
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func rightsGateway(t *testing.T, origin, catalog string) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := localhost(port)
	newGateway(t, `{
	drm {
		rights channels `+catalog+` {
			refresh 1s
		}
	}
}

`+address+` {
	drm {
		license_server clearkey
		rights channels
	}
	reverse_proxy `+strings.TrimPrefix(origin, "http://")+`
}
`)
	return address
}
