package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/probe"
)

// probedStreams has a site for whole segments and one for SAMPLE-AES.
const probedStreams = `
http://:PORT {
	handle_path /sample/* {
		drm {
			tenant sample
			license_server clearkey
			transport_stream sample-aes
		}
		reverse_proxy ORIGIN
	}
	handle {
		drm {
			tenant whole
			license_server clearkey
		}
		reverse_proxy ORIGIN
	}
}
`

func TestProbeOfTransportStreams(t *testing.T) {
	stream, err := os.ReadFile(filepath.Join("..", "segcrypt", "mpegts", "testdata", "avc-aac.ts"))
	if err != nil {
		t.Fatal(err)
	}
	origin := new(scriptedOrigin)
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, ".m3u8"):
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
			_, _ = fmt.Fprint(w, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST\n")
		case strings.HasSuffix(r.URL.Path, ".ts"):
			w.Header().Set("Content-Type", "video/mp2t")
			_, _ = w.Write(stream)
		default:
			return false
		}
		return true
	})
	g := startGateway(t, probedStreams, "ORIGIN", origin.start(t))
	report := mustProbe(t, "http://"+g.addr+"/ts/list.m3u8")
	if r := report.Renditions[0]; r.Decrypted != 2 || r.Proven != 2 || report.LeaksTried != 2 {
		t.Errorf("AES-128:\n%s", report.Text())
	}
	report, ok := probeCLI(t, "http://"+g.addr+"/sample/ts/list.m3u8")
	if r := report.Renditions[0]; !ok || r.Probed != 2 || r.Decrypted != 0 || report.Keys != 1 || len(report.Notes) == 0 {
		t.Errorf("SAMPLE-AES:\n%s", report.Text())
	}
}

// TestProbeWatchesALiveChannel: new segments and new keys are probed as they come, and nothing that was said changes.
func TestProbeWatchesALiveChannel(t *testing.T) {
	if testing.Short() {
		t.Skip("keeps pace with a channel")
	}
	start := time.Now().Truncate(10 * time.Second)
	opened := time.Now()
	origin := new(scriptedOrigin)
	origin.play(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/demo/video/360p/live.m3u8" {
			return false
		}
		first := 1 + int(time.Since(opened)/(500*time.Millisecond)) // four times as fast as life
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		_, _ = fmt.Fprintf(w, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-MAP:URI=\"init.mp4\"\n", first)
		for n := first; n < first+6 && n <= 20; n++ {
			_, _ = fmt.Fprintf(w, "#EXT-X-PROGRAM-DATE-TIME:%s\n#EXTINF:2.0,\nseg_%d.m4s\n", start.Add(time.Duration(n-1)*2*time.Second).UTC().Format(time.RFC3339Nano), n)
		}
		return true
	})
	g := newGateway(t, "ORIGIN", origin.start(t))
	g.load(t, withGroups(rotatingGroup)+strings.NewReplacer("root TESTDATA\n", "", "file_server", "reverse_proxy ORIGIN", "KEYS", "").Replace(rotatingSite))
	report := mustProbe(t, "http://"+g.addr+"/demo/video/360p/live.m3u8?drm=cenc", "--watch", "3500ms")
	if r := report.Renditions[0]; !report.Live || report.Reloads < 2 || r.Listed < 8 || report.Keys < 4 {
		t.Errorf("%s", report.Text())
	}
}

// TestProbeKeepsCredentialsAtHome: they go to the server of the manifest, and to no other, whoever names it.
func TestProbeKeepsCredentialsAtHome(t *testing.T) {
	abroad := 0
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		abroad++
		if r.Header.Get("Authorization") != "" || r.Header.Get("X-Key") != "" {
			t.Errorf("%s was sent %v", r.URL, r.Header)
		}
	}))
	defer other.Close()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" || r.Header.Get("X-Key") != "home" {
			t.Errorf("%s was not sent the fields", r.URL)
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		}
	}))
	defer home.Close()
	o := probeOptions{fetch: fetchFlags{token: "secret", headers: []string{"X-Key: home"}}, segments: 1, timeout: time.Minute}
	_, fetcher, err := o.target(home.URL + "/a.mpd")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{home.URL + "/away", home.URL + "/here", other.URL + "/there"} {
		if _, err := fetcher.Fetch(t.Context(), probe.Request{Method: http.MethodGet, URL: target, Limit: 10}); err != nil {
			t.Error(err)
		}
	}
	if abroad != 2 {
		t.Errorf("the other server was asked %d times", abroad)
	}
	_, err = fetcher.Fetch(t.Context(), probe.Request{Method: http.MethodGet, URL: "http://127.0.0.1:1/a?token=secret", Limit: 10})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestProbeRefusesFlags(t *testing.T) {
	for _, args := range [][]string{
		{"ftp://x/a.mpd"}, {"/a.mpd"}, {"http://x/a.mpd", "--drm", "aes"}, {"http://x/a.mpd", "--segments", "0"}, {"http://x/a.mpd", "--header", "secret"},
	} {
		cmd := probeCommand()
		cmd.SetArgs(args)
		cmd.SetOut(new(strings.Builder))
		cmd.SetErr(new(strings.Builder))
		if err := cmd.ExecuteContext(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
