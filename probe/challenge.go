package probe

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"regexp"

	"github.com/caddy-drm/caddy-drm/drm"
)

// message is what a license server can be sent without a decryption module, and what it is called in the report.
type message struct {
	name, contentType, soapAction string
	body                          []byte
	// answers returns what a license server says to it with status 200, if that is what it should say.
	answers func(body []byte) string
}

// messageFor returns the message for a system: a whole one for Widevine, whose service hands its certificate to everybody, and for the
// others one of a device that there is not, so that its refusal shows who answers.
func messageFor(system drm.SystemID, kid drm.KID) message {
	switch system {
	case drm.SystemWidevine:
		return message{name: "the request for its certificate", contentType: "application/octet-stream", body: []byte{8, 4}, answers: widevineCertificate}
	case drm.SystemPlayReady:
		return message{
			name: "a challenge without a device", contentType: "text/xml; charset=utf-8",
			soapAction: `"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"`, body: playReadyChallenge(kid),
		}
	case drm.SystemFairPlay:
		return message{name: "a context without a device", contentType: "application/octet-stream", body: fairPlayContext()}
	default:
		return message{name: "a POST without a challenge"}
	}
}

// widevineCertificate knows the answer of type SERVICE_CERTIFICATE.
func widevineCertificate(body []byte) string {
	if len(body) > 2 && body[0] == 8 && body[1] == 5 {
		return "the certificate of its service"
	}
	return ""
}

// playReadyChallenge asks for the license of one key, and says nothing of who asks.
func playReadyChallenge(kid drm.KID) []byte {
	guid := kid
	binary.LittleEndian.PutUint32(guid[:], binary.BigEndian.Uint32(kid[:]))
	binary.LittleEndian.PutUint16(guid[4:], binary.BigEndian.Uint16(kid[4:]))
	binary.LittleEndian.PutUint16(guid[6:], binary.BigEndian.Uint16(kid[6:]))
	return []byte(`<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>` +
		`<AcquireLicense xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols"><challenge><Challenge xmlns="http://schemas.microsoft.com/DRM/2007/03/protocols/messages">` +
		`<LA Id="SignedData"><Version>1</Version><ContentHeader><WRMHEADER xmlns="http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader" version="4.0.0.0"><DATA>` +
		`<PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>` + base64.StdEncoding.EncodeToString(guid[:]) + `</KID></DATA></WRMHEADER></ContentHeader></LA>` +
		`</Challenge></challenge></AcquireLicense></soap:Body></soap:Envelope>`)
}

// fairPlayContext is the frame of a server playback context around nothing: version, IV, key and certificate hash, and a payload of zeros.
func fairPlayContext() []byte {
	const header, payload = 4 + 4 + 16 + 128 + 20 + 4, 64
	b := make([]byte, header+payload)
	b[3] = 2
	binary.BigEndian.PutUint32(b[header-4:], payload)
	return b
}

// askWithoutDevice says what the license server of another system answers to nobody in particular. A license needs a decryption module.
func (p *prober) askWithoutDevice(ctx context.Context, signal systemSignal, kid drm.KID) {
	if signal.system == drm.SystemCommon {
		return
	}
	url := or(signal.licenseURL, signal.headerURL())
	key := signal.system.String() + url
	if p.answers[key] {
		return
	}
	p.answers[key] = true
	license := License{System: visible(signal.system.Name()), Answer: "not in the manifest: no license was asked for"}
	if url != "" {
		license.URL = public(url)
		license.Status, license.Answer = p.postWithoutDevice(ctx, url, messageFor(signal.system, kid))
	}
	p.report.Licenses = append(p.report.Licenses, license)
}

func (p *prober) postWithoutDevice(ctx context.Context, url string, m message) (status int, answer string) {
	absolute, err := resolve(p.o.URL, url)
	if err != nil {
		return 0, "is no URL that can be asked"
	}
	res, err := p.fetcher.Fetch(ctx, Request{Method: "POST", URL: absolute, Body: m.body, ContentType: m.contentType, SOAPAction: m.soapAction, Limit: maxLicense})
	if err != nil {
		return 0, visible(fmt.Sprintf("does not answer: %v", err))
	}
	answer = fmt.Sprintf("answers %s to %s", statusText(res), m.name)
	switch {
	case res.Status != 200:
		if code := soapStatus.FindSubmatch(res.Body); code != nil {
			answer += ", and the fault " + string(code[1])
		}
	case m.answers == nil:
	case m.answers(res.Body) != "":
		answer += ": " + m.answers(res.Body)
	default:
		answer += ", with something else"
	}
	return res.Status, answer
}

// soapStatus finds what a license server of PlayReady calls the reason in its fault.
var soapStatus = regexp.MustCompile(`<StatusCode>(0x[0-9A-Fa-f]{1,8})</StatusCode>`)
