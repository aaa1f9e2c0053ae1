package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// streamsCaddyfile allows each viewer two streams: one site refuses a third, the other ends the oldest.
const streamsCaddyfile = `http://localhost:%d {
	root testdata
	handle_path /reject/* {
		drm {
			tenant reject
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			limit streams 2 by subject reject_new
		}
		file_server
	}
	handle_path /kick/* {
		drm {
			tenant kick
			license_server clearkey
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			limit streams 2 by subject kick_oldest
		}
		file_server
	}
}
`

// smallBuffers make players come back for more within seconds.
var smallBuffers = map[player.Player]any{
	player.Shaka:  map[string]any{"streaming": map[string]any{"bufferingGoal": 3, "rebufferingGoal": 1}},
	player.DashJS: map[string]any{"streaming": map[string]any{"buffer": map[string]any{"bufferTimeDefault": 3, "bufferTimeAtTopQuality": 3, "bufferTimeAtTopQualityLongForm": 3}}},
	player.HlsJS:  map[string]any{"maxBufferLength": 3, "maxMaxBufferLength": 4},
}

func startStreamsSite(t *testing.T) *nodes {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return &nodes{
		t: t, key: signingKey(t), urls: []string{localhost(port)},
		gateways: []*gateway{newGateway(t, fmt.Sprintf(streamsCaddyfile, port))},
	}
}

// watchElsewhere is another player of the viewer: it gets a manifest and its first segment.
func (n *nodes) watchElsewhere(t *testing.T, prefix, subject string) {
	t.Helper()
	tracks, _ := dashTracks(t, n.urls[0]+n.manifest(prefix, subject))
	mustGet(t, tracks[0].init)
}

// A viewer with two streams is refused a third in every player, and the player can tell why.
func TestAThirdStreamDoesNotPlay(t *testing.T) {
	n := startStreamsSite(t)
	for _, w := range []way{ways[0], ways[1], ways[3]} {
		t.Run(w.String(), func(t *testing.T) {
			parallel(t)
			subject := "viewer of " + w.String()
			first := mustPlay(t, player.Options{
				Player: w.player, URL: n.urls[0] + watchURL(n, "/reject", subject, w), Config: smallBuffers[w.player], Timeout: 45 * time.Second,
			})
			n.watchElsewhere(t, "/reject", subject)
			refused := mustNotPlay(t, player.Options{Player: w.player, URL: n.urls[0] + watchURL(n, "/reject", subject, w), CrossOrigin: true}).Result
			checkStatus(t, refused.Manifests(), http.StatusTooManyRequests, "stream_limit")
			if len(refused.Segments()) > 0 || refused.DecodedFrames > 0 {
				t.Errorf("something went on after the refusal:\n%s", refused)
			}
			if err := first.PlayUntil(testContext(t), 12); err != nil {
				t.Errorf("the first stream does not go on: %v", err)
			}
		})
	}
}

// With kick_oldest the first player stops when its buffer is empty, and it can tell why.
func TestTheOldestStreamStops(t *testing.T) {
	n := startStreamsSite(t)
	for _, w := range []way{ways[0], ways[1], ways[3]} {
		t.Run(w.String(), func(t *testing.T) {
			parallel(t)
			subject := "viewer of " + w.String()
			first := mustPlay(t, player.Options{
				Player: w.player, URL: n.urls[0] + watchURL(n, "/kick", subject, w), Config: smallBuffers[w.player], CrossOrigin: true, Timeout: 30 * time.Second,
			})
			n.watchElsewhere(t, "/kick", subject)
			time.Sleep(10 * time.Millisecond) // so that there is an oldest of the two
			n.watchElsewhere(t, "/kick", subject)
			if err := first.PlayUntil(testContext(t), 20); err == nil {
				t.Error("the first stream goes on")
			}
			result := resultOf(t, first)
			kicked := 0
			for _, q := range result.Segments() {
				if q.Status == http.StatusTooManyRequests {
					kicked++
					if q.Header["drm-reason"] != "stream_kicked" || !strings.Contains(q.Header["access-control-expose-headers"], "Drm-Reason") || q.Header["retry-after"] == "" {
						t.Errorf("reason %q, Retry-After %q", q.Header["drm-reason"], q.Header["retry-after"])
					}
				}
			}
			if kicked == 0 {
				t.Errorf("no segment was refused:\n%s", result)
			}
		})
	}
}

// watchURL is the manifest for a way of playing.
func watchURL(n *nodes, prefix, subject string, w way) string {
	_, query, _ := strings.Cut(n.manifest(prefix, subject), "?")
	query = strings.Replace(query, "drm=cenc", "drm=cbcs", 1)
	return prefix + "/demo/" + w.with(query)
}
