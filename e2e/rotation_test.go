package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/e2e/player"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// rotatingTitle is the demo of 40 s with another key every 10 s, and the same below /wrong with licenses from a server that lies.
type rotatingTitle struct {
	url     string
	license *licenseServer
}

const demoPeriods = 4

func startRotatingTitle(t *testing.T) rotatingTitle {
	t.Helper()
	long(t)
	port, err := testtools.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := rotatingTitle{url: localhost(port)}
	r.license = newLicenseServer(r.url)
	t.Cleanup(r.license.Close)
	newGateway(t, fmt.Sprintf(`{
	drm {
		secret {env.DRM_SECRET}
		group rotating {
			rotate 10s
		}
	}
}
%s {
	root testdata
	handle_path /wrong/* {
		drm {
			license_server clearkey {
				url %s/wrong{http.drm.license_path}
			}
			group rotating
		}
		file_server
	}
	handle {
		drm {
			license_server clearkey
			group rotating
		}
		file_server
	}
}
`, r.url, r.license.URL))
	return r
}

// All players play a title whose keys change every ten seconds over the changes, find the frames on both sides of them, and ask for each key once. The
// last 1.5 s of a Period are no place to seek to in dash.js: if that takes long, it goes on with the next one.
func TestPlayersPlayATitleWhoseKeysRotate(t *testing.T) {
	r := startRotatingTitle(t)
	for _, scheme := range drm.Schemes {
		for _, w := range ways {
			t.Run(fmt.Sprintf("%s %s", scheme, w), func(t *testing.T) {
				parallel(t)
				s := mustPlay(t, player.Options{Player: w.player, URL: r.url + "/demo/" + w.with("drm="+scheme.String())})
				checkFrames(t, s, 8.6)
				if err := s.PlayUntil(testContext(t), 12); err != nil {
					t.Fatal(err)
				}
				checkSmooth(t, resultOf(t, s))
				checkFrames(t, s, 33.2, 18.4, 20.04, 10.04, 8.4, 1.2)
				result := resultOf(t, s)
				checkEncrypted(t, result)
				if keys := result.UsableKeys(); len(keys) != demoPeriods {
					t.Errorf("usable keys: %v, want %d", keys, demoPeriods)
				}
				if n := len(result.Licenses()); n > demoPeriods {
					t.Errorf("%d requests for licenses of %d keys:\n%s", n, demoPeriods, result)
				}
			})
		}
	}
}

// The control: with the key of one crypto period wrong, its pictures alone are missing.
func TestAWrongKeyOfOneCryptoPeriod(t *testing.T) {
	r := startRotatingTitle(t)
	for _, c := range []struct {
		way
		scheme drm.ProtectionScheme
	}{{ways[0], drm.SchemeCbcs}, {ways[1], drm.SchemeCenc}, {ways[3], drm.SchemeCbcs}} {
		t.Run(fmt.Sprintf("%s %s", c.scheme, c.way), func(t *testing.T) {
			parallel(t)
			tracks, _ := dashTracks(t, r.url+"/wrong/demo/manifest.mpd?drm="+c.scheme.String())
			for i, tr := range tracks {
				if i*demoPeriods/len(tracks) != 2 { // of 20 s to 30 s
					r.license.spare(t, tr.kid)
				}
			}
			s := mustPlay(t, player.Options{
				Player: c.player, URL: r.url + "/wrong/demo/" + c.with("drm="+c.scheme.String()), Timeout: 20 * time.Second,
			})
			checkFrames(t, s, 5.6, 12.4)
			p, err := s.SeekAndRead(testContext(t), 25.2)
			if err != nil {
				p = playbackError(t, err).Picture
			}
			if p.Corners {
				t.Errorf("in the crypto period of the wrong key a whole picture is shown, frame %d", p.Frame)
			}
			checkLiedIn(t, r, resultOf(t, s))
		})
	}
}

func checkLiedIn(t *testing.T, r rotatingTitle, result player.Result) {
	t.Helper()
	if !slices.ContainsFunc(result.Licenses(), func(q player.Request) bool {
		return q.Status == http.StatusOK && strings.HasPrefix(q.URL, r.license.URL)
	}) {
		t.Errorf("no license came from the server that lies:\n%s", result)
	}
}

// Tools that share no code with us decrypt the segments of each crypto period with its key to what the source is, and with the key of another period to
// nothing.
func TestIndependentToolsDecryptEveryCryptoPeriod(t *testing.T) {
	r := startRotatingTitle(t)
	for _, scheme := range drm.Schemes {
		tracks, _ := dashTracks(t, r.url+"/demo/manifest.mpd?drm="+scheme.String())
		if want := demoPeriods * len(titles[0].tracks); len(tracks) != want {
			t.Fatalf("%d tracks in all Periods, want %d", len(tracks), want)
		}
		for i, tr := range tracks {
			period := i * demoPeriods / len(tracks)
			if tr.folder == titles[0].lowFolder {
				continue // as the other rendition
			}
			t.Run(fmt.Sprintf("%s period %d %s", scheme, period, tr.folder), func(t *testing.T) {
				other := tracks[(i+len(titles[0].tracks))%len(tracks)]
				checkDecryptsPeriod(t, tr, contentKey(t, tr.license, tr.kid), contentKey(t, other.license, other.kid))
			})
		}
	}
}

func checkDecryptsPeriod(t *testing.T, tr track, key, otherKey string) {
	t.Helper()
	want := packetHashes(t, clearPart(t, tr), "")
	if len(want) < 200 {
		t.Fatalf("the clear part has %d packets", len(want))
	}
	protected := fetchTrack(t, tr)
	if got := packetHashes(t, protected, key); !slices.Equal(got, want) {
		t.Errorf("ffmpeg decrypts to other packets: %s", compare(got, want))
	}
	if got := packetHashes(t, unpackage(t, protected, tr, key), ""); !slices.Equal(got, want) {
		t.Errorf("shaka-packager decrypts to other packets: %s", compare(got, want))
	}
	for i, got := range packetHashes(t, protected, otherKey) {
		if got.hash == want[i].hash && got.size > 64 {
			t.Errorf("under the key of another crypto period packet %d of %d bytes is the clear one", i, got.size)
		}
	}
}

// clearPart joins the source's files of those segments that a track names.
func clearPart(t *testing.T, tr track) (joined []byte) {
	t.Helper()
	for _, target := range append([]string{tr.init}, tr.segments...) {
		name, err := testtools.Testdata("demo", tr.folder, path.Base(target))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, data...)
	}
	return joined
}
