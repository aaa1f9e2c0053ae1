package caddymodule

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// longTitle writes an MPD of segments of two seconds, of which only the init segment is there.
func longTitle(t *testing.T, g *gateway, segments int) {
	t.Helper()
	dir := filepath.Join(g.dir, "long")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mpd := `<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-live:2011" mediaPresentationDuration="PT` + strconv.Itoa(2*segments) +
		`S" minBufferTime="PT2S"><Period id="p0"><AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1" initialization="init.mp4" media="$Number$.m4s">` +
		`<SegmentTimeline><S t="0" d="2" r="` + strconv.Itoa(segments-1) + `"/></SegmentTimeline></SegmentTemplate>` +
		`<Representation id="v" bandwidth="1" codecs="avc1.4D401E" width="640" height="360"/></AdaptationSet></Period></MPD>`
	for name, content := range map[string][]byte{"manifest.mpd": []byte(mpd), "init.mp4": clearFile(t, "demo/video/360p/init.mp4")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const shortPeriods = "\t\tgroup rotating {\n\t\t\trotate 2s\n\t\t}\n"

// licenseOfLast checks that the license of an MPD gives the key of its last Period.
func licenseOfLast(t *testing.T, g *gateway, manifest string, periods int) {
	t.Helper()
	mpd := string(g.mustGet(t, manifest).body)
	kids := defaultKIDPattern.FindAllStringSubmatch(mpd, -1)
	if len(kids) != periods {
		t.Fatalf("%d Periods, want %d", len(kids), periods)
	}
	last := kids[len(kids)-1][1]
	if keys, res := g.license(t, laurlPattern.FindStringSubmatch(mpd)[1], last); keys[last] == "" {
		t.Errorf("no key of Period %d: %d %s", periods, res.status, res.reason())
	}
}

// TestTitleOfTooManyPeriods: where a license would have to ask a key server for each of them, a title with more crypto periods than that is
// refused as a whole, and one with as many plays to its end.
func TestTitleOfTooManyPeriods(t *testing.T) {
	server := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
		key := sha256.Sum256([]byte(r.URL.Path))
		_, _ = fmt.Fprintf(w, `[{"key_id":%q,"key":%q}]`, b64(key[:16]), b64(key[16:]))
	})
	g := newGateway(t)
	site := strings.NewReplacer("TESTDATA", "DIR", "KEYS", "keys nginx_vod "+server+"/{asset}/{scheme}/{period}").Replace(rotatingSite)
	g.load(t, withGroups(shortPeriods)+site)
	longTitle(t, g, maxAskedPeriods+1)
	licenseOfLast(t, g, "/long/manifest.mpd?drm=cenc", maxAskedPeriods+1)
	longTitle(t, g, maxAskedPeriods+2)
	res := g.get(t, "/long/manifest.mpd?drm=cenc")
	wantReply(t, "one more", res, http.StatusBadGateway, "periods_too_many")
	if !strings.Contains(string(res.body), "65") {
		t.Errorf("how many may be is not said: %s", res.body)
	}
	// Licenses of another server are none of ours to look for.
	foreign := strings.Replace(shortPeriods, "rotate 2s", "rotate 2s\n\t\t\tsystems widevine", 1)
	g.load(t, withGroups(foreign)+strings.Replace(site, "license_server clearkey", "license_url widevine https://license.example.com/", 1))
	g.mustGet(t, "/long/manifest.mpd?drm=cenc")
}

// TestLongTitleOfNamedKeys: a key server that answers under the names that it is asked for need not be asked to find out which key is meant.
func TestLongTitleOfNamedKeys(t *testing.T) {
	g := newGateway(t)
	for _, name := range []string{"server", "client"} {
		writeCertificate(t, g.dir, name)
	}
	const bearer = "bearer {env.TEST_TOKEN_SECRET}"
	site := strings.NewReplacer(
		"TESTDATA", "DIR", "SERVER", freePort(t), "CLIENT", strings.Repeat("00", 32), "QUESTION", bearer, "OPTIONS", "allow_clear",
		"license_server clearkey", "license_server clearkey\n\t\tgroup rotating", bearer, bearer+"\n\t\t\tgroups rotating",
	).Replace(peersSite)
	g.load(t, withGroups(shortPeriods)+site)
	longTitle(t, g, 150)
	licenseOfLast(t, g, "/long/manifest.mpd?drm=cenc", 150)
}
