package cpix

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

const (
	kid1 = "01234567-89ab-cdef-0123-456789abcdef"
	kid2 = "11111111-2222-3333-4444-555555555555"
	key1 = "00112233445566778899aabbccddeeff"
	key2 = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pemBlock(t testing.TB, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(readFile(t, name))
	if block == nil {
		t.Fatalf("%s is not PEM", name)
	}
	return block.Bytes
}

func recipientKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(pemBlock(t, "recipient.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

func testCertificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(pemBlock(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func b64hex(text string) string {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func clearKey(kid, key, attributes string) string {
	return `<ContentKey kid="` + kid + `" ` + attributes + `><Data><pskc:Secret><pskc:PlainValue>` + b64hex(key) +
		`</pskc:PlainValue></pskc:Secret></Data></ContentKey>`
}

// wrap puts lists into a document.
func wrap(lists string) string {
	return `<CPIX xmlns="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:speke="urn:aws:amazon:com:speke" ` +
		`contentId="movie-7" version="2.3">` + lists + `</CPIX>`
}

func twoKeys() string {
	return `<ContentKeyList>` + clearKey(kid1, key1, `commonEncryptionScheme="cenc"`) + clearKey(kid2, key2, `commonEncryptionScheme="cenc"`) + `</ContentKeyList>`
}

func mustParse(t testing.TB, text string, options ParseOptions) *Document {
	t.Helper()
	d, err := Parse([]byte(text), options)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestForeignEncryptedDocument reads what testdata/make.py made with other code than ours.
func TestForeignEncryptedDocument(t *testing.T) {
	d := mustParse(t, string(readFile(t, "encrypted.xml")), ParseOptions{PrivateKey: recipientKey(t), RequireEncryption: true})
	secret := d.Keys[0].Content.Secret()
	if d.ContentID != "test-content" || len(d.Keys) != 1 || d.Keys[0].KID.String() != kid1 || hex.EncodeToString(secret[:]) != key1 || d.Keys[0].Scheme != drm.SchemeCbcs {
		t.Errorf("got %+v", d)
	}
	if iv := d.Keys[0].Content.ConstantIV(); iv != keysource.ConstantIV(d.Keys[0].KID) {
		t.Errorf("IV %x", iv)
	}
}

// TestWordsOfCPIX24: the schema of CPIX 2.4 has no @Algorithm at DocumentKey, and the key of the MAC in MACKey.
func TestWordsOfCPIX24(t *testing.T) {
	text := strings.NewReplacer(
		`<DocumentKey Algorithm="http://www.w3.org/2001/04/xmlenc#aes256-cbc">`, "<DocumentKey>", "<Key>", "<p:MACKey>", "</Key>", "</p:MACKey>", `"2.3"`, `"2.4"`,
	).Replace(string(readFile(t, "encrypted.xml")))
	if d := mustParse(t, text, ParseOptions{PrivateKey: recipientKey(t), RequireEncryption: true}); d.Keys[0].Content.IsZero() || strings.Contains(text, "<Key>") {
		t.Errorf("got %+v", d)
	}
	d := full(t)
	b, err := Append(nil, d, AppendOptions{Clear: true})
	if err != nil || !bytes.Contains(b, []byte(`playlist="multiVariant"`)) {
		t.Errorf("%v: %s", err, b)
	}
}

func TestEncryptedDocumentFailsClosed(t *testing.T) {
	text := string(readFile(t, "encrypted.xml"))
	mac := text[strings.Index(text, "<p:ValueMAC>")+12:]
	mac = mac[:strings.Index(mac, "<")]
	value := text[strings.LastIndex(text, "<e:CipherValue>\n")+16:]
	value = strings.TrimSpace(value[:strings.Index(value, "<")])
	flip := func(s string) string { // another digit of base64, in the middle
		i := len(s) / 2
		c := byte('A')
		if s[i] == c {
			c = 'B'
		}
		return s[:i] + string(c) + s[i+1:]
	}
	for name, change := range map[string][2]string{
		"another MAC":           {mac, flip(mac)},
		"another value":         {value, flip(value)},
		"no MAC":                {"<p:ValueMAC>" + mac + "</p:ValueMAC>", ""},
		"a cut MAC":             {mac, base64.StdEncoding.EncodeToString(make([]byte, 32))},
		"no MAC method":         {`MACMethod`, `OtherMethod`},
		"another MAC algorithm": {"hmac-sha512", "hmac-md5"},
		"another cipher":        {`xmlenc#aes256-cbc"/>`, `xmlenc#tripledes-cbc"/>`},
		"another wrapping":      {"rsa-oaep-mgf1p", "rsa-1_5"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.ReplaceAll(text, change[0], change[1])
			if changed == text {
				t.Fatal("nothing changed")
			}
			checkRefused(t, changed, ParseOptions{PrivateKey: recipientKey(t)})
		})
	}
	t.Run("not to us", func(t *testing.T) { checkRefused(t, text, ParseOptions{}) })
	t.Run("clear key where it must be encrypted", func(t *testing.T) {
		checkRefused(t, wrap(twoKeys()), ParseOptions{RequireEncryption: true})
	})
}

func checkRefused(t *testing.T, text string, options ParseOptions) {
	t.Helper()
	d, err := Parse([]byte(text), options)
	if err == nil || d != nil {
		t.Fatalf("accepted: %+v", d)
	}
	var at *FormatError
	if !errors.As(err, &at) && !errors.Is(err, ErrSignature) {
		t.Errorf("%T: %v", err, err)
	}
	checkNoKey(t, err.Error())
}

func checkNoKey(t *testing.T, text string) {
	t.Helper()
	for _, key := range []string{key1, key2} {
		for _, form := range []string{key, strings.ToUpper(key), b64hex(key), strings.TrimRight(b64hex(key), "=")} {
			if strings.Contains(text, form) {
				t.Errorf("a key in %q", text)
			}
		}
	}
}

func TestSignature(t *testing.T) {
	signer, other := testCertificate(t, "signer.pem"), testCertificate(t, "recipient.pem")
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	text := string(readFile(t, "signed.xml"))
	options := ParseOptions{PrivateKey: recipientKey(t), Signers: []*x509.Certificate{signer}, Now: now}
	if d := mustParse(t, text, options); len(d.Keys) != 1 || d.Keys[0].Content.IsZero() {
		t.Errorf("got %+v", d)
	}
	mustParse(t, text, ParseOptions{PrivateKey: recipientKey(t)}) // nobody asked for the signature
	for name, change := range map[string]func() (string, ParseOptions){
		"unsigned": func() (string, ParseOptions) { return string(readFile(t, "encrypted.xml")), options },
		"changed":  func() (string, ParseOptions) { return strings.Replace(text, "cbcs", "cenc", 1), options },
		"changed content": func() (string, ParseOptions) {
			return strings.Replace(text, "test-content", "best-content", 1), options
		},
		"another signer":   func() (string, ParseOptions) { o := options; o.Signers = []*x509.Certificate{other}; return text, o },
		"expired":          func() (string, ParseOptions) { o := options; o.Now = now.AddDate(200, 0, 0); return text, o },
		"no time is known": func() (string, ParseOptions) { o := options; o.Now = time.Time{}; return text, o },
		"weak hash":        func() (string, ParseOptions) { return strings.Replace(text, "rsa-sha512", "rsa-sha1", 1), options },
		"wrapped": func() (string, ParseOptions) { // the signed document inside of another one
			return `<CPIX xmlns="urn:dashif:org:cpix" xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc"><ContentKeyList>` + clearKey(kid2, key2, "") +
				`</ContentKeyList><x>` + text + `</x></CPIX>`, options
		},
		"added": func() (string, ParseOptions) {
			return strings.Replace(text, "</CPIX>", `<DRMSystemList/></CPIX>`, 1), options
		},
	} {
		t.Run(name, func(t *testing.T) { changed, o := change(); checkRefused(t, changed, o) })
	}
}

// full is a document with everything in it.
func full(t testing.TB) *Document {
	t.Helper()
	document := mustParse(t, wrap(twoKeys()), ParseOptions{})
	period := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	document.ID, document.Name, document.Version = "doc", `a "name" & <more>`, version24
	document.Systems = []System{{Signal: keysource.Signal{
		System: drm.SystemCommon, KID: document.Keys[0].KID, Pssh: drm.AppendCommonPssh(nil, document.Keys[0].KID),
		ContentProtection: []byte(`<a xmlns="urn:x">1</a>`), Robustness: "HW_SECURE_ALL", HLSMedia: []byte("#EXT-X-KEY:METHOD=SAMPLE-AES\n"),
		HLSMultivariant: []byte("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES"), HLSKeyURI: "skd://x", PlayReadyHeader: []byte{1, 2, 3},
	}}, {Signal: keysource.Signal{System: drm.SystemWidevine, KID: document.Keys[0].KID}, Wants: []string{WantPssh, WantHLSMultivariant, WantHLSMedia}}}
	document.Periods = []Period{
		{ID: "p1", Index: 7, HasIndex: true}, {ID: "p2", Index: uint32(period.Unix() / 3600), HasIndex: true, Start: period, End: period.Add(time.Hour)},
		{ID: "p3", Index: 2, HasIndex: true, StartOffset: 2 * time.Hour, EndOffset: 3 * time.Hour},
	}
	document.Rules = []Rule{
		{KID: document.Keys[0].KID, TrackType: "SD+HD1", Periods: []string{"p1", "p2"}, Video: []VideoFilter{{0, 500}, {600, 0}}},
		{KID: document.Keys[1].KID, TrackType: "AUDIO", Audio: []AudioFilter{{1, 2}, {0, 0}}},
	}
	for i := range document.Keys {
		document.Keys[i] = NewKey(document.Keys[i].Content, drm.SchemeCbcs)
	}
	return document
}

func TestRoundTrip(t *testing.T) {
	recipient := testCertificate(t, "recipient.pem")
	for name, options := range map[string]AppendOptions{"clear": {Clear: true}, "encrypted": {}} {
		t.Run(name, func(t *testing.T) {
			d := full(t)
			d.Recipients = []*x509.Certificate{testCertificate(t, "signer.pem"), recipient}
			b, err := Append(nil, d, options)
			if err != nil {
				t.Fatal(err)
			}
			if !options.Clear {
				checkNoKey(t, string(b))
			}
			got, err := Parse(b, ParseOptions{PrivateKey: recipientKey(t), RequireEncryption: !options.Clear})
			if err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			if !reflect.DeepEqual(got, d) {
				t.Errorf("got\n%+v\nwant\n%+v\n%s", got, d, b)
			}
		})
	}
}

func TestKeysWithoutRecipientAreLeftOut(t *testing.T) {
	b, err := Append(nil, full(t), AppendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkNoKey(t, string(b))
	if bytes.Contains(b, []byte("Value>")) || !mustParse(t, string(b), ParseOptions{}).Keys[0].Content.IsZero() {
		t.Errorf("a value in %s", b)
	}
}

// TestSPEKE1Answer reads an answer with the elements that SPEKE 1 added to CPIX 2.0, modeled on the public documentation.
func TestSPEKE1Answer(t *testing.T) {
	d := mustParse(t, strings.Replace(wrap(twoKeys()+`<DRMSystemList><DRMSystem kid="`+kid1+`" systemId="94ce86fb-07ff-4f43-adb8-93d2fa968ca2">
		<URIExtXKey>`+base64.StdEncoding.EncodeToString([]byte("skd://movie"))+`</URIExtXKey>
		<speke:KeyFormat>`+base64.StdEncoding.EncodeToString([]byte("com.apple.streamingkeydelivery"))+`</speke:KeyFormat>
		<speke:KeyFormatVersions>1</speke:KeyFormatVersions></DRMSystem></DRMSystemList>`), ` version="2.3"`, "", 1), ParseOptions{})
	s := d.Signals(d.Keys[0].KID)
	if len(s) != 1 || s[0].System != drm.SystemFairPlay || s[0].HLSKeyURI != "skd://movie" || s[0].HLSKeyFormat != "com.apple.streamingkeydelivery" ||
		s[0].HLSKeyFormatVersions != "1" {
		t.Errorf("got %+v", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, test := range refused {
		if len(test.text) < 4096 {
			f.Add([]byte(test.text))
		}
	}
	f.Add(readFile(f, "encrypted.xml"))
	clear, err := Append(nil, full(f), AppendOptions{Clear: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(clear)
	key := recipientKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data, ParseOptions{PrivateKey: key})
		if (err == nil) == (d == nil) {
			t.Fatalf("document %v, error %v", d, err)
		}
		if err != nil {
			checkNoKey(t, err.Error())
			return
		}
		for _, class := range drm.SplitClasses {
			if k, err := d.Select(Question{class, drm.SchemeCenc, 0}); err == nil && k.KID.IsZero() {
				t.Fatal("a key without KID")
			}
		}
		// What was read can be written, and says the same again.
		b, err := Append(nil, d, AppendOptions{Clear: true})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b, ParseOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(again.Keys, d.Keys) {
			t.Fatalf("keys %+v\nbecame %+v", d.Keys, again.Keys)
		}
	})
}
