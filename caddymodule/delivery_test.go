package caddymodule

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/token"
)

const pullSecret = "test-pull-secret-0123456789"

// cdnSite is a site of tokens behind a CDN.
func cdnSite(session, delivery string) string {
	return sessionSite(session, "delivery behind_cdn {\n"+delivery+"\n}")
}

// TestBehindCDN: encrypted media is for everybody and carries no session; all else is for one viewer.
func TestBehindCDN(t *testing.T) {
	t.Setenv("TEST_PULL_SECRET", pullSecret)
	for _, kind := range []string{"query", "cookie"} {
		t.Run(kind, func(t *testing.T) {
			g := startGateway(t, cdnSite(kind, "pull_auth header X-Pull {env.TEST_PULL_SECRET}\nmax_age 2h"))
			for _, manifest := range []string{"/demo/manifest.mpd", "/demo/master.m3u8"} {
				first := g.mustGet(t, manifest+"?drm=cenc&token="+tokenFor(t, "/demo"))
				if got := first.header.Get("Cache-Control"); got != "private, no-cache" {
					t.Errorf("manifest: %q", got)
				}
				var cookie []string
				if kind == "cookie" {
					c := (&http.Response{Header: first.header}).Cookies()[0]
					cookie = []string{"Cookie", c.Name + "=" + c.Value}
				}
				seen := map[string]int{}
				for _, l := range g.links(t, manifest+"?drm=cenc&token="+tokenFor(t, "/demo"), cookie...) {
					if seen[l.kind]++; seen[l.kind] > 3 && l.kind != "init" {
						continue
					}
					checkCDNLink(t, g, l, kind == "query", cookie)
				}
				if seen["media"] == 0 || seen["text"]+seen["playlist"] == 0 || seen["license"] == 0 {
					t.Errorf("links: %v", seen)
				}
			}
		})
	}
}

func checkCDNLink(t *testing.T, g *gateway, l link, inQuery bool, cookie []string) {
	t.Helper()
	if carries := sessionIn(t, l.url) != ""; carries != (inQuery && !l.isMedia()) {
		t.Errorf("%s: a session in the address is %t: %s", l.kind, carries, l.url)
	}
	pull := []string{"X-Pull", pullSecret}
	switch {
	case l.kind == "license":
		if res := g.sendBody(t, http.MethodPost, strings.Split(l.url, "?")[0], []byte("{"), pull...); res.status != 401 {
			t.Errorf("a license without a session: %d", res.status)
		}
	case !l.isMedia():
		if got := g.mustGet(t, l.url, cookie...).header.Get("Cache-Control"); !strings.HasPrefix(got, "private") && got != "no-store" {
			t.Errorf("%s: %q", l.kind, got)
		}
		if res := g.get(t, strings.Split(l.url, "?")[0], pull...); res.status != 401 {
			t.Errorf("%s without a session: %d", l.kind, res.status)
		}
	default:
		for range 2 {
			res := g.mustGet(t, l.url, pull...)
			if got := res.header.Get("Cache-Control"); got != "public, max-age=7200, immutable" || res.header.Get("Set-Cookie")+res.header.Get("Vary") != "" {
				t.Errorf("%s: %q, %v", l.url, got, res.header)
			}
		}
		if res := g.get(t, l.url, append(pull, "Range", "bytes=0-9")...); res.status != 206 || !strings.HasPrefix(res.header.Get("Cache-Control"), "public") {
			t.Errorf("a range: %d %q", res.status, res.header.Get("Cache-Control"))
		}
		for name, header := range map[string][]string{
			"nothing": cookie, "another secret": {"X-Pull", pullSecret + "x"}, "an empty one": {"X-Pull", ""}, "it twice": {"X-Pull", pullSecret, "X-Pull", pullSecret},
			"a token": {"Authorization", "Bearer " + tokenFor(t, "/demo")},
		} {
			if res := g.get(t, l.url, header...); res.status != 403 || res.reason() != "pull_auth" || res.header.Get("Cache-Control") != "no-store" {
				t.Errorf("media with %s: %d %s %q", name, res.status, res.reason(), res.header.Get("Cache-Control"))
			}
		}
	}
}

// TestPullAuthByPassword takes the other form of credential, and TestBehindCDN the one by header.
func TestPullAuthByPassword(t *testing.T) {
	t.Setenv("TEST_PULL_SECRET", pullSecret)
	g := startGateway(t, cdnSite("query", "pull_auth basic cdn {env.TEST_PULL_SECRET}"))
	segment := linkTo(t, g.links(t, "/demo/manifest.mpd?token="+tokenFor(t, "/demo")), "media", "seg_1.m4s").url
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for header, status := range map[string]int{
		basic("cdn", pullSecret): 200, basic("cdn", "x"): 403, basic("x", pullSecret): 403, basic("cdn:"+pullSecret, ""): 403, "Bearer x": 403, "": 403,
	} {
		if res := g.get(t, segment, "Authorization", header); res.status != status {
			t.Errorf("%q: %d", header, res.status)
		}
	}
}

// TestEveryViewerGetsTheSameMediaAddresses: a cache that keeps a segment for one viewer has it for all.
func TestEveryViewerGetsTheSameMediaAddresses(t *testing.T) {
	g := startGateway(t, cdnSite("query", ""))
	of := func(subject string) (media string) {
		for _, l := range g.links(t, "/demo/manifest.mpd?drm=cenc&token="+signedToken(t, time.Now().Add(time.Hour), token.Claims{Subject: subject, Scope: []string{"/demo"}})) {
			if l.isMedia() {
				media += l.url + "\n"
			}
		}
		return media
	}
	if a, b := of("a"), of("b"); a != b || a == "" {
		t.Error("the addresses of media differ between viewers")
	}
}

// TestTextTracksStayPrivate: a text track in an MP4 is media by its seal, and is readable as it leaves.
func TestTextTracksStayPrivate(t *testing.T) {
	init := mp4.CreateEmptyInit()
	init.AddEmptyTrack(1000, "wvtt", "en")
	if err := init.Moov.Trak.SetWvttDescriptor("WEBVTT"); err != nil {
		t.Fatal(err)
	}
	fragment, err := mp4.CreateFragment(1, init.Moov.Trak.Tkhd.TrackID)
	if err != nil {
		t.Fatal(err)
	}
	cue := []byte("\x00\x00\x00\x08vtte")
	fragment.AddFullSample(mp4.FullSample{Sample: mp4.NewSample(mp4.SyncSampleFlags, 2000, uint32(len(cue)), 0), Data: cue})
	var initBytes, segmentBytes bytes.Buffer
	if err := errors.Join(init.Encode(&initBytes), fragment.Encode(&segmentBytes)); err != nil {
		t.Fatal(err)
	}
	origin := &scriptedOrigin{script: func(w http.ResponseWriter, r *http.Request) bool {
		body, ok := map[string][]byte{
			"/demo/text/list.m3u8": []byte("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:2,\n1.m4s\n#EXT-X-ENDLIST\n"),
			"/demo/text/init.mp4":  initBytes.Bytes(), "/demo/text/1.m4s": segmentBytes.Bytes(),
		}[r.URL.Path]
		if ok {
			_, _ = w.Write(body)
		}
		return ok
	}}
	site := strings.Replace(cdnSite("query", ""), "file_server {\n\troot TESTDATA\n}", "reverse_proxy ORIGIN", 1)
	g := startGateway(t, site, "ORIGIN", origin.start(t))
	links := g.links(t, "/demo/text/list.m3u8?token="+tokenFor(t, "/demo"))
	if len(links) != 2 {
		t.Fatalf("%v", links)
	}
	for _, l := range links {
		if sessionIn(t, l.url) == "" {
			t.Errorf("%s without a session: %s", l.kind, l.url)
		}
		if got := g.mustGet(t, l.url).header.Get("Cache-Control"); !strings.HasPrefix(got, "private") {
			t.Errorf("%s: %q", l.kind, got)
		}
		if res := g.get(t, strings.Split(l.url, "?")[0]); res.status != 401 {
			t.Errorf("%s without a session: %d", l.kind, res.status)
		}
	}
}

// TestMediaIsKeptNoLongerThanItsAdmission covers what ends an admission, and files that may not be whole yet.
func TestMediaIsKeptNoLongerThanItsAdmission(t *testing.T) {
	now := time.Now()
	app := &App{clock: func() time.Time { return now }}
	edge, cdn := &Handler{app: app}, &Handler{app: app, Delivery: &DeliveryConfig{Mode: deliveryBehindCDN}}
	for name, test := range map[string]struct {
		h     *Handler
		until time.Time
		ttl   time.Duration
		want  string
	}{
		"at the edge":                        {edge, time.Time{}, segmentTTL, "private, max-age=3600"},
		"at the edge, for ten minutes":       {edge, now.Add(601 * time.Second), segmentTTL, "private, max-age=601, must-revalidate"},
		"at the edge, for a day":             {edge, now.Add(24 * time.Hour), segmentTTL, "private, max-age=3600"},
		"behind a CDN":                       {cdn, time.Time{}, segmentTTL, "public, max-age=86400, immutable"},
		"behind a CDN, for ten minutes":      {cdn, now.Add(601 * time.Second), segmentTTL, "public, max-age=601, immutable"},
		"behind a CDN, the window is closed": {cdn, now, segmentTTL, "no-store"},
		"behind a CDN, a young file":         {cdn, time.Time{}, youngTTL, "public, max-age=1"},
	} {
		q := &request{Handler: test.h, kind: kindMedia, seal: address.Seal{Kind: address.SealMedia}, identity: identity{until: test.until}}
		if got := q.mediaCacheControl(test.ttl); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestRevokedTitlesBehindCDN: a title that has been revoked is not given to the cache either.
func TestRevokedTitlesBehindCDN(t *testing.T) {
	g, admin := adminGateway(t, cdnSite("query", ""))
	var media string
	for _, l := range g.links(t, "/demo/manifest.mpd?drm=cenc&token="+tokenFor(t, "/demo")) {
		if l.isMedia() {
			media = l.url
		}
	}
	wantReply(t, "before", g.get(t, media), 200, "")
	if _, res := g.revoke(t, admin, map[string]any{"kind": "title", "value": "/demo/", "for": "1h"}); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	res := g.get(t, media)
	wantReply(t, "behind it", res, 403, "revoked")
	if got := res.header.Get("Cache-Control"); got != cacheNoStore {
		t.Errorf("Cache-Control: %q", got)
	}
}
