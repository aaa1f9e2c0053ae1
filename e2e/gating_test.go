package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/token"
)

// abroad is an address of a country in which no license is given.
const abroad = "192.0.2.1"

// gatedCaddyfile has the demo behind require_license, once in a DRM group, and the player page. Sessions of /brief are good for /gated, and end with their
// tokens. It believes the edge in front of it whom a request is from.
func gatedCaddyfile(port int) string {
	site := func(prefix, tenant, options string) string {
		return "\thandle_path /" + prefix + `/* {
		drm {
			tenant ` + tenant + `
			license_server clearkey
			keys derived {
				per track_class
			}
			token signed {
				key {file.testdata/tokens/signed.key}
			}
			geo country {
				deny DE
			}
			require_license 1s
			` + options + `
		}
		file_server
	}
`
	}
	stream := func(name, prefix, options string) string {
		return fmt.Sprintf("\t\t\tstream %q {\n\t\t\t\tdash /%[2]s/demo/manifest.mpd\n\t\t\t\thls /%[2]s/demo/master.m3u8\n\t\t\t\ttoken\n%[3]s\t\t\t}\n",
			name, prefix, options)
	}
	return fmt.Sprintf("{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32 ::1/128\n\t}\n\tdrm {\n\t\tsecret {env.DRM_SECRET}\n"+
		"\t\tgeo_database country testdata/geo/example-country.mmdb\n\t\tgroup premium {\n\t\t\tsystems clearkey\n\t\t}\n\t}\n}\nhttp://:%d {\n\troot testdata\n", port) +
		site("gated", "gated", "") + site("brief", "gated", "session path 1s") +
		site("single", "single", "limit streams 1 by subject kick_oldest\n\t\t\tgroup premium") +
		"\thandle {\n\t\tdrm_player {\n" + stream("Gated", "gated", "") + stream("Single", "single", "\t\t\t\tgroup premium\n") + "\t\t}\n\t}\n}\n"
}

// gatedSite is a gateway of gatedCaddyfile, for edges to stand in front of.
type gatedSite struct {
	*gateway
	url  string
	key  token.Key
	late struct { // a session that has ended, made once
		sync.Once
		session string
	}
}

func newGatedSite(t *testing.T) *gatedSite {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return &gatedSite{gateway: newGateway(t, gatedCaddyfile(port)), url: fmt.Sprintf("http://127.0.0.1:%d", port), key: signingKey(t)}
}

// token returns an access token of a subject.
func (g *gatedSite) token(t *testing.T, subject string) string {
	t.Helper()
	text, err := token.SignPrefix(g.key, token.Claims{Subject: subject, Scope: []string{"/demo"}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// playerConfig is the gateway's player configuration.
type playerConfig struct {
	Manifests string
	Systems   []struct {
		LicenseURL string `json:"license_url"`
	}
	members map[string]json.RawMessage
}

// configMembers are where the players find theirs.
var configMembers = map[player.Player]string{player.Shaka: "shaka", player.DashJS: "dash.js", player.HlsJS: "hls.js", player.VideoJS: "video.js"}

func readPlayerConfig(t *testing.T, at string) playerConfig {
	t.Helper()
	var config playerConfig
	body := mustGet(t, at).body
	for _, target := range []any{&config, &config.members} {
		if err := json.Unmarshal(body, target); err != nil {
			t.Fatal(err)
		}
	}
	if len(config.Systems) != 1 || config.Manifests == "" {
		t.Fatalf("%d systems, manifests at %q", len(config.Systems), withoutSession(config.Manifests))
	}
	return config
}

func withoutSession(target string) string { return sessionElement.ReplaceAllString(target, "~s.…") }

// configured returns what a page asks a player for by the configuration of the demo: its own part, and the manifest in its session.
func (g *gatedSite) configured(t *testing.T, e *edge, w way, subject string) (player.Options, playerConfig) {
	t.Helper()
	config := readPlayerConfig(t, e.URL+"/gated/demo/.drm/config/default.json?token="+url.QueryEscape(g.token(t, subject)))
	return player.Options{Player: w.player, URL: config.Manifests + w.manifest, DRM: config.members[configMembers[w.player]], Timeout: 30 * time.Second}, config
}

// waysByLicense are those of EME. Shaka on HLS takes a key of the format identity for a part of the manifest, before any segment.
var waysByLicense = []way{ways[0], ways[1], ways[3]}

// Every player plays by what the configuration says for it: the MPD names no license server, and the license URL is that of the
// configuration.
func TestPlayersPlayByTheirConfiguration(t *testing.T) {
	g := newGatedSite(t)
	for _, w := range append([]way{{player.VideoJS, "manifest.mpd"}}, waysByLicense...) {
		t.Run(w.String(), func(t *testing.T) {
			parallel(t)
			e := newEdge(t, g.url)
			e.set(edgeRules{bare: true})
			o, config := g.configured(t, e, w, "viewer of "+w.String())
			s := mustPlay(t, o)
			checkFrames(t, s, titles[0].seeks...)
			result := resultOf(t, s)
			if result.KeySystem != "org.w3.clearkey" || len(result.UsableKeys()) == 0 || result.AudioBytes == 0 {
				t.Errorf("no usable key, or no sound:\n%s", result)
			}
			licenses := 0
			for _, p := range e.log() {
				if p.status >= 400 && p.path != "/favicon.ico" {
					t.Errorf("%s was answered with %d %s", p.path, p.status, p.reason)
				}
				if p.method == http.MethodPost {
					licenses++
					if p.url != config.Systems[0].LicenseURL {
						t.Errorf("a license was asked for at %s, not at the address of the configuration", p.path)
					}
				}
			}
			if licenses == 0 {
				t.Error("no license was asked for")
			}
		})
	}
}

// As long as its license is held back, or refused, a session gets one segment of each track and no other, whoever asks; once the license
// is let through the same page plays in the same session.
func TestNoSegmentWithoutALicense(t *testing.T) {
	g := newGatedSite(t)
	for _, how := range []struct {
		name  string
		rules edgeRules
	}{
		{"held", edgeRules{holdLicenses: true}},
		{"refused", edgeRules{license: func(r *http.Request) { r.Header.Set("X-Forwarded-For", abroad) }}},
	} {
		for _, w := range waysByLicense {
			t.Run(how.name+" "+w.String(), func(t *testing.T) {
				parallel(t)
				e := newEdge(t, g.url)
				e.set(how.rules)
				o, _ := g.configured(t, e, w, how.name+" viewer of "+w.String())
				s, err := startBrowser(t).Begin(testContext(t), o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				if how.name == "held" {
					e.waitFor(t, "a refused segment", func(p crossing) bool { return p.isSegment() && p.reason == "license_required" })
				} else {
					e.waitFor(t, "a refused license", func(p crossing) bool { return p.method == http.MethodPost && p.reason == "country_denied" })
				}
				g.sweep(t, e, o.URL)
				checkGated(t, e)
				open := e.set(edgeRules{})
				goOn(t, s)
				checkFrames(t, s, titles[0].seeks...)
				checkOneSession(t, e, open)
			})
		}
	}
}

// goOn lets a page play whose license is let through: its player goes on by itself, unless it has given up. Then the viewer presses play
// once more.
func goOn(t *testing.T, s *player.Session) {
	t.Helper()
	err := s.PlayUntil(testContext(t), 1.5)
	if err == nil {
		return
	}
	if failed := playbackError(t, err); len(failed.Result.Fatal) == 0 {
		t.Fatal(err) // it still tries
	}
	if err := s.Again(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// sweep asks for all segments in the session of a manifest at once, as somebody does who has its addresses and no player.
func (g *gatedSite) sweep(t *testing.T, e *edge, manifest string) {
	t.Helper()
	tracks, _ := dashTracks(t, e.URL+resolvePath(t, manifest, "manifest.mpd"))
	var all sync.WaitGroup
	for _, tr := range tracks {
		for _, segment := range tr.segments {
			all.Go(func() { get(t, segment) })
		}
	}
	all.Wait()
}

func resolvePath(t *testing.T, base, reference string) string {
	t.Helper()
	u, err := url.Parse(resolve(t, base, reference))
	if err != nil {
		t.Fatal(err)
	}
	return u.EscapedPath()
}

// checkGated checks that no license has left, and with it no segment but one of each track.
func checkGated(t *testing.T, e *edge) {
	t.Helper()
	opened, refused := map[string]string{}, map[string]int{}
	for _, p := range e.log() {
		switch folder := path.Dir(p.path); {
		case p.isLicense() && p.status == http.StatusOK:
			t.Errorf("a license left: %s", p.path)
		case !p.isSegment():
		case p.status == http.StatusOK:
			if first, ok := opened[folder]; ok && first != p.path {
				t.Errorf("without a license two segments of a track left: %s and %s", first, p.path)
			}
			opened[folder] = p.path
		case p.status == http.StatusForbidden && p.reason == "license_required":
			refused[folder]++
		case p.status != 0: // whoever did not wait got nothing
			t.Errorf("%s was answered with %d %s, want 403 license_required", p.path, p.status, p.reason)
		}
	}
	if len(refused) < 3 || len(opened) < 3 {
		t.Errorf("one segment of each of %d tracks left, and others of %d were refused; the demo has three:%s", len(opened), len(refused), e)
	}
	for folder, n := range refused {
		if n < 19 { // of twenty
			t.Errorf("%d segments of %s were refused", n, folder)
		}
	}
}

// checkOneSession checks that licenses were given since a phase of the edge began, and that all was of the session that had none before.
func checkOneSession(t *testing.T, e *edge, open int) {
	t.Helper()
	sessions, licensed := map[string]bool{}, false
	for _, p := range e.log() {
		if p.session != "" {
			sessions[p.session] = true
		}
		licensed = licensed || p.phase >= open && p.isLicense() && p.status == http.StatusOK
	}
	if len(sessions) != 1 || !licensed {
		t.Errorf("%d sessions, licensed %v:%s", len(sessions), licensed, e)
	}
}
