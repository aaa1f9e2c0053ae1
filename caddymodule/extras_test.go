package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// TestHostsAndPathsInManifests covers row 25: what a client or an operator names cannot add a tag or an attribute.
func TestHostsAndPathsInManifests(t *testing.T) {
	origin := &scriptedOrigin{}
	g := startGateway(t, proxySite, "ORIGIN", origin.start(t))
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		_, name, found := strings.Cut(r.URL.Path[1:], "/")
		if found {
			_, _ = w.Write(clearFile(t, "demo/"+name))
		}
		return found
	})
	for _, host := range []string{"a&b.test", "a'b.test", "a.test,b.test", "[::1]", "a.test:1", `a"b.test`, "a<b.test", "a>b", "a b"} {
		for _, dir := range []string{"/demo", "/a%22b%26c", "/a%3Cb%3E", "/a'b", "/%7B$x%7D", "/%7Benv.TEST_DRM_SECRET%7D"} {
			mpd := g.rawAs(t, dir+"/manifest.mpd?drm=cenc", host)
			if mpd.status != 200 {
				if mpd.status/100 != 4 && mpd.status != 502 {
					t.Errorf("%s %s: %d", host, dir, mpd.status)
				}
				continue
			}
			var doc mpdDocument
			if err := xml.Unmarshal(mpd.body, &doc); err != nil {
				t.Errorf("%s %s: %v", host, dir, err)
			}
			laurl := strings.TrimSpace(doc.Periods[0].Sets[0].Laurl[0])
			if want := unescaped(t, "http://"+host+dir+"/.drm/clearkey/"); !strings.HasPrefix(unescaped(t, laurl), want) {
				t.Errorf("license URL %s, want %s…", laurl, want)
			}
			media := g.rawAs(t, pathOf(t, "http://x"+strings.Replace(dir, "$", "%24", 1)+"/video/360p.m3u8"), host)
			for _, line := range strings.Split(string(media.body), "\n") {
				if strings.HasPrefix(line, "#EXT-X-KEY") && strings.Count(line, `"`)%2 != 0 {
					t.Errorf("%s %s: %s", host, dir, line)
				}
			}
			if bytes.Contains(mpd.body, []byte(testSecretHex)) || bytes.Contains(media.body, []byte(testSecretHex)) {
				t.Error("a placeholder in a path was expanded")
			}
		}
	}
}

func unescaped(t *testing.T, text string) string {
	t.Helper()
	out, err := url.PathUnescape(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestForeignKIDs: a license URL gives the keys of its own title, whatever KID somebody read in another's manifest.
func TestForeignKIDs(t *testing.T) {
	g := startGateway(t, plainSite)
	own := g.links(t, "/demo/master.m3u8?drm=cenc")
	foreign := g.links(t, "/demo-av1/master.m3u8?drm=cenc")
	ownKey, foreignKey := linkTo(t, own, "key", "").url, linkTo(t, foreign, "key", "").url
	kid := foreignKey[len(foreignKey)-32:]
	if kid == ownKey[len(ownKey)-32:] {
		t.Fatal("two titles share a KID")
	}
	if res := g.get(t, ownKey[:len(ownKey)-32]+kid); res.status != 404 {
		t.Errorf("key: %d %s", res.status, res.reason())
	}
	ask := []byte(`{"kids":["` + base64.RawURLEncoding.EncodeToString(unhex(t, kid)) + `"]}`)
	license, _, _ := strings.Cut(linkTo(t, own, "license", "").url, "?")
	if res := g.sendBody(t, http.MethodPost, license, ask); res.status != 403 || res.reason() != "license_no_keys" {
		t.Errorf("license: %d %s", res.status, res.reason())
	}
	for body, want := range map[string]int{
		"": 400, "{": 400, "[]": 400, `{"kids":[]}`: 400, `{"kids":["AA"]}`: 400, string(make([]byte, 100<<10)): 400,
		strings.Replace(string(ask), "}", `,"type":"persistent-license"}`, 1): 403,
	} {
		if res := g.sendBody(t, http.MethodPost, license, []byte(body)); res.status != want || res.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.40q: %d %s", body, res.status, res.reason())
		}
	}
}

// TestStoredSecret: without a configured secret one is drawn once, and found again.
func TestStoredSecret(t *testing.T) {
	g := newGateway(t)
	global := strings.Replace(globalBlock, "secret {env.TEST_DRM_SECRET}", "", 1)
	g.load(t, global+plainSite)
	segment := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "").url
	want := g.mustGet(t, segment)
	g.load(t, global+plainSite)
	if got := g.mustGet(t, segment); !bytes.Equal(got.body, want.body) {
		t.Error("another secret after a reload")
	}
	stored, err := os.ReadFile(filepath.Join(g.dir, "storage", filepath.FromSlash(storedSecretKey)))
	if err != nil {
		t.Fatal(err)
	}
	deploymentSecret(t, string(stored))
	if err := os.WriteFile(filepath.Join(g.dir, "storage", filepath.FromSlash(storedSecretKey)), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := validateCaddyfile(t, g, "", "license_server clearkey", [2]string{`"secret":"{env.TEST_DRM_SECRET}",`, ""}); err != nil {
		t.Log(err) // the running configuration keeps what it has; the next one must not start with less
	} else {
		t.Error("a damaged secret in storage is accepted")
	}
}

// TestTokenCommand: what `caddy drm token` prints opens what it names, and nothing else.
func TestTokenCommand(t *testing.T) {
	g := startGateway(t, membersSite)
	file := filepath.Join(g.dir, "token.key")
	if err := os.WriteFile(file, []byte(testTokenSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := signedOptions{mintOptions: mintOptions{keyFile: file, expires: time.Hour}, prefixes: []string{"/demo"}, subject: "test-viewer"}
	text, err := good.sign(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g.mustGet(t, "/demo/manifest.mpd?token="+text)
	if res := g.get(t, "/demo-av1/manifest.mpd?token="+text); res.status != 403 {
		t.Errorf("another title: %d", res.status)
	}
	for name, edit := range map[string]func(*signedOptions){
		"no key file": func(o *signedOptions) { o.keyFile = "" }, "a missing key file": func(o *signedOptions) { o.keyFile = file + "x" },
		"no prefix": func(o *signedOptions) { o.prefixes = nil }, "no time": func(o *signedOptions) { o.expires = 0 },
		"a relative prefix": func(o *signedOptions) { o.prefixes = []string{"demo"} }, "a country that is none": func(o *signedOptions) { o.countries = []string{"Austria"} },
	} {
		bad := good
		edit(&bad)
		if text, err := bad.sign(time.Now()); err == nil || text != "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestPlaceholders: other directives see who was served what.
func TestPlaceholders(t *testing.T) {
	g := startGateway(t, strings.Replace(membersSite, "drm {", `header >X-Seen "{http.drm.tenant}|{http.drm.asset}|{http.drm.subject}|{http.drm.country}|{http.drm.deny_reason}"
	drm {
	geo country {
		allow AT
	}`, 1))
	for _, test := range []struct{ token, want string }{
		{tokenFor(t, "/demo"), "members|/demo/|test-viewer|AT|"},
		{"garbage", "members|/demo/||AT|token_invalid"},
		{signedToken(t, time.Now().Add(time.Hour), token.Claims{Scope: []string{"/x"}}), "members|/demo/||AT|token_scope"},
	} {
		if got := g.get(t, "/demo/manifest.mpd?token="+test.token).header.Get("X-Seen"); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// TestAssetsAndShared: patterns widen an asset or let it refer to what all share, under its own key.
func TestAssetsAndShared(t *testing.T) {
	site := strings.Replace(plainSite, "drm {", "drm {\n\t\tscheme cenc\n\t\tOPTION", 1)
	origin := t.TempDir()
	for dir, from := range map[string]string{"vod/a": "demo", "audio": "demo/audio"} {
		if err := os.CopyFS(filepath.Join(origin, filepath.FromSlash(dir)), os.DirFS(filepath.Join(testdata(t), filepath.FromSlash(from)))); err != nil {
			t.Fatal(err)
		}
	}
	master := strings.Replace(string(clearFile(t, "demo/master.m3u8")), "audio/en.m3u8", "/audio/en.m3u8", 1)
	if err := os.WriteFile(filepath.Join(origin, "vod", "a", "master.m3u8"), []byte(master), 0o600); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]int{"asset /vod/*": 502, "asset /vod/*\n\t\tshared /audio": 200, "asset /vod/*\n\t\tshared /audio/*": 200, "shared /audiobooks": 502} {
		g := startGateway(t, strings.Replace(site, "root TESTDATA", "root ORIGIN", 1), "OPTION", option, "ORIGIN", origin)
		res := g.get(t, "/vod/a/master.m3u8")
		if res.status != want {
			t.Errorf("%q: %d %s", option, res.status, res.reason())
			continue
		}
		if want != 200 {
			continue
		}
		for _, l := range g.links(t, "/vod/a/master.m3u8") {
			if l.kind == "license" || l.kind == "key" {
				if !strings.HasPrefix(pathOf(t, l.url), "/vod/a/.drm/") {
					t.Errorf("%s is not of the asset", l.url)
				}
				continue
			}
			g.mustGet(t, l.url)
		}
	}
}
