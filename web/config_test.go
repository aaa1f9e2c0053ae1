package web

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// servePlayerConfig answers as the gateway does for a title with ClearKey alone, or without an address for one without any DRM system.
func servePlayerConfig(w http.ResponseWriter, license string) {
	w.Header().Set("Content-Type", "application/json")
	if license == "" {
		_, _ = fmt.Fprint(w, `{"group":"","systems":[],"shaka":{"drm":{"servers":{},"advanced":{}}},
			"hls.js":{"emeEnabled":true,"drmSystems":{},"drmSystemOptions":{}},"dash.js":{},"video.js":{}}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"group":"","systems":[{"system":"clearkey","key_system":"org.w3.clearkey","license_url":%[1]q}],
		"shaka":{"drm":{"servers":{"org.w3.clearkey":%[1]q},"advanced":{"org.w3.clearkey":{}}}},
		"hls.js":{"emeEnabled":true,"drmSystems":{"org.w3.clearkey":{"licenseUrl":%[1]q}},"drmSystemOptions":{}},
		"dash.js":{"org.w3.clearkey":{"serverURL":%[1]q,"priority":1}},"video.js":{"org.w3.clearkey":{"url":%[1]q}}}`, license)
}

// TestNoPlayerConfiguration: what plays without a configuration does so, and nobody is alarmed: of another server that gives it out clear, with
// a signature for the address of the manifest alone, and of a group that the page was not told of.
func TestNoPlayerConfiguration(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	for _, c := range []struct{ stream, player, format, status string }{
		{"Bare", "shaka", "dash", "404"},
		{"Bare", "dash", "dash", "404"},
		{"Bare", "hls", "hls", "404"},
		{"Signed", "dash", "dash", "403 token_scope"},
		{"Signed", "hls", "hls", "403 token_scope"},
		{"Grouped", "shaka", "dash", "404 not_found"},
	} {
		t.Run(c.stream+" "+c.player, func(t *testing.T) {
			p := open(t, browser, url, 1280, 900)
			p.choose(c.stream, c.player, c.format, "")
			p.do(chromedp.Click("#load"))
			p.waitFor(playing)
			p.waitFor(fmt.Sprintf(`[...document.querySelectorAll("#requests tbody tr")].some(r => r.cells[0].innerText === "config" && r.cells[1].innerText === %q)`, c.status))
			if alerts := eval[string](p, `document.getElementById("alerts").innerText`); alerts != "" {
				t.Errorf("alerts: %s", alerts)
			}
		})
	}
}

// TestConfigurationAddress: where the page looks for the configuration, and what it loads instead of the manifest then.
func TestConfigurationAddress(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 1280, 900)
	for _, c := range []struct{ manifest, group, want string }{
		{"https://a.example/vod/demo/manifest.mpd", "", "https://a.example/vod/demo/.drm/config/default.json"},
		{"https://a.example/vod/demo/m.m3u8?keyformat=clearkey&token=a%2Fb", "premium", "https://a.example/vod/demo/.drm/config/premium.json?keyformat=clearkey&token=a%2Fb"},
		{"https://a.example/m.mpd", "a/b", "https://a.example/.drm/config/a%2Fb.json"},
	} {
		got := eval[string](p, fmt.Sprintf(`import("/player/js/config.js").then((m) => m.configURL(%q, %q))`, c.manifest, c.group))
		if got != c.want {
			t.Errorf("%s of %q: %s, want %s", c.manifest, c.group, got, c.want)
		}
	}
	const plain = "https://a.example/d/m.m3u8?x=1&token=t"
	for _, c := range []struct{ answer, want string }{
		{`new Response("{}", {headers: {"Content-Type": "application/json"}})`, plain},
		{`new Response('{"manifests":"https://a.example/d/~s.AAAA/","query":"x=1"}', {headers: {"Content-Type": "application/json"}})`, "https://a.example/d/~s.AAAA/m.m3u8?x=1"},
		{`new Response('{"manifests":"https://a.example/d/~s.AAAA/"}', {headers: {"Content-Type": "application/json"}})`, "https://a.example/d/~s.AAAA/m.m3u8"},
		{`new Response("<html>", {headers: {"Content-Type": "text/html"}})`, plain},
		{`new Response("", {status: 403, headers: {"Content-Type": "application/xml"}})`, plain},
		{`new Response('{"reason":"token_scope"}', {status: 403, headers: {"Content-Type": "application/problem+json"}})`, plain},
		{`new Response('{"reason":"country_denied"}', {status: 451, headers: {"Content-Type": "application/problem+json"}})`, plain},
		{`Promise.reject(new TypeError("no answer"))`, plain},
	} {
		got := eval[string](p, fmt.Sprintf(`(async () => {
			const {playable} = await import("/player/js/config.js"), plain = window.fetch;
			window.fetch = async () => %s;
			try {
				return (await playable("https://a.example/d/m.m3u8?x=1&token=t", "")).url;
			} finally {
				window.fetch = plain;
			}
		})()`, c.answer))
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.answer, got, c.want)
		}
	}
}

// reasonRow is a row of the table of reasons, with the statuses that are about the viewer or his license.
var reasonRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (40[13]|429|451)")

// TestEveryRefusalHasWords: the page explains each reason for which a viewer is refused.
func TestEveryRefusalHasWords(t *testing.T) {
	table, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	words, err := pageFiles.ReadFile("page/js/words.js")
	if err != nil {
		t.Fatal(err)
	}
	rows := reasonRow.FindAllSubmatch(table, -1)
	if len(rows) < 25 {
		t.Fatalf("%d reasons", len(rows))
	}
	for _, row := range rows {
		reason := string(row[1])
		if reason == "pull_auth" { // for caches, not for viewers
			continue
		}
		if !strings.Contains(string(words), "\n\t"+reason+": ") {
			t.Errorf("no words for %s", reason)
		}
	}
}
