package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestThumbnails: pictures of an MPD have sealed addresses, by which they are served if they are pictures, and no other path is.
func TestThumbnails(t *testing.T) {
	picture := func(number string) []byte { return append([]byte("\xff\xd8\xff\xe0"), "tiles "+number...) }
	name := regexp.MustCompile(`^/demo/thumbs/(\d{3})\.jpg$`)
	set := func(media string) string {
		return `<AdaptationSet mimeType="image/jpeg"><SegmentTemplate media="` + media + `" duration="10" startNumber="1"/>` +
			`<Representation id="thumbs" bandwidth="1000" width="1600" height="720"><EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="5x4"/></Representation></AdaptationSet></Period>`
	}
	mpd := string(clearFile(t, "demo/manifest.mpd"))
	media := "thumbs/$Number%03d$.jpg"
	origin := &scriptedOrigin{}
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		switch found := name.FindStringSubmatch(r.URL.Path); {
		case r.URL.Path == "/demo/manifest.mpd":
			_, _ = io.WriteString(w, strings.Replace(mpd, "</Period>", set(media), 1))
		case found == nil:
			return false
		case found[1] == "009": // what lies under the name of a picture
			_, _ = w.Write(clearFile(t, "demo/video/360p/seg_1.m4s"))
		default:
			_, _ = w.Write(picture(found[1]))
		}
		return true
	})
	g := newGateway(t, "ORIGIN", origin.start(t))
	g.load(t, proxySite)
	sealed := regexp.MustCompile(`<BaseURL>(~[^<]+/)</BaseURL></Representation></AdaptationSet></Period>`).FindSubmatch(g.mustGet(t, "/demo/manifest.mpd").body)
	if sealed == nil {
		t.Fatalf("no thumbnails in\n%s", g.mustGet(t, "/demo/manifest.mpd").body)
	}
	at := func(path string) reply { return g.get(t, "/demo/"+string(sealed[1])+path) }
	for _, number := range []string{"001", "002"} {
		res := at("thumbs/" + number + ".jpg")
		if res.status != http.StatusOK || !bytes.Equal(res.body, picture(number)) || res.header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("picture %s: %d %q %v", number, res.status, res.body, res.header)
		}
	}
	for path, want := range map[string]string{
		"thumbs/1.jpg": "404 not_found", "thumbs/001.png": "404 not_found", "video/360p/seg_1.m4s": "404 not_found", "video/360p/init.mp4": "404 not_found",
		"thumbs/009.jpg": "502 sidecar_refused",
	} {
		if res := at(path); fmt.Sprint(res.status, " ", res.reason()) != want {
			t.Errorf("%s: %d %s, want %s", path, res.status, res.reason(), want)
		}
	}
	if res := g.get(t, "/demo/thumbs/001.jpg"); res.status != http.StatusNotFound {
		t.Errorf("without a seal: %d", res.status)
	}
	for _, media = range []string{"../premium/thumbs/$Number$.jpg", "thumbs/$Number$", "thumbs/$Number$.vtt", "https://cdn.example/$Number$.jpg"} {
		if res := g.mustGet(t, "/demo/manifest.mpd"); bytes.Contains(res.body, []byte("image/jpeg")) || !bytes.Contains(res.body, []byte("360p")) {
			t.Errorf("%s:\n%s", media, res.body)
		}
	}
}
