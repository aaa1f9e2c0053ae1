package vendor

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

type testSigner struct{}

func (testSigner) Name() string                  { return "provider" }
func (testSigner) Sign(b []byte) ([]byte, error) { sum := sha1.Sum(b); return sum[:], nil }

func TestWidevineCloud(t *testing.T) {
	v, err := NewWidevineCloud(testSigner{}, "")
	if err != nil {
		t.Fatal(err)
	}
	g := grant(t, drm.SystemWidevine, drm.ClassAudio, drm.ClassSD)
	r := ask(t, v, g)
	var outer struct {
		Request, Signature []byte
		Signer             string
	}
	if err := json.Unmarshal(r.Body, &outer); err != nil || r.ContentType != "application/json" || outer.Signer != "provider" {
		t.Fatalf("%s, %v", r.Body, err)
	}
	if sum := sha1.Sum(outer.Request); !bytes.Equal(sum[:], outer.Signature) {
		t.Error("the signature is of other bytes than those that are sent")
	}
	b64 := base64.StdEncoding.EncodeToString
	key := func(i int) string {
		kid, secret := g.Keys[i].Key.KID(), g.Keys[i].Key.Secret()
		return `"key":"` + b64(secret[:]) + `","key_id":"` + b64(kid[:]) + `"`
	}
	want := `{"payload":"` + b64([]byte("challenge")) + `","content_id":"` + b64([]byte("vod/a film")) + `","provider":"provider","allowed_track_types":"SD_ONLY","content_key_specs":[
		{"track_type":"AUDIO","security_level":3,"required_output_protection":{"hdcp":"HDCP_NONE"},` + key(0) + `},
		{"track_type":"SD","security_level":1,"required_output_protection":{"hdcp":"HDCP_V2_2"},` + key(1) + `}],"use_policy_overrides_exclusively":true,
		"policy_overrides":{"can_play":true,"can_persist":false,"can_renew":true,"license_duration_seconds":28800,"renewal_delay_seconds":3600}}`
	if !reflect.DeepEqual(parsed(t, string(outer.Request)), parsed(t, want)) {
		t.Errorf("request %s", outer.Request)
	}
	if license, err := v.License([]byte(`{"status":"OK","license":"bGljZW5zZQ=="}`)); err != nil || string(license) != "license" {
		t.Errorf("%q, %v", license, err)
	}
	for _, answer := range []string{"", "{}", `{"status":"SIGNED_MESSAGE_PARSE_ERROR"}`, `{"status":"OK"}`, `{"status":"DENIED","license":"bGljZW5zZQ=="}`} {
		if _, err := v.License([]byte(answer)); !errors.Is(err, licensing.ErrAnswer) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestPlayReadyTestServer(t *testing.T) {
	g := grant(t, drm.SystemPlayReady, drm.ClassShared)
	r := ask(t, PlayReadyTest{}, g)
	values, err := url.ParseQuery(r.RawQuery)
	guid, _ := hex.DecodeString("030201a0050407060000000000000000")
	secret := g.Keys[0].Key.Secret()
	want := "(kid:" + base64.StdEncoding.EncodeToString(guid) + ",contentkey:" + base64.StdEncoding.EncodeToString(secret[:]) + ",sl:3000,persist:false,firstexp:28800)"
	if err != nil || values.Get("cfg") != want {
		t.Errorf("%v, %v", values, err)
	}
}

func TestGeneral(t *testing.T) {
	secret := []byte(strings.Repeat("s", 48))
	g := grant(t, drm.SystemPlayReady, drm.ClassHD, drm.ClassAudio)
	g.Asset = `/vod/a","admin":true,"b":"/`
	v, err := NewGeneral(GeneralConfig{
		Algorithm: "HS384", Secret: secret, Header: "X-License-Token", Prefix: "Bearer ",
		Claims: `{"sub":"{subject}","asset":"{asset}","exp":{expires},"drm":{"system":"{system}","level":"{level}","hdcp":"{hdcp}","persistent":{persistent},"kids":"{kids}","seconds":{license_seconds}}}`,
	})
	if err != nil || !v.Binds() {
		t.Fatal(err)
	}
	token, ok := strings.CutPrefix(ask(t, v, g).Header["X-License-Token"], "Bearer ")
	header, claims := verified(t, token, sha512.New384, secret)
	want := parsed(t, fmt.Sprintf(`{"sub":%q,"asset":%q,"exp":%d,"drm":{"system":"playready","level":"high","hdcp":"2.2","persistent":false,"kids":"a0010203-0405-0607-0000-000000000000,a0010203-0405-0607-0000-000000000001","seconds":28800}}`,
		g.Subject, g.Asset, g.Now.Unix()+300))
	if !ok || header["alg"] != "HS384" || !reflect.DeepEqual(any(claims), want) {
		t.Errorf("%v %v", header, claims)
	}
	g.Ends = g.Now.Add(90 * time.Second)
	if token := strings.TrimPrefix(ask(t, v, g).Header["X-License-Token"], "Bearer "); !strings.Contains(string(claimsOf(t, token)), fmt.Sprint(g.Now.Unix()+90)) {
		t.Error("the token outlives the admission")
	}
	v, err = NewGeneral(GeneralConfig{Algorithm: "HS256", Secret: secret, Query: "auth", HMAC: true, Claims: "asset={asset}~exp={expires}~kids={kids}"})
	if err != nil {
		t.Fatal(err)
	}
	g.Asset = "/vod/a~exp=9/"
	text, sum, _ := strings.Cut(ask(t, v, g).Query["auth"], "~hmac=")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	if sum != hex.EncodeToString(mac.Sum(nil)) || !strings.HasPrefix(text, fmt.Sprintf("asset=/vod/a%%7Eexp%%3D9/~exp=%d~kids=a0010203-", g.Now.Unix()+90)) {
		t.Errorf("text %s", text)
	}
}

func claimsOf(t *testing.T, token string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}
