package e2e_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// All keys of a channel with one key for all of it are replaced while each player watches.
func TestPlayersWatchAChannelThatGetsNewKeys(t *testing.T) {
	long(t)
	startBrowser(t)
	channel := startChannel(t, false)
	nodes := channelNodes(t, channel.root, "level low")
	for _, c := range []liveWay{liveWays(drm.SchemeCbcs)[player.Shaka], liveWays(drm.SchemeCenc)[player.DashJS], liveWays(drm.SchemeCbcs)[player.HlsJS]} {
		t.Run(string(c.player)+" "+c.manifest, func(t *testing.T) {
			rekeyWhileWatching(t, nodes, mustPlay(t, player.Options{Player: c.player, URL: nodes.URL + "/live/" + c.manifest, Config: c.config}))
		})
	}
}

// rekeyWhileWatching replaces all keys of the channel by one node. The manifests of both name new keys for what comes from then on, and the
// player goes on with them until what was there before is long gone.
func rekeyWhileWatching(t *testing.T, nodes *nodesOf, s *player.Session) {
	t.Helper()
	at := resultOf(t, s).CurrentTime
	playInTime(t, s, at+1)
	known := generationOf(t, nodes)
	posted := askWith(t, http.MethodPost, "http://"+nodes.gateways[0].admin+"/drm/rekeys", "", `{"title":"/live/","note":"test"}`,
		http.Header{"Content-Type": {"application/json"}})
	if posted.status != http.StatusCreated {
		t.Fatal(posted)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if generationOf(t, nodes) > known && generationOf(t, nodes) > known { // of one node each
			break
		}
		if time.Now().After(end) {
			t.Fatal("manifests name no new keys")
		}
	}
	kids := newestKeys(t, nodes)
	playInTime(t, s, at+1+1.5*rekeyGrace.Seconds())
	result := resultOf(t, s)
	if p, err := s.Read(testContext(t)); err != nil || !p.Corners {
		t.Errorf("after the re-key there is no whole picture: %v", err)
	}
	checkSmooth(t, result)
	if kids = append(kids, newestKeys(t, nodes)...); !slices.ContainsFunc(result.UsableKeys(), func(kid string) bool { return slices.Contains(kids, kid) }) {
		t.Errorf("the player has no key of the new ones:\n%s", result)
	}
}

var (
	defaultKIDs = regexp.MustCompile(`default_KID="([^"]+)"`)
	generations = regexp.MustCompile(`<Period id="[^"]*-g(\d+)"`)
)

// generationOf is the highest generation of keys in an MPD of the channel, by the ids of its Periods.
func generationOf(t *testing.T, nodes *nodesOf) (newest int) {
	t.Helper()
	for _, match := range generations.FindAllStringSubmatch(string(mustGet(t, nodes.URL+"/live/live.mpd").body), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		newest = max(newest, n)
	}
	return newest
}

// newestKeys are the KIDs of the last Period of an MPD of the channel, in both schemes.
func newestKeys(t *testing.T, nodes *nodesOf) (kids []string) {
	t.Helper()
	for _, scheme := range []string{"cenc", "cbcs"} {
		mpd := string(mustGet(t, nodes.URL+"/live/live.mpd?drm="+scheme).body)
		for _, match := range defaultKIDs.FindAllStringSubmatch(mpd[strings.LastIndex(mpd, "<Period"):], -1) {
			kids = append(kids, strings.ReplaceAll(strings.ToLower(match[1]), "-", ""))
		}
	}
	return kids
}
