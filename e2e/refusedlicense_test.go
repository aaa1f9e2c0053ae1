package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/token"
)

// pagePlayers are the players of the page by its own names.
var pagePlayers = map[player.Player]string{player.Shaka: "shaka", player.DashJS: "dash", player.HlsJS: "hls"}

// load fills in the form of the page and presses Load.
func (v *viewer) load(stream string, w way, token string) {
	v.t.Helper()
	format := "dash"
	if strings.Contains(w.manifest, ".m3u8") {
		format = "hls"
	}
	script, err := testtools.FillIn(stream, pagePlayers[w.player], format, token)
	if err != nil {
		v.t.Fatal(err)
	}
	evaluate[bool](v, script)
	v.do(chromedp.Click("#load"))
}

// alerts is what the page says below the picture.
const alerts = `document.getElementById("alerts").innerText`

// refusedLicense is a reason for which the gateway refuses a license, whose manifest it gave.
type refusedLicense struct {
	status        int
	reason, words string // words of the page
	stream        string
	// bringAbout makes the gateway refuse: it changes the first request for a license, or the world before it is passed on.
	bringAbout func(t *testing.T, g *gatedSite, subject string) func(*http.Request)
}

var refusedLicenses = []refusedLicense{
	{403, "country_denied", "may not be shown where you are", "Gated", func(*testing.T, *gatedSite, string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Forwarded-For", abroad) }
	}},
	{401, "token_expired", "has expired", "Gated", func(t *testing.T, g *gatedSite, _ string) func(*http.Request) {
		over := g.sessionThatIsOver(t)
		return func(r *http.Request) {
			r.URL.Path = sessionElement.ReplaceAllString(r.URL.Path, "~s."+over)
			r.URL.RawPath = ""
		}
	}},
	{403, "revoked", "has been revoked", "Gated", func(t *testing.T, g *gatedSite, subject string) func(*http.Request) {
		revoke := sync.OnceFunc(func() { g.revoke(t, "gated", subject) })
		return func(*http.Request) { revoke() }
	}},
	{429, "stream_kicked", "began to watch another one", "Single", func(t *testing.T, g *gatedSite, subject string) func(*http.Request) {
		watch := sync.OnceFunc(func() {
			tracks, _ := dashTracks(t, g.url+"/single/demo/manifest.mpd?token="+url.QueryEscape(g.token(t, subject)))
			mustGet(t, tracks[0].init)
		})
		return func(*http.Request) { watch() }
	}},
}

// sessionThatIsOver returns a session of the demo that has ended.
func (g *gatedSite) sessionThatIsOver(t *testing.T) string {
	t.Helper()
	g.late.Do(func() { g.late.session = g.outlive(t) })
	return g.late.session
}

// outlive makes a session and waits for its end.
func (g *gatedSite) outlive(t *testing.T) string {
	t.Helper()
	ends := time.Now().Add(5 * time.Second)
	text, err := token.SignPrefix(g.key, token.Claims{Subject: "late", Scope: []string{"/demo"}, Expires: ends.Add(-token.DefaultLeeway)})
	if err != nil {
		t.Fatal(err)
	}
	session := sessionOf(t, readPlayerConfig(t, g.url+"/brief/demo/.drm/config/default.json?token="+url.QueryEscape(text)).Manifests)
	for end := ends.Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if get(t, g.url+"/gated/demo/~s."+session+"/manifest.mpd").reason() == "token_expired" {
			return session
		}
		if time.Now().After(end) {
			t.Fatal("the session does not end")
		}
	}
}

// revoke takes access from a subject by the admin endpoint.
func (g *gatedSite) revoke(t *testing.T, tenant, subject string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"kind": "subject", "tenant": tenant, "value": subject, "for": "1h"})
	if err != nil {
		t.Fatal(err)
	}
	a := askWith(t, http.MethodPost, "http://"+g.admin+"/drm/revocations", "", string(body), http.Header{"Content-Type": {"application/json"}})
	if a.status != http.StatusCreated {
		t.Errorf("revoking: %s", a)
	}
}

// The page says why a license is refused, in the words for the gateway's reason, with each player, and shows no picture.
func TestPlayerPageSaysWhyNoLicense(t *testing.T) {
	g := newGatedSite(t)
	for _, refused := range refusedLicenses {
		for _, w := range waysByLicense {
			t.Run(refused.reason+" "+w.String(), func(t *testing.T) {
				parallel(t)
				e, subject := newEdge(t, g.url), refused.reason+" for "+w.String()
				e.set(edgeRules{license: refused.bringAbout(t, g, subject)})
				v := openPage(t, e.URL+"/")
				v.load(refused.stream, w, g.token(t, subject))
				v.waitFor(fmt.Sprintf(`%[1]s.includes("The license was refused (%[2]d)") && %[1]s.includes(%[3]s)`, alerts, refused.status, quote(refused.reason)))
				v.waitFor(`document.getElementById("status-text").innerText === "Playback failed."`)
				// What the players say of it on top of that must not take its place.
				if said := evaluate[string](v, alerts); !strings.Contains(said, refused.reason) || !strings.Contains(said, refused.words) {
					t.Errorf("the page says %q, want %q and %q", said, refused.reason, refused.words)
				}
				if frames := evaluate[int](v, `document.querySelector("video").webkitDecodedFrameCount`); frames > 0 {
					t.Errorf("%d frames were decoded", frames)
				}
				e.checkRefused(t, refused.status, refused.reason)
			})
		}
	}
}

// checkRefused checks that every license was refused for the reason, and that the manifest and the player configuration had been given.
func (e *edge) checkRefused(t *testing.T, status int, reason string) {
	t.Helper()
	manifests, licenses, configs := 0, 0, 0
	for _, p := range e.log() {
		switch {
		case p.method == http.MethodPost && p.status == status && p.reason == reason:
			licenses++
		case p.method == http.MethodPost && p.status != 0:
			t.Errorf("a license was answered with %d %s", p.status, p.reason)
		case strings.HasSuffix(p.path, "/manifest.mpd") && p.status == http.StatusOK, strings.HasSuffix(p.path, "/master.m3u8") && p.status == http.StatusOK:
			manifests++
		case strings.Contains(p.path, "/.drm/config/") && p.status == http.StatusOK:
			configs++
		}
	}
	if manifests == 0 || licenses == 0 || configs != 1 {
		t.Errorf("%d manifests and %d configurations were given and %d licenses refused:%s", manifests, configs, licenses, e)
	}
}

// heldFrom is the first segment that an edge holds back until access is revoked: ten seconds come before it.
const heldFrom = 6

// Access is revoked while a viewer watches. From then on no segment leaves for him and no license, the page plays what it has, stands
// still, and says why.
func TestPlayerPageStopsWhenAccessIsRevoked(t *testing.T) {
	g := newGatedSite(t)
	for _, w := range waysByLicense {
		t.Run(w.String(), func(t *testing.T) {
			parallel(t)
			e, subject := newEdge(t, g.url), "revoked while watching by "+w.String()
			e.set(edgeRules{holdSegments: heldFrom, bare: true}) // the page knows from the player configuration alone where licenses are
			v := openPage(t, e.URL+"/")
			v.load("Gated", w, g.token(t, subject))
			v.waitFor(`document.querySelector("video").readyState >= 3`)
			if evaluate[bool](v, `document.querySelector("video").paused`) {
				v.do(chromedp.KeyEvent("k"))
			}
			v.waitFor(`document.querySelector("video").currentTime > 1`)
			g.revoke(t, "gated", subject)
			revoked := e.set(edgeRules{})
			e.waitFor(t, "a refused segment", func(p crossing) bool { return p.isSegment() && p.reason == "revoked" })
			e.checkRenewal(t)
			v.waitFor(fmt.Sprintf(`%[1]s.includes("A segment was refused (403)") && %[1]s.includes("has been revoked") && %[1]s.includes("revoked")`, alerts))
			v.checkStands(2 * (heldFrom - 1))
			for _, p := range e.log() {
				if p.phase >= revoked && (p.isSegment() || p.isLicense()) && p.status == http.StatusOK {
					t.Errorf("%s left after access had been revoked", p.path)
				}
			}
		})
	}
}

// checkRenewal asks for the license of the page once more, as a player does that renews it.
func (e *edge) checkRenewal(t *testing.T) {
	t.Helper()
	first := e.waitFor(t, "a license", func(p crossing) bool { return p.method == http.MethodPost && p.status == http.StatusOK })
	again := ask(t, http.MethodPost, first.url, "", string(first.body))
	checkRefusal(t, again, http.StatusForbidden, "revoked")
	var problem struct{ Type, Title string }
	if err := json.Unmarshal(again.body, &problem); err != nil || problem.Type != "https://dashif.org/drm-problems/not-authorized" || problem.Title == "" {
		t.Errorf("the problem has type %q and title %q, %v", problem.Type, problem.Title, err)
	}
}

// checkStands waits until the picture stands still at the end of what the page had got, at most at the given second.
func (v *viewer) checkStands(end float64) {
	v.t.Helper()
	const video = `document.querySelector("video")`
	v.waitFor(fmt.Sprintf(`((v) => !v.buffered.length || v.paused || v.readyState < 3 && v.buffered.end(v.buffered.length - 1) - v.currentTime < 1)(%s)`, video))
	at := evaluate[float64](v, video+".currentTime")
	if at > end+0.5 {
		v.t.Errorf("it played on to %.2f s", at)
	}
	if now := evaluate[float64](v, fmt.Sprintf(`new Promise((done) => setTimeout(() => done(%s.currentTime), 1000))`, video)); now > at+0.05 {
		v.t.Errorf("it goes on, from %.2f s to %.2f s", at, now)
	}
}
