package caddymodule

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// madeUpHost is the same site at a port that the viewer made up.
const madeUpHost = "127.0.0.1:4711"

// unnamedSite is rotatingSite without a tenant, so that the host names it.
func unnamedSite(keys string) string {
	return strings.NewReplacer("\t\ttenant rotating\n", "", "TESTDATA", "DIR", "KEYS", keys).Replace(rotatingSite)
}

// TestNoPortHasCutsOfItsOwn: who makes up ports fills no table with channels, and finds Periods where others do.
func TestNoPortHasCutsOfItsOwn(t *testing.T) {
	g := newGateway(t)
	g.load(t, withGroups(rotatingGroup)+unnamedSite(""))
	writeSight(t, g, earlySight)
	first := secondStart(t, g)
	writeSight(t, g, lateSight)
	mpd := g.mustGet(t, "/irregular/manifest.mpd?drm=cenc", "Host", madeUpHost).body
	if found := secondPeriod.FindSubmatch(mpd); found == nil || string(found[1]) != first {
		t.Errorf("the Period begins at %s, and at a port that somebody made up at %q", first, found)
	}
}

// TestNoPortHasReKeysOfItsOwn: that a channel is divided where its keys were replaced holds at such a port as well, when its encoder has stalled.
func TestNoPortHasReKeysOfItsOwn(t *testing.T) {
	g := newGateway(t)
	channel := filepath.Join(g.dir, "demo")
	if err := os.CopyFS(channel, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	clock, admin := setClock(t, now), "127.0.0.1:"+freePort(t)
	g.load(t, strings.Replace(withGroups("\t\tgroup rotating\n"), "admin off", "admin "+admin, 1)+unnamedSite("scheme cbcs"))
	if res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/rekeys", []byte(`{"group":"rotating"}`), "Content-Type", "application/json"); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	divided := map[string]string{"live.mpd": `id="p0-g1" start="PT26S"`, "live.m3u8": "#EXT-X-MEDIA-SEQUENCE:13\n"}
	for _, segments := range []int{10, 15} { // what begins behind the re-key comes later
		liveDemo(t, channel, now.Add(-20*time.Second), segments)
		for name := range divided {
			g.mustGet(t, "/demo/"+name)
		}
	}
	clock.set(now.Add(90 * time.Second))
	for name, want := range divided {
		if text := string(g.mustGet(t, "/demo/"+name, "Host", madeUpHost).body); !strings.Contains(text, want) {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
}
