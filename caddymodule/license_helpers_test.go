package caddymodule

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

const (
	plantedAPIKey  = "api-key-2Hs8Vb4Nq6Wd1Zy"
	licenseGroups  = "\t\tgroup premium {\n\t\t\tlevel high\n\t\t\tscheme cbcs\n\t\t\tsystems widevine playready fairplay\n\t\t\thdcp 2.2\n\t\t\tlicense temporary 12h\n\t\t}\n"
	plainAnswer    = "license of the upstream"
	soapFault      = `<?xml version="1.0"?><soap:Envelope><soap:Body><soap:Fault><faultcode>soap:Server</faultcode><detail><Exception><StatusCode>0x8004C600</StatusCode></Exception></detail></soap:Fault></soap:Body></soap:Envelope>`
	licenseOptions = "\tlicense_server widevine UPSTREAM/wv {\n\tca DIR/ca.pem\n\theader X-Api-Key {env.TEST_API_KEY}\n\ttimeout 1s\n\tWIDEVINE\n}\n" +
		"\tlicense_server playready UPSTREAM/pr?tenant=a {\n\tca DIR/ca.pem\n\ttimeout 1s\n}\n" +
		"\tlicense_server fairplay UPSTREAM/fp {\n\tca DIR/ca.pem\n\ttimeout 1s\n\tspc json\n\tunread_keys allow\n\tcertificate UPSTREAM/cert\n}\n"
)

// licenseUpstreams are license servers of the test.
type licenseUpstreams struct {
	mu     sync.Mutex
	seen   []seenRequest
	answer func(w http.ResponseWriter, r *http.Request)
	url    string
	cert   []byte
}

type seenRequest struct {
	host   string
	target string
	header http.Header
	body   []byte
}

func startUpstreams(t *testing.T) *licenseUpstreams {
	t.Helper()
	u := &licenseUpstreams{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.seen = append(u.seen, seenRequest{r.Host, r.URL.RequestURI(), r.Header, body})
		answer := u.answer
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, plainAnswer)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	u.url, u.cert = server.URL, server.Certificate().Raw
	return u
}

// say scripts what is answered from now on, and forgets what was asked.
func (u *licenseUpstreams) say(answer func(w http.ResponseWriter, r *http.Request)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.seen = answer, nil
}

func answerWith(status int, contentType, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Set-Cookie", "of=the-upstream")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (u *licenseUpstreams) asked() []seenRequest {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]seenRequest(nil), u.seen...)
}

// licensed is a gateway in front of license servers, and a viewer of one title.
type licensed struct {
	*gateway
	up     *licenseUpstreams
	token  string
	config string // as it was loaded, with the words that pairs and load replace
}

// startLicensed runs a site with options; WIDEVINE is replaced by more options of the license server for Widevine, and FIRST in pairs by the
// address of the license servers.
func startLicensed(t *testing.T, widevine, options string, pairs ...string) licensed {
	t.Helper()
	t.Setenv("TEST_API_KEY", plantedAPIKey)
	up := startUpstreams(t)
	for i := range pairs {
		pairs[i] = strings.ReplaceAll(pairs[i], "FIRST", up.url)
	}
	g := newGateway(t, append(pairs, "UPSTREAM", up.url)...)
	if err := os.WriteFile(filepath.Join(g.dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	site := "http://:PORT {\n\tdrm {\n\ttenant licenses\n\tgroup premium\n\tkeys derived {\n\tper track_class\n}\n" + strings.Replace(licenseOptions, "WIDEVINE", widevine, 1) +
		"\ttoken jwt {\n\talgorithms HS256\n\tsecret {env.TEST_TOKEN_SECRET}\n\t}\n\t" + options + "\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"
	global := strings.Replace(withGroups(licenseGroups), "output discard", "output file DIR/gateway.log\n\t\tlevel DEBUG", 1)
	config := strings.Replace(global, "admin off", "metrics\n\tadmin off", 1) + site
	g.load(t, config)
	return licensed{g, up, viewerToken(t, "viewer-4Kd9", nil), config}
}

var laurl = regexp.MustCompile(`<dashif:Laurl[^>]*>([^<]*)<`)

// manifest returns the MPD of the demo title for the viewer.
func (l licensed) manifest(t *testing.T, token string) string {
	t.Helper()
	return string(l.mustGet(t, "/demo/manifest.mpd?token="+token).body)
}

// licenseURL returns the license URL of a system in an MPD.
func licenseURLIn(t *testing.T, mpd string, system drm.SystemID) string {
	t.Helper()
	match := laurl.FindStringSubmatch(descriptor(t, mpd, system))
	if match == nil {
		t.Fatalf("no license URL for %s in\n%s", system.Word(), mpd)
	}
	return strings.ReplaceAll(match[1], "&amp;", "&")
}

// kidsIn returns the keys that an MPD names, video first.
func kidsIn(t *testing.T, mpd string) []drm.KID {
	t.Helper()
	var kids []drm.KID
	for _, match := range defaultKIDPattern.FindAllStringSubmatch(mpd, -1) {
		kid, err := drm.ParseKID(match[1])
		if err != nil {
			t.Fatal(err)
		}
		kids = append(kids, kid)
	}
	return kids
}

func wireField(number int, value []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(number)<<3|2)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

// widevineChallenge asks for keys, for a license of a kind: 1 streaming, 2 offline.
func widevineChallenge(kind byte, kids ...drm.KID) []byte {
	init := drm.AppendWidevineInit(nil, drm.WidevineInit{KIDs: kids, Scheme: drm.SchemeCbcs})
	content := wireField(1, append(wireField(1, init), 2<<3, kind))
	request := append(wireField(1, []byte("client")), wireField(2, content)...)
	return append([]byte{8, 1}, wireField(2, append(request, 3<<3, 1))...)
}

func playReadyChallenge(kid drm.KID) string {
	guid := kid
	binary.LittleEndian.PutUint32(guid[:], binary.BigEndian.Uint32(kid[:]))
	binary.LittleEndian.PutUint16(guid[4:], binary.BigEndian.Uint16(kid[4:]))
	binary.LittleEndian.PutUint16(guid[6:], binary.BigEndian.Uint16(kid[6:]))
	return `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><AcquireLicense xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols"><challenge><LA><ContentHeader>` +
		`<WRMHEADER version="4.0.0.0"><DATA><KID>` + base64.StdEncoding.EncodeToString(guid[:]) + `</KID></DATA></WRMHEADER></ContentHeader></LA></challenge></AcquireLicense></soap:Body></soap:Envelope>`
}

func fairPlayContext() []byte {
	b := make([]byte, 176+64)
	b[3] = 2
	binary.BigEndian.PutUint32(b[172:], 64)
	return b
}

func problemOf(t *testing.T, r reply) (kind string) {
	t.Helper()
	var problem struct{ Type string }
	if err := json.Unmarshal(r.body, &problem); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %v in %s", r.header.Get("Content-Type"), err, r.body)
	}
	return problem.Type
}
