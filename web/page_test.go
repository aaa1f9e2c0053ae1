package web

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const playing = `(() => { const v = document.querySelector("video"); return v.currentTime > 1.5 && v.getVideoPlaybackQuality().totalVideoFrames > 20 })()`

func TestEveryPlayerPlays(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	for _, c := range []struct {
		stream, player, format string
		protected              bool
	}{
		{"Clear", "shaka", "dash", false},
		{"Clear", "shaka", "hls", false},
		{"Clear", "hls", "hls", false},
		{"Clear", "dash", "dash", false},
		{"Protected", "shaka", "dash", true},
		{"Protected", "shaka", "hls", true},
		{"Protected", "hls", "hls", true},
		{"Protected", "dash", "dash", true},
		{"Protected, counter mode", "shaka", "hls", true},
		{"Protected, counter mode", "hls", "hls", true},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.stream, c.player, c.format), func(t *testing.T) {
			p := open(t, browser, url, 1280, 900)
			token := ""
			if c.protected {
				token = testToken
			}
			p.choose(c.stream, c.player, c.format, token)
			p.do(chromedp.Click("#load"))
			p.waitFor(playing)
			p.waitFor(`/\d+ × \d+/.test(document.getElementById("facts").innerText)`)
			p.waitFor(`document.getElementById("texts").options.length === 2`)
			if c.protected {
				checkLicense(p, c.player == "shaka" && c.format == "hls")
			}
			kinds := eval[string](p, `[...new Set([...document.querySelectorAll("#requests tbody tr")].map(r => r.cells[0].innerText))].sort().join()`)
			for _, kind := range []string{"manifest", "init", "segment"} {
				if !strings.Contains(kinds, kind) {
					t.Errorf("the requests show %s, not %s", kinds, kind)
				}
			}
			p.screenshot("playing")
			p.do(chromedp.Click("#stop"))
			p.waitFor(`!document.querySelector("video").currentTime && document.getElementById("stop").disabled`)
			if alerts := eval[string](p, `document.getElementById("alerts").innerText`); alerts != "" {
				t.Errorf("alerts: %s", alerts)
			}
			if messages := p.messages(); len(messages) > 0 {
				t.Errorf("console: %q", messages)
			}
		})
	}
}

// checkLicense looks for what the panels must and must not show of a license exchange, or of a raw HLS key.
func checkLicense(p *tab, rawKey bool) {
	p.t.Helper()
	p.waitFor(fmt.Sprintf(`/%s\s+usable/.test(document.getElementById("keys").innerText)`, testKID))
	licenses := eval[string](p, `document.getElementById("licenses").innerText`)
	if rawKey && !strings.Contains(licenses, "one raw key, not shown") {
		p.t.Errorf("the license panel shows %q", licenses)
	}
	if !rawKey && strings.Count(licenses, testKID) < 2 {
		p.t.Errorf("the license panel shows %q, not the KID asked and returned", licenses)
	}
	key := testBytes(testKeyHex)
	p.mustNotHold(testToken, testKeyHex, testSeal, base64.RawURLEncoding.EncodeToString(key), base64.StdEncoding.EncodeToString(key))
}

func TestRefusalsAreExplained(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	for _, c := range []struct{ stream, player, format, token, reason, words string }{
		{"Blocked", "shaka", "dash", "", "country_denied", "may not be shown where you are"},
		{"Blocked", "dash", "dash", "", "country_denied", "may not be shown where you are"},
		{"Protected", "hls", "hls", "", "token_missing", "needs a token"},
		{"Protected", "shaka", "hls", "wrong-" + testToken, "token_missing", "needs a token"},
	} {
		t.Run(c.stream+" "+c.player, func(t *testing.T) {
			p := open(t, browser, url, 768, 900)
			p.choose(c.stream, c.player, c.format, c.token)
			p.do(chromedp.Click("#load"))
			p.waitFor(fmt.Sprintf(`document.getElementById("alerts").innerText.includes(%q)`, c.reason))
			p.waitFor(`document.getElementById("status").dataset.tone === "bad"`)
			if text := p.text(); !strings.Contains(text, c.words) {
				t.Errorf("the page does not say %q:\n%s", c.words, text)
			}
			p.mustNotHold(testToken)
			p.screenshot("refused")
		})
	}
}

// TestWrongKeyDoesNotPlay proves that the tests above decrypt: the same media under another key shows no picture.
func TestWrongKeyDoesNotPlay(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	for player, format := range map[string]string{"shaka": "hls", "dash": "dash", "hls": "hls"} {
		t.Run(player, func(t *testing.T) {
			p := open(t, browser, url, 768, 900)
			p.choose("Wrong key", player, format, testToken)
			p.do(chromedp.Click("#load"))
			p.waitFor(`document.getElementById("alerts").innerText.includes("wrong key")`)
			if eval[bool](p, playing) {
				t.Error("it plays")
			}
			if status := eval[string](p, `document.getElementById("status-text").innerText`); status != "Playback failed." {
				t.Errorf("the status is %q", status)
			}
		})
	}
}

func TestSubtitlesCanBeChosen(t *testing.T) {
	browser := startBrowser(t)
	url := serve(t)
	for player, format := range map[string]string{"shaka": "dash", "dash": "dash", "hls": "hls"} {
		t.Run(player, func(t *testing.T) {
			p := open(t, browser, url, 1280, 900)
			p.choose("Clear", player, format, "")
			p.do(chromedp.Click("#load"))
			p.waitFor(playing)
			p.waitFor(`document.getElementById("texts").options.length === 2`)
			const showing = `[...document.querySelector("video").textTracks].some(t => t.mode === "showing" && t.cues.length > 0)`
			if eval[bool](p, showing) {
				t.Error("subtitles are on before they were chosen")
			}
			const pick = `(() => { const s = document.getElementById("texts"); s.selectedIndex = %d; s.dispatchEvent(new Event("change", {bubbles: true})); return true })()`
			eval[bool](p, fmt.Sprintf(pick, 1))
			p.waitFor(showing)
			eval[bool](p, fmt.Sprintf(pick, 0))
			p.waitFor("!" + showing)
		})
	}
}
