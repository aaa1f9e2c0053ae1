package vendor

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

const hour = time.Hour

// grant is for a premium title with a key for each class, until eight hours from now.
func grant(t *testing.T, system drm.SystemID, classes ...drm.TrackClass) licensing.Grant {
	t.Helper()
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	g := licensing.Grant{
		System: system, Tenant: "north", Asset: "/vod/a film/", Subject: strings.Repeat("5e", 16), Now: now, Ends: now.Add(8 * hour), Nonce: [16]byte{1, 2, 3, 4},
		Group: drm.Group{Name: "premium", Level: drm.LevelHigh, HDCP: drm.HDCP22, License: drm.LicenseTerms{Duration: 8 * hour, Renew: hour}},
	}
	for i, class := range classes {
		kid, secret := drm.KID{0xa0, 1, 2, 3, 4, 5, 6, 7, 15: byte(i)}, bytes.Repeat([]byte{byte(0xc0 + i)}, 16)
		key, err := drm.NewContentKey(kid, secret, bytes.Repeat([]byte{0x1e}, 16))
		if err != nil {
			t.Fatal(err)
		}
		g.Keys = append(g.Keys, licensing.GrantedKey{Class: class, Key: key})
	}
	return g
}

func ask(t *testing.T, v Vendor, g licensing.Grant) Request {
	t.Helper()
	r, err := v.Ask(g, licensing.Challenge{Body: []byte("challenge")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verified checks the signature of a JWT with a library of its own, the standard one, and returns header and claims.
func verified(t *testing.T, token string, h func() hash.Hash, secret []byte) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	mac := hmac.New(h, secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if got, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		t.Fatalf("the signature does not fit: %v", err)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// TestAxinom: the members are those of the messages that public token services make.
func TestAxinom(t *testing.T) {
	key := bytes.Repeat([]byte{0x42}, 32)
	v, err := NewAxinom("3db51e27-1e9d-4fb9-b515-a9dd00b77a14", key, true)
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, drm.SystemWidevine, drm.ClassAudio, drm.ClassSD, drm.ClassHD, drm.ClassUHD1)
	header, claims := verified(t, ask(t, v, g).Header["X-Axdrm-Message"], sha256.New, key)
	if header["alg"] != "HS256" || claims["version"] != 1.0 || claims["com_key_id"] != "3db51e27-1e9d-4fb9-b515-a9dd00b77a14" || claims["expiration_date"] != "2027-03-01T12:05:00.000Z" {
		t.Errorf("envelope %v %v", header, claims)
	}
	message, _ := claims["message"].(map[string]any)
	if !reflect.DeepEqual(message["license"], parsed(t, `{"expiration_datetime":"2027-03-01T20:00:00.000Z","duration":28800,"allow_persistence":false}`)) || message["type"] != "entitlement_message" || message["version"] != 2.0 {
		t.Errorf("message %v", message)
	}
	want := parsed(t, `[
		{"name":"AUDIO","widevine":{"device_security_level":"HW_SECURE_CRYPTO"},"playready":{"min_device_security_level":2000},"fairplay":{}},
		{"name":"SD","widevine":{"device_security_level":"SW_SECURE_CRYPTO","hdcp":"2.2"},"playready":{"min_device_security_level":2000,"uncompressed_digital_video_opl":300},"fairplay":{"hdcp":"TYPE1"}},
		{"name":"HD","widevine":{"device_security_level":"HW_SECURE_CRYPTO","hdcp":"2.2"},"playready":{"min_device_security_level":2000,"uncompressed_digital_video_opl":300},"fairplay":{"hdcp":"TYPE1"}},
		{"name":"UHD1","widevine":{"device_security_level":"HW_SECURE_ALL","hdcp":"2.2"},"playready":{"min_device_security_level":3000,"uncompressed_digital_video_opl":300},"fairplay":{"hdcp":"TYPE1"}}]`)
	if !reflect.DeepEqual(message["content_key_usage_policies"], want) {
		t.Errorf("policies %v", message["content_key_usage_policies"])
	}
	source, _ := message["content_keys_source"].(map[string]any)
	inline, _ := source["inline"].([]any)
	if len(inline) != 4 {
		t.Fatalf("keys %v", source)
	}
	first, _ := inline[0].(map[string]any)
	encrypted, err := base64.StdEncoding.DecodeString(fmt.Sprint(first["encrypted_key"]))
	if err != nil || len(encrypted) != 16 || first["id"] != "a0010203-0405-0607-0000-000000000000" || first["usage_policy"] != "AUDIO" || first["iv"] != nil {
		t.Fatalf("key %v, %v", first, err)
	}
	block, _ := aes.NewCipher(key)
	block.Decrypt(encrypted, encrypted)
	if secret := g.Keys[0].Key.Secret(); !bytes.Equal(encrypted, secret[:]) {
		t.Error("another key comes out of it")
	}
	known, err := NewAxinom("id", key, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, claims := verified(t, ask(t, known, g).Header["X-Axdrm-Message"], sha256.New, key); strings.Contains(fmt.Sprint(claims), "encrypted_key") {
		t.Error("keys are sent that the service has")
	}
}

// TestDoveRunnerVectors: encryption and hash give what a public client of the vendor gives for the vendor's own example.
func TestDoveRunnerVectors(t *testing.T) {
	v, err := NewDoveRunner(DoveRunnerConfig{SiteID: "TUTO", SiteKey: "lU5D8s3PWoLls3PWFWkClULlFWk5D8oC", AccessKey: "LT2FVJDp2Xr018zf4Di6lzvNOv3DKP20"})
	if err != nil {
		t.Fatal(err)
	}
	const want = "bO9DzyQgtgfbSDWmqGgZXWZdWm7M4oZ4X0hC1hS6QNraiwLI0LwmNY+OfOh1L0KmtuH7NF1blUxep9YLWrNfSy4H/6swQW7pbjZnRqRguDQ="
	policy, err := v.encrypt([]byte(`{"playback_policy":{"limit":true,"persistent":false,"duration":3600}}`))
	if err != nil || policy != want {
		t.Errorf("policy %s, %v", policy, err)
	}
	hash := v.hash(doveRunnerToken{System: "Widevine", SiteID: "TUTO", User: "test-user", Content: "bigbuckbunny", Policy: want, Timestamp: "2019-07-17T08:57:04Z"})
	if hash != "0Zef3WHBbzQAR0oGf5KXn25G1TmvB2Bkvzv+7OqIWvQ=" {
		t.Errorf("hash %s", hash)
	}
}

func TestDoveRunner(t *testing.T) {
	siteKey := strings.Repeat("k", 32)
	v, err := NewDoveRunner(DoveRunnerConfig{SiteID: "TUTO", SiteKey: siteKey, AccessKey: strings.Repeat("a", 32), Content: "{group}-{asset}", SendKeys: true})
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, drm.SystemFairPlay, drm.ClassShared)
	text, err := base64.StdEncoding.DecodeString(ask(t, v, g).Header["Pallycon-Customdata-V2"])
	if err != nil {
		t.Fatal(err)
	}
	var token doveRunnerToken
	if err := json.Unmarshal(text, &token); err != nil || token.Hash != v.hash(token) || token.Content != "premium-vod/a film" || token.User != g.Subject || token.System != "FairPlay" ||
		token.Format != "original" || token.Timestamp != "2027-03-01T12:00:00Z" {
		t.Errorf("token %s, %v", text, err)
	}
	policy, err := base64.StdEncoding.DecodeString(token.Policy)
	if err != nil || len(policy)%16 != 0 {
		t.Fatal(err)
	}
	block, _ := aes.NewCipher([]byte(siteKey))
	cipher.NewCBCDecrypter(block, []byte("0123456789abcdef")).CryptBlocks(policy, policy)
	policy = policy[:len(policy)-int(policy[len(policy)-1])]
	iv := g.Keys[0].Key.ConstantIV()
	want := `{"policy_version":2,"playback_policy":{"persistent":false,"license_duration":28800,"renewal_duration":3600},"security_policy":[{"track_type":"ALL",
		"widevine":{"security_level":5,"required_hdcp_version":"HDCP_V2_2"},"playready":{"security_level":3000,"digital_video_protection_level":300,"require_hdcp_type_1":true},
		"fairplay":{"hdcp_enforcement":1}}],"external_key":{"mpeg_cenc":[{"track_type":"ALL","key_id":"a0010203040506070000000000000000","key":"` + strings.Repeat("c0", 16) + `","iv":"` + hex.EncodeToString(iv[:]) + `"}]}}`
	if !reflect.DeepEqual(parsed(t, string(policy)), parsed(t, want)) {
		t.Errorf("policy %s", policy)
	}
}

// TestDRMtoday: the claims crt and optData are texts, as in public code.
func TestDRMtoday(t *testing.T) {
	secret := bytes.Repeat([]byte("test"), 16)
	v, err := NewDRMtoday(DRMtodayConfig{Merchant: "shop", KeyID: "k1", Secret: secret, Variant: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, drm.SystemWidevine, drm.ClassShared)
	g.Group.License = drm.LicenseTerms{Persistent: true, Duration: 8 * hour, Rental: 6 * hour, Playback: 2 * hour}
	header, claims := verified(t, ask(t, v, g).Header["X-Dt-Auth-Token"], sha512.New, secret)
	if header["alg"] != "HS512" || header["kid"] != "k1" || claims["iat"] != float64(g.Now.Unix()) || claims["jti"] != "01020304-0000-4000-8000-000000000000" {
		t.Errorf("%v %v", header, claims)
	}
	crt := parsed(t, fmt.Sprint(claims["crt"]))
	if want := parsed(t, `[{"assetId":"vod/a film","variantId":"v1","profile":{"rental":{"absoluteExpiration":"2027-03-01T18:00:00.000Z","playDuration":7200000}},
		"outputProtection":{"digital":true,"analogue":true,"enforce":true,"requireHDCP":"HDCP_V2_2"},"storeLicense":true}]`); !reflect.DeepEqual(crt, want) {
		t.Errorf("rights %v", crt)
	}
	if options := parsed(t, fmt.Sprint(claims["optData"])); !reflect.DeepEqual(options, parsed(t, `{"merchant":"shop","userId":"`+g.Subject+`","sessionId":"01020304-0000-4000-8000-000000000000"}`)) {
		t.Errorf("options %v", options)
	}
	g.Group.License, g.Group.HDCP, g.Ends = drm.LicenseTerms{}, drm.HDCPNone, time.Time{}
	_, claims = verified(t, ask(t, v, g).Header["X-Dt-Auth-Token"], sha512.New, secret)
	if crt := fmt.Sprint(claims["crt"]); !strings.Contains(crt, `"purchase":{}`) || strings.Contains(crt, "requireHDCP") {
		t.Errorf("without an end: %s", crt)
	}
	for answer, want := range map[string]string{"\x08\x02binary": "\x08\x02binary", `{"license":"bGljZW5zZQ=="}`: "license"} {
		if license, err := v.License([]byte(answer)); err != nil || string(license) != want {
			t.Errorf("%q is %q, %v", answer, license, err)
		}
	}
	for _, answer := range []string{"", `{"license":""}`, `{"error":1}`, `{`} {
		if _, err := v.License([]byte(answer)); !errors.Is(err, licensing.ErrAnswer) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestEZDRM(t *testing.T) {
	secret := strings.Repeat("s", 32)
	v, err := NewEZDRM("ABC123", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, drm.SystemWidevine, drm.ClassShared)
	r := ask(t, v, g)
	_, claims := verified(t, r.Query["authorization"], sha256.New, []byte(secret))
	want := parsed(t, fmt.Sprintf(`{"sub":%q,"asset":"/vod/a film/","system":"widevine","kids":"a0010203-0405-0607-0000-000000000000","exp":%d,"license_seconds":28800}`, g.Subject, g.Now.Unix()+300))
	if r.Query["pX"] != "ABC123" || !reflect.DeepEqual(any(claims), want) {
		t.Errorf("%v %v", r.Query, claims)
	}
	bare, err := NewEZDRM("ABC123", nil)
	if err != nil || !reflect.DeepEqual(ask(t, bare, g), Request{Query: map[string]string{"pX": "ABC123"}}) {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := NewEZDRM("a&b", nil); err == nil {
		t.Error("a profile that adds parameters")
	}
}

func TestBuyDRM(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewBuyDRM("20a04a8bb1fea9ec", key)
	if err != nil {
		t.Fatal(err)
	}
	for system, wants := range map[drm.SystemID][]string{
		drm.SystemWidevine: {
			`<WidevinePolicy fl_CanPlay="true" fl_CanPersist="false"><LicenseDuration>28800</LicenseDuration></WidevinePolicy>`,
			`<WidevineContentKeySpec TrackType="UHD1"><SecurityLevel>5</SecurityLevel><RequiredHDCP>HDCP_V2_2</RequiredHDCP></WidevineContentKeySpec>`,
			`<WidevineContentKeySpec TrackType="AUDIO"><SecurityLevel>3</SecurityLevel><RequiredHDCP>HDCP_NONE</RequiredHDCP></WidevineContentKeySpec>`,
		},
		drm.SystemPlayReady: {`<MinimumSecurityLevel>3000</MinimumSecurityLevel>`, `<UncompressedDigitalVideo>300</UncompressedDigitalVideo>`},
		drm.SystemFairPlay:  {`<FairPlayPolicy persistent="false"><HDCPEnforcement>HDCP_TYPE1</HDCPEnforcement></FairPlayPolicy>`},
	} {
		text, err := base64.StdEncoding.DecodeString(ask(t, v, grant(t, system, drm.ClassUHD1, drm.ClassAudio)).Header["Customdata"])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range append(wants, `<ExpirationTime>2027-03-01 12:05:00</ExpirationTime>`, `<RSAPubKeyId>20a04a8bb1fea9ec</RSAPubKeyId>`, `<KeyId>a0010203-0405-0607-0000-000000000000</KeyId>`) {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %s in %s", system.Word(), want, text)
			}
		}
		data := text[bytes.Index(text, []byte("<Data>")) : bytes.Index(text, []byte("</Data>"))+len("</Data>")]
		var document struct {
			Signature []byte `xml:"-"`
			Text      string `xml:"Signature"`
		}
		if err := xml.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		signature, err := base64.StdEncoding.DecodeString(document.Text)
		digest := sha1.Sum(data)
		if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA1, digest[:], signature) != nil {
			t.Errorf("%s: the signature does not fit: %v", system.Word(), err)
		}
	}
}

// TestMistakes are found when the configuration is loaded, and no text of an error holds a secret.
func TestMistakes(t *testing.T) {
	secret := strings.Repeat("planted-", 4)
	general := func(change func(*GeneralConfig)) error {
		config := GeneralConfig{Algorithm: "HS256", Secret: []byte(secret), Header: "X", Claims: `{"a":"{asset}"}`}
		change(&config)
		_, err := NewGeneral(config)
		return err
	}
	for name, err := range map[string]error{
		"axinom, short":       second(NewAxinom("id", []byte(secret)[:31], true)),
		"axinom, no ID":       second(NewAxinom("", []byte(secret), true)),
		"doverunner, short":   second(NewDoveRunner(DoveRunnerConfig{SiteID: "A", SiteKey: secret[1:], AccessKey: secret})),
		"drmtoday, short":     second(NewDRMtoday(DRMtodayConfig{Merchant: "m", Secret: []byte(secret)})),
		"drmtoday, nobody":    second(NewDRMtoday(DRMtodayConfig{Secret: []byte(secret + secret)})),
		"buydrm, no key":      second(NewBuyDRM("id", nil)),
		"widevine, no signer": second(NewWidevineCloud(nil, "")),
		"general, none":       general(func(c *GeneralConfig) { c.Algorithm = "none" }),
		"general, short":      general(func(c *GeneralConfig) { c.Secret = c.Secret[:31] }),
		"general, nowhere":    general(func(c *GeneralConfig) { c.Header = "" }),
		"general, twice":      general(func(c *GeneralConfig) { c.Query = "q" }),
		"general, empty":      general(func(c *GeneralConfig) { c.Claims = "" }),
		"general, no JSON":    general(func(c *GeneralConfig) { c.Claims = "{asset}" }),
		"general, unknown":    general(func(c *GeneralConfig) { c.Claims = `{"a":"{key}"}` }),
		"general, quoted":     general(func(c *GeneralConfig) { c.Claims = `{"a":"{keys}"}` }),
		"general, bare text":  general(func(c *GeneralConfig) { c.Claims = `{"a":{level}}` }),
		"general, format":     general(func(c *GeneralConfig) { c.HMAC, c.Format = true, "base32" }),
	} {
		if err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestBinds: who gives nothing but what the grant lists.
func TestBinds(t *testing.T) {
	if (Generic{}).Binds() || (&EZDRM{}).Binds() || (&General{}).Binds() {
		t.Error("a service that decides itself counts as bound")
	}
	if _, err := (Generic{}).License(nil); !errors.Is(err, licensing.ErrAnswer) {
		t.Errorf("an empty answer: %v", err)
	}
}
