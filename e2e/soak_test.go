package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// envSoak is how long each player watches each scheme in TestSoak, which else does nothing. `make soak` sets it.
const envSoak = "CADDY_DRM_SOAK"

// soakGrowth is by how much the memory of a gateway may grow after the first quarter, in MiB: the collector lets the heap swing.
const soakGrowth = 48

// Each player watches a channel for long, in each scheme, whose keys rotate and whose segments differ in length. In the middle one of the two gateways
// is started anew. Nothing stalls, every picture is right, each key is asked for once, and sessions and memory of the gateways stay what they were.
func TestSoak(t *testing.T) {
	if os.Getenv(envSoak) == "" {
		t.Skip(envSoak + " is not set")
	}
	length, err := time.ParseDuration(os.Getenv(envSoak))
	if err != nil || length < time.Minute {
		t.Fatalf("%s: want a duration of a minute or more", envSoak)
	}
	for _, scheme := range drm.Schemes {
		for _, p := range []player.Player{player.Shaka, player.DashJS, player.HlsJS} {
			t.Run(string(p)+" "+scheme.String(), func(t *testing.T) { soak(t, liveWays(scheme)[p], length) })
		}
	}
}

func soak(t *testing.T, way liveWay, length time.Duration) {
	startBrowser(t)
	channel := startChannel(t, true)
	nodes := soakNodes(t, channel.root)
	token := url.QueryEscape(accessTokenFor(t, "/live", length+time.Hour))
	s := mustPlay(t, player.Options{Player: way.player, URL: nodes.URL + "/live/" + way.manifest + "&token=" + token, Config: way.config})
	begin, every := resultOf(t, s).CurrentTime, min(time.Minute, length/8)
	watch := &frameWatch{t: t, s: s, origin: way.origin}
	steps := int(length / every)
	var before [2]int
	for step := 1; step <= steps; step++ {
		watch.playUntil(begin + float64(step)*every.Seconds())
		if step == steps/2 {
			nodes.restart(t, 1)
		}
		figures := soakFigures(t, nodes, s)
		t.Logf("figures after %s: %s", time.Duration(step)*every, figures)
		if step == max(1, steps/4) {
			before = figures.memory
		}
		// The second node is younger.
		if step > steps/4 && figures.memory[0] > before[0]+soakGrowth || figures.memory[1] > before[1]+soakGrowth && step > steps/4 {
			t.Errorf("the gateways have grown from %v to %v MiB", before, figures.memory)
		}
		if figures.streams < 1 || figures.streams > len(nodes.gateways) {
			t.Errorf("%d streams are open, of one viewer", figures.streams)
		}
	}
	result, passed := resultOf(t, s), nodes.all()
	checkSmooth(t, result)
	checkKeysAskedOnce(t, passed)
	for _, request := range passed {
		if request.status >= http.StatusBadRequest && path.Base(request.path) != "favicon.ico" {
			t.Errorf("%s %s was answered with %d", request.method, path.Base(request.path), request.status)
		}
	}
}

// soakState is what a player and the gateways are like at some moment.
type soakState struct {
	memory                    [2]int // resident, in MiB
	streams                   int    // that the gateways count, each for itself
	keys, licenses, cdm       int    // keys asked for, requests for them, EME sessions of the page
	stalls, jumps, droppedPct int
}

func (s soakState) String() string {
	return fmt.Sprintf("RSS %d and %d MiB, %d streams at the gateways, %d license requests for %d keys, %d EME sessions, %d stalls, %d jumps, %d %% of frames dropped",
		s.memory[0], s.memory[1], s.streams, s.licenses, s.keys, s.cdm, s.stalls, s.jumps, s.droppedPct)
}

var streamsGauge = regexp.MustCompile(`(?m)^caddy_drm_streams (\d+)$`)

func soakFigures(t *testing.T, nodes *nodesOf, s *player.Session) (figures soakState) {
	t.Helper()
	for node, g := range nodes.gateways {
		figures.memory[node] = g.memoryMiB(t, "VmRSS")
		match := streamsGauge.FindSubmatch(mustGet(t, "http://"+g.admin+"/metrics").body)
		if match == nil {
			t.Fatal("no count of streams")
		}
		n, err := strconv.Atoi(string(match[1]))
		if err != nil {
			t.Fatal(err)
		}
		figures.streams += n
	}
	asked, licenses := askedKeys(t, nodes.all())
	result := resultOf(t, s)
	figures.keys, figures.licenses, figures.cdm = len(asked), licenses, result.OpenSessions
	figures.stalls, figures.jumps = len(result.Stalls), len(result.Jumps)
	figures.droppedPct = 100 * result.DroppedFrames / max(1, result.DecodedFrames)
	return figures
}

// soakNodes are two gateways whose viewers have sessions and are counted.
func soakNodes(t *testing.T, root string) *nodesOf {
	t.Helper()
	return channelNodes(t, root, "rotate "+rotateEvery.String(),
		"token signed {", "\tkey {file.testdata/tokens/signed.key}", "}", "session path 24h", "limit streams 10 by title")
}
