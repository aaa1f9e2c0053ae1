package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// liveWeek is the crypto period in the middle of which the channel of these tests changes its keys; weekBegins is when it begins.
const liveWeek = 2953

var weekBegins = time.Unix(liveWeek*int64(drm.LiveCryptoPeriod/time.Second), 0).UTC()

// liveSite is a site whose groups say nothing of rotation.
const liveSite = `
http://:PORT {
	root DIR
	drm {
		tenant live
		license_server clearkey
		OPTIONS
	}
	file_server
}
`

// startLive runs a gateway over a channel whose first twenty seconds are of one week and whose next twenty are of another. The global
// block gets groups, the site options.
func startLive(t *testing.T, groups, options string) *gateway {
	t.Helper()
	return startLiveFrom(t, weekBegins.Add(-20*time.Second), groups, options)
}

// startLiveFrom is startLive over a channel that began at another time.
func startLiveFrom(t *testing.T, begins time.Time, groups, options string) *gateway {
	t.Helper()
	setClock(t, weekBegins.Add(25*time.Second))
	g := newGateway(t)
	writeChannel(t, g, begins)
	block := strings.Replace(withGroups(groups), "output discard", "output file DIR/all.log", 1)
	g.load(t, block+strings.Replace(liveSite, "OPTIONS", options, 1))
	return g
}

// writeChannel makes a live channel of the demo, in DASH and HLS.
func writeChannel(t *testing.T, g *gateway, begins time.Time) {
	t.Helper()
	live := filepath.Join(g.dir, "live")
	if err := os.CopyFS(live, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	date := begins.Format(time.RFC3339)
	rewrite := func(pattern string, replace ...string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(live, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	rewrite("manifest.mpd", `type="static"`, `type="dynamic" availabilityStartTime="`+date+`" minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT60S"`)
	rewrite("*/*.m3u8", "#EXT-X-PLAYLIST-TYPE:VOD\n", "", "#EXT-X-ENDLIST\n", "", "#EXT-X-MAP", "#EXT-X-PROGRAM-DATE-TIME:"+date+"\n#EXT-X-MAP")
}

// kidIn is the KID of the channel in a crypto period.
func kidIn(t *testing.T, group string, scheme drm.ProtectionScheme, period uint32) string {
	t.Helper()
	return derivedKey(t, keysource.Title{Tenant: "live", Group: group, Asset: "/live/", Scheme: scheme, Period: period}).KID().String()
}

var keyIDPattern = regexp.MustCompile(`KEYID=0x([0-9A-F]{32})`)

// kidsOfPlaylist lists the KIDs that a playlist names, in their order, each once.
func kidsOfPlaylist(t *testing.T, text []byte) (kids []string) {
	t.Helper()
	for _, found := range keyIDPattern.FindAllSubmatch(text, -1) {
		kid, err := drm.ParseKID(string(found[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(kids, kid.String()) {
			kids = append(kids, kid.String())
		}
	}
	return kids
}

// periodKIDs maps the ids of Periods to their KIDs.
func periodKIDs(mpd string) map[string]string {
	kids := make(map[string]string)
	for _, p := range periodPattern.FindAllStringSubmatch(mpd, -1) {
		if kid := defaultKIDPattern.FindStringSubmatch(p[0]); kid != nil {
			kids[p[1]] = kid[1]
		}
	}
	return kids
}

// TestLiveCencChangesItsKeyEachWeek: a live channel under cenc has another key in each week, in DASH and HLS the same, and everything is there
// under the key of its week.
func TestLiveCencChangesItsKeyEachWeek(t *testing.T) {
	g := startLive(t, "", "")
	before, behind := kidIn(t, "", drm.SchemeCenc, liveWeek-1), kidIn(t, "", drm.SchemeCenc, liveWeek)
	mpd := string(g.mustGet(t, "/live/manifest.mpd?drm=cenc").body)
	want := map[string]string{fmt.Sprintf("p0-k%d", liveWeek-1): before, fmt.Sprintf("p0-k%d", liveWeek): behind}
	if got := periodKIDs(mpd); !maps.Equal(got, want) {
		t.Errorf("the Periods have %v, want %v\n%s", got, want, mpd)
	}
	if !strings.Contains(mpd, `start="PT20S"`) {
		t.Error("the second Period does not begin where the week does")
	}
	segments := 0
	for _, l := range g.links(t, "/live/manifest.mpd?drm=cenc") {
		if l.kind == "init" || l.kind == "media" {
			g.mustGet(t, l.url)
			segments++
		}
	}
	if segments < 60 {
		t.Errorf("%d segments", segments)
	}
	second := linkTo(t, g.links(t, "/live/manifest.mpd?drm=cenc"), "media", "/video/360p/seg_11.m4s").url
	wantReply(t, "a segment of the first week in the second", g.get(t, strings.Replace(second, "seg_11.m4s", "seg_1.m4s", 1)), http.StatusNotFound, "period_mismatch")
	announced := kidIn(t, "", drm.SchemeCenc, liveWeek+1)
	license := laurlPattern.FindStringSubmatch(mpd)[1]
	for name, kid := range map[string]string{"before": before, "behind": behind, "announced": announced} {
		if keys, res := g.license(t, license, kid); keys[kid] == "" {
			t.Errorf("%s: no license: %d %s", name, res.status, res.reason())
		}
	}
	for _, period := range []uint32{100, liveWeek - 2, liveWeek + 2} {
		if keys, res := g.license(t, license, kidIn(t, "", drm.SchemeCenc, period)); res.status != http.StatusForbidden || len(keys) > 0 {
			t.Errorf("a license for the key of week %d: %d", period, res.status)
		}
	}
	for _, rendition := range []string{"/video/360p.m3u8", "/video/180p.m3u8", "/audio/en.m3u8"} {
		playlist := linkTo(t, g.links(t, "/live/master.m3u8?drm=cenc"), "playlist", rendition).url
		text := g.mustGet(t, playlist).body
		if got := kidsOfPlaylist(t, text); !slices.Equal(got, []string{before, behind}) {
			t.Errorf("%s has the keys %v, want %v", rendition, got, []string{before, behind})
		}
		for _, l := range playlistLinks(t, playlist, text) {
			if l.isMedia() || l.kind == "key" {
				g.mustGet(t, l.url)
			}
		}
	}
}

// TestWeeksNearTheirBoundary: which week a segment is of follows from when it begins, to the second, whatever the gateway's own clock says.
func TestWeeksNearTheirBoundary(t *testing.T) {
	for name, test := range map[string]struct {
		begins time.Duration // behind the beginning of the week
		weeks  []uint32
	}{
		"all before":   {-41 * time.Second, []uint32{liveWeek - 1}},
		"the last one": {-38 * time.Second, []uint32{liveWeek - 1, liveWeek}},
		"but one":      {-2 * time.Second, []uint32{liveWeek - 1, liveWeek}},
		"all in it":    {0, []uint32{liveWeek}},
	} {
		t.Run(name, func(t *testing.T) {
			g := startLiveFrom(t, weekBegins.Add(test.begins), "", "")
			var want []string
			for _, week := range test.weeks {
				want = append(want, kidIn(t, "", drm.SchemeCenc, week))
			}
			inDASH := slices.Sorted(maps.Values(periodKIDs(string(g.mustGet(t, "/live/manifest.mpd?drm=cenc").body))))
			playlist := linkTo(t, g.links(t, "/live/master.m3u8?drm=cenc"), "playlist", "/video/360p.m3u8").url
			inHLS := kidsOfPlaylist(t, g.mustGet(t, playlist).body)
			if slices.Sort(want); !slices.Equal(inDASH, want) {
				t.Errorf("DASH has %v, want %v", inDASH, want)
			}
			if slices.Sort(inHLS); !slices.Equal(inHLS, want) {
				t.Errorf("HLS has %v, want %v", inHLS, want)
			}
		})
	}
}

// TestOthersKeepTheirKey: what is not live, or not under cenc, is as it was.
func TestOthersKeepTheirKey(t *testing.T) {
	g := startLive(t, "", "")
	if err := os.CopyFS(filepath.Join(g.dir, "demo"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	if got, want := periodKIDs(string(g.mustGet(t, "/live/manifest.mpd?drm=cbcs").body)), map[string]string{"p0": kidIn(t, "", drm.SchemeCbcs, 0)}; !maps.Equal(got, want) {
		t.Errorf("live under cbcs: %v, want %v", got, want)
	}
	if got := periodKIDs(string(g.mustGet(t, "/demo/manifest.mpd?drm=cenc").body)); len(got) != 1 || got["p0"] == "" {
		t.Errorf("on demand under cenc: %v", got)
	}
	playlist := filepath.Join(g.dir, "live", "video", "360p.m3u8")
	text, err := os.ReadFile(playlist)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(playlist, []byte(strings.Replace(string(text), "#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	event := linkTo(t, g.links(t, "/live/master.m3u8?drm=cenc"), "playlist", "/video/360p.m3u8").url
	if got, want := kidsOfPlaylist(t, g.mustGet(t, event).body), []string{kidIn(t, "", drm.SchemeCenc, 0)}; !slices.Equal(got, want) {
		t.Errorf("an event: %v, want %v", got, want)
	}
	if n := strings.Count(string(g.mustGet(t, linkTo(t, g.links(t, "/demo/master.m3u8?drm=cenc"), "playlist", "/video/360p.m3u8").url).body), "#EXT-X-MAP"); n != 1 {
		t.Errorf("on demand under cenc: %d EXT-X-MAP", n)
	}
}

// TestOneKeyWhereNoneCanFollow: a channel that cannot have another key each week plays on with one, and its operator is told, once.
func TestOneKeyWhereNoneCanFollow(t *testing.T) {
	edit := func(g *gateway, name, old, text string) {
		t.Helper()
		file := filepath.Join(g.dir, "live", name)
		content, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(content), old) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(content), old, text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		groups, options string
		change          func(g *gateway)
		path, group     string
	}{
		"an MPD without a clock": {change: func(g *gateway) {
			edit(g, "manifest.mpd", `availabilityStartTime="`+weekBegins.Add(-20*time.Second).Format(time.RFC3339)+`"`, `availabilityStartTime="soon"`)
		}, path: "/live/manifest.mpd"},
		"a playlist without a date": {change: func(g *gateway) {
			edit(g, "video/360p.m3u8", "#EXT-X-PROGRAM-DATE-TIME:", "#EXT-X-PROGRAM-DATE-TIME:about ")
		}, path: "/live/video/360p.m3u8"},
		"licenses that are kept": {
			groups: "\t\tgroup kept {\n\t\t\tlicense persistent 48h\n\t\t\tsystems widevine clearkey\n\t\t}\n", options: "group kept", path: "/live/manifest.mpd", group: "kept",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := startLive(t, test.groups, test.options)
			if test.change != nil {
				test.change(g)
			}
			for range 3 {
				res := g.mustGet(t, test.path+"?drm=cenc")
				if res.header.Get("Drm-Notice") != "one_key" {
					t.Error("the manifest has no notice")
				}
				// The asset of a playlist that is asked for by itself is its directory.
				asset := test.path[:strings.LastIndexByte(test.path, '/')+1]
				kid := derivedKey(t, keysource.Title{Tenant: "live", Group: test.group, Asset: asset, Scheme: drm.SchemeCenc}).KID()
				if !strings.Contains(string(res.body), kid.String()) && !strings.Contains(string(res.body), strings.ToUpper(kid.Hex())) {
					t.Errorf("another key than %s:\n%s", kid, res.body)
				}
			}
			if logged := readLog(t, g); strings.Count(logged, "has one key for all time") != 1 {
				t.Errorf("the operator was told otherwise than once:\n%s", logged)
			}
		})
	}
	t.Run("keys that are asked for", func(t *testing.T) {
		keys := &lastingKeys{}
		g := startLive(t, "", "keys nginx_vod "+startScripted(t, keys.answer)+"/{asset}/{scheme}/{period}")
		res := g.mustGet(t, "/live/manifest.mpd?drm=cenc")
		if res.header.Get("Drm-Notice") != "one_key" || len(periodKIDs(string(res.body))) != 1 {
			t.Errorf("%s\n%s", res.header.Get("Drm-Notice"), res.body)
		}
	})
	t.Run("the probe passes it on", func(t *testing.T) {
		g := startLive(t, "\t\tgroup kept {\n\t\t\tlicense persistent 48h\n\t\t\tsystems widevine clearkey\n\t\t}\n", "group kept")
		for scheme, want := range map[string]bool{"cenc": true, "cbcs": false} {
			report, _ := probeCLI(t, "--segments", "1", "http://"+g.addr+"/live/manifest.mpd?drm="+scheme)
			if got := strings.Contains(strings.Join(report.Notes, "\n"), "never changes its key"); got != want {
				t.Errorf("%s: the notes are %q", scheme, report.Notes)
			}
		}
	})
	t.Run("no notice of what rotates, or need not", func(t *testing.T) {
		g := startLive(t, "", "")
		for _, path := range []string{"/live/manifest.mpd?drm=cenc", "/live/manifest.mpd?drm=cbcs", "/live/video/360p.m3u8?drm=cenc"} {
			if notice := g.mustGet(t, path).header.Get("Drm-Notice"); notice != "" {
				t.Errorf("%s: %s", path, notice)
			}
		}
	})
	t.Run("what could not be played before is refused as it was", func(t *testing.T) {
		g := startLive(t, "", "")
		edit(g, "manifest.mpd", "<SegmentTemplate", `<SegmentTemplate bitstreamSwitching="x.mp4"`)
		edit(g, "manifest.mpd", "video/$RepresentationID$/seg_$Number$.m4s", "../../x/$SubNumber$.m4s")
		wantReply(t, "an MPD of no use", g.get(t, "/live/manifest.mpd?drm=cenc"), http.StatusBadGateway, "manifest_malformed")
	})
}

// readLog is what the gateway has logged.
func readLog(t *testing.T, g *gateway) string {
	t.Helper()
	logged, err := os.ReadFile(filepath.Join(g.dir, "all.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(logged)
}

// TestSessionKeysOfLiveCenc: a multivariant playlist announces no key that its media playlists do not name.
func TestSessionKeysOfLiveCenc(t *testing.T) {
	groups := "\t\tgroup all {\n\t\t\tsystems widevine clearkey\n\t\t}\n"
	g := startLive(t, groups, "group all\n\t\tlicense_url widevine https://license.example/wv")
	if err := os.CopyFS(filepath.Join(g.dir, "demo"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"/live/master.m3u8?drm=cenc": false, "/live/master.m3u8?drm=cbcs": true, "/demo/master.m3u8?drm=cenc": true, "/demo/master.m3u8?drm=cbcs": true,
	} {
		if got := strings.Contains(string(g.mustGet(t, path).body), "#EXT-X-SESSION-KEY:"); got != want {
			t.Errorf("%s: announced=%t", path, got)
		}
	}
	playlist := linkTo(t, g.links(t, "/live/master.m3u8?drm=cenc"), "playlist", "/video/360p.m3u8").url
	said := widevineOfPlaylist(t, string(g.mustGet(t, playlist).body))
	if len(said) != 2 || !said[1].Rotates || said[1].CryptoPeriodIndex != liveWeek || said[1].CryptoPeriodSeconds != uint32(drm.LiveCryptoPeriod/time.Second) {
		t.Errorf("Widevine is told %+v", said)
	}
}

var dataURIPattern = regexp.MustCompile(`URI="data:text/plain;base64,([^"]*)",KEYID`)

// widevineOfPlaylist reads what a playlist tells Widevine, in order.
func widevineOfPlaylist(t *testing.T, text string) (said []drm.WidevineInit) {
	t.Helper()
	for _, found := range dataURIPattern.FindAllStringSubmatch(text, -1) {
		box, _, err := drm.ParsePssh(textOf(t, "<x>"+found[1]+"</x>", "x"))
		if err != nil {
			t.Fatal(err)
		}
		init, err := drm.ParseWidevineInit(box.Data)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, init)
	}
	return said
}

// TestPlayerConfigurationOfLiveCenc: a page knows one license URL for a title of which nobody has looked at the manifest: it gives the keys that the
// title has when it is live, and the one that it has on demand.
func TestPlayerConfigurationOfLiveCenc(t *testing.T) {
	g := startLive(t, "", "scheme cenc")
	config := string(g.mustGet(t, "/live/.drm/config/default.json").body)
	license := regexp.MustCompile(`"licenseUrl":"([^"]*)"`).FindStringSubmatch(config)
	if license == nil {
		t.Fatal(config)
	}
	for _, week := range []uint32{liveWeek - 1, liveWeek, liveWeek + 1, 0} {
		kid := kidIn(t, "", drm.SchemeCenc, week)
		if keys, res := g.license(t, license[1], kid); keys[kid] == "" {
			t.Errorf("week %d: %d %s", week, res.status, res.reason())
		}
	}
}

// TestLiveCencCountedByTheClock: an MPD whose segments follow from the clock lists the week of now, and that which comes next; players ask for it
// often enough to see it.
func TestLiveCencCountedByTheClock(t *testing.T) {
	g := startLive(t, "", "")
	dir := filepath.Join(g.dir, "counted")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "init.mp4"), string(clearFile(t, "demo/video/360p/init.mp4")))
	writeFile(t, filepath.Join(dir, "manifest.mpd"), `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" `+
		`profiles="urn:mpeg:dash:profile:isoff-live:2011" timeShiftBufferDepth="PT10S" minBufferTime="PT2S"><Period id="p" start="PT0S">`+
		`<AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1" duration="2" startNumber="0" initialization="init.mp4" media="$Number$.m4s"/>`+
		`<Representation id="v" bandwidth="1" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet></Period></MPD>`)
	mpd := string(g.mustGet(t, "/counted/manifest.mpd?drm=cenc").body)
	want := []string{fmt.Sprintf("p-k%d", liveWeek), fmt.Sprintf("p-k%d", liveWeek+1)}
	if got := slices.Sorted(maps.Keys(periodKIDs(mpd))); !slices.Equal(got, want) {
		t.Errorf("Periods %v, want %v", got, want)
	}
	begins := fmt.Sprintf(`id="p-k%d" start="PT%dS"`, liveWeek, weekBegins.Unix())
	if !strings.Contains(mpd, begins) || !strings.Contains(mpd, `minimumUpdatePeriod="PT302400S"`) {
		t.Errorf("no %s in\n%s", begins, mpd)
	}
}
