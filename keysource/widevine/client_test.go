package widevine

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// The signing key of Widevine's public test account.
const (
	testSigningKey = "1ae8ccd0e7985cc0b6203a55855a1034afc252980e970ca90e5202689f947ab9"
	testSigningIV  = "d58ce954203b7c9a9a9d467f59839249"
)

func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func testSigner(t *testing.T) *Signer {
	t.Helper()
	s, err := NewAESSigner("widevine_test", unhex(testSigningKey), unhex(testSigningIV))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAESSignature compares with openssl dgst -sha1 -binary | openssl enc -aes-256-cbc.
func TestAESSignature(t *testing.T) {
	got, err := testSigner(t).signature([]byte(`{"content_id":"dGVzdA=="}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "oD6fj1Zn/neCahTON3fLi0LflubzoEAjldGBTf/5LH4="; base64.StdEncoding.EncodeToString(got) != want {
		t.Errorf("signature %x, want %s", got, want)
	}
}

func TestRSASignature(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewRSASigner("test", key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.signature([]byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha1.Sum([]byte("message"))
	if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA1, digest[:], got, &rsa.PSSOptions{SaltLength: 20}); err != nil {
		t.Error(err)
	}
}

// server answers with what a test says, and keeps the inner request.
type server struct {
	status int
	body   string // of the inner response
	err    error
	asked  map[string]any
	sent   keysource.HTTPRequest
}

func (s *server) Do(_ context.Context, r keysource.HTTPRequest) (keysource.HTTPResponse, error) {
	s.sent = r
	var outer envelope
	if err := json.Unmarshal(r.Body, &outer); err != nil {
		return keysource.HTTPResponse{}, err
	}
	s.asked = nil
	if err := json.Unmarshal(outer.Request, &s.asked); err != nil {
		return keysource.HTTPResponse{}, err
	}
	if s.status == 0 {
		s.status = 200
	}
	body, _ := json.Marshal(map[string][]byte{"response": []byte(s.body)})
	return keysource.HTTPResponse{Status: s.status, Body: body}, s.err
}

func b64(text string) string { return base64.StdEncoding.EncodeToString(unhex(text)) }

// trackJSON is one track of an answer; n tells the tracks apart.
func trackJSON(class string, n int, more string) string {
	kid, key := fmt.Sprintf("%032x", 0x100+n), fmt.Sprintf("%032x", 0xa00+n)
	return fmt.Sprintf(`{"type":%q,"key_id":%q,"key":%q%s}`, class, b64(kid), b64(key), more)
}

func okAnswer(more string) string {
	var tracks []string
	for i, class := range drm.SplitClasses {
		tracks = append(tracks, trackJSON(class.String(), i, more))
	}
	return `{"status":"OK","tracks":[` + strings.Join(tracks, ",") + `],"already_used":false}`
}

func testClient(t *testing.T, s *server, change func(*Config)) *Client {
	t.Helper()
	id, err := keysource.ParseTemplate(DefaultContentID)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Transport: s, URL: "https://keys.example/cenc/getcontentkey/widevine_test", Signer: testSigner(t), ContentID: id}
	if change != nil {
		change(&config)
	}
	c, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var testTitle = keysource.Title{Tenant: "one", Asset: "/vod/demo/", Scheme: drm.SchemeCbcs, Generation: 2}

func TestFetch(t *testing.T) {
	pssh := base64.StdEncoding.EncodeToString([]byte("data of the box"))
	s := &server{body: okAnswer(`,"pssh":[{"drm_type":"WIDEVINE","data":"` + pssh + `"},{"drm_type":"OTHER","data":"AAAA"}]`)}
	bundle, err := testClient(t, s, nil).Fetch(context.Background(), testTitle)
	if err != nil {
		t.Fatal(err)
	}
	for i, class := range drm.SplitClasses {
		k := bundle.Keys[class]
		secret := k.Secret()
		if k.KID().Hex() != fmt.Sprintf("%032x", 0x100+i) || hex.EncodeToString(secret[:]) != fmt.Sprintf("%032x", 0xa00+i) {
			t.Errorf("%s: KID %s", class, k.KID())
		}
	}
	if len(bundle.Signals) != 5 || !keysource.IsPsshOf(bundle.Signals[0].Pssh, drm.SystemWidevine) || !strings.HasSuffix(string(bundle.Signals[0].Pssh), "data of the box") {
		t.Errorf("signals %+v", bundle.Signals)
	}
	id, _ := base64.StdEncoding.DecodeString(s.asked["content_id"].(string))
	if string(id) != "/vod/demo/:cbcs:2" || s.asked["protection_scheme"] != "CBCS" || s.asked["first_crypto_period_index"] != nil {
		t.Errorf("asked %v", s.asked)
	}
	if s.sent.Method != http.MethodPost || s.sent.Header["Content-Type"] != "application/json" {
		t.Errorf("sent %+v", s.sent)
	}
}

func TestFetchPeriods(t *testing.T) {
	s := &server{body: `{"status":"OK","tracks":[` + trackJSON("SD", 1, `,"crypto_period_index":7`) + `,` + trackJSON("SD", 2, `,"crypto_period_index":8`) + `]}`}
	title := testTitle
	title.Period = 8
	c := testClient(t, s, func(c *Config) { c.CryptoPeriod = time.Hour })
	bundle, err := c.Fetch(context.Background(), title)
	if err != nil || bundle.Keys[drm.ClassSD].KID().Hex() != fmt.Sprintf("%032x", 0x102) {
		t.Fatalf("%v, %v", bundle.Keys, err)
	}
	if s.asked["first_crypto_period_index"] != 8.0 || s.asked["crypto_period_count"] != 1.0 || s.asked["crypto_period_seconds"] != 3600.0 {
		t.Errorf("asked %v", s.asked)
	}
	title.Period = 9
	if _, err := c.Fetch(context.Background(), title); err == nil {
		t.Error("the key of another period was taken")
	}
}

func TestFetchFails(t *testing.T) {
	type fails struct {
		server *server
		is     error // or nil
	}
	for name, test := range map[string]fails{
		"timeout":          {&server{err: errors.New("timeout")}, keysource.ErrTemporary},
		"500":              {&server{status: 500}, keysource.ErrTemporary},
		"403":              {&server{status: 403}, keysource.ErrUnavailable},
		"404":              {&server{status: 404}, keysource.ErrUnknownKey},
		"redirect":         {&server{status: 302}, keysource.ErrUnavailable},
		"unknown asset":    {&server{body: `{"status":"ASSET_NOT_FOUND"}`}, keysource.ErrUnknownKey},
		"internal error":   {&server{body: `{"status":"INTERNAL_ERROR"}`}, keysource.ErrTemporary},
		"signature":        {&server{body: `{"status":"SIGNATURE_FAILED"}`}, keysource.ErrUnavailable},
		"made-up status":   {&server{body: `{"status":"a0b0c0d0a0b0c0d0a0b0c0d0a0b0c0d0"}`}, keysource.ErrUnavailable},
		"no JSON":          {&server{body: `<html>`}, nil},
		"empty list":       {&server{body: `{"status":"OK","tracks":[]}`}, nil},
		"another content":  {&server{body: strings.Replace(okAnswer(""), `"tracks"`, `"content_id":"AAAA","tracks"`, 1)}, nil},
		"track twice":      {&server{body: `{"status":"OK","tracks":[` + trackJSON("SD", 1, "") + `,` + trackJSON("SD", 2, "") + `]}`}, nil},
		"unknown type":     {&server{body: `{"status":"OK","tracks":[` + trackJSON("HDR", 1, "") + `]}`}, nil},
		"15-byte key":      {&server{body: `{"status":"OK","tracks":[{"type":"SD","key_id":"` + b64(testSigningIV) + `","key":"` + b64(testSigningIV[2:]) + `"}]}`}, nil},
		"zero key":         {&server{body: `{"status":"OK","tracks":[{"type":"SD","key_id":"` + b64(testSigningIV) + `","key":"AAAAAAAAAAAAAAAAAAAAAA=="}]}`}, nil},
		"no KID":           {&server{body: `{"status":"OK","tracks":[{"type":"SD","key":"` + b64(testSigningIV) + `"}]}`}, nil},
		"8-byte IV (cbcs)": {&server{body: okAnswer(`,"iv":"AAAAAAAAAAE="`)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bundle, err := testClient(t, test.server, nil).Fetch(context.Background(), testTitle)
			if err == nil || test.is != nil && !errors.Is(err, test.is) || bundle.Keys != nil {
				t.Fatalf("keys %v, error %v", bundle.Keys, err)
			}
			for _, secret := range []string{"a0b0c0d0", "a00", b64(testSigningIV), testSigningIV[:8], "keys.example"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q in %q", secret, err)
				}
			}
		})
	}
	if _, err := testClient(t, &server{}, nil).Fetch(context.Background(), keysource.Title{Tenant: "t", Asset: "a", Scheme: drm.SchemeAES128}); !errors.Is(err, keysource.ErrUnknownKey) {
		t.Errorf("aes-128: %v", err)
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, id := range []string{"{asset}", "{asset}:{scheme}", "{scheme}{generation}", ""} {
		template, err := keysource.ParseTemplate(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewClient(Config{Signer: testSigner(t), ContentID: template}); err == nil {
			t.Errorf("content ID %q accepted", id)
		}
	}
	if _, err := NewAESSigner("x", make([]byte, 16), make([]byte, 16)); err == nil {
		t.Error("a short signing key accepted")
	}
	if text := fmt.Sprintf("%v %+v %#v", testSigner(t), testClient(t, &server{}, nil), testSigner(t)); strings.Contains(text, "26") {
		t.Errorf("prints %s", text)
	}
}

func FuzzRead(f *testing.F) {
	for _, inner := range []string{okAnswer(""), okAnswer(`,"iv":"AAAA"`), `{"status":"OK"}`, `{}`} {
		body, _ := json.Marshal(map[string][]byte{"response": []byte(inner)})
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := read(data, request{}, testTitle)
		if err == nil && len(bundle.Keys) == 0 {
			t.Fatal("no key and no error")
		}
	})
}
