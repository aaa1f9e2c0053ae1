package caddymodule

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/caddy-drm/caddy-drm/internal/redistest"
	"github.com/caddy-drm/caddy-drm/probe"
)

// licenseExamples are the configurations with license servers that the documentation shows, by where they stand.
func licenseExamples(t *testing.T) map[string]string {
	t.Helper()
	examples := map[string]string{"multi-drm.Caddyfile": string(clearFile(t, "../examples/multi-drm.Caddyfile"))}
	page := string(clearFile(t, "../docs/licenses.md"))
	for _, at := range regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```$").FindAllStringSubmatchIndex(page, -1) {
		examples[fmt.Sprintf("licenses.md:%d", strings.Count(page[:at[0]], "\n")+1)] = page[at[2]:at[3]]
	}
	return examples
}

// What of an example is of the place that it runs at.
var (
	exampleServer = regexp.MustCompile(`(license_server (widevine|playready|fairplay)) [^{\n]*\{`)
	exampleSite   = regexp.MustCompile(`(?m)^(media\.example\.com|http://localhost:8080) \{`)
	exampleRoot   = regexp.MustCompile(`(?m)^\s*root .*\n`)
)

// runExample runs an example in front of license servers of the test, whatever else it says, and returns a token that it accepts.
func runExample(t *testing.T, text string) licensed {
	t.Helper()
	for name, value := range map[string]string{
		"DRM_SECRET": testSecretHex, "TOKEN_SECRET": testTokenSecret, "PULL_SECRET": testOtherSecret, "KEY_SERVER_TOKEN": plantedAPIKey, "AXINOM_KEY": base64.StdEncoding.EncodeToString(axinomKeyBytes),
		"WIDEVINE_KEY": strings.Repeat("1f", 32), "WIDEVINE_IV": strings.Repeat("2e", 16), "DOVERUNNER_SITE_KEY": strings.Repeat("s", 32),
		"DOVERUNNER_ACCESS_KEY": strings.Repeat("a", 32), "DRMTODAY_SECRET": strings.Repeat("5e", 64), "TEST_PEM": string(clearFile(t, "../keysource/cpix/testdata/recipient.key")),
	} {
		t.Setenv(name, value)
	}
	up := startUpstreams(t)
	up.say(answerLikeServices)
	g := newGateway(t, "UPSTREAM", up.url)
	if err := os.WriteFile(filepath.Join(g.dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	token := viewerToken(t, "probing", nil)
	if strings.Contains(text, "jwks ") {
		token = g.shopToken(t)
	}
	text = strings.NewReplacer("examples/jwks.json", "DIR/jwks.json", "/etc/caddy/fairplay.pem", "DIR/ca.pem", "{file./run/secrets/recipient-key}", "{env.TEST_PEM}",
		"output stdout", "output discard", "\tlog {\n", "\tlog {\n\t\toutput discard\n").Replace(text)
	text = exampleServer.ReplaceAllString(text, "$1 UPSTREAM/$2 {\n\tca DIR/ca.pem")
	text = exampleSite.ReplaceAllString(exampleRoot.ReplaceAllString(text, ""), "http://:PORT {")
	text = strings.Replace(text, "file_server", "file_server {\n\troot TESTDATA\n}", 1)
	global := "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tgrace_period 2s\n\tstorage file_system STORAGE\n\tlog default {\n\t\toutput file DIR/gateway.log\n\t\tlevel DEBUG\n\t}\n"
	if !strings.Contains(text, "secret {env.DRM_SECRET}") {
		global += "\tdrm {\n\t\tsecret {env.DRM_SECRET}\n"
		if head, rest, found := strings.Cut(text, "\tdrm {\n"); found && !strings.Contains(head, "\n}\n") {
			text = head + rest // the options go on with those of the example
		} else {
			global += "\t}\n"
		}
	}
	if server := "redis.internal:6379"; strings.Contains(text, server) {
		text = strings.ReplaceAll(text, server, startRedis(t))
	}
	text = text[strings.Index(text, "{\n")+len("{\n"):]
	g.load(t, global+text)
	return licensed{gateway: g, up: up, token: token}
}

// shopToken is a token of the shop of the example, under a key of the test in place of its own.
func (g *gateway) shopToken(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "test", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "jwks.json"), set, 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"sub": "probing", "iss": "https://shop.service.example", "aud": "media.service.example", "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var certificateOfService = append([]byte{8, 5}, wireField(2, []byte("certificate of the service"))...)

// answerLikeServices answers as license services do, whom nobody can ask for a license without a device: Widevine with its certificate, in
// JSON where it was asked in JSON, PlayReady with a fault, and FairPlay with a refusal.
func answerLikeServices(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/playready":
		answerWith(500, "text/xml; charset=utf-8", soapFault)(w, r)
	case r.URL.Path == "/fairplay":
		answerWith(400, "application/json", `{"error":"no device"}`)(w, r)
	case r.Header.Get("Content-Type") == "application/json":
		answerWith(200, "application/json", `{"status":"OK","license":"`+base64.StdEncoding.EncodeToString(certificateOfService)+`"}`)(w, r)
	default:
		_, _ = w.Write(certificateOfService)
	}
}

// answersOfServices are what the probe reports of them.
var answersOfServices = map[string]string{
	"Widevine":  "answers 200 to the request for its certificate: the certificate of its service",
	"PlayReady": "answers 500 (license_server_refused) to a challenge without a device, and the fault 0x8004C600",
	"FairPlay":  "answers 400 (license_server_refused) to a context without a device",
}

// TestProbeOfLicenseExamples: each configuration with license servers that is documented plays as far as a probe can tell, in DASH and
// HLS, and its license servers are reached through the gateway.
func TestProbeOfLicenseExamples(t *testing.T) {
	examples := licenseExamples(t)
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	for name, text := range examples {
		t.Run(name, func(t *testing.T) {
			l := runExample(t, text)
			systems := make(map[string]bool)
			for _, match := range exampleServer.FindAllStringSubmatch(text, -1) {
				systems[match[2]] = true
			}
			for _, manifest := range []string{"manifest.mpd", "master.m3u8"} {
				report, ok := probeCLI(t, "--token", l.token, "http://"+l.addr+"/demo/"+manifest)
				if !ok || len(report.Renditions) < 3 || report.LeaksTried == 0 {
					t.Fatalf("%s: %s", manifest, report.Text())
				}
				for _, r := range report.Renditions {
					if len(r.Schemes) > 0 && (r.Probed != 3 || len(systems) == 0 && r.Decrypted != 3) {
						t.Errorf("%s, %s: %s", manifest, r.Name, report.Text())
					}
				}
				if manifest == "manifest.mpd" {
					l.wantAnswers(t, report, systems)
				}
			}
			if strings.Contains(text, "group trailers") { // of ClearKey, so that its segments are decrypted
				mustProbe(t, "--token", l.token, "http://"+l.addr+"/demo-av1/manifest.mpd")
			}
			if strings.Contains(text, "certificate /etc") {
				at := strings.Replace(licenseURLIn(t, l.manifest(t, l.token), kindSystems[kindFairPlay]), "/fairplay/", "/fairplay/cert/", 1)
				if res := l.get(t, at); !bytes.Equal(res.body, l.up.cert) {
					t.Errorf("the certificate of FairPlay: %d", res.status)
				}
			}
		})
	}
}

// wantAnswers checks that each license server was asked, and is reported as it answered.
func (l licensed) wantAnswers(t *testing.T, report probe.Report, systems map[string]bool) {
	t.Helper()
	reported := make(map[string]bool)
	for _, license := range report.Licenses {
		if license.Answer != answersOfServices[license.System] {
			t.Errorf("%s is reported as %q", license.System, license.Answer)
		}
		reported[strings.ToLower(license.System)] = true
	}
	asked := make(map[string]bool)
	for _, r := range l.up.asked() {
		asked[strings.Trim(strings.SplitN(r.target, "?", 2)[0], "/")] = true
	}
	for system := range systems {
		if !reported[system] || !asked[system] {
			t.Errorf("%s: reported %t, its server was asked %t; %s", system, reported[system], asked[system], report.Text())
		}
	}
	if len(asked) != len(systems) {
		t.Errorf("asked %v, want %v", asked, systems)
	}
}

// startRedis runs a server until the test ends, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	server, err := redistest.Start("single", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addresses[0]
}
