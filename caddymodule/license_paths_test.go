package caddymodule

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// licensePath is one of the ways to a key or a license, or to what leads to one, with a request that is answered.
type licensePath struct {
	method, url string
	body        []byte
	// upstream is the path at the license server that answers; empty if the gateway does so by itself.
	upstream string
	// names is how the request asks for another key; nil if it names none that can be read.
	names func(kid drm.KID) (url string, body []byte)
}

// allSystems makes a site of startLicensed one with every license path.
var allSystems = []string{"systems widevine playready fairplay", "systems clearkey widevine playready fairplay", "level high", "level low", "hdcp 2.2", ""}

// startAllPaths runs a site with every license path; its license servers answer so that each system can read it.
func startAllPaths(t *testing.T, options string, pairs ...string) licensed {
	t.Helper()
	l := startLicensed(t, "", "license_server clearkey\n\t"+options, append(slices.Clone(allSystems), pairs...)...)
	l.forget()
	return l
}

// upstreamLicense begins as FairPlay wants it; the other systems are handed on as they are.
const upstreamLicense = "\x00\x00\x00\x01license of the upstream"

// answerEverySystem answers as a license server of each system.
func answerEverySystem(cert []byte) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cert" {
			_, _ = w.Write(cert)
			return
		}
		answerWith(200, "application/octet-stream", upstreamLicense)(w, r)
	}
}

// forget makes the license servers answer every system, and forget what they were asked.
func (l licensed) forget() { l.up.say(answerEverySystem(l.up.cert)) }

// paths are all of them for the demo title, as a viewer with the token finds them.
func (l licensed) paths(t *testing.T, token string) map[string]licensePath {
	t.Helper()
	return l.pathsOf(t, "demo", token)
}

func (l licensed) pathsOf(t *testing.T, title, token string) map[string]licensePath {
	t.Helper()
	mpd := string(l.mustGet(t, "/"+title+"/manifest.mpd?token="+token).body)
	kid := kidsIn(t, mpd)[0]
	wv, pr, fp := licenseURLIn(t, mpd, drm.SystemWidevine), licenseURLIn(t, mpd, drm.SystemPlayReady), licenseURLIn(t, mpd, drm.SystemFairPlay)
	ck, raw := licenseURLIn(t, mpd, drm.SystemClearKey), rawKeyURLIn(t, l.links(t, "/"+title+"/master.m3u8?keyformat=identity&token="+token))
	clearKey := func(kid drm.KID) (string, []byte) { return ck, []byte(`{"kids":["` + kid.Base64URL() + `"]}`) }
	widevine := func(kid drm.KID) (string, []byte) { return wv, widevineChallenge(1, kid) }
	playReady := func(kid drm.KID) (string, []byte) { return pr, []byte(playReadyChallenge(kid)) }
	rawKey := func(kid drm.KID) (string, []byte) { return raw[:strings.LastIndex(raw, "/")+1] + kid.Hex(), nil }
	body := func(names func(drm.KID) (string, []byte)) []byte { _, b := names(kid); return b }
	return map[string]licensePath{
		"clearkey":                    {http.MethodPost, ck, body(clearKey), "", clearKey},
		"key of HLS identity":         {http.MethodGet, raw, nil, "", rawKey},
		"widevine":                    {http.MethodPost, wv, body(widevine), "/wv", widevine},
		"certificate of widevine":     {http.MethodPost, wv, []byte{8, 4}, "/wv", nil},
		"playready":                   {http.MethodPost, pr, body(playReady), "/pr", playReady},
		"fairplay":                    {http.MethodPost, fp, fairPlayContext(), "/fp", nil},
		"certificate of fairplay":     {http.MethodGet, strings.Replace(fp, "/fairplay/", "/fairplay/cert/", 1), nil, "/cert", nil},
		"configuration of the player": {http.MethodGet, "http://" + l.addr + "/" + title + "/.drm/config/premium.json?token=" + token, nil, "", nil},
	}
}

// rawKeyURLIn is the first URI of a key of HLS identity among links of playlists, which name other systems by data: URIs.
func rawKeyURLIn(t *testing.T, links []link) string {
	t.Helper()
	at := slices.IndexFunc(links, func(l link) bool { return l.kind == "key" && strings.Contains(l.url, "/key/") })
	if at < 0 {
		t.Fatal("no key of HLS identity")
	}
	return links[at].url
}

// ask sends the request of a path.
func (l licensed) ask(t *testing.T, p licensePath, pairs ...string) reply {
	t.Helper()
	return l.sendBody(t, p.method, p.url, p.body, pairs...)
}

var sessionElement = regexp.MustCompile(`~s\.[^/]*/`)

// bare is the path without session and token.
func (p licensePath) bare() licensePath {
	p.url, _, _ = strings.Cut(sessionElement.ReplaceAllString(p.url, ""), "?")
	return p
}

// with is the path with more at its end or, in pairs, with other words.
func (p licensePath) with(query string, pairs ...string) licensePath {
	p.url = strings.NewReplacer(pairs...).Replace(p.url) + query
	return p
}

// refuses checks that a path gives nothing, for a reason that is one of those wanted, asks no license server, and leaves nothing that a cache
// would keep.
func (l licensed) refuses(t *testing.T, what string, p licensePath, status int, reasons []string, pairs ...string) {
	t.Helper()
	asked := len(l.up.asked())
	res := l.ask(t, p, pairs...)
	if res.status != status || !slices.Contains(reasons, res.reason()) {
		t.Errorf("%s: %d %s, want %d %v", what, res.status, res.reason(), status, reasons)
	}
	if now := len(l.up.asked()); now != asked {
		t.Errorf("%s: the license server is asked", what)
	}
	wantUnkept(t, what, res)
}

// wantUnkept checks that a shared cache keeps nothing of an answer (RFC 9111, 3), and that it starts no session.
func wantUnkept(t *testing.T, what string, res reply) {
	t.Helper()
	control := res.header.Get("Cache-Control")
	if !strings.Contains(control, "no-store") && !(res.status == 200 && strings.HasPrefix(control, "private")) {
		t.Errorf("%s: Cache-Control %q", what, control)
	}
	for _, name := range []string{"Set-Cookie", "Expires", "Location", "Age"} {
		if value := res.header.Get(name); value != "" {
			t.Errorf("%s: %s: %s", what, name, value)
		}
	}
}
