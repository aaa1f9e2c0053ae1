package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/rights"
)

// testClock is a clock that stands still until it is set.
type testClock struct{ at atomic.Pointer[time.Time] }

// setClock gives the configurations that the test loads a clock of its own.
func setClock(t *testing.T, now time.Time) *testClock {
	t.Helper()
	c := new(testClock)
	c.set(now)
	before := clockOfNewApps
	clockOfNewApps = func() time.Time { return *c.at.Load() }
	t.Cleanup(func() { clockOfNewApps = before })
	return c
}

func (c *testClock) set(now time.Time) { c.at.Store(&now) }

// rightsBlock is globalBlock with a catalog, a cache of segments, and viewers from wherever they say they are.
var rightsBlock = strings.Replace(strings.Replace(cachedBlock, "admin off", "admin off\n\tservers {\n\t\ttrusted_proxies static 127.0.0.0/8\n\t}", 1),
	"segment_cache", "rights shop DIR/rights.yaml {\n\t\t\trefresh 1s\n\t\t}\n\t\tsegment_cache", 1)

const rightsSite = `
http://:PORT {
	drm {
		tenant rights
		scheme cenc
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {env.TEST_TOKEN_SECRET}
		}
		rights shop
		sidecar .vtt
	}
	root DIR
	file_server
}
`

// showAt is when the tests of rights take place.
var showAt = time.Date(2026, 11, 27, 18, 0, 0, 0, time.UTC)

// rightsGateway serves the demo title under several names, by a catalog.
func rightsGateway(t *testing.T, catalog string) (*gateway, *testClock) {
	t.Helper()
	clock := setClock(t, showAt)
	g := newGateway(t)
	for _, name := range []string{"subscribed", "sold", "free", "soon", "live", "other"} {
		if err := os.CopyFS(filepath.Join(g.dir, name), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
			t.Fatal(err)
		}
	}
	g.writeCatalog(t, catalog)
	g.load(t, rightsBlock+rightsSite)
	return g, clock
}

// writeCatalog puts a catalog in place as an updater should: whole.
func (g *gateway) writeCatalog(t *testing.T, catalog string) {
	t.Helper()
	file := filepath.Join(g.dir, "rights.yaml")
	if err := os.WriteFile(file+".new", []byte(catalog), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// until is an instant as catalogs have it.
func until(after time.Duration) string { return rights.FormatTime(showAt.Add(after)) }

var shopCatalog = `
titles:
  - path: /subscribed/
    territories: [AT, DE]
    model: subscription
    plans: [basic, premium]
    windows: [{start: ` + until(-time.Hour) + `, end: ` + until(time.Hour) + `}]
    license:
      url: https://creativecommons.org/licenses/by/4.0/
      source: https://example.com/demo?a=1&b=2
      attribution: 'Zoë "Z" <z@example.com>; rel=x, 7%'
  - {id: film-7, path: /sold/, territories: world, model: purchase}
  - {path: /free/, territories: world, model: free, windows: [{end: ` + until(10*time.Minute) + `}]}
  - {path: /soon/, territories: world, model: free, windows: [{start: ` + until(time.Minute) + `}]}
  - {path: /live/, territories: world, model: free}
blackouts:
  - {path: /live/, territories: AT, from: ` + until(time.Minute) + `, to: ` + until(2*time.Minute) + `}
`

// rightsJWT makes a token with the given claims, good for 8 hours.
func rightsJWT(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"exp": showAt.Add(8 * time.Hour).Unix(), "sub": "viewer-7"}
	for name, value := range claims {
		all[name] = value
	}
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(testTokenSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func subscriber(t *testing.T) string { return rightsJWT(t, map[string]any{"plans": []string{"basic"}}) }

func withToken(target, token string) string { return target + "?token=" + url.QueryEscape(token) }

func TestEachReasonOfRights(t *testing.T) {
	g, clock := rightsGateway(t, shopCatalog)
	basic, buyer := subscriber(t), rightsJWT(t, map[string]any{"purchases": "film-7"})
	for _, test := range []struct {
		rule, path, token string
		after             time.Duration
		from              string // address
		status            int
		reason, opens     string
	}{
		{"a subscriber", "/subscribed/", basic, 0, "203.0.113.1", 200, "", ""},
		{"the same title in Germany", "/subscribed/", basic, 0, "192.0.2.1", 200, "", ""},
		{"not in America", "/subscribed/", basic, 0, "198.51.100.1", 403, "rights_territory", ""},
		{"nobody knows where", "/subscribed/", basic, 0, "8.8.8.8", 403, "rights_territory", ""},
		{"a buyer is no subscriber", "/subscribed/", buyer, 0, "203.0.113.1", 403, "rights_plan", ""},
		{"a nanosecond before the start", "/subscribed/", basic, -time.Hour - 1, "203.0.113.1", 403, "rights_not_started", until(-time.Hour)},
		{"at the start", "/subscribed/", basic, -time.Hour, "203.0.113.1", 200, "", ""},
		{"a nanosecond before the end", "/subscribed/", basic, time.Hour - 1, "203.0.113.1", 200, "", ""},
		{"at the end", "/subscribed/", basic, time.Hour, "203.0.113.1", 403, "rights_ended", ""},
		{"a buyer", "/sold/", buyer, 0, "8.8.8.8", 200, "", ""},
		{"a subscriber is no buyer", "/sold/", basic, 0, "203.0.113.1", 403, "rights_purchase", ""},
		{"blacked out", "/live/", basic, time.Minute, "203.0.113.1", 403, "rights_blackout", until(2 * time.Minute)},
		{"elsewhere it goes on", "/live/", basic, time.Minute, "192.0.2.1", 200, "", ""},
		{"after the program", "/live/", basic, 2 * time.Minute, "203.0.113.1", 200, "", ""},
		{"not in the catalog", "/other/", basic, 0, "203.0.113.1", 403, "rights_unlisted", ""},
		{"who is nobody is not told", "/other/", "", 0, "203.0.113.1", 401, "token_missing", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			clock.set(showAt.Add(test.after))
			for _, file := range []string{"manifest.mpd", "master.m3u8"} {
				res := g.get(t, withToken(test.path+file, test.token), "X-Forwarded-For", test.from, "Origin", "https://play.example.com")
				if res.status != test.status || res.reason() != test.reason || res.header.Get("Drm-Opens") != test.opens {
					t.Fatalf("%s: %d %s, opens %q; want %d %s, %q", file, res.status, res.reason(), res.header.Get("Drm-Opens"), test.status, test.reason, test.opens)
				}
				if test.status == 200 {
					continue
				}
				var problem struct{ Reason, Opens string }
				if err := json.Unmarshal(res.body, &problem); err != nil || problem.Reason != test.reason || problem.Opens != test.opens {
					t.Errorf("problem %s (%v)", res.body, err)
				}
				if res.header.Get("Cache-Control") != "no-store" || res.header.Get("Link") != "" || !strings.Contains(res.header.Get("Access-Control-Expose-Headers"), "Drm-Opens") {
					t.Errorf("headers %v", res.header)
				}
			}
		})
	}
}

// rightsLinks are the URLs of a manifest under a session.
func rightsLinks(t *testing.T, g *gateway, title, token string) (session []link) {
	t.Helper()
	at := "http://" + g.addr + title + "manifest.mpd"
	return mpdLinks(t, at, g.mustGet(t, withToken(title+"manifest.mpd", token)).body)
}

var defaultKID = regexp.MustCompile(`default_KID="([0-9a-f-]+)"`)

// licenseRequest asks for the first key that an MPD names, as a Clear Key CDM does.
func licenseRequest(t *testing.T, mpd []byte) []byte {
	t.Helper()
	match := defaultKID.FindSubmatch(mpd)
	if match == nil {
		t.Fatal("the MPD names no key")
	}
	kid := unhex(t, strings.ReplaceAll(string(match[1]), "-", ""))
	return []byte(`{"kids":["` + base64.RawURLEncoding.EncodeToString(kid) + `"],"type":"temporary"}`)
}

// The end of a window ends manifests, sessions, segments, also those in memory, and licenses together, to the second; and until
// then nothing is given out that lasts longer.
func TestAWindowEndsForEverythingAtOnce(t *testing.T) {
	g, clock := rightsGateway(t, shopCatalog)
	token := subscriber(t)
	links := rightsLinks(t, g, "/subscribed/", token)
	media, license := linkTo(t, links, "media", "seg_1.m4s").url, linkTo(t, links, "license", "").url
	request := licenseRequest(t, g.mustGet(t, withToken("/subscribed/manifest.mpd", token)).body)
	ask := func(l string) reply { // 127.0.0.1 is in Austria
		if l == license {
			return g.sendBody(t, http.MethodPost, l, request)
		}
		return g.get(t, l)
	}
	age := func(res reply) time.Duration {
		value := strings.TrimSuffix(strings.TrimPrefix(res.header.Get("Cache-Control"), "private, max-age="), ", must-revalidate")
		seconds, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("Cache-Control %q", res.header.Get("Cache-Control"))
		}
		return time.Duration(seconds) * time.Second
	}
	end := showAt.Add(time.Hour)
	for _, left := range []time.Duration{time.Hour, 90 * time.Second, 1500 * time.Millisecond, 1} {
		clock.set(end.Add(-left))
		for range 2 { // from the origin, and from memory
			res := ask(media)
			if left < time.Second && res.status == 401 {
				continue // sessions end on whole seconds
			}
			if res.status != 200 || age(res) != left.Truncate(time.Second) {
				t.Errorf("%s before the end: %d %s, %q", left, res.status, res.reason(), res.header.Get("Cache-Control"))
			}
		}
		if res := ask(license); res.status != 200 && (left >= time.Second || res.status != 401) {
			t.Errorf("%s before the end, license: %d %s", left, res.status, res.reason())
		}
	}
	for _, after := range []time.Duration{0, time.Second, 3 * time.Hour} {
		clock.set(end.Add(after))
		for _, target := range []string{media, license, withToken("/subscribed/manifest.mpd", token), withToken("/subscribed/master.m3u8", token)} {
			if res := ask(target); res.status != 403 || res.reason() != "rights_ended" || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s after the end, %s: %d %s", after, target[:40], res.status, res.reason())
			}
		}
	}
	clock.set(end.Add(-time.Minute))
	if res := ask(media); res.status != 200 {
		t.Errorf("the clock is set back: %d %s", res.status, res.reason())
	}
}

// A session is for its token's scope, which may span titles. It is judged by each reference's own title, and the one whose
// window ends first does not end the others'.
func TestASessionSpansTitlesAndOpensNone(t *testing.T) {
	g, clock := rightsGateway(t, shopCatalog)
	both := rightsJWT(t, map[string]any{"plans": "basic", "purchases": "film-7"})
	subscribed, sold := rightsLinks(t, g, "/subscribed/", both), rightsLinks(t, g, "/sold/", both)
	free := rightsLinks(t, g, "/free/", subscriber(t))
	media := func(links []link) string { return linkTo(t, links, "media", "seg_1.m4s").url }
	sessionOf := func(target string) string {
		from := strings.Index(target, "~s.")
		return target[from : from+strings.IndexByte(target[from:], '/')]
	}
	// The session of a free title on one that is sold: its holder is a subscriber, and has not bought.
	moved := strings.Replace(media(sold), sessionOf(media(sold)), sessionOf(media(free)), 1)
	if res := g.get(t, moved); res.status != 403 || res.reason() != "rights_purchase" {
		t.Errorf("the session of another title: %d %s", res.status, res.reason())
	}
	clock.set(showAt.Add(time.Hour))
	if res := g.get(t, media(subscribed)); res.reason() != "rights_ended" {
		t.Errorf("the title whose window is over: %d %s", res.status, res.reason())
	}
	if res := g.get(t, media(sold)); res.status != 200 {
		t.Errorf("the other title: %d %s", res.status, res.reason())
	}
}

// A blackout interrupts: the session that played before plays behind it.
func TestASessionOutlivesABlackout(t *testing.T) {
	g, clock := rightsGateway(t, shopCatalog)
	media := linkTo(t, rightsLinks(t, g, "/live/", subscriber(t)), "media", "seg_1.m4s").url
	for _, step := range []struct {
		after  time.Duration
		status int
		reason string
	}{{0, 200, ""}, {time.Minute - 1, 200, ""}, {time.Minute, 403, "rights_blackout"}, {2*time.Minute - 1, 403, "rights_blackout"}, {2 * time.Minute, 200, ""}} {
		clock.set(showAt.Add(step.after))
		if res := g.get(t, media); res.status != step.status || res.reason() != step.reason {
			t.Errorf("after %s: %d %s, want %d %s", step.after, res.status, res.reason(), step.status, step.reason)
		}
	}
}

// Whoever gets the work gets its license with it; nothing in a catalog ends a header (row 25).
func TestLicenseMetadata(t *testing.T) {
	g, _ := rightsGateway(t, shopCatalog)
	links := rightsLinks(t, g, "/subscribed/", subscriber(t))
	mpd := g.mustGet(t, withToken("/subscribed/manifest.mpd", subscriber(t)))
	license := g.sendBody(t, http.MethodPost, linkTo(t, links, "license", "").url, licenseRequest(t, mpd.body))
	if license.status != 200 {
		t.Fatalf("license: %d %s", license.status, license.reason())
	}
	for _, res := range []reply{mpd, license, g.mustGet(t, withToken("/subscribed/master.m3u8", subscriber(t)))} {
		if got := strings.Join(res.header.Values("Link"), " | "); got != `<https://creativecommons.org/licenses/by/4.0/>; rel="license" | <https://example.com/demo?a=1&b=2>; rel="via"` {
			t.Errorf("Link %s", got)
		}
		if got, err := url.PathUnescape(res.header.Get("Drm-Attribution")); err != nil || got != `Zoë "Z" <z@example.com>; rel=x, 7%` {
			t.Errorf("attribution %q (%v)", res.header.Get("Drm-Attribution"), err)
		}
		for _, name := range []string{"Link", "Drm-Attribution"} {
			if !strings.Contains(res.header.Get("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s is hidden from pages", name)
			}
		}
	}
	if res := g.mustGet(t, withToken("/free/manifest.mpd", subscriber(t))); res.header.Get("Link")+res.header.Get("Drm-Attribution") != "" {
		t.Error("a title without a license has one")
	}
}

// A site that is one title needs no catalog.
func TestRightsInTheSite(t *testing.T) {
	clock := setClock(t, showAt)
	g := newGateway(t)
	site := strings.NewReplacer("rights shop", "rights {\n\t\t\twindow from "+until(0)+"\n\t\t\twindow "+until(-2*time.Hour)+" "+until(-time.Hour)+
		"\n\t\t\tterritories AT\n\t\t\tmodel subscription basic\n\t\t\tlicense https://example.com/license\n\t\t}", "root DIR", "root TESTDATA").Replace(rightsSite)
	g.load(t, globalBlock+site)
	for after, want := range map[time.Duration]string{0: "", -1: "rights_not_started", -time.Hour: "rights_not_started", -2 * time.Hour: ""} {
		clock.set(showAt.Add(after))
		res := g.get(t, withToken("/demo/manifest.mpd", subscriber(t)))
		if res.reason() != want || want == "" && !strings.Contains(res.header.Get("Link"), `<https://example.com/license>; rel="license"`) {
			t.Errorf("after %s: %d %s, Link %q", after, res.status, res.reason(), res.header.Get("Link"))
		}
	}
	clock.set(showAt)
	if res := g.get(t, withToken("/demo/manifest.mpd", rightsJWT(t, nil))); res.reason() != "rights_plan" {
		t.Errorf("no plan: %d %s", res.status, res.reason())
	}
}

// A download that straddles the end is finished, and the next one is refused (row 31): a segment that breaks off in the middle
// would be a fault to players, and nobody gains more than one.
func TestADownloadThatStraddlesTheEnd(t *testing.T) {
	clock, origin := setClock(t, showAt), &scriptedOrigin{}
	g := newGateway(t)
	site := strings.NewReplacer("rights shop", "rights {\n\t\t\twindow until "+until(0)+"\n\t\t\tterritories world\n\t\t\tmodel free\n\t\t}",
		"root DIR\n\tfile_server", "reverse_proxy ORIGIN").Replace(rightsSite)
	clock.set(showAt.Add(-10 * time.Second))
	g.load(t, globalBlock+strings.Replace(site, "ORIGIN", origin.start(t), 1))
	media := linkTo(t, rightsLinks(t, g, "/demo/", subscriber(t)), "media", "/video/360p/seg_1.m4s").url
	want := g.mustGet(t, media)
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "seg_1.m4s") {
			clock.set(showAt) // while the origin answers
		}
		return false
	})
	res := g.get(t, media)
	if res.status != 200 || string(res.body) != string(want.body) {
		t.Errorf("the download that had begun: %d %s, %d bytes of %d", res.status, res.reason(), len(res.body), len(want.body))
	}
	if got := res.header.Get("Cache-Control"); got != "private, max-age=0, must-revalidate" {
		t.Errorf("it may be kept: %q", got)
	}
	if res := g.get(t, media); res.status != 403 || res.reason() != "rights_ended" {
		t.Errorf("the next: %d %s", res.status, res.reason())
	}
}

// The cookie of a session ends with the window, as the session in it does.
func TestTheSessionCookieEndsWithTheWindow(t *testing.T) {
	clock := setClock(t, showAt)
	g := newGateway(t)
	g.load(t, globalBlock+strings.NewReplacer("rights shop", "session cookie 4h\n\t\trights {\n\t\t\twindow until "+until(time.Hour)+
		"\n\t\t\tterritories world\n\t\t\tmodel free\n\t\t}", "root DIR", "root TESTDATA").Replace(rightsSite))
	first := g.mustGet(t, withToken("/demo/manifest.mpd", subscriber(t)))
	cookies := (&http.Response{Header: first.header}).Cookies()
	if len(cookies) != 1 || !cookies[0].Expires.Equal(showAt.Add(time.Hour)) {
		t.Fatalf("cookies %v", cookies)
	}
	pair := []string{"Cookie", cookies[0].Name + "=" + cookies[0].Value}
	media := linkTo(t, mpdLinks(t, "http://"+g.addr+"/demo/manifest.mpd", first.body), "media", "seg_1.m4s").url
	clock.set(showAt.Add(time.Hour - time.Second))
	g.mustGet(t, media, pair...)
	clock.set(showAt.Add(time.Hour))
	if res := g.get(t, media, pair...); res.reason() != "rights_ended" {
		t.Errorf("%d %s", res.status, res.reason())
	}
}
