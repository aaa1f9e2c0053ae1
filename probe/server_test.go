package probe

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/segcrypt/wholesegment"
)

// server is a server of another make: two renditions of the demo in two key periods of four segments, in DASH and HLS, with a ClearKey
// server. Tests break it.
type server struct {
	t     *testing.T
	files map[string]Response // by path
	// secrets are what licenses hold.
	secrets map[drm.KID]drm.ContentKey
	asked   []Request
	now     time.Time
	// onSleep is called at each pause.
	onSleep func()
	// elsewhere answers for other hosts; nil: there are none.
	elsewhere func(r Request) Response
}

const home = "https://media.example.com"

// Fetch implements Fetcher.
func (s *server) Fetch(ctx context.Context, r Request) (Response, error) {
	s.asked = append(s.asked, r)
	if err := ctx.Err(); err != nil {
		return Response{}, err
	}
	u, err := url.Parse(r.URL)
	if err == nil && s.elsewhere != nil && u.Host != "media.example.com" {
		return s.elsewhere(r), nil
	}
	if err != nil || u.Host != "media.example.com" {
		return Response{}, errors.New("no such host")
	}
	if u.Path == "/license" && r.Method == http.MethodPost {
		return s.license(r), nil
	}
	file, ok := s.files[u.Path]
	if !ok {
		return Response{Status: 404, URL: r.URL}, nil
	}
	if file.URL = r.URL; file.Status == 0 {
		file.Status = 200
	}
	return file, nil
}

func (s *server) license(r Request) Response {
	var asked struct{ KIDs []string }
	if json.Unmarshal(r.Body, &asked) != nil || len(asked.KIDs) != 1 {
		return Response{Status: 400}
	}
	kid, err := drm.ParseKIDBase64URL(asked.KIDs[0])
	if err != nil {
		return Response{Status: 400}
	}
	key, ok := s.secrets[kid]
	if !ok {
		return Response{Status: 403, Reason: "not_found"}
	}
	secret := key.Secret()
	return Response{Status: 200, Body: fmt.Appendf(nil, `{"keys":[{"kty":"oct","kid":%q,"k":%q}],"type":"temporary"}`,
		key.KID().Base64URL(), base64.RawURLEncoding.EncodeToString(secret[:]))}
}

func (s *server) probe(path string, change func(*Options)) (*Report, error) {
	o := Options{URL: home + path, Now: func() time.Time { return s.now }, Sleep: func(_ context.Context, pause time.Duration) error {
		s.now = s.now.Add(pause)
		if s.onSleep != nil {
			s.onSleep()
		}
		return nil
	}}
	if change != nil {
		change(&o)
	}
	return Run(s.t.Context(), s, o)
}

func testKey(t *testing.T, n byte) drm.ContentKey {
	t.Helper()
	key, err := drm.NewContentKey(drm.KID{0xaa, 15: n}, bytes.Repeat([]byte{n + 1}, 16), bytes.Repeat([]byte{0x17}, 16))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// demo returns a file of the demo.
func demo(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "demo", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tracks are the folders of the renditions.
var tracks = []string{"video/360p", "audio/en"}

// newServer protects the demo.
func newServer(t *testing.T, scheme drm.ProtectionScheme) *server {
	t.Helper()
	s := &server{t: t, files: make(map[string]Response), secrets: make(map[drm.KID]drm.ContentKey), now: time.Unix(1_800_000_000, 0)}
	for period := range 2 {
		key := testKey(t, byte(period))
		s.secrets[key.KID()] = key
		for _, track := range tracks {
			protector := protectorOf(t, track, scheme, key, key.KID())
			s.media(fmt.Sprintf("/%s/~k%d/init.mp4", track, period), protector.Init())
			for n := period*4 + 1; n <= period*4+4; n++ {
				s.protect(protector, track, period, n)
			}
		}
	}
	s.file("/a.mpd", "application/dash+xml", s.mpd(scheme))
	s.file("/main.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"+
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",URI=\"audio/en/list.m3u8\"\n"+
		"#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=640x360,AUDIO=\"a\"\nvideo/360p/list.m3u8\n")
	for _, track := range tracks {
		s.file("/"+track+"/list.m3u8", "application/vnd.apple.mpegurl", s.playlist(scheme))
	}
	return s
}

func protectorOf(t *testing.T, track string, scheme drm.ProtectionScheme, key drm.ContentKey, named ...drm.KID) *segcrypt.Protector {
	t.Helper()
	init, err := segcrypt.ParseInit(demo(t, track+"/init.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	protector, err := segcrypt.NewProtector(init, segcrypt.Protection{Scheme: scheme, Key: key, Pssh: drm.AppendCommonPssh(nil, named...), IVSecret: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	return protector
}

func (s *server) protect(protector *segcrypt.Protector, track string, period, n int) {
	s.t.Helper()
	segment, err := protector.ProtectSegment(nil, demo(s.t, fmt.Sprintf("%s/seg_%d.m4s", track, n)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.media(fmt.Sprintf("/%s/~k%d/seg_%d.m4s", track, period, n), segment)
}

func (s *server) file(path, contentType, text string) {
	s.files[path] = Response{ContentType: contentType, Body: []byte(text)}
}

func (s *server) media(path string, b []byte) {
	s.files[path] = Response{ContentType: "video/mp4", Body: b}
}

// edit replaces text in a file that must hold it.
func (s *server) edit(path, old, replacement string) {
	s.t.Helper()
	file := s.files[path]
	text := string(file.Body)
	if !strings.Contains(text, old) {
		s.t.Fatalf("%s has no %q:\n%s", path, old, text)
	}
	file.Body = []byte(strings.Replace(text, old, replacement, 1))
	s.files[path] = file
}

func (s *server) mpd(scheme drm.ProtectionScheme) string {
	var b strings.Builder
	b.WriteString(`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" xmlns:dashif="https://dashif.org/CPS" type="static" mediaPresentationDuration="PT16S">` + "\n")
	for period := range 2 {
		fmt.Fprintf(&b, "<Period id=\"p%d\" start=\"PT%dS\">\n", period, period*8)
		for i, track := range tracks {
			kind, id, _ := strings.Cut(track, "/")
			timescale := []int{12800, 48000}[i]
			fmt.Fprintf(&b, "<AdaptationSet contentType=%q>\n<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=%q cenc:default_KID=%q/>\n", kind, scheme.String(), testKey(s.t, byte(period)).KID())
			b.WriteString(`<ContentProtection schemeIdUri="urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e" value="ClearKey1.0"><dashif:Laurl>https://media.example.com/license</dashif:Laurl></ContentProtection>` + "\n")
			fmt.Fprintf(&b, "<SegmentTemplate timescale=\"%d\" duration=\"%d\" startNumber=\"%d\" presentationTimeOffset=\"%d\" initialization=\"%s/~k%d/init.mp4\" media=\"%s/~k%d/seg_$Number$.m4s\"/>\n<Representation id=%q bandwidth=\"1\"/></AdaptationSet>\n",
				timescale, timescale*2, period*4+1, period*8*timescale, track, period, track, period, id)
		}
		b.WriteString("</Period>\n")
	}
	return b.String() + "</MPD>\n"
}

func (s *server) playlist(scheme drm.ProtectionScheme) string {
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n")
	for period := range 2 {
		kid := testKey(s.t, byte(period)).KID()
		fmt.Fprintf(&b, "#EXT-X-KEY:METHOD=%s,URI=\"/license\",KEYID=0x%s,KEYFORMAT=\"org.w3.clearkey\"\n#EXT-X-MAP:URI=\"~k%d/init.mp4\"\n", scheme.HLSMethod(), kid.Hex(), period)
		for n := period*4 + 1; n <= period*4+4; n++ {
			fmt.Fprintf(&b, "#EXTINF:2.0,\n~k%d/seg_%d.m4s\n", period, n)
		}
	}
	return b.String() + "#EXT-X-ENDLIST\n"
}

// wholePlaylist adds a playlist of whole segments under AES-128, with its key.
func (s *server) wholePlaylist() {
	key := testKey(s.t, 9)
	secret := key.Secret()
	s.files["/whole/key"] = Response{Body: secret[:]}
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"key?token=secret\"\n")
	s.media("/whole/init.mp4", demo(s.t, "audio/en/init.mp4"))
	for n := 5; n <= 8; n++ {
		clear := demo(s.t, "audio/en/seg_"+strconv.Itoa(n)+".m4s")
		s.media(fmt.Sprintf("/whole/seg_%d.m4s", n), wholesegment.New(key).Append(nil, clear, wholesegment.IVFromSequence(uint64(n))))
		fmt.Fprintf(&b, "#EXTINF:2.0,\nseg_%d.m4s\n", n)
	}
	s.file("/whole/list.m3u8", "application/vnd.apple.mpegurl", b.String()+"#EXT-X-ENDLIST\n")
}
