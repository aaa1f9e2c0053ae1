package web

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestPageFitsEveryWidth(t *testing.T) {
	for scheme, flag := range map[string]string{"dark": "preferredColorScheme=0", "light": "preferredColorScheme=1"} {
		browser := startBrowser(t, chromedp.Flag("blink-settings", flag))
		url := serve(t)
		for _, width := range []int64{320, 768, 1280} {
			t.Run(fmt.Sprintf("%s %d", scheme, width), func(t *testing.T) {
				p := open(t, browser, url, width, 800)
				if !eval[bool](p, fmt.Sprintf(`matchMedia("(prefers-color-scheme: %s)").matches`, scheme)) {
					t.Fatal("the browser prefers the other color scheme")
				}
				p.checkWidth("idle", width)
				p.screenshot(fmt.Sprintf("%s-%d-idle", scheme, width))
				if scheme == "dark" { // colors do not change the layout
					p.choose("Protected", "shaka", "dash", testToken)
					p.do(chromedp.Click("#load"))
					p.waitFor(playing)
					p.waitFor(`document.querySelectorAll("#requests tbody tr").length > 5`)
					p.checkWidth("playing", width)
					p.screenshot(fmt.Sprintf("%s-%d-playing", scheme, width))
				}
				p.choose("", "shaka", "dash", "")
				p.checkWidth("a manifest URL typed", width)
				if messages := p.messages(); len(messages) > 0 {
					t.Errorf("console: %q", messages)
				}
			})
		}
	}
}

// checkWidth fails if the page scrolls sideways, and names what sticks out.
func (p *tab) checkWidth(state string, width int64) {
	p.t.Helper()
	wide := eval[int64](p, "document.documentElement.scrollWidth")
	if wide > width {
		culprits := eval[string](p, fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > %d && !e.closest(".scroll")).map(e => e.tagName + "#" + e.id + "." + e.className).join(" ")`, width))
		p.t.Errorf("%s: %d px wide in a window of %d: %s", state, wide, width, culprits)
	}
}

func TestTabReachesEveryControl(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 768, 900)
	p.choose("Clear", "shaka", "dash", "")
	p.do(chromedp.Click("#load"))
	p.waitFor(`!document.getElementById("texts").disabled`)
	p.choose("", "shaka", "dash", "") // shows the URL field too
	const name = `(() => { const e = document.activeElement; return e === document.body ? "" : e.id || e.name || (e.closest("section") ?? e).id || e.tagName + " " + (e.getAttribute("aria-labelledby") ?? e.textContent) })()`
	var reached []string
	eval[bool](p, `(document.querySelector(".skip").focus(), true)`)
	for range 60 {
		p.do(chromedp.KeyEvent(kb.Tab))
		at := eval[string](p, name)
		if at == "" {
			break // past the last one
		}
		if !slices.Contains(reached, at) {
			reached = append(reached, at)
		}
		if !eval[bool](p, `(() => { const e = document.activeElement; const s = getComputedStyle(e.matches(".choices input") ? e.nextElementSibling : e.closest(".screen") ?? e); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 })()`) {
			t.Errorf("the focus on %s cannot be seen", at)
		}
	}
	for _, want := range []string{
		"stage", // the video "stream", "url", "player", "format", "token", "load", "stop", "link", "texts", "SUMMARY Keyboard", "clear",
		"DIV keys-heading", "DIV licenses-heading", "DIV requests-heading",
	} {
		if !slices.Contains(reached, want) {
			t.Errorf("Tab never reached %s, only %q", want, reached)
		}
	}
}

func TestShortcutsLeaveFieldsAlone(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 1280, 900)
	p.choose("Clear", "shaka", "dash", "")
	p.do(chromedp.Click("#load"))
	p.waitFor(playing)
	const video = `document.querySelector("video")`
	press := func(at, keys string) {
		t.Helper()
		eval[bool](p, fmt.Sprintf(`(document.querySelector(%q).focus(), true)`, at))
		p.do(chromedp.KeyEvent(keys))
	}
	press("#stage", "k")
	p.waitFor(video + ".paused")
	press("#stage", " ")
	p.waitFor("!" + video + ".paused")
	press("#stage", "m")
	p.waitFor(video + ".muted")
	before := eval[float64](p, video+".currentTime")
	press("#stage", kb.ArrowRight)
	p.waitFor(fmt.Sprintf("%s.currentTime > %g", video, before+4.5))
	press("#stage", kb.ArrowLeft)
	p.waitFor(fmt.Sprintf("%s.currentTime < %g", video, before+4.5))

	// Once on the video, Space works once: its own controls and the page must not both toggle.
	press("video", " ")
	p.waitFor(video + ".paused")

	press("#token", "mk km")
	if got := eval[string](p, `document.getElementById("token").value`); got != "mk km" {
		t.Errorf("the token field got %q", got)
	}
	if !eval[bool](p, video+".muted && "+video+".paused") {
		t.Error("typing into a field played or unmuted the video")
	}
	p.mustNotHold("mk km")
}

func TestChoicesThatCannotWorkAreDisabled(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 1280, 900)
	const state = `[...document.querySelectorAll("#players input, #formats input")].map(i => i.value + (i.checked ? "+" : "") + (i.disabled ? "-" : "")).join(" ")`
	for _, c := range []struct{ stream, player, format, want string }{
		{"Clear", "shaka", "hls", "shaka+ hls dash dash hls+"},
		{"Clear", "hls", "dash", "shaka hls+ dash dash- hls+"},
		{"Clear", "dash", "hls", "shaka hls dash+ dash+ hls-"},
		{"Blocked", "hls", "hls", "shaka+ hls- dash dash+ hls-"}, // it has no HLS manifest
	} {
		p.choose("Clear", "shaka", "dash", "")
		p.choose(c.stream, c.player, c.format, "")
		if got := eval[string](p, state); got != c.want {
			t.Errorf("%s, %s, %s: %s, want %s", c.stream, c.player, c.format, got, c.want)
		}
	}
}

func TestLinksCarryTheChoiceAndNoToken(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	p := open(t, browser, url+"#stream=Protected&player=hls&format=hls", 1280, 900)
	const state = `["stream", "url", "token"].map(id => document.getElementById(id).value).concat([...document.querySelectorAll(":checked")].filter(i => i.type === "radio").map(i => i.value)).join("|")`
	if got := eval[string](p, state); got != "Protected|||hls|hls" {
		t.Errorf("the link gave %s", got)
	}
	p.choose("Protected", "shaka", "dash", testToken)
	p.do(chromedp.Click("#link"))
	p.waitFor(`document.getElementById("status-text").textContent.includes("no token")`)
	if got := eval[string](p, "location.hash"); got != "#stream=Protected&player=shaka&format=dash" {
		t.Errorf("the address is %s", got)
	}
	p.mustNotHold(testToken)

	// A token in a typed URL moves to its own field.
	p.choose("", "shaka", "dash", "")
	eval[bool](p, fmt.Sprintf(`(() => { const u = document.getElementById("url"); u.value = "https://m.example/a.m3u8?a=1&token=%s"; u.dispatchEvent(new Event("input", {bubbles: true})); return true })()`, testToken))
	if got := eval[string](p, state); got != "|https://m.example/a.m3u8?a=1|"+testToken+"|shaka|hls" {
		t.Errorf("the typed URL gave %s", got)
	}
	// A link followed on the open page must not be able to send the token that was typed for another address.
	eval[bool](p, `(location.hash = "#stream=&url=https%3A%2F%2Fother.example%2Fa.mpd&player=dash&format=dash", true)`)
	p.waitFor(state + ` === "|https://other.example/a.mpd||dash|dash"`)
}

func TestURLsAreShortened(t *testing.T) {
	p := open(t, startBrowser(t), serve(t), 768, 600)
	for in, want := range map[string]string{
		"https://page.example/vod/a/seg_1.m4s":                            "/vod/a/seg_1.m4s",
		"https://other.example/vod/a.mpd?token=secret":                    "//other.example/vod/a.mpd?token=…",
		"/vod/~s.secretsecret/~abcdefghij/seg_1.m4s?keyformat=identity&x": "/vod/~s.…/~abcd…/seg_1.m4s?keyformat=identity&x=…",
		"/vod/.drm/clearkey/abcdefghij?sig=secret":                        "/vod/.drm/clearkey/abcd…?sig=…",
		"/vod/" + strings.Repeat("s", 41) + "/a.mpd":                      "/vod/ssssssss…/a.mpd",
		"/vod/.drm/~s.secret/key/abcdefghij/abcdefghij?kid=0011":          "/vod/.drm/~s.…/key/abcd…/abcd…?kid=0011",
		"data:application/json;base64,c2VjcmV0":                           "data:…",
		"https://user:secret@page.example/a.mpd":                          "/a.mpd",
	} {
		got := eval[string](p, fmt.Sprintf(`import("./js/redact.js").then(m => m.shortURL(%q, "https://page.example/player/"))`, in))
		if got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	message := eval[string](p, fmt.Sprintf(`import("./js/redact.js").then(m => m.scrub("at https://m.example/~abcdefgh/a.mpd?token=secret, %s"))`, strings.Repeat("k", 60)))
	if message != "at //m.example/~abcd…/a.mpd?token=…  kkkkkkkk…" && message != "at //m.example/~abcd…/a.mpd?token=… kkkkkkkk…" {
		t.Errorf("a message became %q", message)
	}
}

// TestColorsHaveContrast computes WCAG 2.2 contrast ratios (1.4.3 and 1.4.11) of the pairs that the style sheet uses.
func TestColorsHaveContrast(t *testing.T) {
	css, err := os.ReadFile("page/style.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of colors, want light and dark", len(blocks))
	}
	for i, scheme := range []string{"light", "dark"} {
		colors := make(map[string]float64)
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(blocks[i][1], -1) {
			colors[m[1]] = luminance(m[2])
		}
		for _, pair := range []struct {
			ink, ground string
			least       float64
		}{
			{"ink", "ground", 4.5}, {"ink", "card", 4.5}, {"soft", "ground", 4.5}, {"soft", "card", 4.5},
			{"accent", "card", 4.5}, {"accent", "ground", 4.5}, {"on-accent", "accent", 4.5}, {"ink", "bad-ground", 4.5},
			{"good", "card", 4.5}, {"warn", "card", 4.5}, {"bad", "card", 4.5}, {"bad", "bad-ground", 4.5},
			{"edge", "card", 3}, {"focus", "card", 3}, {"focus", "ground", 3},
		} {
			a, b := colors[pair.ink], colors[pair.ground]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < pair.least {
				t.Errorf("%s: %s on %s: %.2f, want %.1f", scheme, pair.ink, pair.ground, ratio, pair.least)
			}
		}
	}
}

// luminance is the relative luminance of six hexadecimal digits of sRGB (WCAG 2.2, definitions).
func luminance(hex string) float64 {
	linear := func(digits string) float64 {
		n, err := strconv.ParseUint(digits, 16, 8)
		if err != nil {
			panic(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(hex[0:2]) + 0.7152*linear(hex[2:4]) + 0.0722*linear(hex[4:6])
}
