package speke

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/keysource/cpix"
)

const testSecretText = "test-only deployment secret, never for viewers"

func testSecret(t testing.TB, text string) keysource.Secret {
	t.Helper()
	s, err := keysource.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var testTitle = keysource.Title{Tenant: "one.example", Asset: "/vod/demo/", Scheme: drm.SchemeCbcs}

// recipient is one certificate for all tests.
var recipient = sync.OnceValues(func() (*x509.Certificate, *rsa.PrivateKey) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c, key
})

// wire hands the questions of a client to a server, and lets a test change what passes.
type wire struct {
	server   *Server
	tenant   string
	groups   []string
	sent     keysource.HTTPRequest
	answered keysource.HTTPResponse
	change   func(keysource.HTTPResponse) (keysource.HTTPResponse, error)
}

func (w *wire) Do(_ context.Context, r keysource.HTTPRequest) (keysource.HTTPResponse, error) {
	w.sent = r
	w.answered = w.server.Answer(Question{Tenant: w.tenant, Groups: w.groups, Version: r.Header[headerVersion], Body: r.Body})
	if w.change != nil {
		return w.change(w.answered)
	}
	return w.answered, nil
}

func testServer(t testing.TB, secret string, clear bool) *Server {
	t.Helper()
	s, err := NewServer(ServerConfig{Secret: testSecret(t, secret), AllowClear: clear})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testContract(t testing.TB, video, audio string) Contract {
	t.Helper()
	c, err := ParseContract(video, audio)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testClient(t testing.TB, w *wire, version Version, contract Contract, encrypted bool) *Client {
	t.Helper()
	config := Config{Transport: w, URL: "https://keys.example/speke", Version: version, Contract: contract, Secret: testSecret(t, testSecretText)}
	if encrypted {
		config.Recipient, config.PrivateKey = recipient()
	}
	c, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPeers: what a client gets from a server of the same secret is what that secret derives, in every version, encrypted or not.
func TestPeers(t *testing.T) {
	for _, version := range []Version{V1, V20, V21, CPIX} {
		for _, encrypted := range []bool{false, true} {
			for _, presets := range [][2]string{{Shared, Shared}, {"VIDEO-4", "AUDIO-1"}} {
				t.Run(fmt.Sprintf("%s encrypted=%t %s", version, encrypted, presets[0]), func(t *testing.T) {
					w := &wire{server: testServer(t, testSecretText, !encrypted), tenant: "one.example", groups: []string{"", "movies"}}
					c := testClient(t, w, version, testContract(t, presets[0], presets[1]), encrypted)
					derived, err := keysource.NewDerived(testSecret(t, testSecretText), c.Split())
					if err != nil {
						t.Fatal(err)
					}
					for _, title := range []keysource.Title{
						testTitle,
						{Tenant: "one.example", Asset: "/vod/demo/", Scheme: drm.SchemeCenc},
						{Tenant: "one.example", Group: "movies", Asset: "/live/a&b<c>/", Scheme: drm.SchemeCbcs, Period: 491000, Generation: 3},
					} {
						bundle, err := c.Fetch(context.Background(), title)
						if err != nil {
							t.Fatalf("%v\n%s", err, w.answered.Body)
						}
						for _, class := range keysource.Classes(c.Split()) {
							want, err := derived.ContentKey(context.Background(), keysource.Request{Title: title, Class: class})
							if err != nil {
								t.Fatal(err)
							}
							if bundle.Keys[class] != want {
								t.Errorf("%s: KID %s, want %s", class, bundle.Keys[class].KID(), want.KID())
							}
							secret := want.Secret()
							if clear := bytes.Contains(w.answered.Body, []byte(base64.StdEncoding.EncodeToString(secret[:]))); clear == encrypted {
								t.Errorf("a key in clear: %t", clear)
							}
						}
					}
					if version.is2() != (w.sent.Header[headerVersion] == version.String()) || version.is2() && w.answered.Header[headerVersion] != version.String() {
						t.Errorf("fields %v and %v", w.sent.Header, w.answered.Header)
					}
				})
			}
		}
	}
}

// TestForeignKIDs: whoever asks for a key that is not of his tenant, his content, his groups or this secret gets another one.
func TestForeignKIDs(t *testing.T) {
	derived, err := keysource.NewDerived(testSecret(t, testSecretText), false)
	if err != nil {
		t.Fatal(err)
	}
	victim := testTitle
	want, err := derived.ContentKey(context.Background(), keysource.Request{Title: victim, Class: drm.ClassShared})
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[[drm.KeySize]byte]string)
	for name, q := range map[string]struct {
		tenant, contentID, scheme string
		period                    string
		groups                    []string
	}{
		"another tenant":  {tenant: "two.example", contentID: victim.Asset, scheme: "cbcs"},
		"another content": {tenant: "one.example", contentID: "/vod/other/", scheme: "cbcs"},
		"another scheme":  {tenant: "one.example", contentID: victim.Asset, scheme: "cenc"},
		"another group":   {tenant: "one.example", contentID: victim.Asset, scheme: "cbcs", groups: []string{"movies"}},
	} {
		body := fmt.Sprintf(`<CPIX xmlns="urn:dashif:org:cpix" contentId=%q version="2.3"><ContentKeyList><ContentKey kid="%s" commonEncryptionScheme=%q/></ContentKeyList></CPIX>`,
			q.contentID, want.KID(), q.scheme)
		answer := testServer(t, testSecretText, true).Answer(Question{Tenant: q.tenant, Groups: q.groups, Body: []byte(body)})
		d, err := cpix.Parse(answer.Body, cpix.ParseOptions{})
		if err != nil || answer.Status != 200 {
			t.Fatalf("%s: %d, %v", name, answer.Status, err)
		}
		got := d.Keys[0].Content
		if got.KID() != want.KID() || got.Secret() == want.Secret() || got.ConstantIV() == want.ConstantIV() {
			t.Errorf("%s: the key of a neighbor", name)
		}
		again := testServer(t, testSecretText, true).Answer(Question{Tenant: q.tenant, Groups: q.groups, Body: []byte(body)})
		if !bytes.Equal(again.Body, answer.Body) {
			t.Errorf("%s: another key on another node", name)
		}
		keys[got.Secret()] += q.tenant
	}
	if len(keys) != 2 { // one per tenant that asked
		t.Errorf("keys of %v", keys)
	}
}

// TestForeignQuestion: a document as another packager writes it, modeled on the public documentation of SPEKE 2.0.
func TestForeignQuestion(t *testing.T) {
	body := `<?xml version="1.0" encoding="UTF-8"?>
<cpix:CPIX contentId="abc123" version="2.3" xmlns:cpix="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc">
  <cpix:ContentKeyList>
    <cpix:ContentKey kid="98ee5596-cd3e-a20d-163a-e382420c6eff" commonEncryptionScheme="cbcs"></cpix:ContentKey>
    <cpix:ContentKey kid="53abdba2-f210-43cb-bc90-f18f9a890a02" commonEncryptionScheme="cbcs"/>
  </cpix:ContentKeyList>
  <cpix:DRMSystemList>
    <cpix:DRMSystem kid="98ee5596-cd3e-a20d-163a-e382420c6eff" systemId="1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"><cpix:PSSH></cpix:PSSH></cpix:DRMSystem>
    <cpix:DRMSystem kid="98ee5596-cd3e-a20d-163a-e382420c6eff" systemId="94ce86fb-07ff-4f43-adb8-93d2fa968ca2">
      <cpix:HLSSignalingData playlist="media"></cpix:HLSSignalingData><cpix:HLSSignalingData playlist="master"></cpix:HLSSignalingData>
    </cpix:DRMSystem>
  </cpix:DRMSystemList>
  <cpix:ContentKeyPeriodList><cpix:ContentKeyPeriod id="keyPeriod_e64" index="3"/></cpix:ContentKeyPeriodList>
  <cpix:ContentKeyUsageRuleList>
    <cpix:ContentKeyUsageRule kid="98ee5596-cd3e-a20d-163a-e382420c6eff" intendedTrackType="VIDEO"><cpix:KeyPeriodFilter periodId="keyPeriod_e64"/><cpix:VideoFilter/></cpix:ContentKeyUsageRule>
    <cpix:ContentKeyUsageRule kid="53abdba2-f210-43cb-bc90-f18f9a890a02" intendedTrackType="AUDIO"><cpix:KeyPeriodFilter periodId="keyPeriod_e64"/><cpix:AudioFilter/></cpix:ContentKeyUsageRule>
  </cpix:ContentKeyUsageRuleList>
</cpix:CPIX>`
	answer := testServer(t, testSecretText, true).Answer(Question{Tenant: "one.example", Version: "2.0", Body: []byte(body)})
	if answer.Status != 200 || answer.Header[headerVersion] != "2.0" || answer.Header[headerUserAgent] == "" {
		t.Fatalf("%d %v %s", answer.Status, answer.Header, answer.Body)
	}
	d, err := cpix.Parse(answer.Body, cpix.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Keys) != 2 || d.ContentID != "abc123" || len(d.Rules) != 2 || d.Periods[0].Index != 3 || len(d.Signals(d.Keys[0].KID)) != 1 {
		t.Errorf("got %s", answer.Body)
	}
	video, err := d.Select(cpix.Question{Class: drm.ClassHD, Scheme: drm.SchemeCbcs, Period: 3})
	if err != nil || video.KID.String() != "98ee5596-cd3e-a20d-163a-e382420c6eff" || video.Content.IsZero() {
		t.Errorf("%v, %v", video.KID, err)
	}
}

func TestServerRefuses(t *testing.T) {
	const key = `<ContentKeyList><ContentKey kid="98ee5596-cd3e-a20d-163a-e382420c6eff" commonEncryptionScheme="cbcs"/></ContentKeyList>`
	const rule = `<ContentKeyUsageRuleList><ContentKeyUsageRule kid="98ee5596-cd3e-a20d-163a-e382420c6eff" intendedTrackType="ALL"/></ContentKeyUsageRuleList>`
	document := func(attributes, lists string) string {
		return `<CPIX xmlns="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc" ` + attributes + `>` + lists + `</CPIX>`
	}
	for name, test := range map[string]struct {
		version, body string
		status        int
	}{
		"no document":        {"2.0", "", 400},
		"document type":      {"2.0", `<!DOCTYPE CPIX SYSTEM "file:///etc/passwd"><CPIX/>`, 400},
		"deep":               {"", strings.Repeat("<a>", 1000), 400},
		"SPEKE version":      {"3.0", document(`contentId="a" version="2.3"`, key+rule), 422},
		"no contentId":       {"2.0", document(`version="2.3"`, key+rule), 422},
		"no version":         {"2.0", document(`contentId="a"`, key+rule), 422},
		"CPIX version":       {"2.0", document(`contentId="a" version="2.4"`, key+rule), 422},
		"no scheme":          {"2.0", document(`contentId="a" version="2.3"`, strings.Replace(key, "commonEncryptionScheme", "x", 1)+rule), 422},
		"no rules":           {"2.0", document(`contentId="a" version="2.3"`, key), 422},
		"no track type":      {"2.0", document(`contentId="a" version="2.3"`, key+strings.Replace(rule, "intendedTrackType", "x", 1)), 422},
		"unsupported filter": {"2.0", document(`contentId="a" version="2.3"`, key+strings.Replace(rule, "/>", "><BitrateFilter/></ContentKeyUsageRule>", 1)), 422},
		"no keys":            {"2.0", document(`contentId="a" version="2.3"`, ""), 422},
		"a value":            {"", document(`contentId="a"`, strings.Replace(key, "/>", "><Data><pskc:Secret><pskc:PlainValue>AAECAwQFBgcICQoLDA0ODw==</pskc:PlainValue></pskc:Secret></Data></ContentKey>", 1)), 400},
		"many keys":          {"", document(`contentId="a"`, manyKeys(65)), 422},
		"clear":              {"", document(`contentId="a"`, key), 422},
	} {
		t.Run(name, func(t *testing.T) {
			answer := testServer(t, testSecretText, name != "clear").Answer(Question{Tenant: "one.example", Version: test.version, Body: []byte(test.body)})
			if answer.Status != test.status || strings.Contains(string(answer.Body), "<") {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
			if answer.Header[headerVersion] == "3.0" {
				t.Error("the caller's text came back in a field")
			}
		})
	}
	if answer := testServer(t, testSecretText, true).Answer(Question{Body: []byte(document(`contentId="a"`, key))}); answer.Status != 403 {
		t.Errorf("no tenant: %d", answer.Status)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<ContentKey kid="%032x" commonEncryptionScheme="cenc"/>`, i+1)
	}
	return `<ContentKeyList>` + b.String() + `</ContentKeyList>`
}

// TestReplacedKID: servers of SPEKE 1 may answer under another KID, which is taken only where that is configured.
func TestReplacedKID(t *testing.T) {
	const other = "98ee5596-cd3e-a20d-163a-e382420c6eff"
	w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
	w.change = func(r keysource.HTTPResponse) (keysource.HTTPResponse, error) {
		d, err := cpix.Parse(r.Body, cpix.ParseOptions{})
		if err != nil {
			return r, err
		}
		r.Body = bytes.ReplaceAll(r.Body, []byte(d.Keys[0].KID.String()), []byte(other))
		return r, nil
	}
	c := testClient(t, w, V1, testContract(t, Shared, Shared), false)
	if _, err := c.Fetch(context.Background(), testTitle); err == nil {
		t.Error("another KID was taken")
	}
	c.config.AcceptKIDs = true
	bundle, err := c.Fetch(context.Background(), testTitle)
	if err != nil || bundle.Keys[drm.ClassShared].KID().String() != other {
		t.Errorf("%v, %v", bundle.Keys, err)
	}
}

// TestQuestions: what is asked of the DRM systems depends on the scheme.
func TestQuestions(t *testing.T) {
	w := &wire{server: testServer(t, testSecretText, true), tenant: "one.example"}
	for _, test := range []struct {
		version Version
		scheme  drm.ProtectionScheme
		systems int
	}{{V20, drm.SchemeCenc, 2}, {V20, drm.SchemeCbcs, 3}, {V21, drm.SchemeAES128, 1}, {V1, drm.SchemeAES128, 1}} {
		title := testTitle
		title.Scheme = test.scheme
		if _, err := testClient(t, w, test.version, testContract(t, Shared, Shared), false).Fetch(context.Background(), title); err != nil {
			t.Fatal(err)
		}
		d, err := cpix.Parse(w.sent.Body, cpix.ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Systems) != test.systems || !d.Keys[0].Content.IsZero() || len(d.Systems[0].Wants) == 0 {
			t.Errorf("%s %s: %s", test.version, test.scheme, w.sent.Body)
		}
	}
	title := testTitle
	title.Scheme = drm.SchemeAES128
	if _, err := testClient(t, w, V20, testContract(t, Shared, Shared), false).Fetch(context.Background(), title); !errors.Is(err, keysource.ErrUnknownKey) {
		t.Error(err)
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	c := testClient(t, &wire{}, V20, testContract(t, Shared, Shared), true)
	_, key := recipient()
	d := hex.EncodeToString(key.D.Bytes())[:16]
	for _, v := range []any{c, testServer(t, testSecretText, true)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, d) || len(text) > 64 {
				t.Errorf("%s prints %.200s", verb, text)
			}
		}
	}
}

func FuzzServer(f *testing.F) {
	w := &wire{server: testServer(f, testSecretText, true), tenant: "one.example"}
	for _, version := range []Version{V1, V20, V21} {
		if _, err := testClient(f, w, version, testContract(f, "VIDEO-4", "AUDIO-1"), version == V21).Fetch(context.Background(), testTitle); err != nil {
			f.Fatal(err)
		}
		f.Add(w.sent.Body, version.String())
	}
	f.Fuzz(func(t *testing.T, data []byte, version string) {
		answer := w.server.Answer(Question{Tenant: "one.example", Version: version, Body: data})
		if answer.Status != 200 && answer.Status != 400 && answer.Status != 422 {
			t.Fatalf("status %d", answer.Status)
		}
	})
}

// TestRecipientFromPEM: certificate and private key have to belong together.
func TestRecipientFromPEM(t *testing.T) {
	b, err := os.ReadFile("../cpix/testdata/recipient.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	_, key := recipient()
	if _, err := NewClient(Config{Contract: testContract(t, Shared, Shared), Secret: testSecret(t, testSecretText), Recipient: c, PrivateKey: key}); err == nil {
		t.Error("the private key of another certificate was accepted")
	}
}
