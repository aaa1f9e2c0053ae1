package caddymodule

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-drm/caddy-drm/drm"
)

// records are the lines of the audit.
func (l licensed) records(t *testing.T) (records []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var record map[string]any
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatal(err)
		}
		if record["logger"] == "http.handlers.drm.licenses" {
			records = append(records, record)
		}
	}
	return records
}

// jwtOf verifies a token of the vendor's and returns its claims.
func jwtOf(t *testing.T, token string, secret []byte) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(strings.Join(parts[:2], ".")))
	if got, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		t.Fatalf("the signature of %s does not fit", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

const axinomVendor = "vendor axinom {\n\tcommunication_key 3db51e27-1e9d-4fb9-b515-a9dd00b77a14 {env.TEST_AXINOM_KEY}\n}"

var axinomKeyBytes = []byte("communication-key-of-32-bytes-!!")

// TestVendorToken: what Axinom is told follows from the group and the viewer: keys by class, levels, and an end that is that of the session,
// not of the group's twelve hours.
func TestVendorToken(t *testing.T) {
	t.Setenv("TEST_AXINOM_KEY", base64.StdEncoding.EncodeToString(axinomKeyBytes))
	l := startLicensed(t, axinomVendor, "session path 2h")
	ask := func(token string, pick func(kids []drm.KID) drm.KID) (reply, map[string]any) {
		t.Helper()
		mpd := l.manifest(t, token)
		l.up.say(nil)
		res := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, pick(kidsIn(t, mpd))))
		asked := l.up.asked()
		if res.status != 200 {
			return res, nil
		}
		if len(asked) != 1 {
			t.Fatalf("asked %d times", len(asked))
		}
		claims := jwtOf(t, asked[0].header.Get("X-Axdrm-Message"), axinomKeyBytes)
		message, _ := claims["message"].(map[string]any)
		return res, message
	}
	first := func(kids []drm.KID) drm.KID { return kids[0] }
	_, message := ask(l.token, first)
	text := fmt.Sprint(message)
	license, _ := message["license"].(map[string]any)
	duration, _ := license["duration"].(float64)
	// The token lasts for an hour and what clocks may differ by, and the session two hours longer.
	if duration < 3*3600-60 || duration > 3*3600+60 || license["allow_persistence"] != false {
		t.Errorf("license %v", license)
	}
	for _, want := range []string{"name:UHD1", "device_security_level:HW_SECURE_ALL", "name:AUDIO", "min_device_security_level:3000", "hdcp:2.2"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %v", want, message)
		}
	}
	if strings.Contains(text, "viewer-4Kd9") {
		t.Error("the vendor is told who the viewer is")
	}
	low := viewerToken(t, "low", map[string]any{"level": "low"})
	if _, message := ask(low, first); strings.Contains(fmt.Sprint(message), "UHD1") || strings.Contains(fmt.Sprint(message), "name:HD") || !strings.Contains(fmt.Sprint(message), "name:SD") {
		t.Errorf("a device of level low is given %v", message)
	}
	// No device of level low is given the key of HD, also if it knows its name.
	all := l.manifest(t, l.token)
	_, shared := ask(l.token, first)
	source, _ := shared["content_keys_source"].(map[string]any)
	inline, _ := source["inline"].([]any)
	for _, entry := range inline {
		key, _ := entry.(map[string]any)
		if key["usage_policy"] != "HD" {
			continue
		}
		kid, err := drm.ParseKID(fmt.Sprint(key["id"]))
		if err != nil {
			t.Fatal(err)
		}
		res, _ := ask(low, func([]drm.KID) drm.KID { return kid })
		wantReply(t, "HD for a device of level low", res, 403, "level_denied")
	}
	if len(inline) != 5 || all == "" {
		t.Errorf("keys %v", inline)
	}
}

// TestLicenseEndsWithRights: a license is over when the window is that the title is shown in.
func TestLicenseEndsWithRights(t *testing.T) {
	t.Setenv("TEST_AXINOM_KEY", base64.StdEncoding.EncodeToString(axinomKeyBytes))
	end := time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339)
	l := startLicensed(t, axinomVendor, "rights {\n\twindow until "+end+"\n\tmodel free\n\tterritories world\n\t}")
	mpd := l.manifest(t, l.token)
	if res := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, kidsIn(t, mpd)[0])); res.status != 200 {
		t.Fatalf("%d %s %s", res.status, res.reason(), res.body)
	}
	message, _ := jwtOf(t, l.up.asked()[0].header.Get("X-Axdrm-Message"), axinomKeyBytes)["message"].(map[string]any)
	license, _ := message["license"].(map[string]any)
	if duration, _ := license["duration"].(float64); duration < 1700 || duration > 1800 || !strings.HasPrefix(fmt.Sprint(license["expiration_datetime"]), end[:16]) {
		t.Errorf("license %v, and the window ends %s", license, end)
	}
}

// licensesCounted is the counter with these labels.
func licensesCounted(t *testing.T, system, result, reason string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metricLicenses)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := make(map[string]string)
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["system"] == system && labels["result"] == result && labels["reason"] == reason {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestLicenseAudit: one record for each grant and denial, and counters; no secret, token or viewer in any of it.
func TestLicenseAudit(t *testing.T) {
	l := startLicensed(t, "", "geo country {\n\tdeny KP\n\tunknown allow\n}\n\tlicense_url playready https://elsewhere.example/pr")
	grants := licensesCounted(t, "widevine", "grant", "allowed")
	denials := licensesCounted(t, "widevine", "denial", "license_no_keys")
	mpd := l.manifest(t, l.token)
	if licenseURLIn(t, mpd, drm.SystemPlayReady) != "https://elsewhere.example/pr" {
		t.Error("license_url does not win")
	}
	at, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	session := strings.SplitN(strings.SplitN(at, "~s.", 2)[1], "/", 2)[0]
	foreign := drm.KID{1}
	answers := []reply{
		l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kids[0])), l.sendBody(t, http.MethodPost, at, []byte{8, 4}),
		l.sendBody(t, http.MethodPost, at, widevineChallenge(1, foreign)), l.sendBody(t, http.MethodPost, strings.Replace(at, "~s.", "~s.x", 1), []byte{8, 4}),
	}
	records := l.records(t)
	if len(records) != 4 {
		t.Fatalf("%d records: %v", len(records), records)
	}
	subject := fmt.Sprint(records[0]["subject"])
	for i, want := range []map[string]any{
		{"result": "grant", "reason": "allowed", "system": "widevine", "tenant": "licenses", "asset": "/demo/", "group": "premium", "country": "unknown"},
		{"result": "certificate", "reason": "allowed", "subject": subject},
		{"result": "denial", "reason": "license_no_keys", "status": 403.0, "subject": subject, "kids": []any{foreign.String()}},
		{"result": "denial", "reason": "token_invalid", "status": 401.0, "subject": "", "kids": []any{}},
	} {
		for name, value := range want {
			if name == "country" { // as the place says it
				continue
			}
			if fmt.Sprint(records[i][name]) != fmt.Sprint(value) {
				t.Errorf("record %d: %s is %v, want %v", i, name, records[i][name], value)
			}
		}
	}
	if granted, _ := records[0]["kids"].([]any); len(granted) != 5 || len(subject) != 32 || records[0]["ends"] == nil {
		t.Errorf("the grant is %v", records[0])
	}
	if g, d := licensesCounted(t, "widevine", "grant", "allowed"), licensesCounted(t, "widevine", "denial", "license_no_keys"); g != grants+1 || d != denials+1 {
		t.Errorf("counted %v grants and %v denials", g-grants, d-denials)
	}
	s := search{t, []planted{
		{"the key of the license server", plantedAPIKey, nil, false}, {"the key of tokens", testTokenSecret, nil, false}, {"a session", session, nil, true},
		{"a token", l.token[len(l.token)-30:], nil, false}, {"a viewer", "viewer-4Kd9", nil, false},
	}}
	for i, res := range answers {
		s.answered(fmt.Sprint("answer ", i), res)
	}
	text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.find("the log", text, false)
}

// TestCertificateIsNoPlayback: the request for the certificate of Widevine's service takes no place among the streams, and that for a license
// does.
func TestCertificateIsNoPlayback(t *testing.T) {
	l := startLicensed(t, "", "limit streams 1 by subject")
	first, second := l.manifest(t, l.token), l.manifest(t, l.token)
	wantReply(t, "one player, for the certificate", l.sendBody(t, http.MethodPost, licenseURLIn(t, first, drm.SystemWidevine), []byte{8, 4}), 200, "")
	ask := func(mpd string) reply {
		return l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, kidsIn(t, mpd)[0]))
	}
	wantReply(t, "another, for a license", ask(second), 200, "")
	wantReply(t, "the first, for a license", ask(first), 429, "stream_limit")
	wantReply(t, "the other again", ask(second), 200, "")
}

// TestPlayerConfig: what pages need to play, for who may have the manifest, and with addresses that work.
func TestPlayerConfig(t *testing.T) {
	l := startLicensed(t, "", "limit streams 1 by subject")
	res := l.mustGet(t, "/demo/.drm/config/premium.json?token="+l.token)
	var config struct {
		Systems []playerSystem
		Shaka   shakaConfig
		HLS     hlsConfig                 `json:"hls.js"`
		DASH    map[string]dashSystem     `json:"dash.js"`
		VideoJS map[string]map[string]any `json:"video.js"`
	}
	if err := json.Unmarshal(res.body, &config); err != nil || len(config.Systems) != 3 || res.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s, %v", res.body, err)
	}
	at := config.Shaka.DRM.Servers["com.widevine.alpha"]
	fairPlay := config.Shaka.DRM.Advanced["com.apple.fps"].Certificate
	if at == "" || config.HLS.Systems["com.widevine.alpha"].LicenseURL != at || config.DASH["com.widevine.alpha"].ServerURL != at || config.VideoJS["com.widevine.alpha"]["url"] != at ||
		config.Systems[0].LicenseURL != at || config.Systems[0].EME.VideoCapabilities[0].Robustness != "HW_SECURE_ALL" ||
		fairPlay == "" || config.VideoJS["com.apple.fps"]["certificateUri"] != fairPlay || config.Shaka.DRM.Advanced["com.widevine.alpha"].Video[0] != "HW_SECURE_ALL" {
		t.Errorf("configuration %s", res.body)
	}
	wantReply(t, "another group", l.get(t, "/demo/.drm/config/other.json?token="+l.token), 404, "not_found")
	mpd := l.manifest(t, l.token)
	wantReply(t, "a license for the manifest", l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, kidsIn(t, mpd)[0])), 200, "")
	l.up.say(answerWith(200, "application/octet-stream", string(l.up.cert)))
	wantReply(t, "the certificate", l.get(t, fairPlay), 200, "")
	wantReply(t, "the certificate of Widevine's service", l.sendBody(t, http.MethodPost, at, []byte{8, 4}), 200, "")
	wantReply(t, "without a token", l.get(t, "/demo/.drm/config/premium.json"), 401, "token_missing")
	wantReply(t, "POST", l.sendBody(t, http.MethodPost, "/demo/.drm/config/premium.json?token="+l.token, nil), 405, "method_not_allowed")
}

// TestPlayerConfigOfClearKey: a site without license servers has one as well, and its license URL gives keys.
func TestPlayerConfigOfClearKey(t *testing.T) {
	g := startGateway(t, "http://:PORT {\n\tdrm {\n\ttenant plain\n\tscheme cenc\n\tlicense_server clearkey\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n")
	var config struct{ Shaka shakaConfig }
	if err := json.Unmarshal(g.mustGet(t, "/demo/.drm/config/default.json").body, &config); err != nil {
		t.Fatal(err)
	}
	kid := kidsIn(t, string(g.mustGet(t, "/demo/manifest.mpd").body))[0]
	res := g.sendBody(t, http.MethodPost, config.Shaka.DRM.Servers["org.w3.clearkey"], []byte(`{"kids":["`+kid.Base64URL()+`"]}`))
	if res.status != 200 || !strings.Contains(string(res.body), kid.Base64URL()) {
		t.Errorf("%d %s %s", res.status, res.reason(), res.body)
	}
}

// TestCertificateFile: a certificate in PEM is handed out in DER.
func TestCertificateFile(t *testing.T) {
	der := startUpstreams(t).cert
	file := filepath.Join(t.TempDir(), "fps.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l := startLicensed(t, "", "", "certificate UPSTREAM/cert", "certificate "+file)
	at := strings.Replace(licenseURLIn(t, l.manifest(t, l.token), drm.SystemFairPlay), "/fairplay/", "/fairplay/cert/", 1)
	if res := l.get(t, at); res.status != 200 || !bytes.Equal(res.body, der) || len(l.up.asked()) > 0 {
		t.Errorf("%d %s, asked %d", res.status, res.reason(), len(l.up.asked()))
	}
}

// TestLicenseServerMistakes are found when the configuration is loaded.
func TestLicenseServerMistakes(t *testing.T) {
	t.Setenv("TEST_SHORT", "short")
	dir := t.TempDir()
	notACertificate := filepath.Join(dir, "no.pem")
	if err := os.WriteFile(notACertificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no")}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ systems, options, want string }{
		"no system":          {"clearkey", "license_server clearkey\nlicense_server widevine https://a.example/", "no group of this site has widevine"},
		"plain http":         {"widevine", "license_server widevine http://a.example/", "want https"},
		"a placeholder":      {"widevine", "license_server widevine https://a.example/{http.request.uri}", "the title goes into the request"},
		"FairPlay unjudged":  {"fairplay", "license_server fairplay https://a.example/", "unread_keys"},
		"no certificate":     {"fairplay", "license_server fairplay https://a.example/ {\nunread_keys allow\ncertificate " + notACertificate + "\n}", "no certificate"},
		"spc of Widevine":    {"widevine", "license_server widevine https://a.example/ {\nspc raw\n}", "for FairPlay"},
		"twice":              {"widevine", "license_server widevine https://a.example/\nlicense_server widevine https://b.example/", "given twice"},
		"unknown vendor":     {"widevine", "license_server widevine https://a.example/ {\nvendor nobody\n}", "nobody"},
		"literal secret":     {"widevine", "license_server widevine https://a.example/ {\nvendor drmtoday {\nsecret abc\n}\n}", "placeholder"},
		"short secret":       {"widevine", "license_server widevine https://a.example/ {\nvendor jwt {\nsecret {env.TEST_SHORT}\nclaims `{\"a\":\"{asset}\"}`\nheader X\n}\n}", "at least 32 bytes"},
		"cloud of PlayReady": {"playready", "license_server playready https://a.example/ {\nvendor widevine_cloud\n}", "for license_server widevine"},
		"test of Widevine":   {"widevine", "license_server widevine https://a.example/ {\nvendor playready_test\n}", "for license_server playready"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			scheme := ""
			if test.systems == "fairplay" {
				scheme = "\n\t\t\tscheme cbcs"
			}
			global := withGroups("\t\tgroup g {\n\t\t\tsystems " + test.systems + scheme + "\n\t\t}\n")
			config, err := adaptCaddyfile(g.replace.Replace(global + "http://:PORT {\n\tdrm {\n\tgroup g\n\t" + test.options + "\n}\n}\n"))
			if err == nil {
				err = caddy.Validate(parseConfig(t, config))
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "short\"") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestLicenseURLs: a fixed URL of ClearKey is that of ClearKey alone, and one with the path is the front of all.
func TestLicenseURLs(t *testing.T) {
	for template, want := range map[string][2]string{
		"https://ck.example/keys":                          {"https://ck.example/keys", "http://"},
		"https://front.example{http.drm.license_path}?a=1": {"https://front.example/demo/.drm/clearkey/", "https://front.example/demo/.drm/widevine/"},
	} {
		g := newGateway(t)
		g.load(t, withGroups("\t\tgroup both {\n\t\t\tscheme cenc\n\t\t\tsystems clearkey widevine playready\n\t\t}\n")+"http://:PORT {\n\tdrm {\n\ttenant urls\n\tgroup both\n\tlicense_server clearkey {\n\turl "+template+
			"\n}\n\tlicense_server widevine https://127.0.0.1:1/\n\tlicense_server playready https://127.0.0.1:1/\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n")
		mpd := string(g.mustGet(t, "/demo/manifest.mpd").body)
		if at := licenseURLIn(t, mpd, drm.SystemClearKey); !strings.HasPrefix(at, want[0]) {
			t.Errorf("%s: ClearKey at %s", template, at)
		}
		if at := licenseURLIn(t, mpd, drm.SystemWidevine); !strings.HasPrefix(at, want[1]) || !strings.Contains(at, "/demo/.drm/widevine/") {
			t.Errorf("%s: Widevine at %s", template, at)
		}
		records, err := drm.ParsePlayReadyObject(textOf(t, descriptor(t, mpd, drm.SystemPlayReady), "mspr:pro"))
		if err != nil {
			t.Fatal(err)
		}
		header, err := drm.ParsePlayReadyHeader(records[0].Value)
		if err != nil || header.LicenseURL != licenseURLIn(t, mpd, drm.SystemPlayReady) {
			t.Errorf("%s: without sessions PlayReady's object names %s, %v", template, header.LicenseURL, err)
		}
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}
