package caddymodule

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// clearKeyConfig is what tests read of a player configuration with ClearKey.
type clearKeyConfig struct {
	Manifests, Query string
	Shaka            shakaConfig
}

// playerConfig asks for the player configuration at an address.
func (g *gateway) playerConfig(t *testing.T, at string) clearKeyConfig {
	t.Helper()
	return clearKeyConfigIn(t, g.mustGet(t, at))
}

func clearKeyConfigIn(t *testing.T, res reply) (config clearKeyConfig) {
	t.Helper()
	if err := json.Unmarshal(res.body, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// licenseURL is where the configuration says that licenses of ClearKey are.
func (c clearKeyConfig) licenseURL() string { return c.Shaka.DRM.Servers["org.w3.clearkey"] }

// TestPlayerConfigWithoutTheGroup: who does not know the group of a title is told of it; who names another one is told nothing.
func TestPlayerConfigWithoutTheGroup(t *testing.T) {
	g := newGateway(t)
	g.load(t, withGroups(rotatingGroup)+strings.Replace(rotatingSite, "KEYS", "", 1))
	named, unnamed := g.mustGet(t, "/demo/.drm/config/rotating.json"), g.mustGet(t, "/demo/.drm/config/default.json")
	if string(named.body) != string(unnamed.body) || !strings.Contains(string(unnamed.body), `"group":"rotating"`) {
		t.Errorf("by the group's name %s, without %s", named.body, unnamed.body)
	}
	for _, name := range []string{"other.json", "rotating", "default", ".json", "default.json.json"} {
		wantReply(t, name, g.get(t, "/demo/.drm/config/"+name), http.StatusNotFound, "not_found")
	}
	g.load(t, globalBlock+strings.NewReplacer("group rotating", "", "KEYS", "").Replace(rotatingSite))
	wantReply(t, "a title in no group", g.get(t, "/demo/.drm/config/default.json"), 200, "")
	wantReply(t, "and without a name", g.get(t, "/demo/.drm/config/.json"), http.StatusNotFound, "not_found")
}

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

// TestPlayerConfigIsNoStreamOfItsOwn: a configuration, a manifest, segments and licenses of the configuration are one stream in all, with a
// backend that is asked about playbacks and without one.
func TestPlayerConfigIsNoStreamOfItsOwn(t *testing.T) {
	const limited, token = "token jwt {\n algorithms HS256\n secret {env.TEST_TOKEN_SECRET}\n}\n", "opaque"
	for name, c := range map[string]struct {
		options, answer, token string
		shared                 bool // whether all are of one session
	}{
		"a backend":                  {"entitlement BACKEND\nlimit streams 1 by subject", `{"allow":true,"subject":"7"}`, token, true},
		"a backend, kicking":         {"entitlement BACKEND\nlimit streams 1 by subject kick_oldest", `{"allow":true,"subject":"7"}`, token, true},
		"a backend that sets limits": {"entitlement BACKEND\nsession query", `{"allow":true,"subject":"7","max_streams":1}`, token, true},
		"no backend":                 {limited + "limit streams 1 by subject", "", viewerToken(t, "viewer", nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			backend := &entitlementBackend{}
			backend.say(200, c.answer, nil)
			g := startGateway(t, entitledSite(c.options), "BACKEND", backend.start(t))
			config := g.playerConfig(t, "/demo/.drm/config/default.json?token="+c.token)
			at := "http://" + g.addr + "/demo/manifest.mpd?token=" + c.token
			if c.shared {
				at = config.Manifests + "manifest.mpd"
			}
			if c.shared != (config.Manifests != "") {
				t.Fatalf("manifests at %q", config.Manifests)
			}
			mpd := g.mustGet(t, at).body
			segment := linkTo(t, mpdLinks(t, at, mpd), "media", "/video/360p/seg_1.m4s").url
			kid := defaultKIDPattern.FindStringSubmatch(string(mpd))[1]
			for range 2 {
				if keys, res := g.license(t, config.licenseURL(), kid); len(keys) != 1 {
					t.Errorf("a license: %d %s", res.status, res.reason())
				}
				wantReply(t, "a segment", g.get(t, segment), 200, "")
			}
			if _, n := backend.last(); c.shared && n != 1 {
				t.Errorf("the backend was asked about %d playbacks", n)
			}
			if !strings.Contains(c.options, "kick_oldest") {
				wantReply(t, "another playback", g.get(t, "/demo/manifest.mpd?token="+c.token), http.StatusTooManyRequests, "stream_limit")
			}
		})
	}
}

// TestPlayerConfigOfAnObservingSite: whom nobody has let in has no session to ask for manifests in, and keeps the token.
func TestPlayerConfigOfAnObservingSite(t *testing.T) {
	g := startGateway(t, strings.Replace(gatedSite, "require_license 1s", "require_license 1s\n\tmode observe", 1))
	if at := g.playerConfig(t, "/demo/.drm/config/default.json?token=bad").Manifests; at != "" {
		t.Errorf("with a bad token manifests are at %s", at)
	}
	if g.playerConfig(t, "/demo/.drm/config/default.json?token="+viewerToken(t, "viewer", nil)).Manifests == "" {
		t.Error("with a good one they are nowhere")
	}
}
