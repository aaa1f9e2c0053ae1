package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

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
	l := startLicensed(t, "", "", "timeout 1s", "timeout 2s")
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
	if res := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemFairPlay), fairPlayContext()); res.status != 200 || len(done) > 0 {
		t.Errorf("a license of another system: %d %s, behind %d answers", res.status, res.reason(), len(done))
	}
	for range cap(done) {
		wantReply(t, "a server that does not answer", <-done, 503, "license_server_unavailable")
	}
	close(release)
	start := time.Now()
	wantReply(t, "the next viewer", l.sendBody(t, http.MethodPost, widevine, challenge), 503, "license_server_unavailable")
	if took := time.Since(start); took > 1800*time.Millisecond {
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

// TestRotatingLicenses: the address is the same for all crypto periods of a title, and keys of each are let through, but none of another
// title.
func TestRotatingLicenses(t *testing.T) {
	l := startLicensed(t, "", "", "license temporary 12h", "rotate 2s")
	mpd := l.manifest(t, l.token)
	kids := kidsIn(t, mpd)
	seen := make(map[drm.KID]bool)
	for _, kid := range kids {
		seen[kid] = true
	}
	at := licenseURLIn(t, mpd, drm.SystemWidevine)
	for _, match := range laurl.FindAllStringSubmatch(mpd, -1) {
		if strings.Contains(match[1], "/widevine/") && match[1] != at {
			t.Fatal("the address differs by period")
		}
	}
	if len(seen) < 6 {
		t.Fatalf("only %d keys in %s", len(seen), mpd)
	}
	wantReply(t, "the first and the last period", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kids[0], kids[len(kids)-1])), 200, "")
	other := kidsIn(t, string(l.mustGet(t, "/demo-av1/manifest.mpd?token="+l.token).body))
	wantReply(t, "another title's key", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kids[0], other[0])), 403, "license_no_keys")
}

// TestPreflightOfLicenses: pages of the listed origins may send what PlayReady needs, and read why they are refused.
func TestPreflightOfLicenses(t *testing.T) {
	l := startLicensed(t, "", "cors https://play.example.com")
	at := licenseURLIn(t, l.manifest(t, l.token), drm.SystemPlayReady)
	res := l.send(t, http.MethodOptions, at, "Origin", "https://play.example.com", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,soapaction")
	if res.status != 204 || !strings.Contains(res.header.Get("Access-Control-Allow-Headers"), "SOAPAction") || res.header.Get("Access-Control-Allow-Origin") != "https://play.example.com" {
		t.Errorf("%d %v", res.status, res.header)
	}
	res = l.sendBody(t, http.MethodPost, at, []byte("<a/>"), "Origin", "https://play.example.com")
	if wantReply(t, "a refusal", res, 400, "license_request_malformed"); res.header.Get("Access-Control-Allow-Origin") != "https://play.example.com" {
		t.Errorf("a page cannot read the refusal: %v", res.header)
	}
}
