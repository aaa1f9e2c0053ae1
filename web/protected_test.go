package web

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Fixture secrets, obviously fake.
const (
	testToken  = "test-token-0123456789-0123456789-0123456789"
	testKIDHex = "7e577e577e577e577e577e577e570001"
	testKeyHex = "7e57000000000000000000007e57beef"
	wrongHex   = "7e57000000000000000000007e570bad"
	testSeal   = "testsealtestsealtestsealtestsealtestseal"
)

// testKID is testKIDHex as the page shows it.
const testKID = "7e577e57-7e57-7e57-7e57-7e577e570001"

func testBytes(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// protectedOrigin stands for a gateway: it serves the demo encrypted by another packager, with manifests, licenses and
// refusals in the forms that the page is written for.
type protectedOrigin struct {
	t      *testing.T
	scheme string
	path   string       // where it is mounted, without slashes
	given  string       // the key that it gives, in hexadecimal digits; testKeyHex unless a test wants a wrong one
	clear  string       // folder of the demo, for manifests and subtitles
	folder string       // of the encrypted media
	media  http.Handler // serves folder
	once   sync.Once    // packages on the first request: few tests make one
}

func newProtectedOrigin(t *testing.T, demo, path, scheme, given string) http.Handler {
	folder := t.TempDir()
	return &protectedOrigin{t: t, path: path, scheme: scheme, given: given, clear: demo, folder: folder, media: media(folder)}
}

// encrypt has the packager encrypt every track of the demo.
func (o *protectedOrigin) encrypt() error {
	packager, err := testtools.Packager()
	if err != nil {
		return err
	}
	for track, kind := range map[string]string{"video/360p": "video", "video/180p": "video", "audio/en": "audio"} {
		whole, out := filepath.Join(o.folder, "whole.mp4"), filepath.Join(o.folder, track)
		if err := joinTrack(filepath.Join(o.clear, track), whole); err != nil {
			return err
		}
		run := exec.Command(packager,
			fmt.Sprintf("in=%s,stream=%s,init_segment=%s/init.mp4,segment_template=%s/seg_$Number$.m4s", whole, kind, out, out),
			"--segment_duration=2", "--enable_raw_key_encryption", "--protection_scheme="+o.scheme, "--clear_lead=0",
			"--keys=label=:key_id="+testKIDHex+":key="+testKeyHex, "--protection_systems=CommonSystem", "--quiet")
		if output, err := run.CombinedOutput(); err != nil {
			return fmt.Errorf("packaging %s: %w\n%s", track, err, output)
		}
	}
	return nil
}

// joinTrack writes init and segments of one track into one file, the form that the packager reads.
func joinTrack(folder, target string) error {
	whole, err := os.ReadFile(filepath.Join(folder, "init.mp4"))
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		segment, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("seg_%d.m4s", n)))
		if os.IsNotExist(err) && n > 1 {
			return os.WriteFile(target, whole, 0o644)
		}
		if err != nil {
			return err
		}
		whole = append(whole, segment...)
	}
}

func (o *protectedOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.once.Do(func() {
		if err := o.encrypt(); err != nil {
			o.t.Error(err)
		}
	})
	switch path := r.URL.Path; {
	case path == "/manifest.mpd" || path == "/master.m3u8":
		if r.URL.Query().Get("token") != testToken {
			refuse(w, http.StatusUnauthorized, "token_missing")
			return
		}
		o.serveManifest(w, r)
	case path == "/.drm/config/default.json":
		if r.URL.Query().Get("token") != testToken {
			refuse(w, http.StatusUnauthorized, "token_missing")
			return
		}
		servePlayerConfig(w, "http://"+r.Host+"/"+o.path+"/.drm/clearkey/"+testSeal)
	case r.URL.Query().Has("token"):
		o.t.Errorf("the page sent the token to %s", path)
		refuse(w, http.StatusBadRequest, "query_invalid")
	case strings.HasSuffix(path, ".m3u8"):
		o.serveManifest(w, r)
	case strings.HasPrefix(path, "/.drm/clearkey/"):
		o.serveLicense(w, r)
	case strings.HasPrefix(path, "/.drm/key/"):
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(testBytes(o.given))
	case strings.HasPrefix(path, "/subs/"):
		media(o.clear).ServeHTTP(w, r)
	default:
		o.media.ServeHTTP(w, r)
	}
}

var (
	adaptationSet = regexp.MustCompile(`(?s)<AdaptationSet id="(?:1|10)"[^>]*>`)
	childPlaylist = regexp.MustCompile(`(?m)[^"\s]+\.m3u8`)
	mapLine       = regexp.MustCompile(`(?m)^#EXT-X-MAP`)
)

func (o *protectedOrigin) serveManifest(w http.ResponseWriter, r *http.Request) {
	data, err := os.ReadFile(filepath.Join(o.clear, filepath.FromSlash(r.URL.Path)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	text, keyFormat := string(data), r.URL.Query().Get("keyformat")
	w.Header().Set("Content-Type", mediaTypes[filepath.Ext(r.URL.Path)])
	switch {
	case strings.HasSuffix(r.URL.Path, ".mpd"):
		text = strings.Replace(text, "<MPD ", `<MPD xmlns:cenc="urn:mpeg:cenc:2013" xmlns:dashif="https://dashif.org/CPS" `, 1)
		text = adaptationSet.ReplaceAllString(text, "$0"+o.contentProtection())
	case r.URL.Path == "/master.m3u8":
		text = childPlaylist.ReplaceAllString(text, "$0?keyformat="+keyFormat)
	default:
		text = mapLine.ReplaceAllString(text, o.keyLine(keyFormat)+"\n$0")
	}
	_, _ = w.Write([]byte(text))
}

func (o *protectedOrigin) contentProtection() string {
	return fmt.Sprintf(`
		<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="%s" cenc:default_KID="%s"/>
		<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0">
			<dashif:Laurl>/%s/.drm/clearkey/%s</dashif:Laurl>
		</ContentProtection>`, o.scheme, testKID, o.path, testSeal)
}

func (o *protectedOrigin) keyLine(keyFormat string) string {
	method := map[string]string{"cenc": "SAMPLE-AES-CTR", "cbcs": "SAMPLE-AES"}[o.scheme]
	if keyFormat == "clearkey" {
		return fmt.Sprintf(`#EXT-X-KEY:METHOD=%s,URI="/%s/.drm/clearkey/%s",KEYID=0x%s,KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1"`,
			method, o.path, testSeal, testKIDHex)
	}
	return fmt.Sprintf(`#EXT-X-KEY:METHOD=%s,URI="/%s/.drm/key/%s",KEYFORMAT="identity"`, method, o.path, testSeal)
}

func (o *protectedOrigin) serveLicense(w http.ResponseWriter, r *http.Request) {
	var request struct {
		KIDs []string `json:"kids"`
	}
	kid := base64.RawURLEncoding.EncodeToString(testBytes(testKIDHex))
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.KIDs) != 1 || request.KIDs[0] != kid {
		o.t.Errorf("license request for %q (%v)", request.KIDs, err)
		refuse(w, http.StatusBadRequest, "license_request_malformed")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"oct","kid":%q,"k":%q}],"type":"temporary"}`,
		kid, base64.RawURLEncoding.EncodeToString(testBytes(o.given)))
}
