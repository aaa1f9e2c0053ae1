package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAChannelOfWhichNothingLeavesHasAllOfItsLicenses: an MPD without a time-shift window lists all that there was, and who begins with its
// beginning, or loads the keys of all Periods at once, gets those of its first crypto period.
func TestAChannelOfWhichNothingLeavesHasAllOfItsLicenses(t *testing.T) {
	g := newGateway(t)
	channel := filepath.Join(g.dir, "demo")
	if err := os.CopyFS(channel, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	const minutes = 20
	now := time.Now().Truncate(time.Second)
	setClock(t, now)
	g.load(t, withGroups(rotatingGroup)+strings.NewReplacer("KEYS", "scheme cbcs", "TESTDATA", "DIR").Replace(rotatingSite))
	liveDemo(t, channel, now.Add(-minutes*time.Minute), minutes*30)
	mpd := string(g.mustGet(t, "/demo/live.mpd").body)
	kids, urls := defaultKIDPattern.FindAllStringSubmatch(mpd, -1), laurlPattern.FindAllStringSubmatch(mpd, -1)
	if len(kids) < minutes*6 {
		t.Fatalf("%d Periods", len(kids))
	}
	for _, n := range []int{0, len(kids) / 2, len(kids) - 1} {
		if keys, res := g.license(t, urls[n][1], kids[n][1]); len(keys) != 1 {
			t.Errorf("Period %d of %d: status %d, %d keys", n, len(kids), res.status, len(keys))
		}
	}
}
