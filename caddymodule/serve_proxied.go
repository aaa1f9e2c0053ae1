package caddymodule

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
)

// maxProxiedRequest bounds a request to a license server of another system: those of Widevine have some kilobytes, those of PlayReady some
// tens of them, twice as much when they are wrapped.
const maxProxiedRequest = 256 << 10

var (
	errKeysUnread  = errors.New("the gateway cannot read whose keys the license is for")
	errLicenseOver = errors.New("what the license would rest on is over")
)

// licenseState is what is known of a license request on its way.
type licenseState struct {
	subject   string // of the token or session that was judged, also if it was refused
	admitted  bool   // the policy allows it
	body      []byte // what has been read of it in front of the decision
	bodyRead  bool
	challenge licensing.Challenge
}

// systems are those that the kinds of license requests are of.
var kindSystems = map[requestKind]drm.SystemID{
	kindClearKey: drm.SystemClearKey, kindRawKey: drm.SystemClearKey, kindWidevine: drm.SystemWidevine,
	kindPlayReady: drm.SystemPlayReady, kindFairPlay: drm.SystemFairPlay, kindCertificate: drm.SystemFairPlay,
}

// licenseServerOf returns the license server for a kind of request under its seal, or nil: of a system that its group leaves out there is
// none.
func (q *request) licenseServerOf(kind requestKind) *licenseServer {
	system := kindSystems[kind]
	group, known := q.groupNamed(q.seal.Group)
	if !known || !slices.Contains(group.SignaledSystems(), system) {
		return nil
	}
	return q.License.servers[system]
}

// beginsNothing reports whether the request is one for the certificate of Widevine's service, two bytes that every player sends before its
// license request. They are read before the decision, since they decide what the request counts as.
func (q *request) beginsNothing() bool {
	if q.kind == kindCertificate {
		return true
	}
	if q.kind != kindWidevine || q.r.ContentLength != 2 {
		return false
	}
	body, err := q.readLicenseBody(2)
	if err != nil {
		return false
	}
	q.license.body, q.license.bodyRead = body, true
	challenge, err := licensing.ParseWidevineChallenge(body)
	return err == nil && challenge.Purpose == licensing.PurposeCertificate
}

// serveProxiedLicense hands a license request on to the license server of its system, once it is clear that the viewer may have every key
// that it names, and the answer back.
func (q *request) serveProxiedLicense() error {
	server := q.licenseServerOf(q.kind)
	if server == nil {
		return errNotOurs
	}
	if err := q.checkGroup(); err != nil {
		return err
	}
	challenge, err := q.readChallenge(server)
	if err != nil {
		return err
	}
	q.license.challenge = challenge
	grant, err := q.grant(server, challenge)
	if err != nil {
		return err
	}
	if err := q.checkTitle(server, challenge); err != nil {
		return err
	}
	question, err := server.question(grant, challenge)
	if err != nil {
		return err
	}
	answer, err := server.ask(q.r.Context(), question)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return q.passRefusal(answer)
	}
	license, contentType, err := server.read(answer.Body, challenge)
	if err != nil {
		return err
	}
	result := q.resultOf(challenge)
	if err := q.recordProxied(grant, challenge, result); err != nil {
		return err
	}
	if result == resultGrant || result == resultRenewal {
		q.rememberTitle(server, grant, license)
	}
	q.auditGrant(licenseOutcome{result: result, keys: grant.Keys, ends: licenseEnd(grant)})
	q.writeSecret(contentType, license)
	return nil
}

// readChallenge reads the body by the conventions of the system.
func (q *request) readChallenge(server *licenseServer) (licensing.Challenge, error) {
	body, err := q.readLicenseBody(maxProxiedRequest)
	if err != nil {
		return licensing.Challenge{}, err
	}
	switch server.system {
	case drm.SystemWidevine:
		return licensing.ParseWidevineChallenge(body)
	case drm.SystemPlayReady:
		return licensing.ParsePlayReadyChallenge(body)
	default:
		return licensing.ParseFairPlayChallenge(q.r.Header.Get("Content-Type"), body)
	}
}

// grant says what the license may give: keys of the title that the viewer may have, on the terms of its group, and for no longer than what
// the admission rests on.
func (q *request) grant(server *licenseServer, c licensing.Challenge) (licensing.Grant, error) {
	group := q.sealedGroup()
	if c.Persistent && !group.License.Persistent {
		return licensing.Grant{}, licensing.ErrUnsupportedType
	}
	if c.Unread && !server.allowsAny && !server.vendor.Binds() {
		return licensing.Grant{}, errKeysUnread
	}
	now := q.now()
	terms, open := licensing.LimitTerms(group.License, now, q.identity.until)
	if !open {
		return licensing.Grant{}, errLicenseOver
	}
	group.License = terms
	g := licensing.Grant{
		System: server.system, Purpose: c.Purpose, Group: group, Tenant: q.tenant, Asset: string(q.seal.Asset), Subject: q.pseudonym(), Now: now, Ends: q.identity.until,
	}
	_, _ = rand.Read(g.Nonce[:]) // never fails
	var err error
	g.Keys, err = q.grantedKeys(c.KIDs)
	return g, err
}

// pseudonym stands for the viewer where others see it: a keyed digest of the subject; empty for who has none.
func (q *request) pseudonym() string {
	if q.license.subject == "" {
		return ""
	}
	digest := q.pseudonyms.Digest("subject", q.license.subject)
	return hex.EncodeToString(digest[:])
}

// read takes the license out of an answer, and puts it into the form that the player reads.
func (s *licenseServer) read(body []byte, c licensing.Challenge) (license []byte, contentType string, err error) {
	if license, err = s.vendor.License(body); err != nil {
		return nil, "", err
	}
	switch s.system {
	case drm.SystemPlayReady:
		return license, licensing.PlayReadyContentType, nil
	case drm.SystemFairPlay:
		ckc, err := licensing.ParseCKC(license)
		if err != nil {
			return nil, "", err
		}
		_, contentType = c.Form.ContentType()
		return c.Form.Answer(ckc), contentType, nil
	default:
		return license, "application/octet-stream", nil
	}
}

// refusalTypes are the media types that a refusal of a license server may have. It is for a decryption module or a player, and no page.
var refusalTypes = []string{"text/xml", "application/xml", "application/soap+xml", "application/json", "application/problem+json", "text/plain"}

// passRefusal hands on how a license server refuses: players of PlayReady read a SOAP fault in it. What is no refusal, such as a redirect, is
// a failure.
func (q *request) passRefusal(answer keysource.HTTPResponse) error {
	if answer.Status < 400 || answer.Status == http.StatusProxyAuthRequired {
		return fmt.Errorf("%w: status %d", licensing.ErrAnswer, answer.Status)
	}
	contentType := "application/octet-stream"
	if media, _, err := mime.ParseMediaType(answer.Header["Content-Type"]); err == nil && slices.Contains(refusalTypes, media) {
		contentType = media + "; charset=utf-8"
	}
	a := answerOfLicenseServer(answer)
	q.reason = a.reason
	countRefusal(q.kind, a)
	q.log(a, nil)
	q.auditDenial(a)
	q.setRefusalHeaders(a)
	header := q.w.Header()
	header.Del("WWW-Authenticate") // the credential that it wants is ours
	header.Set("Content-Type", contentType)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	q.w.WriteHeader(answer.Status)
	_, _ = q.w.Write(answer.Body) // the client may be gone
	return nil
}
