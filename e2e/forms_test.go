package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// The ways in which real manifests say where their segments are. Each names the same segments of the demo title; the
// players have to find them behind the gateway, and show the right frames.

// form is one spelling of a manifest. Its text stands at /t/m/<name>, the demo below /t/demo/.
type form struct {
	name string
	text string
	// frames are the positions to look at, in seconds, with the frame that must be there.
	frames map[float64]int
}

const (
	formsHead = `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT40S" ` +
		`minBufferTime="PT2S" profiles="urn:mpeg:dash:profile:isoff-live:2011">`
	formsVideo = `<AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true">`
	formsAudio = `<AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" segmentAlignment="true">`
	forms360   = `<Representation id="360p" bandwidth="325476" codecs="avc1.4D401E" width="640" height="360"`
	formsEn    = `<Representation id="en" bandwidth="68670" codecs="mp4a.40.2" audioSamplingRate="48000"`
)

// simpleMPD names both tracks by templates below the folders video and audio.
func simpleMPD(video, audio string) string {
	template := `<SegmentTemplate timescale="1" duration="2" startNumber="1" initialization="%[1]s/init.mp4" media="%[1]s/seg_$Number$.m4s"/>`
	return formsHead + `<Period id="1">` + formsVideo + fmt.Sprintf(template, video) + forms360 + `/></AdaptationSet>` +
		formsAudio + fmt.Sprintf(template, audio) + formsEn + `/></AdaptationSet></Period></MPD>`
}

// twoPeriods shows the first ten seconds of the demo, then its seconds 20 to 30.
func twoPeriods() string {
	period := func(id, start string, first, number int) string {
		template := `<SegmentTemplate timescale="%d" presentationTimeOffset="%d" startNumber="` + strconv.Itoa(number) +
			`" initialization="../demo/%s/$RepresentationID$/init.mp4" media="../demo/%s/$RepresentationID$/seg_$Number$.m4s">` +
			`<SegmentTimeline><S t="%d" d="%d" r="4"/></SegmentTimeline></SegmentTemplate>`
		set := func(timescale int, kind string) string {
			return fmt.Sprintf(template, timescale, first*timescale, kind, kind, first*timescale, 2*timescale)
		}
		return `<Period id="` + id + `" start="` + start + `">` + formsVideo + set(12800, "video") + forms360 + `/></AdaptationSet>` +
			formsAudio + set(48000, "audio") + formsEn + `/></AdaptationSet></Period>`
	}
	return strings.Replace(formsHead, "PT40S", "PT20S", 1) + period("a", "PT0S", 0, 1) + period("b", "PT10S", 20, 11) + `</MPD>`
}

func timeMPD() string {
	template := `<SegmentTemplate timescale="%d" initialization="../demo/%s/init.mp4" media="../by-time/%s/%d_$Time$.m4s">` +
		`<SegmentTimeline><S t="0" d="%d" r="19"/></SegmentTimeline></SegmentTemplate>`
	return formsHead + `<Period>` + formsVideo + fmt.Sprintf(template, 12800, "video/360p", "video/360p", 12800, 25600) + forms360 +
		`/></AdaptationSet>` + formsAudio + fmt.Sprintf(template, 48000, "audio/en", "audio/en", 48000, 96000) + formsEn +
		`/></AdaptationSet></Period></MPD>`
}

func dashForms(origin string) []form {
	usual := map[float64]int{5.6: 140, 21.2: 530}
	chain := strings.Replace(formsHead, ">", "><BaseURL>../</BaseURL>", 1) + `<Period><BaseURL>demo/</BaseURL>` +
		formsVideo + `<BaseURL>video/</BaseURL>` + forms360 + `><BaseURL>360p/</BaseURL><SegmentTemplate timescale="1" duration="2" ` +
		`startNumber="1" initialization="init.mp4" media="seg_$Number$.m4s"/></Representation></AdaptationSet>` +
		formsAudio + `<BaseURL>audio/en/</BaseURL>` + formsEn + `><SegmentTemplate timescale="1" duration="2" startNumber="1" ` +
		`initialization="init.mp4" media="seg_$Number%01d$.m4s"/></Representation></AdaptationSet></Period></MPD>`
	return []form{
		{"climbing.mpd", simpleMPD("../demo/video/$RepresentationID$", "../demo/audio/$RepresentationID$"), usual},
		{"absolute-path.mpd", simpleMPD("/t/demo/video/360p", "/t/demo/audio/en"), usual},
		{"absolute-url.mpd", simpleMPD(origin+"/t/demo/video/360p", origin+"/t/demo/audio/en"), usual},
		{"base-urls.mpd", chain, usual},
		{"time.mpd", timeMPD(), usual},
		{"periods.mpd", twoPeriods(), map[float64]int{5.6: 140, 12.8: 570}},
	}
}

func hlsForms() []form {
	media := func(folder string) string {
		var b strings.Builder
		b.WriteString("#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-PLAYLIST-TYPE:VOD\r\n#EXT-X-FUTURE:a=b\r\n")
		b.WriteString(`#EXT-X-MAP:URI="` + folder + "/init.mp4\"\r\n")
		for n := 1; n <= liveLast; n++ {
			fmt.Fprintf(&b, "#EXTINF:2,\r\n%s/seg_%d.m4s\r\n", folder, n)
		}
		return b.String() + "#EXT-X-ENDLIST\r\n"
	}
	master := "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"audio.m3u8\"\n" +
		"#EXT-X-STREAM-INF:BANDWIDTH=394146,CODECS=\"avc1.4D401E,mp4a.40.2\",RESOLUTION=640x360,AUDIO=\"a\"\n/t/m/video.m3u8\n"
	return []form{
		{"audio.m3u8", media("../demo/audio/en"), nil},
		{"video.m3u8", media("/t/demo/video/360p"), nil},
		{"master.m3u8", master, map[float64]int{5.6: 140, 21.2: 530}},
	}
}

// newFormsOrigin serves the forms and the demo. What it is asked for by media time it finds by number.
func newFormsOrigin(t *testing.T) *httptest.Server {
	t.Helper()
	root, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/t/demo/", http.StripPrefix("/t/demo/", http.FileServer(http.Dir(root))))
	mux.HandleFunc("/t/by-time/{kind}/{rendition}/{name}", func(w http.ResponseWriter, r *http.Request) {
		var timescale, time int
		if _, err := fmt.Sscanf(r.PathValue("name"), "%d_%d.m4s", &timescale, &time); err != nil || timescale == 0 {
			http.NotFound(w, r)
			return
		}
		number := time/(2*timescale) + 1
		http.ServeFile(w, r, fmt.Sprintf("%s/%s/%s/seg_%d.m4s", root, r.PathValue("kind"), r.PathValue("rendition"), number))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, f := range append(dashForms(server.URL), hlsForms()...) {
		mux.HandleFunc("/t/m/"+f.name, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, f.text) })
	}
	return server
}

func TestEveryFormOfAManifestPlays(t *testing.T) {
	browser := startBrowser(t)
	origin := newFormsOrigin(t)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := localhost(port)
	newGateway(t, address+` {
	drm {
		scheme cenc
		asset /t
		origin `+origin.URL+`/
		license_server clearkey
	}
	reverse_proxy `+strings.TrimPrefix(origin.URL, "http://")+`
}
`)
	for _, f := range dashForms(origin.URL) {
		for _, p := range []player.Player{player.Shaka, player.DashJS} {
			t.Run(string(p)+" "+f.name, func(t *testing.T) { parallel(t); playForm(t, browser, p, address+"/t/m/"+f.name, f.frames) })
		}
	}
	for _, f := range hlsForms() {
		if f.frames == nil {
			continue
		}
		for _, p := range []player.Player{player.Shaka, player.HlsJS} {
			t.Run(string(p)+" "+f.name, func(t *testing.T) { parallel(t); playForm(t, browser, p, address+"/t/m/"+f.name, f.frames) })
		}
	}
}

func playForm(t *testing.T, browser *player.Browser, p player.Player, url string, frames map[float64]int) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	session, err := browser.Play(ctx, player.Options{Player: p, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for at, want := range frames {
		picture, err := session.SeekAndRead(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		if picture.Frame != want || !picture.Corners {
			t.Errorf("at %.1f s frame %d is shown (whole: %t), want %d", at, picture.Frame, picture.Corners, want)
		}
	}
}
