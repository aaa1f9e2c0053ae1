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

// drawAddressing draws how the Representations of a set are addressed: what the set says, and what each of them says.
func drawAddressing(t *rapid.T) (ofSet func() string, ofRepresentation func() string) {
	file := func(s string) func() string { return func() string { return s } }
	switch rapid.IntRange(0, 3).Draw(t, "addressing") {
	case 0:
		return file(`<SegmentBase timescale="10" presentationTimeOffset="3"/>`), func() string {
			return "<BaseURL>" + rapid.SampledFrom(drawnReferences[:3]).Draw(t, "file") + ".mp4?a=1</BaseURL>\n" +
				rapid.SampledFrom(drawnIndexes).Draw(t, "index")
		}
	case 1:
		list := func() string {
			var b strings.Builder
			b.WriteString("<SegmentList>" + rapid.SampledFrom(drawnInits).Draw(t, "init"))
			b.WriteString(rapid.SampledFrom([]string{"", `<SegmentTimeline><S t="4" d="2" r="-1"/></SegmentTimeline>`}).Draw(t, "times"))
			for range rapid.IntRange(0, 3).Draw(t, "listed") {
				b.WriteString(rapid.SampledFrom(drawnSegments).Draw(t, "segment"))
			}
			return b.String() + "</SegmentList>"
		}
		return list, func() string { return rapid.SampledFrom([]string{"", list()}).Draw(t, "own list") }
	default:
		return func() string { return drawTemplate(t, true) }, func() string { return drawTemplate(t, false) }
	}
}

// Pieces of single files and of lists.
var (
	drawnIndexes = []string{
		`<SegmentBase indexRange="100-199"/>`, `<SegmentBase indexRange="100-199"><Initialization range="3-80"/></SegmentBase>`,
		`<SegmentBase indexRange="0-99"/>`, `<SegmentBase indexRange="100-199"><Initialization sourceURL="i.mp4"/></SegmentBase>`, `<SegmentBase/>`,
	}
	drawnInits = []string{
		"", `<Initialization sourceURL="i.mp4"/>`, `<Initialization sourceURL="../x y/i.mp4" range="0-99"/>`, `<Initialization range="0-99"/>`,
		`<Initialization sourceURL=" https://origin.example/clear/i.mp4?a&amp;b " range="0-0"/>`,
	}
	drawnSegments = []string{
		`<SegmentURL media="1.m4s"/>`, `<SegmentURL media="../2$Time$.m4s?a=1" index="2.idx" mediaRange="5-9"/>`, `<SegmentURL mediaRange="100-199" indexRange="100-120"/>`,
		`<SegmentURL media="/c:d/3.m4s" index="https://x.example/"/>`, `<SegmentURL/>`, `<SegmentURL media="https://origin.example/clear/4"/>`,
	}
)

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
			ofSet, ofRepresentation := drawAddressing(t)
			b.WriteString(ofSet())
			for range rapid.IntRange(1, 3).Draw(t, "Representations") {
				b.WriteString(`<Representation id="` + rapid.SampledFrom(drawnIDs).Draw(t, "id") + `" bandwidth="1234">`)
				base("own BaseURL")
				b.WriteString(ofRepresentation() + "</Representation>")
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
	if accepted == 0 && !testing.Short() { // a few draws may all be refused
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
