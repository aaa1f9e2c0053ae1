package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// leadCaddyfile has a group with a clear lead of six seconds, three segments of the demo, below four prefixes that differ in who gives
// out licenses.
func leadCaddyfile(address, licenses, held string) string {
	site := func(prefix, url string) string {
		if url != "" {
			url = " {\n\t\t\t\turl " + url + "{http.drm.license_path}\n\t\t\t}"
		}
		return "\thandle_path /" + prefix + "/* {\n\t\tdrm {\n\t\t\tgroup lead\n\t\t\tkeys derived {\n\t\t\t\tper track_class\n\t\t\t}\n\t\t\tlicense_server clearkey" + url + "\n\t\t}\n\t\tfile_server\n\t}\n"
	}
	return "{\n\tdrm {\n\t\tsecret {env.DRM_SECRET}\n\t\tgroup lead {\n\t\t\tclear_lead 6s\n\t\t}\n\t}\n}\n" + address + " {\n\troot testdata\n" +
		site("right", "") + site("wrong", licenses+"/wrong") + site("refused", licenses+"/refused") + site("held", held) + "}\n"
}

// leadGateway serves the demo with a clear lead. Licenses of /held/ wait until somebody lets them through, or the test ends.
type leadGateway struct {
	url      string
	license  *licenseServer
	mu       sync.Mutex
	released chan struct{}
}

func newLeadGateway(t *testing.T) *leadGateway {
	t.Helper()
	long(t)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	g := &leadGateway{url: localhost(port)}
	g.hold()
	g.license = newLicenseServer(g.url)
	t.Cleanup(g.license.Close)
	target, err := url.Parse(g.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(answer *http.Response) error {
		answer.Header.Del("Access-Control-Allow-Origin") // allowCORS has said it
		return nil
	}
	held := httptest.NewServer(allowCORS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		released := g.released
		g.mu.Unlock()
		select {
		case <-released:
		case <-r.Context().Done():
			return
		}
		r.Host = target.Host
		proxy.ServeHTTP(w, r)
	})))
	t.Cleanup(func() {
		g.release()
		held.Close()
	})
	newGateway(t, leadCaddyfile(g.url, g.license.URL, held.URL))
	return g
}

func (g *leadGateway) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.released = make(chan struct{})
}

func (g *leadGateway) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.released:
	default:
		close(g.released)
	}
}

func (g *leadGateway) options(site string, w way, scheme drm.ProtectionScheme) player.Options {
	return player.Options{Player: w.player, URL: g.url + "/" + site + "/demo/" + w.with("drm="+scheme.String())}
}

// TestClearLeadPlays: every player goes from the clear beginning into what is encrypted, and back.
func TestClearLeadPlays(t *testing.T) {
	g := newLeadGateway(t)
	for _, scheme := range drm.Schemes {
		for _, w := range ways {
			t.Run(fmt.Sprintf("%s %s", scheme, w), func(t *testing.T) {
				s := mustPlay(t, g.options("right", w, scheme))
				if err := s.PlayUntil(testContext(t), 7); err != nil { // across the boundary, in real time
					t.Fatal(err)
				}
				checkFrames(t, s, 0.4, 5.96, 6, 6.04, 33.2, 2)
				result := resultOf(t, s)
				if result.AudioBytes == 0 || len(result.Fatal) > 0 {
					t.Errorf("audio was not decoded:\n%s", result)
				}
				checkEncrypted(t, result)
			})
		}
	}
}

// waysWithLicense are those of EME. Shaka on HLS takes a key of the format identity for a part of the manifest: without it nothing starts.
var waysWithLicense = []way{ways[0], ways[1], ways[3]}

// TestClearLeadPlaysBeforeTheLicense: nobody waits for a license that is on its way, and what it is for plays once it is there.
func TestClearLeadPlaysBeforeTheLicense(t *testing.T) {
	g := newLeadGateway(t)
	for _, w := range waysWithLicense {
		t.Run(w.String(), func(t *testing.T) {
			g.hold()
			s := mustPlay(t, g.options("held", w, drm.SchemeCbcs))
			if err := s.PlayUntil(testContext(t), 4); err != nil {
				t.Fatal(err)
			}
			if result := resultOf(t, s); len(result.UsableKeys()) > 0 || result.AudioBytes == 0 {
				t.Errorf("a key is there, or no sound:\n%s", result)
			}
			g.release()
			if err := s.PlayUntil(testContext(t), 8); err != nil {
				t.Fatal(err)
			}
			checkFrames(t, s, 10.2, 1)
			result := resultOf(t, s)
			checkEncrypted(t, result)
			checkAskedEarly(t, result)
		})
	}
}

// checkAskedEarly: the license was asked for while the lead was being loaded, and not when the first encrypted segment was there.
func checkAskedEarly(t *testing.T, result player.Result) {
	t.Helper()
	for _, q := range result.Requests {
		switch {
		case q.Kind == player.License:
			return
		case q.Kind == player.Segment && strings.HasSuffix(withoutQuery(q.URL), "seg_6.m4s"):
			t.Errorf("two segments behind the lead were loaded before a license was asked for:\n%s", result)
			return
		}
	}
}

// TestClearLeadAlonePlaysWithoutKey: with a wrong key, a license that is refused or one that never comes, no whole picture is shown from
// behind the lead.
func TestClearLeadAlonePlaysWithoutKey(t *testing.T) {
	g := newLeadGateway(t)
	g.hold()
	for site, ways := range map[string][]way{"wrong": ways, "refused": ways, "held": waysWithLicense} {
		for _, w := range ways {
			t.Run(site+" "+w.String(), func(t *testing.T) {
				o := g.options(site, w, drm.SchemeCenc)
				o.Timeout = 10 * time.Second
				s, err := startBrowser(t).Play(testContext(t), o)
				if err != nil { // some give up as soon as a license is refused
					failed := playbackError(t, err)
					if failed.Picture.Corners && failed.Picture.Frame >= 150 {
						t.Errorf("frame %d is shown", failed.Picture.Frame)
					}
					if site == "held" || site == "wrong" && failed.Result.DecodedFrames == 0 {
						t.Errorf("the lead does not play:\n%s", failed.Result)
					}
					return
				}
				t.Cleanup(s.Close)
				if p, err := s.SeekAndRead(testContext(t), 2); err == nil && (p.Frame != 50 || !p.Corners) || site == "held" && err != nil {
					t.Errorf("at 2 s: frame %d, corners %v, %v", p.Frame, p.Corners, err)
				}
				for _, at := range []float64{6.2, 20} {
					p, err := s.SeekAndRead(testContext(t), at)
					if err != nil {
						p = playbackError(t, err).Picture
					}
					if p.Corners && p.Frame >= 150 {
						t.Errorf("at %.2f s a whole picture is shown, frame %d", at, p.Frame)
					}
				}
			})
		}
	}
}
