package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// TestPlayersShowThumbnails: pictures for the timeline, four to a file, come through the gateway with the title, and to those alone who may
// watch it.
func TestPlayersShowThumbnails(t *testing.T) {
	long(t)
	demo, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	mpd, err := os.ReadFile(demo + "/manifest.mpd")
	if err != nil {
		t.Fatal(err)
	}
	const set = `<AdaptationSet mimeType="image/jpeg"><SegmentTemplate media="thumbs/$Number$.jpg" duration="20" startNumber="1"/>` +
		`<Representation id="thumbs" bandwidth="1000" width="320" height="180">` +
		`<EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="2x2"/></Representation></AdaptationSet></Period>`
	files := http.StripPrefix("/t", http.FileServer(http.Dir(demo)))
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var number int
		switch _, err := fmt.Sscanf(r.URL.Path, "/t/thumbs/%d.jpg", &number); {
		case err == nil:
			_, _ = w.Write(tiles(number))
		case r.URL.Path == "/t/manifest.mpd":
			_, _ = io.WriteString(w, strings.Replace(string(mpd), "</Period>", set, 1))
		default:
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(origin.Close)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	newGateway(t, localhost(port)+" {\n\tdrm {\n\t\tlicense_server clearkey\n\t}\n\treverse_proxy "+origin.URL+"\n}\n")
	browser := startBrowser(t)
	for _, name := range []player.Player{player.Shaka, player.DashJS} {
		t.Run(string(name), func(t *testing.T) {
			session, err := browser.Play(t.Context(), player.Options{Player: name, URL: localhost(port) + "/t/manifest.mpd"})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			for at, want := range map[float64]uint8{2: 0, 7: 1, 18: 3, 22: 4, 33: 6} { // of five seconds each
				got, err := session.Thumbnail(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				if red := tone(want); max(got[0], red)-min(got[0], red) > 6 {
					t.Errorf("at %g s: color %v, want %d of red", at, got, red)
				}
			}
		})
	}
}

// tone is the red of the n-th thumbnail of a title.
func tone(n uint8) uint8 { return 20 + 28*n }

// tiles is the picture with that number, from 1, of two by two thumbnails.
func tiles(number int) []byte {
	picture := image.NewRGBA(image.Rect(0, 0, 320, 180))
	for i := range 4 {
		x, y := i%2*160, i/2*90
		red := color.RGBA{R: tone(uint8(4*(number-1) + i)), A: 255}
		draw.Draw(picture, image.Rect(x, y, x+160, y+90), image.NewUniform(red), image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 95}); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
