package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// rotatingSite has a group whose keys change every ten seconds; titles of the demo last forty.
const rotatingSite = `
http://:PORT {
	root TESTDATA
	drm {
		tenant rotating
		license_server clearkey
		group rotating
		KEYS
	}
	file_server
}
`

func withGroups(groups string) string {
	return strings.Replace(globalBlock, "drm {\n", "drm {\n"+groups, 1)
}

const rotatingGroup = "\t\tgroup rotating {\n\t\t\trotate 10s\n\t\t}\n"

func startRotating(t *testing.T, keys string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.load(t, withGroups(rotatingGroup)+strings.Replace(rotatingSite, "KEYS", keys, 1))
	return g
}

var (
	periodPattern     = regexp.MustCompile(`(?s)<Period id="([^"]*)".*?</Period>`)
	defaultKIDPattern = regexp.MustCompile(`default_KID="([^"]*)"`)
	laurlPattern      = regexp.MustCompile(`<dashif:Laurl[^>]*>([^<]*)<`)
)

// license asks a ClearKey server for keys.
func (g *gateway) license(t *testing.T, url string, kids ...string) (keys map[string]string, res reply) {
	t.Helper()
	ask := map[string]any{"type": "temporary"}
	var list []string
	for _, kid := range kids {
		parsed, err := drm.ParseKID(kid)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, parsed.Base64URL())
	}
	ask["kids"] = list
	body, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	res = g.sendBody(t, http.MethodPost, url, body)
	var license struct{ Keys []struct{ Kid, K string } }
	if res.status == http.StatusOK {
		if err := json.Unmarshal(res.body, &license); err != nil {
			t.Fatal(err)
		}
	}
	keys = make(map[string]string)
	for _, key := range license.Keys {
		raw, err := base64.RawURLEncoding.DecodeString(key.Kid)
		if err != nil {
			t.Fatal(err)
		}
		keys[drm.KID(raw).String()] = key.K
	}
	return keys, res
}

// TestRotationInDASH: a Period for each ten seconds, each with keys of its own, which one license URL gives for all of them.
func TestRotationInDASH(t *testing.T) {
	g := startRotating(t, "")
	mpd := string(g.mustGet(t, "/demo/manifest.mpd").body)
	periods := periodPattern.FindAllStringSubmatch(mpd, -1)
	if len(periods) != 4 {
		t.Fatalf("%d Periods, want 4:\n%s", len(periods), mpd)
	}
	urls, kids := make(map[string]bool), make(map[string]int)
	for i, p := range periods {
		if want := fmt.Sprintf("p0-k%d", i); p[1] != want {
			t.Errorf("Period %d is %q, want %q", i, p[1], want)
		}
		for _, kid := range defaultKIDPattern.FindAllStringSubmatch(p[0], -1) {
			if first, known := kids[kid[1]]; known && first != i {
				t.Errorf("Periods %d and %d share a key", first, i)
			}
			kids[kid[1]] = i
		}
		for _, url := range laurlPattern.FindAllStringSubmatch(p[0], -1) {
			urls[url[1]] = true
		}
	}
	if len(urls) != 1 || len(kids) != 4 {
		t.Fatalf("%d license URLs and %d keys, want 1 and 4", len(urls), len(kids))
	}
	var all []string
	for kid := range kids {
		all = append(all, kid)
	}
	for url := range urls {
		keys, res := g.license(t, url, all...)
		if len(keys) != 4 {
			t.Errorf("%d keys of 4: %d %s", len(keys), res.status, res.body)
		}
		if keys, res := g.license(t, url, "00112233-4455-6677-8899-aabbccddeeff"); res.status != http.StatusForbidden || len(keys) > 0 {
			t.Errorf("a foreign KID: %d", res.status)
		}
	}
	checkRotatedInits(t, g, kids)
}

// checkRotatedInits: every init segment names the key of its Period, and every segment is there.
func checkRotatedInits(t *testing.T, g *gateway, kids map[string]int) {
	t.Helper()
	inits := make(map[string]bool)
	for _, l := range g.links(t, "/demo/manifest.mpd") {
		if l.kind != "init" && l.kind != "media" {
			continue
		}
		res := g.mustGet(t, l.url)
		if l.kind != "init" || !bytes.Contains(res.body, []byte("tenc")) {
			continue
		}
		found := ""
		for kid := range kids {
			parsed, _ := drm.ParseKID(kid)
			if at := bytes.Index(res.body, []byte("tenc")); bytes.Contains(res.body[at:at+40], parsed[:]) {
				found = kid
			}
		}
		if found == "" {
			t.Errorf("%s has a key that no Period names", l.url)
		}
		inits[found] = true
	}
	if len(inits) != len(kids) {
		t.Errorf("init segments of %d keys, want %d", len(inits), len(kids))
	}
}

// TestSegmentOfAnotherPeriod: the address of a Period leads to no segment of another one.
func TestSegmentOfAnotherPeriod(t *testing.T) {
	g := startRotating(t, "")
	first := linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_1.m4s").url
	for number, want := range map[string]int{"1": 200, "5": 200, "20": 404, "14": 404} {
		res := g.get(t, strings.Replace(first, "seg_1.m4s", "seg_"+number+".m4s", 1))
		if res.status != want || want == 404 && res.reason() != "period_mismatch" {
			t.Errorf("segment %s under the address of the first Period: %d %s, want %d", number, res.status, res.reason(), want)
		}
	}
}

var keyLine = regexp.MustCompile(`(?m)^#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="([^"]*)"(?:,KEYID=0x([0-9A-F]{32}))?,KEYFORMAT="([^"]*)"`)

// TestRotationInHLS: keys and EXT-X-MAP change every ten seconds, and each key URI gives its key.
func TestRotationInHLS(t *testing.T) {
	g := startRotating(t, "")
	playlist := linkTo(t, g.links(t, "/demo/master.m3u8?drm=cenc"), "playlist", "/video/360p.m3u8")
	text := string(g.mustGet(t, playlist.url).body)
	if n := strings.Count(text, "#EXT-X-MAP"); n != 4 || strings.Contains(text, "DISCONTINUITY") {
		t.Fatalf("%d EXT-X-MAP, want 4 and no discontinuity:\n%s", n, text)
	}
	secrets := make(map[string]bool)
	for _, line := range keyLine.FindAllStringSubmatch(text, -1) {
		if line[3] != "identity" {
			continue
		}
		res := g.mustGet(t, resolve(t, playlist.url, line[1]))
		if len(res.body) != 16 {
			t.Errorf("a key of %d bytes", len(res.body))
		}
		secrets[string(res.body)] = true
	}
	if len(secrets) != 4 {
		t.Errorf("%d keys, want 4", len(secrets))
	}
	for _, l := range playlistLinks(t, playlist.url, []byte(text)) {
		if l.isMedia() {
			g.mustGet(t, l.url)
		}
	}
}

// TestRotationNeedsKeysThatRotate: a list of fixed keys would be refused period by period.
func TestRotationNeedsKeysThatRotate(t *testing.T) {
	g := newGateway(t)
	err := g.tryLoad(withGroups(rotatingGroup) + strings.Replace(rotatingSite, "KEYS", "scheme cenc\n\t\tkeys static TESTDATA/../examples/static-keys.json", 1))
	if err == nil || !strings.Contains(err.Error(), "rotat") {
		t.Errorf("loading: %v", err)
	}
}

// TestRekey: new manifests name new keys at once, older addresses end after the time of grace, and it outlives a reload.
func TestRekey(t *testing.T) {
	g := newGateway(t)
	admin := "127.0.0.1:" + freePort(t)
	config := strings.Replace(withGroups("\t\tgroup premium {\n\t\t\tlevel low\n\t\t}\n\t\trekey_grace 1s\n"), "admin off", "admin "+admin, 1) +
		strings.NewReplacer("group rotating", "group premium", "KEYS", "").Replace(rotatingSite)
	g.load(t, config)
	kidAndSegment := func() (kid, license, segment string) {
		mpd := string(g.mustGet(t, "/demo/manifest.mpd").body)
		return defaultKIDPattern.FindStringSubmatch(mpd)[1], laurlPattern.FindStringSubmatch(mpd)[1],
			linkTo(t, g.links(t, "/demo/manifest.mpd"), "media", "/video/360p/seg_1.m4s").url
	}
	oldKID, oldLicense, oldSegment := kidAndSegment()
	rekey := func(body string) reply {
		return g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/rekeys", []byte(body), "Content-Type", "application/json")
	}
	for _, bad := range []string{`{}`, `{"title":"/demo","group":"premium"}`, `{"title":"demo/../x"}`, `{"group":"unknown"}`, `{"titel":"/demo"}`} {
		if res := rekey(bad); res.status < 400 || res.status > 404 {
			t.Errorf("%s: %d", bad, res.status)
		}
	}
	res := rekey(`{"title":"/demo/","note":"leaked"}`)
	if res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	var entry struct{ ID string }
	if err := json.Unmarshal(res.body, &entry); err != nil {
		t.Fatal(err)
	}
	if mpd := string(g.mustGet(t, "/demo/manifest.mpd").body); !strings.Contains(mpd, `<Period id="p0-g1"`) {
		t.Errorf("the Period is still the one of before:\n%s", mpd)
	}
	wantReply(t, "an older segment in the time of grace", g.get(t, oldSegment), 200, "")
	newKID, newLicense, newSegment := kidAndSegment()
	if newKID == oldKID || newSegment == oldSegment {
		t.Fatal("the manifest still names the old key")
	}
	if keys, _ := g.license(t, newLicense, newKID, oldKID); len(keys) != 1 || keys[newKID] == "" {
		t.Errorf("the new license holds %v", keys)
	}
	if keys, _ := g.license(t, oldLicense, newKID, oldKID); len(keys) != 2 {
		t.Errorf("the older license holds %d keys in the time of grace, want 2", len(keys))
	}
	deadline := time.Now().Add(10 * time.Second)
	for g.get(t, oldSegment).status == 200 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	wantReply(t, "an older segment", g.get(t, oldSegment), 404, "not_found")
	// Players of a live channel keep to the first license URL that they saw: it goes on, with the new keys alone.
	if keys, res := g.license(t, oldLicense, oldKID); res.status != http.StatusForbidden {
		t.Errorf("the older key at the older license URL: %d, %d keys", res.status, len(keys))
	}
	if keys, res := g.license(t, oldLicense, newKID, oldKID); len(keys) != 1 || keys[newKID] == "" {
		t.Errorf("the new key at the older license URL: %d, %d keys", res.status, len(keys))
	}
	wantReply(t, "a new segment", g.get(t, newSegment), 200, "")
	if res := g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID); res.status != http.StatusConflict {
		t.Errorf("taking it back: %d", res.status)
	}
	g.load(t, strings.Replace(config, "persist_config off", "persist_config off\n\tskip_install_trust", 1))
	if kid, _, _ := kidAndSegment(); kid != newKID {
		t.Error("the old key is back after a reload")
	}
	if res := rekey(`{"group":"premium"}`); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	if kid, _, _ := kidAndSegment(); kid == newKID || kid == oldKID {
		t.Error("the group has no new key")
	}
}

// TestLevelOfTheDevice: a device that the token calls low gets no HD of a group with level high, neither in manifests nor by address.
func TestLevelOfTheDevice(t *testing.T) {
	if levelNeeded(drm.Group{Level: drm.LevelHigh}, drm.ClassUHD1) != drm.LevelHigh || levelNeeded(drm.Group{Level: drm.LevelHigh}, drm.ClassHD) != drm.LevelMedium ||
		levelNeeded(drm.Group{Level: drm.LevelHigh}, drm.ClassAudio) != drm.LevelLow || levelNeeded(drm.Group{Level: drm.LevelMedium}, drm.ClassUHD2) != drm.LevelMedium {
		t.Error("what classes need")
	}
}
