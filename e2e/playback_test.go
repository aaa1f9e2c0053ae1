package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
)

// way is a player with the manifest that it plays. The two HLS players accept different key formats, so each names its
// own.
type way struct {
	player   player.Player
	manifest string // file and query
}

var ways = []way{
	{player.Shaka, "manifest.mpd"},
	{player.DashJS, "manifest.mpd"},
	{player.Shaka, "master.m3u8?keyformat=identity"},
	{player.HlsJS, "master.m3u8?keyformat=clearkey"},
}

func (w way) String() string {
	file, _, _ := strings.Cut(w.manifest, "?")
	return fmt.Sprintf("%s %s", w.player, file)
}

// with returns the manifest's address with more words in its query.
func (w way) with(query string) string {
	if strings.Contains(w.manifest, "?") {
		return w.manifest + "&" + query
	}
	return w.manifest + "?" + query
}

// slots bounds the pages that play at the same time: more would stutter, on however many cores.
var slots = make(chan struct{}, 2)

// parallel runs the test beside one other that plays.
func parallel(t *testing.T) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mustPlay(t *testing.T, o player.Options) *player.Session {
	t.Helper()
	s, err := startBrowser(t).Play(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// mustNotPlay returns what the player says about what has to fail, which must be a fatal error and no picture.
func mustNotPlay(t *testing.T, o player.Options) *player.PlaybackError {
	t.Helper()
	s, err := startBrowser(t).Play(testContext(t), o)
	if err == nil {
		s.Close()
		t.Fatal("it plays")
	}
	failed := playbackError(t, err)
	if len(failed.Result.Fatal) == 0 {
		t.Errorf("no fatal error:\n%s", failed.Result)
	}
	return failed
}

// checkFrames seeks and compares the barcode with the time: titles have 25 frames per second.
func checkFrames(t *testing.T, s *player.Session, seeks ...float64) {
	t.Helper()
	for _, at := range seeks {
		p, err := s.SeekAndRead(testContext(t), at)
		if err != nil {
			t.Fatal(err)
		}
		if want := int(at*25 + 1e-6); p.Frame != want || !p.Corners {
			t.Errorf("at %.2f s: frame %d, corners %v; want frame %d with all corners", at, p.Frame, p.Corners, want)
		}
	}
}

func resultOf(t *testing.T, s *player.Session) player.Result {
	t.Helper()
	result, err := s.Result(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// checkPlays plays a title in one way: two seconds in real time, seeks with exact frames, and, for the longer title, a
// forced switch to the other rendition.
func checkPlays(t *testing.T, ti title, o player.Options) player.Result {
	t.Helper()
	s := mustPlay(t, o)
	begin, from := time.Now(), resultOf(t, s).CurrentTime
	if err := s.PlayUntil(testContext(t), from+1); err != nil {
		t.Fatal(err)
	}
	if elapsed := time.Since(begin); elapsed < 900*time.Millisecond || elapsed > 10*time.Second {
		t.Errorf("one second of the title took %s", elapsed)
	}
	checkFrames(t, s, ti.seeks...)
	if ti.name == "demo" {
		for _, height := range []int{ti.low, 360} {
			if err := s.SwitchVideo(testContext(t), height); err != nil {
				t.Fatal(err)
			}
			checkFrames(t, s, ti.seeks[0])
		}
	}
	result := resultOf(t, s)
	if result.AudioBytes == 0 || result.DecodedFrames == 0 || len(result.Fatal) > 0 {
		t.Errorf("audio or video was not decoded:\n%s", result)
	}
	checkEncrypted(t, result)
	return result
}

// checkEncrypted checks that the player was granted a key system and keys, and that every segment carries a seal.
func checkEncrypted(t *testing.T, result player.Result) {
	t.Helper()
	if result.KeySystem != "org.w3.clearkey" || len(result.UsableKeys()) == 0 || len(result.Licenses()) == 0 {
		t.Errorf("no usable key:\n%s", result)
	}
	for _, q := range result.Segments() {
		if !strings.Contains(q.URL, "/~") || strings.Contains(q.URL, "?") {
			t.Errorf("a segment without a seal, or with a query: %s", withoutQuery(q.URL))
		}
	}
}

func withoutQuery(target string) string {
	target, _, _ = strings.Cut(target, "?")
	return target
}

// Every player on every manifest that is meant for it, with one key for audio and one for video.
func TestPlayersPlayKeysPerTrackClass(t *testing.T) {
	e := sharedExample(t)
	for _, ti := range titles {
		for _, scheme := range drm.Schemes {
			for _, w := range ways {
				t.Run(fmt.Sprintf("%s %s %s", ti.name, scheme, w), func(t *testing.T) {
					parallel(t)
					result := checkPlays(t, ti, player.Options{
						Player: w.player, URL: fmt.Sprintf("%s/%s/%s/%s", e.url, scheme, ti.name, w.manifest),
					})
					if keys := result.UsableKeys(); len(keys) < 2 {
						t.Errorf("usable keys: %v, want two", keys)
					}
				})
			}
		}
	}
}

// One key for the whole title, the default. The page has another origin, so CORS has to hold too.
func TestPlayersPlayOneKeyPerTitle(t *testing.T) {
	e := sharedExample(t)
	ti := titles[0]
	for _, c := range []struct {
		way
		scheme drm.ProtectionScheme
	}{{ways[0], drm.SchemeCbcs}, {ways[1], drm.SchemeCenc}, {ways[2], drm.SchemeCenc}, {ways[3], drm.SchemeCbcs}} {
		t.Run(fmt.Sprintf("%s %s", c.scheme, c.way), func(t *testing.T) {
			parallel(t)
			result := checkPlays(t, ti, player.Options{
				Player: c.player, URL: fmt.Sprintf("%s/vod/%s/%s", e.url, ti.name, c.with("drm="+c.scheme.String())), CrossOrigin: true,
			})
			if keys := result.UsableKeys(); len(keys) != 1 {
				t.Errorf("usable keys: %v, want one", keys)
			}
		})
	}
}

// A token lets the viewer in; then the session goes along, in the path, in the query or in a cookie, and the token stays behind.
func TestTokenPlays(t *testing.T) {
	e := sharedExample(t)
	token := "token=" + url.QueryEscape(accessToken(t, "/demo"))
	for _, c := range []struct {
		way
		site, session string
	}{
		{ways[0], e.url + "/members", "path"}, {ways[1], e.url + "/members", "path"},
		{ways[2], e.url + "/members", "path"}, {ways[3], e.url + "/members", "path"},
		{ways[0], e.test + "/cookie", "cookie"}, {ways[1], e.test + "/cookie", "cookie"}, {ways[3], e.test + "/cookie", "cookie"},
		{ways[0], e.test + "/query", "query"}, {ways[1], e.test + "/query", "query"}, {ways[2], e.test + "/query", "query"}, {ways[3], e.test + "/query", "query"},
	} {
		t.Run(c.session+" "+c.way.String(), func(t *testing.T) {
			parallel(t)
			s := mustPlay(t, player.Options{Player: c.player, URL: c.site + "/demo/" + c.with(token)})
			checkFrames(t, s, titles[0].seeks...)
			result := resultOf(t, s)
			if c.session != "query" {
				checkEncrypted(t, result)
			}
			for _, q := range result.Requests[1:] {
				if strings.Contains(q.URL, "/~s.") != (c.session == "path") {
					t.Errorf("%s: a session in the path is %v", withoutQuery(q.URL), c.session != "path")
				}
				if (sessionOf(t, q.URL) != "") != (c.session != "cookie") || strings.Count(q.URL, "session=") > 1 {
					t.Errorf("%s: a session in the address is %v", withoutQuery(q.URL), c.session == "cookie")
				}
				if strings.Contains(q.URL, "token=") {
					t.Errorf("%s carries the token on", withoutQuery(q.URL))
				}
			}
		})
	}
}

// Where segments want a license, players get it in time and no segment is refused to them.
func TestPlayersPlayWhatNeedsALicense(t *testing.T) {
	e := sharedExample(t)
	token := "token=" + url.QueryEscape(accessToken(t, "/demo"))
	for _, way := range ways {
		t.Run(way.String(), func(t *testing.T) {
			parallel(t)
			s := mustPlay(t, player.Options{Player: way.player, URL: e.test + "/gated/demo/" + way.with(token)})
			checkFrames(t, s, titles[0].seeks...)
			for _, q := range resultOf(t, s).Requests {
				if q.Status >= 400 {
					t.Errorf("%s: %d", withoutQuery(q.URL), q.Status)
				}
			}
		})
	}
}

// The blocks that admit this machine's country play.
func TestAdmittedCountryPlays(t *testing.T) {
	e := sharedExample(t)
	s := mustPlay(t, player.Options{Player: player.HlsJS, URL: e.url + "/austria/demo/master.m3u8?keyformat=clearkey"})
	checkFrames(t, s, titles[0].seeks[0])
}

// The control of all of the above: with a wrong key no picture of the title is shown. In one title every key is wrong,
// which the players notice by the sound; in the other only the key of the video, and there the decoder may go on.
func TestWrongKeyShowsNothing(t *testing.T) {
	e := sharedExample(t)
	for _, ti := range titles {
		soundIsRight := ti.name == "demo"
		for _, scheme := range drm.Schemes {
			if soundIsRight {
				tracks, _ := dashTracks(t, e.test+"/wrong/"+ti.name+"/manifest.mpd?drm="+scheme.String())
				e.license.spare(t, tracks[len(tracks)-1].kid) // the audio track comes last
			}
			for _, w := range ways {
				t.Run(fmt.Sprintf("%s %s %s", ti.name, scheme, w), func(t *testing.T) {
					parallel(t)
					o := player.Options{
						Player: w.player, URL: e.test + "/wrong/" + ti.name + "/" + w.with("drm="+scheme.String()), Timeout: 20 * time.Second,
					}
					if soundIsRight {
						checkNoPicture(t, e, o, ti.seeks)
					} else {
						checkWrongKey(t, e, mustNotPlay(t, o))
					}
				})
			}
		}
	}
}

// checkWrongKey checks that a player failed over a key from the server that lies, with no whole picture on the screen.
func checkWrongKey(t *testing.T, e *example, failed *player.PlaybackError) {
	t.Helper()
	if failed.Picture.Corners {
		t.Errorf("a whole picture is shown, frame %d", failed.Picture.Frame)
	}
	checkLied(t, e, failed.Result)
}

func checkLied(t *testing.T, e *example, result player.Result) {
	t.Helper()
	for _, q := range result.Licenses() {
		if q.Status == http.StatusOK && strings.HasPrefix(q.URL, e.license.URL) {
			return
		}
	}
	t.Errorf("no license came from the server that lies:\n%s", result)
}

// checkNoPicture checks that a player whose sound is right fails, or shows no whole picture wherever it is sent: H.264
// decoders make something of anything.
func checkNoPicture(t *testing.T, e *example, o player.Options, seeks []float64) {
	t.Helper()
	s, err := startBrowser(t).Play(testContext(t), o)
	if err != nil {
		checkWrongKey(t, e, playbackError(t, err))
		return
	}
	t.Cleanup(s.Close)
	for _, at := range append([]float64{0.2}, seeks...) {
		p, err := s.SeekAndRead(testContext(t), at)
		if err != nil {
			p = playbackError(t, err).Picture
		}
		if p.Corners {
			t.Errorf("at %.2f s a whole picture is shown, frame %d", at, p.Frame)
		}
	}
	checkLied(t, e, resultOf(t, s))
}

func TestRefusedLicenseIsFatal(t *testing.T) {
	e := sharedExample(t)
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			parallel(t)
			result := mustNotPlay(t, player.Options{
				Player: w.player, URL: e.test + "/refused/demo/" + w.with("drm=cenc"), Timeout: 20 * time.Second,
			}).Result
			checkStatus(t, result.Licenses(), http.StatusForbidden, "")
			if result.DecodedFrames > 0 {
				t.Errorf("%d frames were decoded", result.DecodedFrames)
			}
		})
	}
}

// What a refused viewer's player gets to see: the status, and the reason, which CORS must not hide. A page learns both from the player's own
// error.
func TestRefusedManifestIsFatal(t *testing.T) {
	e := sharedExample(t)
	for _, c := range []struct {
		name, site string
		status     int
		reason     string
	}{
		{"no token", e.url + "/members", http.StatusUnauthorized, "token_missing"},
		{"blocked country", e.url + "/elsewhere", http.StatusForbidden, "country_denied"},
		{"country blocked by law", e.test + "/law", http.StatusUnavailableForLegalReasons, "country_denied"},
	} {
		for _, w := range []way{ways[0], ways[1], ways[3]} {
			t.Run(c.name+" "+w.String(), func(t *testing.T) {
				parallel(t)
				result := mustNotPlay(t, player.Options{Player: w.player, URL: c.site + "/demo/" + w.manifest, CrossOrigin: true}).Result
				checkStatus(t, result.Manifests(), c.status, c.reason)
				if !slices.Contains(result.Refusals, player.Refusal{Status: c.status, Reason: c.reason}) {
					t.Errorf("the page is told of %v, want %d %s:\n%s", result.Refusals, c.status, c.reason, result)
				}
				if len(result.Segments()) > 0 || len(result.Licenses()) > 0 || result.DecodedFrames > 0 {
					t.Errorf("something went on after the refusal:\n%s", result)
				}
			})
		}
	}
}

// checkStatus checks that requests were answered with status and reason, unless the player gave them up.
func checkStatus(t *testing.T, requests []player.Request, status int, reason string) {
	t.Helper()
	seen := 0
	for _, q := range requests {
		switch q.Status {
		case status:
			seen++
			if exposed := q.Header["access-control-expose-headers"]; q.Header["drm-reason"] != reason || reason != "" && !strings.Contains(exposed, "Drm-Reason") {
				t.Errorf("reason %q, exposed headers %q; want %q", q.Header["drm-reason"], exposed, reason)
			}
		case 0:
		default:
			t.Errorf("%s answered %d, want %d", withoutQuery(q.URL), q.Status, status)
		}
	}
	if seen == 0 {
		t.Errorf("no request was answered with %d", status)
	}
}
