package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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
		u.seen = append(u.seen, seenRequest{r.URL.RequestURI(), r.Header, body})
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
	up    *licenseUpstreams
	token string
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
	g.load(t, strings.Replace(global, "admin off", "metrics\n\tadmin off", 1)+site)
	return licensed{g, up, viewerToken(t, "viewer-4Kd9", nil)}
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

// TestWidevineProxy: what a player posts reaches the license server as it is and with the operator's credential, and nothing else of the
// request does; keys of other titles are not asked for.
func TestWidevineProxy(t *testing.T) {
	l := startLicensed(t, "", "")
	mpd := l.manifest(t, l.token)
	at, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	if !strings.HasPrefix(at, "http://"+l.addr+"/demo/.drm/~s.") || !strings.Contains(at, "/widevine/") {
		t.Fatalf("license URL %s", at)
	}
	challenge := widevineChallenge(1, kids[0])
	res := l.sendBody(t, http.MethodPost, at, challenge, "Authorization", "Basic dmlld2Vy", "Cookie", "a=b", "X-Forwarded-For", "1.2.3.4", "X-Api-Key", "mine",
		"Content-Type", "text/plain", "SOAPAction", "x", "Connection", "close", "Origin", "https://play.example.com")
	asked := l.up.asked()
	if res.status != 200 || string(res.body) != plainAnswer || res.header.Get("Content-Type") != "application/octet-stream" || res.header.Get("Cache-Control") != "no-store" ||
		res.header.Get("Access-Control-Allow-Origin") == "" || len(asked) != 1 {
		t.Fatalf("%d %v %s, asked %d", res.status, res.header, res.body, len(asked))
	}
	got := asked[0]
	for name := range got.header {
		if !isOneOf(name, "Content-Type", "Content-Length", "X-Api-Key", "User-Agent") {
			t.Errorf("the license server is sent %s", name)
		}
	}
	if got.target != "/wv" || !bytes.Equal(got.body, challenge) || got.header.Get("Content-Type") != "application/octet-stream" || got.header.Get("X-Api-Key") != plantedAPIKey {
		t.Errorf("asked %s %v %x", got.target, got.header, got.body)
	}
	l.up.say(nil)
	if res := l.sendBody(t, http.MethodPost, at, []byte{8, 4}); res.status != 200 || len(l.up.asked()) != 1 || !bytes.Equal(l.up.asked()[0].body, []byte{8, 4}) {
		t.Errorf("a request for the certificate of the service: %d, %v", res.status, l.up.asked())
	}
	l.up.say(nil)
	foreign := kids[0]
	foreign[0] ^= 1
	for name, test := range map[string]struct {
		url, reason, problem string
		status               int
		body                 []byte
	}{
		"another title's key":     {at, "license_no_keys", problemNotAuthorized, 403, widevineChallenge(1, foreign)},
		"beside one's own":        {at, "license_no_keys", problemNotAuthorized, 403, widevineChallenge(1, kids[0], foreign)},
		"no key named":            {at, "license_keys_unread", problemNotAuthorized, 403, widevineChallenge(1)},
		"to be kept":              {at, "license_type_unsupported", problemNotAuthorized, 403, widevineChallenge(2, kids[0])},
		"no request":              {at, "license_request_malformed", "about:blank", 400, []byte("hello")},
		"nothing":                 {at, "license_request_malformed", "about:blank", 400, nil},
		"too large":               {at, "license_request_malformed", "about:blank", 400, make([]byte, maxProxiedRequest+1)},
		"without a session":       {regexp.MustCompile(`~s\.[^/]*/`).ReplaceAllString(at, ""), "token_missing", problemInsufficient, 401, challenge},
		"another title's address": {strings.Replace(at, "/demo/", "/demo-av1/", 1), "not_found", "about:blank", 404, challenge},
		"another system's seal":   {strings.Replace(at, "/widevine/", "/clearkey/", 1), "not_found", "about:blank", 404, []byte(`{"kids":["` + kids[0].Base64URL() + `"]}`)},
		"a URL in the path":       {at + "/https:%2f%2fevil.example", "not_found", "about:blank", 404, challenge},
	} {
		res := l.sendBody(t, http.MethodPost, test.url, test.body)
		if wantReply(t, name, res, test.status, test.reason); problemOf(t, res) != test.problem {
			t.Errorf("%s: problem %s", name, problemOf(t, res))
		}
	}
	wantReply(t, "GET", l.get(t, at), 405, "method_not_allowed")
	if asked := l.up.asked(); len(asked) > 0 {
		t.Errorf("the license server was asked %d times", len(asked))
	}
}

func TestPlayReadyProxy(t *testing.T) {
	l := startLicensed(t, "", "")
	mpd := l.manifest(t, l.token)
	at, kid := licenseURLIn(t, mpd, drm.SystemPlayReady), kidsIn(t, mpd)[0]
	if pro := textOf(t, descriptor(t, mpd, drm.SystemPlayReady), "mspr:pro"); bytes.Contains(pro, []byte("L\x00A\x00_\x00U\x00R\x00L\x00")) {
		t.Error("the object holds a license URL of one viewer's session")
	}
	soap := playReadyChallenge(kid)
	message := `<PlayReadyKeyMessage type="LicenseAcquisition"><LicenseAcquisition><Challenge encoding="base64encoded">` + base64.StdEncoding.EncodeToString([]byte(soap)) +
		`</Challenge><HttpHeaders><HttpHeader><name>SOAPAction</name><value>evil</value></HttpHeader></HttpHeaders></LicenseAcquisition></PlayReadyKeyMessage>`
	var wide []byte
	for _, r := range message {
		wide = binary.LittleEndian.AppendUint16(wide, uint16(r))
	}
	for name, body := range map[string][]byte{"SOAP": []byte(soap), "wrapped": wide} {
		l.up.say(answerWith(200, "text/xml", "<license/>"))
		res := l.sendBody(t, http.MethodPost, at, body, "SOAPAction", `"other"`)
		asked := l.up.asked()
		if res.status != 200 || string(res.body) != "<license/>" || res.header.Get("Content-Type") != "text/xml; charset=utf-8" || len(asked) != 1 {
			t.Fatalf("%s: %d %s, asked %d", name, res.status, res.body, len(asked))
		}
		if h := asked[0].header; string(asked[0].body) != soap || asked[0].target != "/pr?tenant=a" || h.Get("Content-Type") != "text/xml; charset=utf-8" ||
			h.Get("SOAPAction") != `"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"` {
			t.Errorf("%s: asked %s %v %s", name, asked[0].target, h, asked[0].body)
		}
	}
	l.up.say(answerWith(500, "text/xml; charset=utf-8", soapFault))
	res := l.sendBody(t, http.MethodPost, at, []byte(soap))
	wantReply(t, "a fault", res, 500, "license_server_refused")
	if string(res.body) != soapFault || res.header.Get("Content-Type") != "text/xml; charset=utf-8" || res.header.Get("Set-Cookie") != "" || len(l.up.asked()) != 1 {
		t.Errorf("a fault reaches the player as %v %s, asked %d times", res.header, res.body, len(l.up.asked()))
	}
	foreign := kid
	foreign[5] ^= 1
	l.up.say(nil)
	wantReply(t, "another title's key", l.sendBody(t, http.MethodPost, at, []byte(playReadyChallenge(foreign))), 403, "license_no_keys")
	wantReply(t, "a document type", l.sendBody(t, http.MethodPost, at, []byte("<!DOCTYPE a>"+soap)), 400, "license_request_malformed")
	if len(l.up.asked()) > 0 {
		t.Error("the license server was asked")
	}
}

// TestFairPlayProxy: the server is spoken to in its form, and each player in its own.
func TestFairPlayProxy(t *testing.T) {
	l := startLicensed(t, "", "")
	at := licenseURLIn(t, l.manifest(t, l.token), drm.SystemFairPlay)
	spc, ckc := fairPlayContext(), append([]byte{0, 0, 0, 1}, "content key context"...)
	b64 := base64.StdEncoding.EncodeToString
	for name, test := range map[string]struct{ contentType, body, answer string }{
		"raw":  {"application/octet-stream", string(spc), string(ckc)},
		"form": {"application/x-www-form-urlencoded", "spc=" + url.QueryEscape(b64(spc)) + "&assetId=other", b64(ckc)},
		"JSON": {"application/json", `{"spc":"` + b64(spc) + `"}`, `{"ckc":"` + b64(ckc) + `"}`},
	} {
		l.up.say(answerWith(200, "application/json", `{"ckc":"`+b64(ckc)+`"}`))
		res := l.sendBody(t, http.MethodPost, at, []byte(test.body), "Content-Type", test.contentType)
		asked := l.up.asked()
		if res.status != 200 || string(res.body) != test.answer || len(asked) != 1 {
			t.Fatalf("%s: %d %q, asked %d", name, res.status, res.body, len(asked))
		}
		if asked[0].target != "/fp" || string(asked[0].body) != `{"spc":"`+b64(spc)+`"}` || asked[0].header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: asked %s %v %s", name, asked[0].target, asked[0].header, asked[0].body)
		}
	}
	l.up.say(answerWith(200, "text/html", "<html>welcome</html>"))
	wantReply(t, "no CKC", l.sendBody(t, http.MethodPost, at, spc), 502, "license_server_failed")
	wantReply(t, "no SPC", l.sendBody(t, http.MethodPost, at, spc[:100]), 400, "license_request_malformed")

	l.up.say(answerWith(200, "application/octet-stream", string(l.up.cert)))
	certificate := strings.Replace(at, "/fairplay/", "/fairplay/cert/", 1)
	for range 3 {
		if res := l.get(t, certificate); res.status != 200 || !bytes.Equal(res.body, l.up.cert) || !strings.HasPrefix(res.header.Get("Cache-Control"), "private") {
			t.Errorf("certificate: %d %v", res.status, res.header)
		}
	}
	if n := len(l.up.asked()); n != 1 {
		t.Errorf("the certificate was asked for %d times", n)
	}
	wantReply(t, "the certificate, without a session", l.get(t, regexp.MustCompile(`~s\.[^/]*/`).ReplaceAllString(certificate, "")), 401, "token_missing")
}

// TestLicenseServerFaults: what a license server must not be able to do, and what becomes of a viewer when it is out.
func TestLicenseServerFaults(t *testing.T) {
	l := startLicensed(t, "max_size 64KiB", "")
	mpd := l.manifest(t, l.token)
	at, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	challenge := widevineChallenge(1, kids[0])
	post := func() reply { return l.sendBody(t, http.MethodPost, at, challenge) }
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		status int
		reason string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
		}, 502, "license_server_failed"},
		"empty":        {answerWith(200, "application/octet-stream", ""), 502, "license_server_failed"},
		"no content":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, 502, "license_server_failed"},
		"refusal":      {answerWith(403, "application/json", `{"error":"no"}`), 403, "license_server_refused"},
		"unauthorized": {answerWith(401, "text/html", "<script>"), 401, "license_server_refused"},
		"limit":        {answerWith(429, "text/plain", "later"), 429, "license_server_refused"},
	} {
		l.up.say(test.answer)
		res := post()
		wantReply(t, name, res, test.status, test.reason)
		if strings.Contains(res.header.Get("Content-Type"), "html") || res.header.Get("Location") != "" || res.header.Get("Set-Cookie") != "" || res.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, res.header)
		}
	}
	l.up.say(answerWith(200, "application/octet-stream", strings.Repeat("x", 65<<10)))
	if wantReply(t, "a large answer", post(), 503, "license_server_unavailable"); len(l.up.asked()) != 2 {
		t.Errorf("asked %d times", len(l.up.asked()))
	}
	l.up.say(answerWith(503, "text/plain", "busy"))
	for range 4 {
		res := post()
		if wantReply(t, "out", res, 503, "license_server_unavailable"); res.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if n := len(l.up.asked()); n > 4 {
		t.Errorf("a server that is out was asked %d times", n)
	}
	fairPlay := licenseURLIn(t, mpd, drm.SystemFairPlay)
	l.up.say(answerWith(200, "application/octet-stream", "\x00\x00\x00\x01ckc"))
	if res := l.sendBody(t, http.MethodPost, fairPlay, fairPlayContext()); res.status != 200 {
		t.Errorf("the license server of another system: %d %s", res.status, res.reason())
	}
}

// TestSlowLicenseServer: one that does not answer delays nobody but those who wait for it, and a second one is asked.
func TestSlowLicenseServer(t *testing.T) {
	l := startLicensed(t, "", "")
	mpd := l.manifest(t, l.token)
	release := make(chan struct{})
	l.up.say(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wv" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		_, _ = io.WriteString(w, "\x00\x00\x00\x01ckc")
	})
	widevine := licenseURLIn(t, mpd, drm.SystemWidevine)
	challenge := widevineChallenge(1, kidsIn(t, mpd)[0])
	done := make(chan reply, 20)
	for range cap(done) {
		go func() { done <- l.sendBody(t, http.MethodPost, widevine, challenge) }()
	}
	start := time.Now()
	if res := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemFairPlay), fairPlayContext()); res.status != 200 || time.Since(start) > 900*time.Millisecond {
		t.Errorf("a license of another system: %d %s after %v", res.status, res.reason(), time.Since(start))
	}
	for range cap(done) {
		wantReply(t, "a server that does not answer", <-done, 503, "license_server_unavailable")
	}
	close(release)
	start = time.Now()
	wantReply(t, "the next viewer", l.sendBody(t, http.MethodPost, widevine, challenge), 503, "license_server_unavailable")
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("the next viewer waited %v", took)
	}
}

// TestFallback: the second server answers for the first.
func TestFallback(t *testing.T) {
	l := startLicensed(t, "", "", "UPSTREAM/wv {", "https://127.0.0.1:1/ FIRST/second {")
	mpd := l.manifest(t, l.token)
	at, challenge := licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, kidsIn(t, mpd)[0])
	for range 3 {
		if res := l.sendBody(t, http.MethodPost, at, challenge); res.status != 200 || string(res.body) != plainAnswer {
			t.Fatalf("%d %s", res.status, res.reason())
		}
	}
	if asked := l.up.asked(); len(asked) != 3 || asked[0].target != "/second" {
		t.Errorf("asked %v", asked)
	}
}
