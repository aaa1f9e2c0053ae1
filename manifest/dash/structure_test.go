package dash_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-drm/caddy-drm/manifest/dash"
)

// Pieces from which documents are drawn that are well-formed but odd: bytes changed at random seldom are.
var (
	drawnBases = []string{
		"", "", "", "<BaseURL>a/</BaseURL>", "<BaseURL>../b</BaseURL>", "<BaseURL>/c/d/</BaseURL>", "<BaseURL/>", "<BaseURL>./x:y/</BaseURL>",
		"<BaseURL>https://origin.example/clear/e/</BaseURL>", "<BaseURL>https://x.example/</BaseURL><BaseURL> f/g </BaseURL>",
		`<BaseURL availabilityTimeOffset="1">h/?q=1</BaseURL>`, "<BaseURL><![CDATA[i/]]></BaseURL><BaseURL>j/</BaseURL>", "<BaseURL>?q</BaseURL>",
		"<BaseURL>sp%20ace/</BaseURL>", "<BaseURL>..</BaseURL>", "<BaseURL>//origin.example/clear/k</BaseURL>",
	}
	drawnReferences = []string{
		"seg", "$RepresentationID$/seg", "../seg", "/seg", "https://origin.example/clear/seg", "./seg?a=1&amp;b=$RepresentationID$", "a/../../seg",
		"$Bandwidth$/seg", "$Bandwidth%09d$/seg", "x:y/seg", "./x:y/seg", "%41/seg", "ä/seg", "//origin.example/clear/seg", "a/./seg", "x/$RepresentationID$",
	}
	drawnSuffixes = []string{"-$Number$.m4s", "-$Number%04d$", "-$Time$.m4s", "/$Time%020d$", "/$Number$/$Time$.m4s", ".m4s", "-$Number$?n=$Number$"}
	drawnIDs      = []string{"v1", "a b", "..", ".", "ä", "x/y", "../z", "~t", "1:2", "&lt;", "a'b", " v ", "%41", "v?", "-_.~"}
)

func drawTemplate(t *rapid.T, needed bool) string {
	var b strings.Builder
	if !needed && rapid.Bool().Draw(t, "no template") {
		return ""
	}
	b.WriteString("<SegmentTemplate")
	if needed || rapid.Bool().Draw(t, "media") {
		b.WriteString(` media="` + rapid.SampledFrom(drawnReferences).Draw(t, "media") + rapid.SampledFrom(drawnSuffixes).Draw(t, "suffix") + `"`)
	}
	if needed || rapid.Bool().Draw(t, "initialization") {
		b.WriteString(` initialization='` + rapid.SampledFrom(drawnReferences).Draw(t, "initialization") + `'`)
	}
	if rapid.Bool().Draw(t, "index") {
		b.WriteString(` index="x" duration="1"`)
	}
	b.WriteString(rapid.SampledFrom([]string{"/>", "> </SegmentTemplate>", `><SegmentTimeline><S d="1"/></SegmentTimeline></SegmentTemplate>`}).Draw(t, "end"))
	return b.String()
}

func drawMPD(t *rapid.T) string {
	var b strings.Builder
	base := func(level string) { b.WriteString(rapid.SampledFrom(drawnBases).Draw(t, level)) }
	b.WriteString(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">`)
	base("MPD BaseURL")
	for range rapid.IntRange(1, 2).Draw(t, "Periods") {
		b.WriteString("<Period>\n ")
		base("Period BaseURL")
		b.WriteString(drawTemplate(t, false))
		for range rapid.IntRange(1, 2).Draw(t, "sets") {
			kind := rapid.SampledFrom([]string{"video/mp4", "audio/mp4", "application/mp4"}).Draw(t, "type")
			b.WriteString(`<AdaptationSet mimeType="` + kind + `">`)
			base("set BaseURL")
			b.WriteString(drawTemplate(t, true))
			for range rapid.IntRange(1, 3).Draw(t, "Representations") {
				b.WriteString(`<Representation id="` + rapid.SampledFrom(drawnIDs).Draw(t, "id") + `" bandwidth="1234">`)
				base("own BaseURL")
				b.WriteString(drawTemplate(t, false) + "</Representation>")
			}
			b.WriteString("</AdaptationSet>")
		}
		b.WriteString("</Period>")
	}
	b.WriteString("</MPD>")
	return b.String()
}

// TestEveryCombinationIsSealedOrRefused draws documents and resolves their URLs before and after as a player does: the
// clean paths are the same, and each URL carries a seal that fits.
func TestEveryCombinationIsSealedOrRefused(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		mpd := drawMPD(t)
		g := newGateway()
		g.session = rapid.SampledFrom([]string{"", "viewer"}).Draw(t, "session")
		o := options(g)
		out, err := dash.Rewrite(t.Context(), []byte(mpd), o)
		if err != nil {
			var syntax *dash.SyntaxError
			if out != nil || !errors.As(err, &syntax) {
				t.Fatalf("%s, %v", out, err)
			}
			return
		}
		accepted++
		if err := checkResult(g, out, o.From); err != nil {
			t.Fatalf("%v in\n%s\nfrom\n%s", err, out, mpd)
		}
		checkSamePaths(t, g, mpd, string(out), o.From)
	})
	if accepted == 0 {
		t.Error("no document was accepted")
	}
}

// checkSamePaths compares what a player fetches from the origin's document with what it fetches from ours. Documents with
// alternative BaseURLs are left out: the player in this test takes the first, we the first usable.
func checkSamePaths(t *rapid.T, g *gateway, mpd, out, from string) {
	if strings.Contains(mpd, "x.example") {
		return
	}
	before, _, err := play([]byte(mpd), testPath)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := play([]byte(out), from)
	if err != nil || len(after) != len(before) {
		t.Fatal(err, len(before), len(after))
	}
	for i, u := range before {
		want := u.url.Path
		if u.url.Host == "origin.example" {
			rest, ok := strings.CutPrefix(want, "/clear/")
			if !ok {
				continue // a reference from the root: of the site to us, of the origin to this player
			}
			want = "/" + rest
		}
		if u.url.RawQuery != "" {
			want += "?" + u.url.RawQuery
		}
		if u.part != "" {
			want += " " + u.part
		}
		if got, _ := g.open(after[i]); got != want {
			t.Fatalf("%q became %q in\n%s\nfrom\n%s", want, got, out, mpd)
		}
	}
}
