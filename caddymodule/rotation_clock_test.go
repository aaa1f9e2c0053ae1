package caddymodule

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// TestRotationInOtherTicks: an MPD may count time in other ticks than the media, which is where a segment says when it begins.
func TestRotationInOtherTicks(t *testing.T) {
	for name, test := range map[string]struct{ timescale, offset string }{
		"milliseconds":       {"1000", ""},
		"finer":              {"1280000", ""},
		"media with a start": {"1000", ` presentationTimeOffset="20000"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			if err := os.CopyFS(filepath.Join(g.dir, "demo"), os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
				t.Fatal(err)
			}
			duration, first, count := map[string]string{"1000": "2000", "1280000": "2560000"}[test.timescale], "0", "19"
			length, number := "PT40S", "1"
			if test.offset != "" {
				length, number, first, count = "PT20S", "11", "20000", "9"
			}
			mpd := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-live:2011" mediaPresentationDuration="` + length +
				`" minBufferTime="PT2S"><Period id="p0"><AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="` + test.timescale + `"` +
				test.offset + ` startNumber="` + number + `" initialization="video/$RepresentationID$/init.mp4" media="video/$RepresentationID$/seg_$Number$.m4s">` +
				`<SegmentTimeline><S t="` + first + `" d="` + duration + `" r="` + count + `"/></SegmentTimeline></SegmentTemplate>` +
				`<Representation id="360p" bandwidth="1" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet></Period></MPD>`
			if err := os.WriteFile(filepath.Join(g.dir, "demo", "manifest.mpd"), []byte(mpd), 0o600); err != nil {
				t.Fatal(err)
			}
			g.load(t, withGroups(rotatingGroup)+strings.NewReplacer("TESTDATA", "DIR", "KEYS", "").Replace(rotatingSite))
			links := g.links(t, "/demo/manifest.mpd")
			segments := 0
			for _, l := range links {
				if l.kind != "media" {
					continue
				}
				segments++
				if res := g.get(t, l.url); res.status != 200 {
					t.Errorf("%s: %d %s", l.url, res.status, res.reason())
				}
			}
			if segments == 0 {
				t.Fatal("no segments")
			}
		})
	}
}

// TestRotationOfLongSegments: the crypto period of a segment is that of its beginning, however long it is and whether its length is
// known before it leaves.
func TestRotationOfLongSegments(t *testing.T) {
	origin := &scriptedOrigin{}
	var parts [][]byte
	for n := range 11 {
		parts = append(parts, clearFile(t, "demo/video/360p/seg_"+strconv.Itoa(n+1)+".m4s"))
	}
	for _, form := range []string{"whole", "growing"} {
		origin.play(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/360p/seg_1.m4s") {
				return false
			}
			if form == "whole" {
				w.Header().Set("Content-Length", strconv.Itoa(len(slices.Concat(parts...))))
			}
			for _, part := range parts {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
			}
			return true
		})
		site := strings.NewReplacer("file_server", "reverse_proxy "+origin.start(t), "root TESTDATA", "", "KEYS", "").Replace(rotatingSite)
		g := newGateway(t)
		g.load(t, withGroups(rotatingGroup)+site)
		segment := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_1.m4s").url
		if res := g.get(t, segment); res.status != 200 || len(res.body) < len(slices.Concat(parts...)) {
			t.Errorf("%s: %d %s, %d bytes", form, res.status, res.reason(), len(res.body))
		}
	}
}

// TestNoKeyAheadOfWholeTitles: the crypto period that comes next by the clock on the wall is one of live titles alone, and no reason to
// have a key server make keys for it.
func TestNoKeyAheadOfWholeTitles(t *testing.T) {
	var mu sync.Mutex
	asked := make(map[string]bool)
	server := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path] = true
		key := sha256.Sum256([]byte(r.URL.Path))
		_, _ = fmt.Fprintf(w, `[{"key_id":%q,"key":%q}]`, b64(key[:16]), b64(key[16:]))
	})
	g := startRotating(t, "keys nginx_vod "+server+"/{asset}/{scheme}/{generation}/{period}")
	g.mustGet(t, "/demo/manifest.mpd")
	for _, l := range g.links(t, "/demo/master.m3u8?drm=cenc") {
		if l.kind == "playlist" {
			g.mustGet(t, l.url)
		}
	}
	time.Sleep(100 * time.Millisecond) // nobody waits for what is fetched ahead
	mu.Lock()
	defer mu.Unlock()
	for path := range asked {
		if period := path[strings.LastIndexByte(path, '/')+1:]; len(period) != 1 || period > "4" {
			t.Errorf("asked for %s", path)
		}
	}
	if len(asked) < 4 {
		t.Errorf("asked %d times", len(asked))
	}
}

// faultySource fails once.
type faultySource struct {
	keysource.Source
	failures int
}

func (s *faultySource) ContentKey(ctx context.Context, r keysource.Request) (drm.ContentKey, error) {
	if s.failures++; s.failures == 1 {
		return drm.ContentKey{}, errors.New("out")
	}
	return s.Source.ContentKey(ctx, r)
}

// TestNoSegmentWithoutItsKey: a key server that is back before the segments behind a missing EXT-X-KEY are sealed makes no playlist
// whose segments players cannot decrypt.
func TestNoSegmentWithoutItsKey(t *testing.T) {
	derived, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), false)
	if err != nil {
		t.Fatal(err)
	}
	source, err := keysource.NewCached(&faultySource{Source: derived}, time.Now, keysource.CacheOptions{RetryAfter: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	group := drm.Group{Name: "rotating", Rotate: 10 * time.Second}
	q := &request{
		r:       new(http.Request),
		Handler: &Handler{app: &App{}, keys: openKeys{source: source}, License: &LicenseConfig{}}, site: &site{tenant: "one", sealer: sealer(t, testSecretHex, "one")},
	}
	p := &titleProtector{q: q, asset: "/demo/", group: group, title: keysource.Title{Tenant: "one", Asset: "/demo/", Scheme: drm.SchemeAES128}}
	track, err := hlsProtector{p}.newHLSTrack(t.Context(), track{p: p, class: drm.ClassHD}, p.title)
	if err != nil {
		t.Fatal(err)
	}
	if keys := track.Keys(hls.Epoch{CryptoPeriod: 7}); len(keys) > 0 {
		t.Fatal("the source did not fail")
	}
	segment := hls.Segment{Epoch: hls.Epoch{CryptoPeriod: 7}, Resource: hls.Resource{Target: address.Target{Path: "/demo/1.ts"}}}
	if _, err := track.Elements(segment); err == nil {
		t.Error("a segment is listed whose key is not")
	}
}

// TestRotationInEveryForm: whatever a title consists of, its manifests lead to segments that are there, and to the keys of all.
func TestRotationInEveryForm(t *testing.T) {
	_, server := newFormsOrigin(t)
	g := newGateway(t, "ORIGIN", server)
	g.load(t, withGroups(rotatingGroup)+strings.ReplaceAll(formsSite, "license_server clearkey", "license_server clearkey\n\t\tgroup rotating"))
	walked := make(map[string]bool)
	for _, f := range allForms() {
		if walked[f.manifest] {
			continue
		}
		walked[f.manifest] = true
		segments, keys := 0, 0
		for _, l := range g.links(t, f.manifest) {
			switch l.kind {
			case "init", "media":
				if res := g.get(t, l.url); res.status != http.StatusOK {
					t.Errorf("%s: %s: %d %s", f.manifest, l.cleanPath(t), res.status, res.reason())
				}
				segments++
			case "key":
				if res := g.get(t, l.url); res.status != http.StatusOK || len(res.body) != drm.KeySize {
					t.Errorf("%s: a key: %d %s", f.manifest, res.status, res.reason())
				}
				keys++
			}
		}
		if segments == 0 {
			t.Errorf("%s: no segments", f.manifest)
		}
		if strings.Contains(f.manifest, "/x/ts/") && keys < 2 {
			t.Errorf("%s: %d keys", f.manifest, keys)
		}
		if strings.Contains(f.manifest, ".mpd") && !strings.HasPrefix(f.manifest, "/pass/") {
			checkKIDsOf(t, g, f.manifest)
		}
	}
	first := linkTo(t, g.links(t, "/x/single/m.mpd?drm=cenc"), "media", "/v.mp4").url
	other := strings.Replace(first, "/"+address.NumberElement("1")+"/", "/"+address.NumberElement("20")+"/", 1)
	wantReply(t, "a number of another Period", g.get(t, other), http.StatusNotFound, "period_mismatch")
}

// checkKIDsOf: one license holds the keys of all Periods.
func checkKIDsOf(t *testing.T, g *gateway, manifest string) {
	t.Helper()
	mpd := string(g.mustGet(t, manifest).body)
	kids := make(map[string]bool)
	for _, kid := range defaultKIDPattern.FindAllStringSubmatch(mpd, -1) {
		kids[kid[1]] = true
	}
	if keys, res := g.license(t, laurlPattern.FindStringSubmatch(mpd)[1], slices.Collect(maps.Keys(kids))...); len(keys) != len(kids) || len(kids) < 4 {
		t.Errorf("%s: %d keys of %d: %d %s", manifest, len(keys), len(kids), res.status, res.reason())
	}
}
