package licensing_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
)

var (
	kidA = drm.KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	kidB = drm.KID{0: 0xb0, 15: 1}
)

// wire writes fields of a protocol buffer: a number and a value that is a number or bytes.
func wire(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		number := uint64(fields[i].(int))
		switch value := fields[i+1].(type) {
		case int:
			b = binary.AppendUvarint(binary.AppendUvarint(b, number<<3), uint64(value))
		case []byte:
			b = binary.AppendUvarint(binary.AppendUvarint(b, number<<3|2), uint64(len(value)))
			b = append(b, value...)
		}
	}
	return b
}

func widevineInit(kids ...drm.KID) []byte {
	return drm.AppendWidevineInit(nil, drm.WidevineInit{KIDs: kids, Scheme: drm.SchemeCenc})
}

// widevineChallenge is SignedMessage{LICENSE_REQUEST, LicenseRequest{client, content, kind}, signature}.
func widevineChallenge(content []byte, kind int) []byte {
	return wire(1, 1, 2, wire(1, []byte("client"), 2, content, 3, kind, 4, 1700000000), 3, []byte("signature"))
}

func TestWidevineChallenge(t *testing.T) {
	boxed := drm.AppendWidevinePssh(nil, drm.WidevineInit{KIDs: []drm.KID{kidA}, Scheme: drm.SchemeCenc})
	withContent := drm.AppendWidevineInit(nil, drm.WidevineInit{KIDs: []drm.KID{kidA}, ContentID: []byte("premium")})
	for name, test := range map[string]struct {
		body       []byte
		purpose    licensing.Purpose
		kids       []drm.KID
		persistent bool
		unread     bool
	}{
		"certificate":           {[]byte{8, 4}, licensing.PurposeCertificate, nil, false, false},
		"one key":               {widevineChallenge(wire(1, wire(1, widevineInit(kidA), 2, 1)), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, false},
		"two in one":            {widevineChallenge(wire(1, wire(1, widevineInit(kidA, kidB))), 1), licensing.PurposeLicense, []drm.KID{kidA, kidB}, false, false},
		"two boxes":             {widevineChallenge(wire(1, wire(1, widevineInit(kidA), 1, widevineInit(kidB), 1, widevineInit(kidA))), 1), licensing.PurposeLicense, []drm.KID{kidA, kidB}, false, false},
		"offline":               {widevineChallenge(wire(1, wire(1, widevineInit(kidA), 2, 2)), 1), licensing.PurposeLicense, []drm.KID{kidA}, true, false},
		"init data":             {widevineChallenge(wire(4, wire(1, 1, 2, boxed, 3, 1)), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, false},
		"WebM":                  {widevineChallenge(wire(2, wire(1, kidA[:])), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, false},
		"renewal":               {widevineChallenge(wire(3, wire(1, wire(1, []byte("id")))), 2), licensing.PurposeRenewal, nil, false, false},
		"release":               {widevineChallenge(wire(3, wire(1, wire(1, []byte("id")))), 3), licensing.PurposeRelease, nil, false, false},
		"renewal of nothing":    {widevineChallenge(nil, 2), licensing.PurposeRenewal, nil, false, true},
		"release of nothing":    {widevineChallenge(wire(1, wire(1, []byte{})), 3), licensing.PurposeRelease, nil, false, true},
		"renewal by key":        {widevineChallenge(wire(1, wire(1, widevineInit(kidA), 2, 2)), 2), licensing.PurposeRenewal, []drm.KID{kidA}, true, false},
		"a new one by license":  {widevineChallenge(wire(3, wire(1, wire(1, []byte("id")))), 1), licensing.PurposeLicense, nil, false, true},
		"nothing named":         {widevineChallenge(wire(1, wire(1, []byte{})), 1), licensing.PurposeLicense, nil, false, true},
		"content by name":       {widevineChallenge(wire(1, wire(1, withContent)), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, true},
		"a policy by name":      {widevineChallenge(wire(1, wire(1, wire(2, kidA[:], 6, []byte("lax")))), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, true},
		"a group of keys":       {widevineChallenge(wire(1, wire(1, wire(2, kidA[:], 13, []byte("group")))), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, true},
		"one named and one not": {widevineChallenge(wire(1, wire(1, widevineInit(kidA), 1, []byte{})), 1), licensing.PurposeLicense, []drm.KID{kidA}, false, true},
		"no content":            {wire(1, 1, 2, wire(1, []byte("client"))), licensing.PurposeLicense, nil, false, true},
		"content of the future": {widevineChallenge(wire(9, []byte("x")), 1), licensing.PurposeLicense, nil, false, true},
	} {
		c, err := licensing.ParseWidevineChallenge(test.body)
		if err != nil || c.Purpose != test.purpose || !slices.Equal(c.KIDs, test.kids) || c.Persistent != test.persistent || c.Unread != test.unread || !bytes.Equal(c.Body, test.body) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestWidevineLicenseOnDevice: what a renewal says of the license that it is for.
func TestWidevineLicenseOnDevice(t *testing.T) {
	id := func(kind int) []byte { return wire(1, []byte("request"), 2, []byte("session"), 4, kind, 5, 0) }
	for name, test := range map[string]struct {
		existing []byte
		streams  bool
	}{
		"streaming": {wire(1, id(1), 2, 3600), true}, "offline": {wire(1, id(2), 2, 3600), false}, "automatic": {wire(1, id(3)), false},
		"of no kind": {wire(1, wire(1, []byte("request"))), false}, "no license": {nil, false},
		"in bytes": {wire(1, wire(4, []byte{1})), false},
	} {
		c, err := licensing.ParseWidevineChallenge(widevineChallenge(wire(3, test.existing), 2))
		if err != nil || c.Streams != test.streams || c.Persistent || c.Unread || c.Purpose != licensing.PurposeRenewal {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// TestWidevineRefuses what is no request, and what two readers could understand differently.
func TestWidevineRefuses(t *testing.T) {
	content := wire(1, wire(1, widevineInit(kidA)))
	many := make([]byte, 0, 300*18)
	for i := range 300 {
		kid := drm.KID{1: byte(i), 2: byte(i >> 8)}
		many = append(many, wire(2, kid[:])...)
	}
	license := wire(1, []byte("request"), 2, []byte("session"))
	renewal := func(existing []byte) []byte { return widevineChallenge(wire(3, existing), 2) }
	for name, body := range map[string][]byte{
		"two licenses":           renewal(append(wire(1, license), wire(1, wire(1, []byte("request")))...)),
		"a request twice":        renewal(wire(1, append(bytes.Clone(license), wire(1, []byte("request"))...))),
		"a session twice":        renewal(wire(1, append(bytes.Clone(license), wire(2, []byte("session"))...))),
		"two kinds of license":   renewal(wire(1, append(bytes.Clone(license), wire(4, 1, 4, 2)...))),
		"a license with a group": renewal(wire(1, append(bytes.Clone(license), 0x4b, 0x4c))), // others may skip it, and read the rest
		"a license as text":      renewal(wire(1, []byte("id"))),
		"nothing":                nil,
		"text":                   []byte("hello"),
		"a license":              wire(1, 2, 2, []byte{}),
		"no message":             wire(1, 1),
		"a certificate and more": append([]byte{8, 4}, wire(2, wire(2, content))...),
		"two messages":           append(widevineChallenge(content, 1), wire(2, wire(2, content))...),
		"two kinds of content":   widevineChallenge(append(bytes.Clone(content), wire(3, wire(1, []byte("id")))...), 1),
		"content twice":          wire(1, 1, 2, wire(2, content, 2, content)),
		"type twice":             append(wire(1, 1), widevineChallenge(content, 1)...),
		"unknown type":           widevineChallenge(content, 4),
		"cut":                    widevineChallenge(content, 1)[:20],
		"a short key ID":         widevineChallenge(wire(1, wire(1, wire(2, []byte("short")))), 1),
		"a length of 2^63":       {0x08, 1, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"300 keys":               widevineChallenge(wire(1, wire(1, many)), 1),
		"a field numbered 0":     {0, 0},
		"groups":                 {0x0b, 0x0c},
	} {
		if c, err := licensing.ParseWidevineChallenge(body); !errors.Is(err, licensing.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// playReadyKID is kidA as PlayReady writes it.
var playReadyKID = base64.StdEncoding.EncodeToString([]byte{0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef})

func soap(action, header string) string {
	return `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><` + action +
		` xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols"><challenge><Challenge xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols/messages"><LA Id="SignedData"><ContentHeader>` +
		header + `</ContentHeader></LA></Challenge></challenge></` + action + `></soap:Body></soap:Envelope>`
}

func header40(kid string) string {
	return `<WRMHEADER xmlns="http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader" version="4.0.0.0"><DATA><KID>` + kid + `</KID></DATA></WRMHEADER>`
}

func wrapped(message string) []byte {
	text := `<PlayReadyKeyMessage type="LicenseAcquisition"><LicenseAcquisition Version="1"><Challenge encoding="base64encoded">` +
		base64.StdEncoding.EncodeToString([]byte(message)) + `</Challenge><HttpHeaders><HttpHeader><name>Content-Type</name><value>text/html</value></HttpHeader></HttpHeaders></LicenseAcquisition></PlayReadyKeyMessage>`
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func TestPlayReadyChallenge(t *testing.T) {
	plain := soap("AcquireLicense", header40(playReadyKID))
	later := soap("AcquireLicense", `<WRMHEADER version="4.3.0.0"><DATA><PROTECTINFO><KIDS><KID ALGID="AESCBC" VALUE="`+playReadyKID+`"></KID><KID ALGID="AESCBC" VALUE="AAAAAAAAAAAAAAAAAAAAAA=="/></KIDS></PROTECTINFO></DATA></WRMHEADER>`)
	for name, test := range map[string]struct {
		body   []byte
		sent   string
		kids   []drm.KID
		action string
		unread bool
	}{
		"plain":          {[]byte(plain), plain, []drm.KID{kidA}, "AcquireLicense", false},
		"wrapped":        {wrapped(plain), plain, []drm.KID{kidA}, "AcquireLicense", false},
		"with a mark":    {append([]byte{0xff, 0xfe}, wrapped(plain)...), plain, []drm.KID{kidA}, "AcquireLicense", false},
		"several keys":   {[]byte(later), later, []drm.KID{kidA, {}}, "AcquireLicense", false},
		"no key":         {[]byte(soap("AcquireLicense", "")), soap("AcquireLicense", ""), nil, "AcquireLicense", true},
		"acknowledgment": {[]byte(soap("AcknowledgeLicense", "")), soap("AcknowledgeLicense", ""), nil, "AcknowledgeLicense", false},
	} {
		c, err := licensing.ParsePlayReadyChallenge(test.body)
		if err != nil || string(c.Body) != test.sent || !slices.Equal(c.KIDs, test.kids) || c.Unread != test.unread ||
			licensing.PlayReadyAction(c) != `"http://schemas.microsoft.com/DRM/2007/03/protocols/`+test.action+`"` {
			t.Errorf("%s: %v %v %s, %v", name, c.KIDs, c.Unread, c.Body, err)
		}
	}
}

func TestPlayReadyRefuses(t *testing.T) {
	plain := soap("AcquireLicense", header40(playReadyKID))
	for name, body := range map[string]string{
		"nothing":           "",
		"HTML":              "<html><body><AcquireLicense/></body></html>",
		"another request":   soap("JoinDomain", header40(playReadyKID)),
		"two requests":      strings.Replace(plain, "</soap:Body>", "<AcquireLicense/></soap:Body>", 1),
		"a document type":   `<!DOCTYPE x [<!ENTITY k "` + playReadyKID + `">]>` + plain,
		"another encoding":  strings.Replace(plain, "utf-8", "utf-7", 1),
		"a KID of 5 bytes":  soap("AcquireLicense", header40("AAAAAAA=")),
		"deep":              strings.Repeat("<a>", 1000),
		"cut":               plain[:len(plain)/2],
		"odd UTF-16":        "<\x00a",
		"nothing wrapped":   string(wrapped("")),
		"HTML, wrapped":     string(wrapped("<html/>")),
		"wrapped in itself": string(wrapped(string(wrapped(plain)))),
	} {
		if c, err := licensing.ParsePlayReadyChallenge([]byte(body)); !errors.Is(err, licensing.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// spc is a server playback context by its frame.
func spc(payload int) []byte {
	b := make([]byte, 176+payload)
	b[3] = 1
	binary.BigEndian.PutUint32(b[172:], uint32(payload))
	for i := range payload {
		b[176+i] = byte(i*7 + 0xfb) // base64 of it has plus signs and slashes
	}
	return b
}

func TestFairPlayForms(t *testing.T) {
	want, ckc := spc(300), append([]byte{0, 0, 0, 1}, "content key context"...)
	text := base64.StdEncoding.EncodeToString(want)
	for name, test := range map[string]struct {
		contentType, body string
		form              licensing.FairPlayForm
	}{
		"raw":                   {"application/octet-stream", string(want), licensing.FairPlayRaw},
		"raw, called a form":    {"application/x-www-form-urlencoded", string(want), licensing.FairPlayRaw},
		"form":                  {"application/x-www-form-urlencoded", "spc=" + url.QueryEscape(text) + "&assetId=other", licensing.FairPlayBase64},
		"form, plus as it is":   {"application/x-www-form-urlencoded", "spc=" + text, licensing.FairPlayBase64},
		"form, without a type":  {"", "spc=" + url.QueryEscape(text), licensing.FairPlayBase64},
		"base64":                {"text/plain", text + "\n", licensing.FairPlayBase64},
		"base64url, no padding": {"", base64.RawURLEncoding.EncodeToString(want), licensing.FairPlayBase64},
		"JSON":                  {"application/json", `{"spc":"` + text + `"}`, licensing.FairPlayJSON},
	} {
		c, err := licensing.ParseFairPlayChallenge(test.contentType, []byte(test.body))
		if err != nil || !bytes.Equal(c.Body, want) || c.Form != test.form || !c.Unread {
			t.Errorf("%s: form %s, %v", name, c.Form, err)
		}
		got, err := licensing.ParseCKC(test.form.Answer(ckc))
		if err != nil || !bytes.Equal(got, ckc) {
			t.Errorf("%s: what a player of the form reads is %q, %v", name, got, err)
		}
	}
	for _, form := range []licensing.FairPlayForm{licensing.FairPlayRaw, licensing.FairPlayBase64, licensing.FairPlayJSON} {
		contentType, _ := form.ContentType()
		c, err := licensing.ParseFairPlayChallenge(contentType, form.Ask(want))
		if err != nil || c.Form != form || !bytes.Equal(c.Body, want) {
			t.Errorf("what a server of form %s reads: %s, %v", form, c.Form, err)
		}
		if again, err := licensing.ParseFairPlayForm(form.String()); err != nil || again != form {
			t.Errorf("%s: %v, %v", form, again, err)
		}
	}
	if ckc, err := licensing.ParseCKC([]byte("<ckc>" + base64.StdEncoding.EncodeToString(ckc) + "</ckc>\n")); err != nil || len(ckc) == 0 {
		t.Errorf("in an element: %v", err)
	}
}

func TestFairPlayRefuses(t *testing.T) {
	short := spc(10)
	binary.BigEndian.PutUint32(short[172:], 11)
	for name, body := range map[string]string{
		"nothing": "", "a bare frame": string(spc(0)), "a payload beyond the end": string(short), "text": "hello", "HTML": "<html>", "JSON without": "{}",
		"JSON that is none": "{", "form without": "assetId=1&x=spc=", "two": "spc=AAAA&spc=AAAA", "zeros": strings.Repeat("\x00", 500),
	} {
		if _, err := licensing.ParseFairPlayChallenge("", []byte(body)); !errors.Is(err, licensing.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, body := range []string{"", "<html>no</html>", "{}", `{"ckc":""}`, `{"error":"no"}`, "AAAA", "{"} {
		if ckc, err := licensing.ParseCKC([]byte(body)); !errors.Is(err, licensing.ErrAnswer) {
			t.Errorf("%q: %q, %v", body, ckc, err)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	f.Add(widevineChallenge(wire(1, wire(1, widevineInit(kidA), 2, 1)), 1))
	f.Add([]byte(soap("AcquireLicense", header40(playReadyKID))))
	f.Add(wrapped(soap("AcquireLicense", header40(playReadyKID))))
	f.Add(spc(40))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, parse := range []func([]byte) (licensing.Challenge, error){
			licensing.ParseWidevineChallenge, licensing.ParsePlayReadyChallenge,
			func(b []byte) (licensing.Challenge, error) { return licensing.ParseFairPlayChallenge("", b) },
		} {
			c, err := parse(body)
			if err != nil && !errors.Is(err, licensing.ErrMalformed) {
				t.Errorf("%v", err)
			}
			if err == nil && c.Purpose == licensing.PurposeLicense && len(c.KIDs) == 0 && !c.Unread {
				t.Error("a request for nothing that counts as read")
			}
		}
	})
}
