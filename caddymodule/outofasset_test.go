package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestManifestsStayInTheirAsset: whatever way a manifest has to name what is another title's, it is refused, and no address of ours leads there.
// Otherwise those who may watch the one title would get the other under its key.
func TestManifestsStayInTheirAsset(t *testing.T) {
	mpd, media := string(clearFile(t, "demo/manifest.mpd")), string(clearFile(t, "demo/video/360p.m3u8"))
	master := string(clearFile(t, "demo/master.m3u8"))
	representation := func(inside string) string {
		return `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT40S"><Period>` +
			`<AdaptationSet contentType="video" mimeType="video/mp4"><Representation id="v" bandwidth="1">` + inside + `</Representation></AdaptationSet></Period></MPD>`
	}
	replaced := func(text, old, with string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("no %q", old)
		}
		return strings.ReplaceAll(text, old, with)
	}
	const premium = "../premium/"
	for rule, test := range map[string]struct{ path, text string }{
		"initialization":        {"/free/manifest.mpd", replaced(mpd, `initialization="video/`, `initialization="`+premium+`video/`)},
		"media":                 {"/free/manifest.mpd", replaced(mpd, `media="video/`, `media="`+premium+`video/`)},
		"media with the number": {"/free/manifest.mpd", replaced(mpd, `media="video/$RepresentationID$/seg_$Number$`, `media="../$Number$/video/360p/seg_1`)},
		"media from the root":   {"/free/manifest.mpd", replaced(mpd, `media="video/`, `media="/premium/video/`)},
		"BaseURL":               {"/free/manifest.mpd", replaced(mpd, `<Period id="p0" start="PT0S">`, `<Period id="p0" start="PT0S"><BaseURL>`+premium+`</BaseURL>`)},
		"text":                  {"/free/manifest.mpd", replaced(mpd, `<BaseURL>subs/`, `<BaseURL>`+premium+`subs/`)},
		"media of a list": {"/free/manifest.mpd", representation(`<SegmentList duration="2"><Initialization sourceURL="video/360p/init.mp4"/>` +
			`<SegmentURL media="` + premium + `video/360p/seg_1.m4s"/></SegmentList>`)},
		"a single file": {"/free/manifest.mpd", representation(`<BaseURL>` + premium + `video/360p/single.mp4</BaseURL><SegmentBase indexRange="900-1000"><Initialization range="0-899"/></SegmentBase>`)},

		"a variant":               {"/free/master.m3u8", replaced(master, "video/360p.m3u8", premium+"video/360p.m3u8")},
		"a rendition":             {"/free/master.m3u8", replaced(master, `URI="audio/`, `URI="`+premium+`audio/`)},
		"a segment":               {"/free/video/360p.m3u8", replaced(media, "360p/seg_", "../"+premium+"video/360p/seg_")},
		"a MAP":                   {"/free/video/360p.m3u8", replaced(media, `URI="360p/`, `URI="../`+premium+`video/360p/`)},
		"a segment from the root": {"/free/video/360p.m3u8", replaced(media, "360p/seg_", "/premium/video/360p/seg_")},
	} {
		t.Run(rule, func(t *testing.T) {
			origin := &scriptedOrigin{}
			origin.play(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == test.path {
					_, _ = io.WriteString(w, test.text)
					return true
				}
				r.URL.Path = strings.NewReplacer("/free/", "/demo/", "/premium/", "/demo/").Replace(r.URL.Path)
				return false
			})
			g := newGateway(t, "ORIGIN", origin.start(t))
			g.load(t, strings.Replace(proxySite, "drm {", "drm {\n\t\tasset /*", 1))
			res := g.get(t, test.path)
			if res.status != http.StatusBadGateway || res.reason() != "manifest_out_of_asset" {
				t.Errorf("%d %q\n%s", res.status, res.reason(), res.body)
			}
		})
	}
}
