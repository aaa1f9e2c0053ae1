package player

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// serveFiles serves a folder, with CORS so that the page may have another origin.
func serveFiles(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// checkFrames seeks and compares the barcode with the time.
func checkFrames(t *testing.T, s *Session, times ...float64) {
	t.Helper()
	for _, at := range times {
		p, err := s.SeekAndRead(testContext(t), at)
		if err != nil {
			t.Fatal(err)
		}
		if want := int(at*25 + 1e-6); p.Frame != want || !p.Corners {
			t.Errorf("at %.2f s: frame %d, corners %v; want frame %d with all corners", at, p.Frame, p.Corners, want)
		}
	}
}

// checkDemo checks exact frames of both renditions, and that the pictures really came from both.
func checkDemo(t *testing.T, s *Session, low int, lowFolder string, times ...float64) Result {
	t.Helper()
	checkFrames(t, s, times...)
	for _, height := range []int{low, 360} {
		if err := s.SwitchVideo(testContext(t), height); err != nil {
			t.Fatal(err)
		}
		checkFrames(t, s, times...)
	}
	result, err := s.Result(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"/video/360p/", lowFolder} {
		if !requested(result, folder) {
			t.Errorf("no segment below %s was requested:\n%s", folder, result)
		}
	}
	return result
}

func requested(r Result, part string) bool {
	for _, q := range r.Segments() {
		if strings.Contains(q.URL, part) && q.Status == http.StatusOK {
			return true
		}
	}
	return false
}

func TestClearTitles(t *testing.T) {
	dir, err := testtools.Testdata()
	if err != nil {
		t.Fatal(err)
	}
	server := serveFiles(t, dir)
	for _, c := range []struct {
		player                 Player
		title, manifest        string
		lowHeight              int
		crossOrigin            bool
		first, second, further float64
	}{
		{Shaka, "demo", "manifest.mpd", 180, false, 5.6, 33.2, 39.8},
		{Shaka, "demo", "master.m3u8", 180, true, 5.6, 33.2, 39.8},
		{DashJS, "demo", "manifest.mpd", 180, true, 5.6, 33.2, 39.8},
		{HlsJS, "demo", "master.m3u8", 180, false, 5.6, 33.2, 39.8},
		{Shaka, "demo-av1", "manifest.mpd", 144, false, 1.96, 6.04, 11.4},
		{DashJS, "demo-av1", "manifest.mpd", 144, false, 1.96, 6.04, 11.4},
		{HlsJS, "demo-av1", "master.m3u8", 144, false, 1.96, 6.04, 11.4},
	} {
		t.Run(fmt.Sprintf("%s plays %s %s", c.player, c.title, c.manifest), func(t *testing.T) {
			s := mustPlay(t, Options{
				Player: c.player, URL: server.URL + "/" + c.title + "/" + c.manifest, CrossOrigin: c.crossOrigin,
			})
			low := fmt.Sprintf("/video/%dp/", c.lowHeight)
			result := checkDemo(t, s, c.lowHeight, low, c.first, c.second, c.further)
			for _, w := range result.Warnings {
				t.Log(w)
			}
			if result.KeySystem != "" || len(result.Licenses()) > 0 {
				t.Errorf("clear content asked for keys:\n%s", result)
			}
		})
	}
}

func TestMissingManifestIsAFatalError(t *testing.T) {
	server := serveFiles(t, t.TempDir())
	for player, file := range map[Player]string{Shaka: "manifest.mpd", DashJS: "manifest.mpd", HlsJS: "master.m3u8"} {
		t.Run(string(player), func(t *testing.T) {
			failed := mustNotPlay(t, Options{Player: player, URL: server.URL + "/" + file})
			if len(failed.Result.Fatal) == 0 {
				t.Errorf("no fatal error in words: %v", failed)
			}
			if m := failed.Result.Manifests(); len(m) == 0 || m[0].Status != http.StatusNotFound {
				t.Errorf("manifest requests: %v, want status 404", m)
			}
		})
	}
}

func TestHeaderGoesWithEveryRequest(t *testing.T) {
	dir, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Test-Token") != "testToken" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o := Options{Player: HlsJS, URL: server.URL + "/master.m3u8"}
	failed := mustNotPlay(t, o)
	if m := failed.Result.Manifests(); len(m) == 0 || m[0].Status != http.StatusUnauthorized {
		t.Errorf("without the header: %v, want status 401", m)
	}
	o.Header = map[string]string{"X-Test-Token": "testToken"}
	s := mustPlay(t, o)
	if err := s.PlayUntil(testContext(t), 4.5); err != nil {
		t.Fatal(err)
	}
	if result, err := s.Result(testContext(t)); err != nil || result.CurrentTime < 4.5 {
		t.Errorf("clock %.2f s, %v; want at least 4.5 s", result.CurrentTime, err)
	}
}

func TestCrossOriginNeedsCORS(t *testing.T) {
	dir, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	failed := mustNotPlay(t, Options{Player: HlsJS, URL: server.URL + "/master.m3u8", CrossOrigin: true})
	if len(failed.Result.Fatal) == 0 {
		t.Errorf("no fatal error:\n%s", failed.Result)
	}
}

func TestUnknownRenditionIsAnError(t *testing.T) {
	dir, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	server := serveFiles(t, dir)
	s := mustPlay(t, Options{Player: Shaka, URL: server.URL + "/manifest.mpd"})
	failed := playbackError(t, s.SwitchVideo(testContext(t), 720))
	if !strings.Contains(failed.Error(), "360") {
		t.Errorf("the error does not say which heights there are: %v", failed)
	}
}
