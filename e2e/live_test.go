package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// A live channel made of the demo title: its 2-second segments appear one after the other, the window holds the last ten,
// and the list grows while it is watched. The access token is good for a few seconds only, so that a player which comes
// back for the manifest lives on its session.
const (
	liveSegment = 2 * time.Second
	liveWindow  = 10
	liveAhead   = 5  // segments that exist when the channel starts
	liveLast    = 20 // segments of the demo
	liveToken   = 12 * time.Second
)

// liveOrigin serves the demo as a live channel. It knows no protection.
type liveOrigin struct {
	start time.Time
	media http.Handler
}

func newLiveOrigin(t *testing.T) *httptest.Server {
	t.Helper()
	root, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "video", "360p", "init.mp4")); err != nil {
		t.Fatal(err)
	}
	origin := &liveOrigin{start: time.Now().Add(-liveAhead * liveSegment), media: http.StripPrefix("/live/", http.FileServer(http.Dir(root)))}
	server := httptest.NewServer(origin)
	t.Cleanup(server.Close)
	return server
}

func (o *liveOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Has("token") {
		http.Error(w, "the access token reached the origin", http.StatusTeapot)
		return
	}
	switch {
	case r.URL.Path == "/live/manifest.mpd":
		_, _ = fmt.Fprint(w, o.mpd())
	case r.URL.Path == "/live/master.m3u8":
		_, _ = fmt.Fprint(w, "#EXTM3U\n#EXT-X-VERSION:7\n"+
			`#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="en",DEFAULT=YES,AUTOSELECT=YES,URI="audio/en/live.m3u8"`+"\n"+
			`#EXT-X-STREAM-INF:BANDWIDTH=394146,CODECS="avc1.4D401E,mp4a.40.2",RESOLUTION=640x360,AUDIO="a"`+"\nvideo/360p/live.m3u8\n")
	case strings.HasSuffix(r.URL.Path, "/live.m3u8"):
		_, _ = fmt.Fprint(w, o.playlist())
	default:
		o.media.ServeHTTP(w, r)
	}
}

// window returns the numbers of the first and the last segment that are listed now.
func (o *liveOrigin) window() (first, last int) {
	last = min(int(time.Since(o.start)/liveSegment), liveLast)
	return max(1, last-liveWindow+1), last
}

func (o *liveOrigin) mpd() string {
	first, last := o.window()
	timeline := func(timescale int) string {
		return fmt.Sprintf(`<S t="%d" d="%d" r="%d"/>`, (first-1)*2*timescale, 2*timescale, last-first)
	}
	template := `<SegmentTemplate timescale="%d" startNumber="%d" initialization="%s/$RepresentationID$/init.mp4" ` +
		`media="%s/$RepresentationID$/seg_$Number$.m4s"><SegmentTimeline>%s</SegmentTimeline></SegmentTemplate>`
	return `<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="dynamic" profiles="urn:mpeg:dash:profile:isoff-live:2011"
  availabilityStartTime="` + o.start.UTC().Format(time.RFC3339) + `" publishTime="` + time.Now().UTC().Format(time.RFC3339) + `"
  minimumUpdatePeriod="PT2S" timeShiftBufferDepth="PT20S" suggestedPresentationDelay="PT6S" minBufferTime="PT2S" maxSegmentDuration="PT2.1S">
 <Period id="1" start="PT0S">
  <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true">` +
		fmt.Sprintf(template, 12800, first, "video", "video", timeline(12800)) + `
   <Representation id="360p" bandwidth="325476" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet>
  <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" lang="en" segmentAlignment="true">` +
		fmt.Sprintf(template, 48000, first, "audio", "audio", timeline(48000)) + `
   <Representation id="en" bandwidth="68670" codecs="mp4a.40.2" audioSamplingRate="48000"/></AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:direct:2014" value="` + time.Now().UTC().Format(time.RFC3339Nano) + `"/>
</MPD>`
}

func (o *liveOrigin) playlist() string {
	first, last := o.window()
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-MAP:URI=\"init.mp4\"\n", first)
	for n := first; n <= last; n++ {
		fmt.Fprintf(&b, "#EXTINF:2.0,\nseg_%d.m4s\n", n)
	}
	return b.String()
}

func TestALiveChannelPlaysOnItsSessionAfterTheTokenHasExpired(t *testing.T) {
	long(t)
	for _, test := range []struct {
		player       player.Player
		manifest     string
		scheme, more string
	}{
		{player.Shaka, "manifest.mpd", "cbcs", ""},
		{player.DashJS, "manifest.mpd", "cenc", ""},
		{player.HlsJS, "master.m3u8", "cbcs", "&keyformat=clearkey"},
	} {
		t.Run(string(test.player)+" "+test.manifest+" "+test.scheme, func(t *testing.T) {
			parallel(t)
			watchLive(t, test.player, test.manifest, "drm="+test.scheme+test.more)
		})
	}
}

// watchLive plays until some segments were shown that did not exist when the player began, and until the token is long
// over, and reads the pictures.
func watchLive(t *testing.T, p player.Player, manifest, query string) {
	browser := startBrowser(t)
	origin := newLiveOrigin(t)
	address := liveGateway(t, origin.URL)
	token := accessTokenFor(t, "/live", liveToken)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	session, err := browser.Play(ctx, player.Options{
		Player: p, URL: address + "/live/" + manifest + "?" + query + "&token=" + url.QueryEscape(token),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.PlayUntil(ctx, (liveAhead*liveSegment + liveToken).Seconds()); err != nil {
		t.Fatal(err)
	}
	result, err := session.Result(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Fatal) > 0 || result.AudioBytes == 0 || len(result.UsableKeys()) != 1 {
		t.Fatalf("live playback: %s", result)
	}
	if picture, err := session.Read(ctx); err != nil || !picture.Corners {
		t.Errorf("the picture is not whole: %v", err)
	}
	refreshed := 0
	for _, request := range result.Manifests() {
		if request.Status >= 400 {
			t.Errorf("a manifest was answered with %d", request.Status)
		}
		if !strings.Contains(request.URL, token) {
			refreshed++
		}
	}
	if refreshed < 3 {
		t.Errorf("%d manifests were fetched without the access token, want the refreshes of a live channel", refreshed)
	}
}

func liveGateway(t *testing.T, origin string) string {
	t.Helper()
	return liveGatewayWith(t, origin, "session path 1h")
}

func liveGatewayWith(t *testing.T, origin, session string) string {
	t.Helper()
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := localhost(port)
	newGateway(t, address+` {
	drm {
		license_server clearkey
		token signed {
			key {file.testdata/tokens/signed.key}
			leeway 1s
		}
		`+session+`
	}
	reverse_proxy `+strings.TrimPrefix(origin, "http://")+`
}
`)
	return address
}
