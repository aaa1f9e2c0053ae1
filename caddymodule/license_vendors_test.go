package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestVendorsThroughTheGateway: each vendor's token reaches the license server where the vendor looks for it, the license reaches the
// player, and no secret of a vendor is in a log or an answer.
func TestVendorsThroughTheGateway(t *testing.T) {
	secrets := map[string]string{
		"TEST_AXINOM_KEY": base64.StdEncoding.EncodeToString(axinomKeyBytes), "TEST_SITE_KEY": "site-key-9Jw3Xk6Tb1Rm4Ze8Pq2Ly5A", "TEST_ACCESS_KEY": "access-key-7Gd2Vn5Hc8Sf1Mo4Ux9Ki",
		"TEST_HEX": strings.Repeat("5e8a", 32), "TEST_GENERAL": "general-3Fv6Qa9Wj2Yt5Cx8Lp1Nk4Rb7", "TEST_WV_KEY": strings.Repeat("1f", 32), "TEST_WV_IV": strings.Repeat("2e", 16),
	}
	var plants []planted
	for name, value := range secrets {
		t.Setenv(name, value)
		plants = append(plants, planted{name, value, nil, false})
	}
	t.Setenv("TEST_PEM", string(clearFile(t, "../keysource/cpix/testdata/recipient.key")))
	header := func(name string) func(seenRequest) string {
		return func(r seenRequest) string { return r.header.Get(name) }
	}
	query := func(name string) func(seenRequest) string {
		return func(r seenRequest) string {
			u, err := url.ParseRequestURI(r.target)
			if err != nil {
				t.Fatal(err)
			}
			return u.Query().Get(name)
		}
	}
	for name, test := range map[string]struct {
		block, prefix string
		carrier       func(seenRequest) string
	}{
		"axinom":     {"communication_key id {env.TEST_AXINOM_KEY}", "eyJ", header("X-AxDRM-Message")},
		"doverunner": {"site ABCD\nsite_key {env.TEST_SITE_KEY}\naccess_key {env.TEST_ACCESS_KEY}", "eyJkcm1fdHlwZSI6IldpZGV2aW5l", header("pallycon-customdata-v2")},
		"drmtoday":   {"merchant shop\nsecret {env.TEST_HEX}", "eyJ", header("x-dt-auth-token")},
		"ezdrm":      {"profile ABC123\nsecret {env.TEST_GENERAL}", "eyJ", query("authorization")},
		"buydrm":     {"key id {env.TEST_PEM}", base64.StdEncoding.EncodeToString([]byte("<?xml "))[:8], header("customdata")},
		"jwt":        {"claims `{\"a\":\"{asset}\"}`\nsecret {env.TEST_GENERAL}\nheader Authorization\nprefix \"Bearer \"", "Bearer eyJ", header("Authorization")},
		"hmac":       {"text asset={asset}\nsecret {env.TEST_GENERAL}\nquery auth", "asset=/demo/~hmac=", query("auth")},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLicensed(t, "vendor "+name+" {\n"+test.block+"\n}", "")
			mpd := l.manifest(t, l.token)
			challenge := widevineChallenge(1, kidsIn(t, mpd)[0])
			res := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), challenge)
			asked := l.up.asked()
			if res.status != 200 || string(res.body) != plainAnswer || len(asked) != 1 {
				t.Fatalf("%d %s, asked %d", res.status, res.reason(), len(asked))
			}
			carried := test.carrier(asked[0])
			if !strings.HasPrefix(carried, test.prefix) || len(carried) < len(test.prefix)+16 || !bytes.Equal(asked[0].body, challenge) || !strings.HasPrefix(asked[0].target, "/wv") {
				t.Errorf("%q in %s %v", carried, asked[0].target, asked[0].header)
			}
			l.up.say(answerWith(403, "text/plain", "no"))
			refused := l.sendBody(t, http.MethodPost, licenseURLIn(t, mpd, drm.SystemWidevine), challenge)
			s := search{t, append(plants, planted{"the token for the vendor", carried[len(carried)-16:], nil, false})}
			s.answered("the license", res)
			s.answered("a refusal", refused)
			text, err := os.ReadFile(filepath.Join(l.dir, "gateway.log"))
			if err != nil {
				t.Fatal(err)
			}
			s.find("the log", text, false)
		})
	}
}

// TestWidevineCloudThroughTheGateway: the challenge travels in a signed request, and the license comes out of JSON.
func TestWidevineCloudThroughTheGateway(t *testing.T) {
	t.Setenv("TEST_WV_KEY", strings.Repeat("1f", 32))
	t.Setenv("TEST_WV_IV", strings.Repeat("2e", 16))
	l := startLicensed(t, "vendor widevine_cloud {\nsigner test\nsigning_key {env.TEST_WV_KEY} {env.TEST_WV_IV}\n}", "")
	mpd := l.manifest(t, l.token)
	at, challenge := licenseURLIn(t, mpd, drm.SystemWidevine), widevineChallenge(1, kidsIn(t, mpd)[0])
	l.up.say(answerWith(200, "application/json", `{"status":"OK","license":"bGljZW5zZQ=="}`))
	res := l.sendBody(t, http.MethodPost, at, challenge)
	if res.status != 200 || string(res.body) != "license" || res.header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%d %s %s", res.status, res.reason(), res.body)
	}
	var outer struct {
		Request, Signature []byte
	}
	var inner struct {
		Payload []byte
		Specs   []struct {
			Track string `json:"track_type"`
			Level int    `json:"security_level"`
		} `json:"content_key_specs"`
	}
	asked := l.up.asked()[0]
	if err := json.Unmarshal(asked.body, &outer); err != nil || asked.header.Get("Content-Type") != "application/json" || len(outer.Signature) != 32 {
		t.Fatalf("%s, %v", asked.body, err)
	}
	if err := json.Unmarshal(outer.Request, &inner); err != nil || !bytes.Equal(inner.Payload, challenge) || len(inner.Specs) != 5 || inner.Specs[4].Level != 5 {
		t.Errorf("%s, %v", outer.Request, err)
	}
	l.up.say(answerWith(200, "application/json", `{"status":"SIGNED_MESSAGE_PARSE_ERROR"}`))
	wantReply(t, "no license", l.sendBody(t, http.MethodPost, at, challenge), 502, "license_server_failed")
}

// TestRevokedKeysOfOtherSystems: a key that has been revoked is not asked for, and not sent along with others.
func TestRevokedKeysOfOtherSystems(t *testing.T) {
	t.Setenv("TEST_AXINOM_KEY", base64.StdEncoding.EncodeToString(axinomKeyBytes))
	admin := "127.0.0.1:" + freePort(t)
	l := startLicensed(t, axinomVendor, "", "admin off", "admin "+admin)
	mpd := l.manifest(t, l.token)
	at, kids := licenseURLIn(t, mpd, drm.SystemWidevine), kidsIn(t, mpd)
	if kids[0] == kids[len(kids)-1] {
		t.Fatal("one key for all")
	}
	if _, res := l.revoke(t, admin, map[string]any{"kind": "key", "value": kids[0].String(), "tenant": "licenses", "for": "1h"}); res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	wantReply(t, "a revoked key", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kids[0])), 403, "revoked")
	if len(l.up.asked()) > 0 {
		t.Error("the license server was asked")
	}
	wantReply(t, "another key", l.sendBody(t, http.MethodPost, at, widevineChallenge(1, kids[len(kids)-1])), 200, "")
	message := l.up.asked()[0].header.Get("X-AxDRM-Message")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(message, ".")[1])
	if err != nil || strings.Contains(string(payload), kids[0].String()) || !strings.Contains(string(payload), kids[len(kids)-1].String()) {
		t.Errorf("%s, %v", payload, err)
	}
}
