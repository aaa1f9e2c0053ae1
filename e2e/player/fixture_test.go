package player

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// Keys of the encrypted fixture, one for each track class.
const (
	testVideoKID = "11111111-1111-1111-1111-111111111101"
	testVideoKey = "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a101"
	testAudioKID = "22222222-2222-2222-2222-222222222202"
	testAudioKey = "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b202"
)

func testKID(t *testing.T, s string) drm.KID {
	t.Helper()
	kid, err := drm.ParseKID(s)
	if err != nil {
		t.Fatal(err)
	}
	return kid
}

// encryptDemo encrypts testdata/demo with shaka-packager and returns its folder: separate keys for video and audio, and
// in every init segment one pssh with the KIDs of both, or, without allKIDs, with the KID of its own track.
func encryptDemo(t *testing.T, scheme drm.ProtectionScheme, allKIDs bool) string {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a browser")
	}
	packager, err := testtools.Packager()
	if err != nil {
		t.Fatal(err)
	}
	demo, err := testtools.Testdata("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var args []string
	for _, track := range []struct{ class, folder string }{{"video", "video/360p"}, {"video", "video/180p"}, {"audio", "audio/en"}} {
		in := filepath.Join(dir, strings.ReplaceAll(track.folder, "/", "-")+".mp4")
		joinTrack(t, filepath.Join(demo, track.folder), in)
		playlist := ",playlist_name=" + filepath.Base(track.folder) + ".m3u8"
		if track.class == "audio" {
			playlist += ",hls_group_id=audio,hls_name=en"
		}
		args = append(args, fmt.Sprintf("in=%s,stream=%s,drm_label=%s,init_segment=%s/%s/init.mp4,segment_template=%s/%s/seg_$Number$.m4s%s",
			in, track.class, track.class, dir, track.folder, dir, track.folder, playlist))
	}
	args = append(args, "--enable_raw_key_encryption", "--protection_scheme", scheme.String(), "--clear_lead", "0",
		"--keys", fmt.Sprintf("label=video:key_id=%s:key=%s,label=audio:key_id=%s:key=%s",
			strings.ReplaceAll(testVideoKID, "-", ""), testVideoKey, strings.ReplaceAll(testAudioKID, "-", ""), testAudioKey),
		"--segment_duration", "2", "--generate_static_live_mpd",
		"--mpd_output", filepath.Join(dir, "manifest.mpd"), "--hls_master_playlist_output", filepath.Join(dir, "master.m3u8"))
	if allKIDs {
		args = append(args, "--pssh", hex.EncodeToString(commonPSSH(testKID(t, testVideoKID), testKID(t, testAudioKID))))
	}
	if out, err := exec.CommandContext(t.Context(), packager, args...).CombinedOutput(); err != nil {
		t.Fatalf("encrypting the demo title: %v\n%s", err, out)
	}
	return dir
}

// joinTrack makes one file of a track's init and media segments.
func joinTrack(t *testing.T, folder, file string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for n := 0; n <= 20; n++ {
		name := fmt.Sprintf("seg_%d.m4s", n)
		if n == 0 {
			name = "init.mp4"
		}
		in, err := os.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, in)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// commonPSSH is a version 1 pssh box of the common system ID: size, "pssh", version and flags, system ID, KID count,
// KIDs, and no data (W3C "cenc" Initialization Data Format, section 4).
func commonPSSH(kids ...drm.KID) []byte {
	system, _ := hex.DecodeString("1077efecc0b24d02ace33c1e52e2fb4b")
	box := append([]byte("\x00\x00\x00\x00pssh\x01\x00\x00\x00"), system...)
	box = append(box, 0, 0, 0, byte(len(kids)))
	for _, kid := range kids {
		box = append(box, kid[:]...)
	}
	box = append(box, 0, 0, 0, 0)
	box[3] = byte(len(box))
	return box
}

// encryptedServer serves an encrypted fixture with manifests that signal Clear Key, and its licenses.
type encryptedServer struct {
	*httptest.Server
	licenses atomic.Int32
	refuse   atomic.Int32      // HTTP status to refuse licenses with; 0 to grant them
	keys     map[string]string // KID in base64url → key in hexadecimal
}

func serveEncrypted(t *testing.T, dir string) *encryptedServer {
	t.Helper()
	s := &encryptedServer{keys: map[string]string{
		testKID(t, testVideoKID).Base64URL(): testVideoKey,
		testKID(t, testAudioKID).Base64URL(): testAudioKey,
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /license", s.license)
	mux.HandleFunc("GET /{file}", func(w http.ResponseWriter, r *http.Request) {
		s.manifest(w, r, filepath.Join(dir, filepath.Base(r.PathValue("file"))))
	})
	mux.Handle("GET /", http.FileServer(http.Dir(dir)))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// license answers a Clear Key license request (EME, Clear Key license request and license format).
func (s *encryptedServer) license(w http.ResponseWriter, r *http.Request) {
	s.licenses.Add(1)
	if status := int(s.refuse.Load()); status != 0 {
		http.Error(w, "refused", status)
		return
	}
	var request struct{ Kids []string }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type key struct {
		Type string `json:"kty"`
		KID  string `json:"kid"`
		K    string `json:"k"`
	}
	response := struct {
		Keys []key  `json:"keys"`
		Type string `json:"type"`
	}{Type: "temporary"}
	for _, kid := range request.Kids {
		secret, err := hex.DecodeString(s.keys[kid])
		if err != nil || len(secret) == 0 {
			http.Error(w, "unknown key", http.StatusNotFound)
			return
		}
		response.Keys = append(response.Keys, key{"oct", kid, base64.RawURLEncoding.EncodeToString(secret)})
	}
	_ = json.NewEncoder(w).Encode(response)
}

var (
	mpdContentProtection = regexp.MustCompile(`(?s)<ContentProtection schemeIdUri="urn:uuid:[^"]*".*?</ContentProtection>`)
	hlsKey               = regexp.MustCompile(`#EXT-X-KEY:METHOD=([A-Z0-9-]+),[^\n]*`)
)

// manifest serves a packager's manifest with its key signaling replaced by one that browsers understand.
func (s *encryptedServer) manifest(w http.ResponseWriter, r *http.Request, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	text := string(data)
	if strings.HasSuffix(file, ".mpd") {
		text = mpdContentProtection.ReplaceAllString(text,
			`<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0">`+
				`<dashif:Laurl xmlns:dashif="https://dashif.org/CPS">`+s.URL+`/license</dashif:Laurl></ContentProtection>`)
	} else {
		kid := testVideoKID
		if strings.HasPrefix(filepath.Base(file), "en") {
			kid = testAudioKID
		}
		kid = strings.ReplaceAll(kid, "-", "")
		text = hlsKey.ReplaceAllString(text, `#EXT-X-KEY:METHOD=$1,URI="`+s.URL+`/license?kid=`+kid+
			`",KEYID=0x`+kid+`,KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1"`)
	}
	_, _ = io.WriteString(w, text)
}
