package probe

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// licenseQuestion is one key of one server. A key URI is asked with a zero KID.
type licenseQuestion struct {
	url string
	kid drm.KID
}

type licenseAnswer struct {
	secret [drm.KeySize]byte
	ok     bool
}

// keyFor obtains the key of a KID in every way that the manifest names. It is false if there is none to be had here, which is a problem only
// where ClearKey or a key URI should have given it.
func (p *prober) keyFor(ctx context.Context, s *stretch, kid drm.KID) (drm.ContentKey, bool) {
	var found [][drm.KeySize]byte
	for _, signal := range s.protection.systems {
		at := s.place()
		at.Line = signal.line
		if signal.system != drm.SystemClearKey {
			p.askWithoutDevice(ctx, signal, kid)
			continue
		}
		if signal.licenseURL == "" {
			p.problem(LicenseFailed, at, "ClearKey without a license URL (dashif:Laurl)")
			continue
		}
		if secret, ok := p.clearKey(ctx, at, signal.licenseURL, kid); ok {
			found = append(found, secret)
		}
	}
	if s.protection.keyURI != "" {
		if secret, ok := p.rawKey(ctx, s.place(), s.protection.keyURI); ok {
			found = append(found, secret)
		}
	}
	if len(found) == 0 {
		return drm.ContentKey{}, false
	}
	if slices.ContainsFunc(found, func(other [drm.KeySize]byte) bool { return other != found[0] }) {
		p.problem(KeysDisagree, s.place(), "the sources of the key with KID %s hold different keys", kid)
	}
	key, err := drm.NewContentKey(kid, found[0][:], make([]byte, drm.KeySize)) // IVs come with the media
	if err != nil {
		p.problem(LicenseFailed, s.place(), "%v", err)
		return drm.ContentKey{}, false
	}
	return key, true
}

// clearKey asks a ClearKey server for one key (EME, 9.1.3).
func (p *prober) clearKey(ctx context.Context, at place, url string, kid drm.KID) ([drm.KeySize]byte, bool) {
	question := licenseQuestion{url, kid}
	if known, asked := p.licenses[question]; asked {
		return known.secret, known.ok
	}
	var answer licenseAnswer
	at.URL = public(url)
	body, err := json.Marshal(map[string]any{"kids": []string{kid.Base64URL()}, "type": "temporary"})
	if err != nil {
		return answer.secret, false
	}
	res, err := p.fetcher.Fetch(ctx, Request{Method: "POST", URL: url, Body: body, ContentType: "application/json", Limit: maxLicense})
	switch {
	case err != nil:
		p.problem(LicenseFailed, at, "no answer for KID %s: %v", kid, err)
	case res.Status != 200:
		p.problem(LicenseFailed, at, "status %s for KID %s", statusText(res), kid)
	default:
		answer = p.readLicense(at, res.Body, kid)
	}
	p.keep(question, answer)
	return answer.secret, answer.ok
}

func (p *prober) keep(question licenseQuestion, answer licenseAnswer) {
	p.licenses[question] = answer
	if answer.ok {
		p.report.Keys++
	}
}

// readLicense finds a key in a JSON Web Key Set.
func (p *prober) readLicense(at place, body []byte, kid drm.KID) (answer licenseAnswer) {
	var license struct {
		Keys []struct {
			KID string `json:"kid"`
			K   string `json:"k"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &license); err != nil {
		p.problem(LicenseFailed, at, "the answer for KID %s is no license", kid)
		return answer
	}
	for _, entry := range license.Keys {
		if entry.KID != kid.Base64URL() {
			continue
		}
		secret, err := base64.RawURLEncoding.DecodeString(entry.K)
		if err != nil || len(secret) != drm.KeySize {
			p.problem(LicenseFailed, at, "the key with KID %s is none", kid)
			return answer
		}
		copy(answer.secret[:], secret)
		answer.ok = true
		return answer
	}
	p.problem(LicenseWithout, at, "the license holds %s, and not the one with KID %s", plural(len(license.Keys), "key"), kid)
	return answer
}

// rawKey fetches the 16 bytes of a key (8216, 5).
func (p *prober) rawKey(ctx context.Context, at place, url string) ([drm.KeySize]byte, bool) {
	question := licenseQuestion{url: url}
	if known, asked := p.licenses[question]; asked {
		return known.secret, known.ok
	}
	var answer licenseAnswer
	at.URL = public(url)
	res, err := p.fetchKey(ctx, url)
	switch {
	case err != nil:
		p.problem(LicenseFailed, at, "no answer: %v", err)
	case res.Status != 200:
		p.problem(LicenseFailed, at, "status %s", statusText(res))
	case len(res.Body) != drm.KeySize:
		p.problem(LicenseFailed, at, "%d bytes, where a key has %d", len(res.Body), drm.KeySize)
	default:
		copy(answer.secret[:], res.Body)
		answer.ok = true
	}
	p.keep(question, answer)
	return answer.secret, answer.ok
}

// fetchKey fetches a key, which may stand in the URI itself (RFC 2397).
func (p *prober) fetchKey(ctx context.Context, url string) (Response, error) {
	if _, data, ok := strings.Cut(url, ";base64,"); ok && strings.HasPrefix(url, "data:") {
		key, err := decodeBase64(data)
		return Response{Status: 200, Body: key}, err
	}
	return p.fetcher.Fetch(ctx, Request{Method: "GET", URL: url, Limit: maxLicense})
}

// headerURL is the license URL in a PlayReady header.
func (s systemSignal) headerURL() (url string) {
	for _, object := range s.allObjects() {
		for _, header := range headersOf(object) {
			url = or(url, header.LicenseURL)
		}
	}
	return url
}

// headerKID is the first key of a PlayReady header; zero if there is none.
func (s systemSignal) headerKID() drm.KID {
	for _, object := range s.allObjects() {
		for _, header := range headersOf(object) {
			if len(header.Keys) > 0 {
				return header.Keys[0].KID
			}
		}
	}
	return drm.KID{}
}

// allObjects are the PlayReady Objects of the signal.
func (s systemSignal) allObjects() [][]byte {
	all := slices.Clone(s.objects)
	for _, box := range s.pssh {
		if box.System == drm.SystemPlayReady {
			all = append(all, box.Data)
		}
	}
	return all
}

// headersOf reads the headers of a PlayReady Object, as far as they can be read.
func headersOf(object []byte) (all []drm.PlayReadyHeader) {
	records, err := drm.ParsePlayReadyObject(object)
	if err != nil {
		return nil
	}
	for _, record := range records {
		if !record.IsHeader() {
			continue
		}
		if header, err := drm.ParsePlayReadyHeader(record.Value); err == nil {
			all = append(all, header)
		}
	}
	return all
}
