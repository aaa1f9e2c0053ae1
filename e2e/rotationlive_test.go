package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/redistest"
)

// The keys of the channel change every rotateEvery. After an emergency re-key what was announced before goes on for rekeyGrace.
const (
	rotateEvery = 10 * time.Second
	rekeyGrace  = 16 * time.Second // players are 8 s behind the edge
)

// channelNodes serves a channel from two gateways that share a state, in a group with the given options, on a site with more of them.
func channelNodes(t *testing.T, root, group string, site ...string) *nodesOf {
	t.Helper()
	redis, err := redistest.Start("single", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	return behindOneAddress(t, 2, func(port int) string {
		return fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
		rekey_grace %s
		group channels {
			%s
		}
		state redis {
			address %s
		}
	}
}
http://:%d {
	root %s
	drm {
		tenant channels
		license_server clearkey
		group channels
		%s
	}
	file_server
}
`, rekeyGrace, group, strings.Join(redis.Addresses, " "), port, root, strings.Join(site, "\n\t\t"))
	})
}

// liveWay is a player on a manifest of a channel, behind the edge as far as it takes for players to have every segment in time. ffmpeg suggests
// a delay of one segment in its MPDs, which is none.
type liveWay struct {
	player   player.Player
	manifest string
	config   any
	origin   bool // its clock begins with the presentation, as in DASH
}

func liveWays(scheme drm.ProtectionScheme) map[player.Player]liveWay {
	query := "?drm=" + scheme.String()
	return map[player.Player]liveWay{
		player.Shaka: {player.Shaka, "live.mpd" + query, map[string]any{"manifest": map[string]any{
			"defaultPresentationDelay": 8, "dash": map[string]any{"ignoreSuggestedPresentationDelay": true},
		}}, true},
		player.DashJS: {player.DashJS, "live.mpd" + query, map[string]any{"streaming": map[string]any{
			"delay": map[string]any{"liveDelay": 8}, "utcSynchronization": map[string]any{"enabled": false}, // it would ask a server far away
		}}, true},
		player.HlsJS: {player.HlsJS, "master.m3u8" + query + "&keyformat=clearkey", nil, false},
	}
}

// Two gateways serve one channel whose keys change. Each player watches four changes and more without a stall, seeks back over them, asks for each
// key once, and goes on when all keys are replaced in the middle.
func TestPlayersWatchAChannelWhoseKeysRotate(t *testing.T) {
	long(t)
	startBrowser(t)
	channel := startChannel(t, false)
	nodes := channelNodes(t, channel.root, "rotate "+rotateEvery.String())
	for _, c := range []liveWay{
		liveWays(drm.SchemeCenc)[player.Shaka], liveWays(drm.SchemeCbcs)[player.DashJS], liveWays(drm.SchemeCbcs)[player.HlsJS],
	} {
		t.Run(string(c.player)+" "+c.manifest, func(t *testing.T) {
			_, from := nodes.since(0)
			s := mustPlay(t, player.Options{Player: c.player, URL: nodes.URL + "/live/" + c.manifest, Config: c.config})
			begin, began := resultOf(t, s).CurrentTime, time.Now()
			watch := &frameWatch{t: t, s: s, origin: c.origin}
			for step := range 4 {
				watch.playUntil(begin + float64(step+1)*1.05*rotateEvery.Seconds())
			}
			played, _ := nodes.since(from)
			checkRotated(t, resultOf(t, s), played, 5)
			now := resultOf(t, s).CurrentTime
			for _, at := range timesBack(t, nodes, c, now) {
				watch.seek(at)
			}
			watch.seek(begin + time.Since(began).Seconds()) // as far behind the edge as it was
			again, _ := nodes.since(from)
			checkKeysAskedOnce(t, again)
			rekeyWhileWatching(t, nodes, s)
		})
	}
}

var periodStarts = regexp.MustCompile(`<Period [^>]*start="PT([0-9.]+)S"`)

// timesBack are times in three crypto periods that are over. In DASH they are not near the end of a Period, from where dash.js may go on to the next.
func timesBack(t *testing.T, nodes *nodesOf, way liveWay, now float64) (times []float64) {
	t.Helper()
	if !way.origin {
		return []float64{now - 11, now - 31, now - 22}
	}
	for _, match := range periodStarts.FindAllSubmatch(mustGet(t, nodes.URL+"/live/"+way.manifest).body, -1) {
		start, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		if at := start + 3.3; at > now-35 && at < now-8 {
			times = append(times, at)
		}
	}
	if len(times) < 2 {
		t.Fatalf("%d crypto periods to seek back to", len(times))
	}
	slices.Reverse(times)
	return times
}

// frameWatch checks that pictures are those of their times: frames count from the start of the channel. Where the player's clock has another
// origin, it has to stay the same.
type frameWatch struct {
	t      *testing.T
	s      *player.Session
	origin bool
	known  int // 1: the offset, about; 2: exactly
	offset int
}

// playUntil plays on, and reads a picture that moves: it may be some frames newer than the page knows.
func (w *frameWatch) playUntil(at float64) {
	w.t.Helper()
	playInTime(w.t, w.s, at)
	before := resultOf(w.t, w.s).Presented
	p, err := w.s.Read(testContext(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	w.check(p, before, resultOf(w.t, w.s).Presented)
}

// playInTime plays on until a time, which must not take much longer than it lasts: where a machine is busy, clocks of players are slow.
func playInTime(t *testing.T, s *player.Session, at float64) {
	t.Helper()
	from, began := resultOf(t, s).CurrentTime, time.Now()
	if err := s.PlayUntil(testContext(t), at); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began).Seconds(); took > 1.5*max(0, at-from)+2*longStall {
		t.Errorf("from %.2f to %.2f s took %.1f s:\n%s", from, at, took, resultOf(t, s))
	}
}

// seek reads the picture at a time, which stands.
func (w *frameWatch) seek(at float64) {
	w.t.Helper()
	p, err := w.s.SeekAndRead(testContext(w.t), at)
	if err != nil {
		w.t.Fatal(err)
	}
	presented := resultOf(w.t, w.s).Presented
	w.check(p, presented, presented)
}

// check compares a picture with the times of the frames before and after it was taken.
func (w *frameWatch) check(p player.Picture, from, to float64) {
	w.t.Helper()
	frame := func(at float64) int { return int(at*channelRate + 0.5) }
	const frames = 1 << 10 // the barcode counts so far
	late := func() int { return ((p.Frame-frame(from)-w.offset)%frames+3*frames/2)%frames - frames/2 }
	moves := from < to
	if !w.origin && (w.known == 0 || w.known == 1 && !moves && max(late(), -late()) <= 3) {
		w.offset += late()
		w.known++
		if !moves {
			w.known = 2
		}
	}
	least, most := 0, 0
	if moves {
		least, most = -2, frame(to)-frame(from)+2
	}
	if n := late(); !p.Corners || n < least || n > most {
		w.t.Errorf("between %.2f and %.2f s: frame %d, %d after the first, corners %v", from, to, p.Frame, n, p.Corners)
	}
}

// checkRotated checks that nothing stalled or was refused, and that so many keys were used and asked for once each.
func checkRotated(t *testing.T, result player.Result, passed []passed, keys int) {
	t.Helper()
	checkSmooth(t, result)
	if result.AudioBytes == 0 || len(result.UsableKeys()) < keys {
		t.Errorf("usable keys: %d, want %d:\n%s", len(result.UsableKeys()), keys, result)
	}
	for _, request := range passed {
		if request.status >= http.StatusBadRequest && path.Base(request.path) != "favicon.ico" {
			t.Errorf("%s %s was answered with %d", request.method, path.Base(request.path), request.status)
		}
	}
	checkKeysAskedOnce(t, passed)
}

// longStall is what counts as one, in seconds: pictures that come too late because the machine is busy make shorter ones, in clear media as well.
const longStall = 1.0

func checkSmooth(t *testing.T, result player.Result) {
	t.Helper()
	for _, stall := range result.Stalls {
		if stall.Seconds >= longStall {
			t.Errorf("the clock stood for %.1f s at %.2f s", stall.Seconds, stall.At)
		}
	}
	if len(result.Jumps) > 0 || len(result.Fatal) > 0 {
		t.Errorf("playback was not smooth:\n%s", result)
	}
}

// checkKeysAskedOnce checks that the requests for licenses ask for no key twice, each for one.
func checkKeysAskedOnce(t *testing.T, requests []passed) {
	t.Helper()
	asked, licenses := askedKeys(t, requests)
	for kid, n := range asked {
		if n > 1 {
			t.Errorf("key %s was asked for %d times", kid, n)
		}
	}
	if licenses == 0 || licenses > len(asked) {
		t.Errorf("%d requests for licenses of %d keys", licenses, len(asked))
	}
}

// askedKeys counts how often each key was asked for, and the requests.
func askedKeys(t *testing.T, requests []passed) (asked map[string]int, licenses int) {
	t.Helper()
	asked = map[string]int{}
	for _, request := range requests {
		if request.method != http.MethodPost {
			continue
		}
		licenses++
		var body struct{ Kids []string }
		if err := json.Unmarshal(request.body, &body); err != nil {
			t.Fatal(err)
		}
		for _, kid := range body.Kids {
			asked[kid]++
		}
	}
	return asked, licenses
}
