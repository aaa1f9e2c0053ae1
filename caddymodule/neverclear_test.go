package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/token"
)

// marker is what stands in the middle of samples: no answer and no log may hold it. For cbcs video the long one counts, of
// which the pattern (one block of ten, 23001-7, 9.6) encrypts at least one block.
var (
	marker     = []byte("never-in-clear:0123456789abcdefghijklmnopqrstuvwxyz,ABCDEFGHIJKL")
	longMarker = bytes.Repeat(marker, 8)
)

// markedOrigin writes an origin whose segments hold the marker inside of protected slice data and audio frames.
func markedOrigin(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testdata(t), "demo"))); err != nil {
		t.Fatal(err)
	}
	marked := 0
	for _, track := range []string{"video/360p", "video/180p", "audio/en"} {
		names, err := filepath.Glob(filepath.Join(dir, track, "seg_*.m4s"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			segment, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(mark(segment, strings.HasPrefix(track, "audio")), marker) {
				marked++
			}
			if err := os.WriteFile(name, segment, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if marked < 60 {
		t.Fatalf("%d segments hold the marker", marked)
	}
	return dir
}

// mark overwrites bytes of the first NAL unit, an IDR slice of thousands of bytes, or of the first audio frames. Headers,
// and so the places of everything, stay as they are.
func mark(segment []byte, audio bool) []byte {
	at := bytes.Index(segment, []byte("mdat")) + 4
	if audio {
		// 16 frames of about 180 bytes; a marker that goes over a border is in both.
		for i := at + 16; i+2*len(marker) < len(segment); i += 400 {
			copy(segment[i:], marker)
		}
		return segment
	}
	for at+4 < len(segment) {
		size := int(segment[at])<<24 | int(segment[at+1])<<16 | int(segment[at+2])<<8 | int(segment[at+3])
		if kind := segment[at+4] & 0x1f; (kind == 1 || kind == 5) && size > 1000 {
			copy(segment[at+4+200:], longMarker)
		}
		at += 4 + size
	}
	return segment
}

// transcript is everything that left the gateway.
type transcript struct {
	bytes.Buffer
	keys []byte // bodies of licenses and keys, which hold what they are for
}

func (tr *transcript) add(res reply) {
	for name, values := range res.header {
		fmt.Fprintln(tr, name, values)
	}
	tr.Write(res.body)
}

const markedSite = `
http://:PORT {
	METRICS
	log {
		output file DIR/access.log
		format filter {
			request>uri drm
			wrap json
		}
	}
	drm {
		tenant members
		license_server clearkey
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
		token_from query token
		token_from header X-Token
	}
	file_server {
		root ORIGIN
	}
}
http://unmasked.test:PORT {
	log {
		output file DIR/unmasked.log
	}
	drm {
		tenant members
		license_server clearkey
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
	}
	file_server {
		root ORIGIN
	}
}
`

// TestNeverClear plants a marker in the media and secrets in the configuration, uses everything, and searches all that left:
// answers, logs, metrics, the admin endpoint, files that Caddy wrote.
func TestNeverClear(t *testing.T) {
	admin := freePort(t)
	g := newGateway(t, "ORIGIN", markedOrigin(t), "ADMIN", "127.0.0.1:"+admin, "METRICS", "metrics /metrics")
	global := strings.NewReplacer("admin off", "admin ADMIN\n\tmetrics\n\tdebug", "persist_config off\n", "", "output discard", "output file DIR/caddy.log\n\t\tlevel DEBUG").Replace(globalBlock)
	t.Setenv("XDG_CONFIG_HOME", g.dir)
	g.load(t, global+markedSite)
	signed := tokenFor(t, "/")
	var all, patterned transcript // the latter: video under the pattern of cbcs
	sessions := map[string]bool{}
	for _, name := range []string{"manifest.mpd", "master.m3u8"} {
		for _, scheme := range []string{"cenc", "cbcs"} {
			for _, l := range g.links(t, "/"+name+"?drm="+scheme+"&keyformat=identity&token="+signed) {
				if scheme == "cbcs" && l.kind == "media" && strings.Contains(l.url, "/video/") {
					useLink(t, g, &patterned, l, sessions)
				} else {
					useLink(t, g, &all, l, sessions)
				}
			}
		}
	}
	for _, target := range []string{
		"/video/360p/seg_1.m4s", "/manifest.mpd", "/manifest.mpd?token=garbage", "/manifest.mpd?token=" + signed + "&token=" + signed,
		"/manifest.mpd?drm=x&token=" + signed, "/~s.AAAA/manifest.mpd", "/none.mpd?token=" + signed, "/video/360p/init.mp4", "/audio/en/seg_1.m4s?token=" + signed,
		"/.drm/key/x/00", "/.drm/clearkey/x", "/%7E%73." + signed + "/manifest.mpd", "/manifest.mpd?" + signed,
	} {
		all.add(g.get(t, target))
		all.add(g.send(t, http.MethodPost, target))
	}
	all.add(g.get(t, "/manifest.mpd", "X-Token", "dp1.x"))
	g.get(t, "/manifest.mpd?token="+signed, "Host", "unmasked.test:"+g.port)
	for _, path := range []string{"/config/", "/debug/vars", "/metrics", "/debug/pprof/cmdline"} {
		all.add(g.mustGet(t, "http://127.0.0.1:"+admin+path))
	}
	for _, metric := range []string{`caddy_drm_requests_total{kind="media"}`, `caddy_drm_refusals_total{kind="manifest",reason="token_missing",status="401"}`} {
		if !bytes.Contains(all.Bytes(), []byte(metric)) {
			t.Errorf("no %s among the metrics", metric)
		}
	}
	g.client.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond) // the access log is written after the answer

	files := map[string][]byte{"answers": all.Bytes()}
	if bytes.Contains(patterned.Bytes(), longMarker[:352]) || patterned.Len() < 1<<20 {
		t.Errorf("the long marker stands in %d bytes of cbcs video", patterned.Len())
	}
	err := filepath.WalkDir(g.dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files[filepath.Base(name)], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files["access.log"]) == 0 || len(files["caddy.log"]) == 0 || !bytes.Contains(files["unmasked.log"], []byte(signed)) {
		t.Fatalf("the logs were not written, or the search finds nothing: %d, %d", len(files["access.log"]), len(files["caddy.log"]))
	}
	delete(files, "unmasked.log") // shows that the filter is what masks
	needles := plantedSecrets(t, all.keys)
	for name, needle := range needles {
		for file, text := range files {
			if bytes.Contains(text, needle) {
				t.Errorf("%s stands in %s", name, file)
			}
		}
	}
	delete(files, "answers") // a session belongs into the answers of its viewer
	sessions[signed] = true
	for private := range sessions {
		for file, text := range files {
			if at := bytes.Index(text, []byte(private)); at >= 0 {
				t.Errorf("a token or session stands in %s: …%s…", file, text[max(0, at-300):min(len(text), at+20)])
			}
		}
	}
}

// useLink asks for a link in several ways.
func useLink(t *testing.T, g *gateway, all *transcript, l link, sessions map[string]bool) {
	t.Helper()
	if at := strings.Index(l.url, "~s."); at >= 0 {
		sessions[l.url[at+3:at+strings.IndexByte(l.url[at:], '/')]] = true
	}
	switch l.kind {
	case "key":
		res := g.mustGet(t, l.url)
		all.keys = append(all.keys, res.body...)
		fmt.Fprintln(all, res.header)
	case "license":
		all.add(g.sendBody(t, http.MethodPost, l.url, []byte(`{"kids":["AAECAwQFBgcICQoLDA0ODw"]}`)))
	default:
		all.add(g.mustGet(t, l.url))
		all.add(g.get(t, l.url, "Range", "bytes=300-9000"))
		all.add(g.send(t, http.MethodPut, l.url))
		all.add(g.get(t, strings.Replace(l.url, "~A", "~B", 1)))
	}
}

// plantedSecrets are the marker and all secrets, in every form in which one might slip out.
func plantedSecrets(t *testing.T, keys []byte) map[string][]byte {
	t.Helper()
	if len(keys) < 2*drm.KeySize {
		t.Fatalf("%d bytes of keys", len(keys))
	}
	raws := map[string][]byte{
		"the marker": marker, "the deployment secret": unhex(t, testSecretHex), "the token secret": []byte(testTokenSecret),
	}
	for i := 0; i+drm.KeySize <= len(keys); i += drm.KeySize {
		raws[fmt.Sprintf("content key %d", i/drm.KeySize)] = keys[i : i+drm.KeySize]
	}
	needles := make(map[string][]byte)
	for name, raw := range raws {
		needles[name+" in bytes"] = raw
		needles[name+" in hex"] = []byte(hex.EncodeToString(raw))
		needles[name+" in upper-case hex"] = []byte(strings.ToUpper(hex.EncodeToString(raw)))
		needles[name+" in base64"] = []byte(base64.RawStdEncoding.EncodeToString(raw))
		needles[name+" in base64url"] = []byte(base64.RawURLEncoding.EncodeToString(raw))
		needles[name+" as JSON numbers"] = []byte(strings.Trim(fmt.Sprint(raw), "[]"))
		if len(raw) == drm.KeySize {
			needles[name+" as UUID"] = fmt.Appendf(nil, "%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
			swapped := []byte{raw[3], raw[2], raw[1], raw[0], raw[5], raw[4], raw[7], raw[6]}
			needles[name+" in the order of a GUID"] = append(swapped, raw[8:]...)
		}
	}
	return needles
}

// TestTheMarkerIsThere makes sure that the test above would find a clear segment.
func TestTheMarkerIsThere(t *testing.T) {
	dir := markedOrigin(t)
	g := startGateway(t, "http://:PORT {\n\tfile_server {\n\t\troot ORIGIN\n\t}\n}\n", "ORIGIN", dir)
	for _, track := range []string{"video/360p", "video/180p", "audio/en"} {
		if !bytes.Contains(g.mustGet(t, "/"+track+"/seg_7.m4s").body, marker) {
			t.Errorf("%s: no marker", track)
		}
	}
}

// TestErrorRoutes: with handle_errors of the operator the reason is still in the header, and tokens stay out of what the
// operator shows.
func TestErrorRoutes(t *testing.T) {
	g := startGateway(t, `
http://:PORT {
	drm {
		license_server clearkey
		refusals handle_errors
		token signed {
			key {env.TEST_TOKEN_SECRET}
		}
	}
	handle_errors {
		respond "{err.status_code} {err.message} {http.drm.deny_reason}"
	}
	file_server {
		root TESTDATA
	}
}
`)
	res := g.get(t, "/demo/manifest.mpd?token="+signedToken(t, time.Now().Add(-time.Hour), token.Claims{Scope: []string{"/"}}))
	if res.status != 401 || res.reason() != "token_expired" || !strings.Contains(string(res.body), "401") || !strings.Contains(string(res.body), "token_expired") ||
		res.header.Get("Access-Control-Allow-Origin") != "*" || res.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v", res.status, res.body, res.header)
	}
	var problem map[string]any
	if json.Unmarshal(res.body, &problem) == nil {
		t.Errorf("the operator's page was not used: %s", res.body)
	}
}
