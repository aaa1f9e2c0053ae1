package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// clearKeyConfig is what tests read of a player configuration with ClearKey.
type clearKeyConfig struct {
	Manifests string
	Shaka     shakaConfig
}

// playerConfig asks for the player configuration at an address.
func (g *gateway) playerConfig(t *testing.T, at string, header ...string) (config clearKeyConfig) {
	t.Helper()
	if err := json.Unmarshal(g.mustGet(t, at, header...).body, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// licenseURL is where the configuration says that licenses of ClearKey are.
func (c clearKeyConfig) licenseURL() string { return c.Shaka.DRM.Servers["org.w3.clearkey"] }

// TestPlayerConfigInTheGraceOfARekey: a live title lists keys from before an emergency re-key until its grace is over, and pages that load
// meanwhile take their license URL from the configuration.
func TestPlayerConfigInTheGraceOfARekey(t *testing.T) {
	g := newGateway(t)
	admin := "127.0.0.1:" + freePort(t)
	g.load(t, strings.Replace(withGroups("\t\tgroup channel {\n\t\t\tlevel low\n\t\t}\n\t\trekey_grace 1h\n"), "admin off", "admin "+admin, 1)+
		strings.NewReplacer("group rotating", "group channel", "KEYS", "scheme cbcs").Replace(rotatingSite))
	kid := func() string {
		return defaultKIDPattern.FindStringSubmatch(string(g.mustGet(t, "/demo/manifest.mpd").body))[1]
	}
	before := kid()
	if res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/rekeys", []byte(`{"group":"channel"}`), "Content-Type", "application/json"); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	after := kid()
	if before == after {
		t.Fatal("the key is the same")
	}
	keys, res := g.license(t, g.playerConfig(t, "/demo/.drm/config/channel.json").licenseURL(), before, after)
	if len(keys) != 2 || keys[before] == keys[after] {
		t.Errorf("the license holds %d of two keys: %d %s", len(keys), res.status, res.reason())
	}
}
