package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheLicenseOfAChannelThatEndsHoldsItsNewKeys: a channel that ends has other keys, which a player asks for at the license URL that it saw first.
func TestTheLicenseOfAChannelThatEndsHoldsItsNewKeys(t *testing.T) {
	for name, site := range map[string][2]string{"rotating": {rotatingGroup, "scheme cbcs"}, "every 7 days": {"\t\tgroup rotating {\n\t\t\tlevel low\n\t\t}\n", "scheme cenc"}} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			channel := filepath.Join(g.dir, "demo")
			if err := os.CopyFS(channel, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
				t.Fatal(err)
			}
			now := time.Now().Truncate(time.Second)
			setClock(t, now)
			g.load(t, withGroups(site[0])+strings.NewReplacer("KEYS", site[1], "TESTDATA", "DIR").Replace(rotatingSite))
			liveDemo(t, channel, now.Add(-20*time.Second), 10)
			live := string(g.mustGet(t, "/demo/live.mpd").body)
			mpd, err := os.ReadFile(filepath.Join(channel, "live.mpd"))
			if err != nil {
				t.Fatal(err)
			}
			ended := strings.NewReplacer(`type="dynamic"`, `type="static" mediaPresentationDuration="PT20S"`, ` minimumUpdatePeriod="PT2S"`, "").Replace(string(mpd))
			if err := os.WriteFile(filepath.Join(channel, "live.mpd"), []byte(ended), 0o600); err != nil {
				t.Fatal(err)
			}
			kids := defaultKIDPattern.FindAllStringSubmatch(string(g.mustGet(t, "/demo/live.mpd").body), -1)
			for n, kid := range kids {
				if keys, res := g.license(t, laurlPattern.FindStringSubmatch(live)[1], kid[1]); len(keys) != 1 {
					t.Errorf("Period %d of %d: status %d, %d keys", n, len(kids), res.status, len(keys))
				}
			}
		})
	}
}
