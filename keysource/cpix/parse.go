package cpix

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// ParseOptions say what is expected of a document.
type ParseOptions struct {
	// PrivateKey unwraps the document key that is addressed to its public half. Without it, encrypted keys are an error.
	PrivateKey *rsa.PrivateKey
	// RequireEncryption refuses documents with a key in clear.
	RequireEncryption bool
	// Signers are the certificates by one of which the whole document has to be signed. None: signatures are not looked at.
	Signers []*x509.Certificate
	// Now is the time at which certificates of signers have to be valid.
	Now time.Time
}

var versionPattern = regexp.MustCompile(`^2\.[0-9]$`)

// byteOrderMark may stand in front of a document, and is no part of it (XML 1.0, 4.3.3). A signature does not cover it.
const byteOrderMark = "\xEF\xBB\xBF"

// Parse reads a document of at most MaxSize bytes.
//
// Beyond what is no XML or no CPIX it refuses document types and entities, KIDs, period IDs and single elements that stand twice, two
// keys with one value, references that lead nowhere, key hierarchies, schemes other than cenc, cbcs and those of HLS, what is not
// base64 or has the wrong length, pssh boxes of another system, signals that are no XML or no tags, and encrypted keys without a MAC or
// with a wrong one. Its error is a *FormatError, or ErrSignature.
//
// Source: CPIX, 5.2 and 6.
func Parse(data []byte, options ParseOptions) (*Document, error) {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	root, err := readTree(data)
	if err != nil {
		return nil, err
	}
	if !root.is(nsCPIX, "CPIX") {
		return nil, root.errorf("the root is not CPIX in the namespace %s", nsCPIX)
	}
	if len(options.Signers) > 0 {
		// What is parsed from here on is what was signed, and not what stands beside it.
		if root, err = verifySignature(data, root, options.Signers, options.Now); err != nil {
			return nil, err
		}
	}
	p := &parser{options: options, root: root, d: &Document{}, kids: make(map[drm.KID]bool), periodIDs: make(map[string]bool)}
	for _, step := range []func() error{p.head, p.delivery, p.keys, p.systems, p.periods, p.rules} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.d, nil
}

type parser struct {
	options ParseOptions
	root    *node
	d       *Document
	unwrap  *unwrapper // nil if nothing is addressed to us

	kids      map[drm.KID]bool
	periodIDs map[string]bool
}

func (p *parser) head() error {
	p.d.ID, _ = p.root.attribute("id")
	p.d.ContentID, _ = p.root.attribute("contentId")
	p.d.Name, _ = p.root.attribute("name")
	p.d.Version, _ = p.root.attribute("version")
	if p.d.Version != "" && !versionPattern.MatchString(p.d.Version) {
		return p.root.errorf("@version is none of 2.0 to 2.9")
	}
	return nil
}

func (p *parser) keys() error {
	nodes, err := p.root.list("ContentKeyList", "ContentKey")
	if err != nil {
		return err
	}
	values := make(map[[drm.KeySize]byte]bool)
	for _, n := range nodes {
		k, err := p.key(n)
		if err != nil {
			return err
		}
		if p.kids[k.KID] {
			return n.errorf("the KID of another key again")
		}
		p.kids[k.KID] = true
		if !k.Content.IsZero() {
			if values[k.Content.Secret()] {
				return n.errorf("the value of another key again")
			}
			values[k.Content.Secret()] = true
		}
		p.d.Keys = append(p.d.Keys, k)
	}
	return nil
}

func (p *parser) key(n *node) (k Key, err error) {
	if k.KID, err = kidOf(n); err != nil {
		return k, err
	}
	if _, ok := n.attribute("dependsOnKey"); ok {
		return k, n.errorf("key hierarchies (@dependsOnKey) are not supported")
	}
	if text, ok := n.attribute("commonEncryptionScheme"); ok {
		if k.Scheme, ok = parseScheme(text); !ok {
			return k, n.errorf("@commonEncryptionScheme is none of cenc, cbcs, AES-128, SAMPLE-AES and SAMPLE-AES-CTR")
		}
	}
	if text, ok := n.attribute("explicitIV"); ok && text != "" { // SPEKE 1 asks for one with the empty attribute
		if k.ExplicitIV, err = parseBase64(text); err != nil || len(k.ExplicitIV) != drm.KeySize {
			return k, n.errorf("@explicitIV is not 16 bytes in base64")
		}
	}
	value, err := p.value(n, k.KID)
	if value == nil || err != nil {
		return k, err
	}
	iv := keysource.ConstantIV(k.KID)
	if k.ExplicitIV != nil {
		copy(iv[:], k.ExplicitIV)
	}
	if len(value) != drm.KeySize {
		return k, n.errorf("the key has %d bytes, want %d", len(value), drm.KeySize)
	}
	if k.Content, err = drm.NewContentKey(k.KID, value, iv[:]); err != nil {
		return k, n.errorf("all bytes of the key are zero")
	}
	return k, nil
}

// value returns the bytes of a key, or nil if the document asks for them.
func (p *parser) value(n *node, kid drm.KID) ([]byte, error) {
	secret, err := secretOf(n)
	if secret == nil || err != nil {
		return nil, err
	}
	plain, err := secret.child(nsPSKC, "PlainValue")
	if err != nil {
		return nil, err
	}
	encrypted, err := secret.child(nsPSKC, "EncryptedValue")
	if err != nil {
		return nil, err
	}
	switch {
	case plain != nil && encrypted != nil:
		return nil, secret.errorf("a plain and an encrypted value")
	case encrypted != nil && p.unwrap == nil:
		return nil, encrypted.errorf("the key is encrypted, and not to us")
	case encrypted != nil:
		return p.unwrap.value(kid, secret, encrypted)
	case plain == nil || strings.TrimSpace(plain.text) == "":
		return nil, nil
	case p.options.RequireEncryption:
		return nil, plain.errorf("the key is in clear")
	}
	return plain.bytes()
}

// secretOf returns the element Secret of a ContentKey or DocumentKey, or nil. Its parent Data is of CPIX, but that of
// pskc, whose name it borrows, is met too.
func secretOf(n *node) (*node, error) {
	data, err := n.child(nsCPIX, "Data")
	if data == nil && err == nil {
		data, err = n.child(nsPSKC, "Data")
	}
	if data == nil || err != nil {
		return nil, err
	}
	return data.child(nsPSKC, "Secret")
}

func kidOf(n *node) (drm.KID, error) {
	text, ok := n.attribute("kid")
	if !ok {
		return drm.KID{}, n.errorf("no @kid")
	}
	kid, err := drm.ParseKID(text)
	if err != nil || kid.IsZero() {
		return drm.KID{}, n.errorf("@kid is not a UUID")
	}
	return kid, nil
}

// knownKID is kidOf of something that refers to a key of the document.
func (p *parser) knownKID(n *node) (drm.KID, error) {
	kid, err := kidOf(n)
	if err != nil {
		return kid, err
	}
	if !p.kids[kid] {
		return kid, n.errorf("@kid names no key of the document")
	}
	return kid, nil
}

// The methods of HLS that CPIX 2.4 allows beside the schemes of Common Encryption. SAMPLE-AES is keyed as cbcs is.
var hlsMethods = map[string]drm.ProtectionScheme{
	"AES-128": drm.SchemeAES128, "SAMPLE-AES": drm.SchemeCbcs, "SAMPLE-AES-CTR": drm.SchemeCenc,
}

func parseScheme(text string) (drm.ProtectionScheme, bool) {
	if scheme, ok := hlsMethods[text]; ok {
		return scheme, true
	}
	scheme, err := drm.ParseProtectionScheme(text)
	return scheme, err == nil && scheme.Common()
}

func schemeText(scheme drm.ProtectionScheme) string {
	if scheme == drm.SchemeAES128 {
		return "AES-128"
	}
	return scheme.String()
}

func (p *parser) systems() error {
	nodes, err := p.root.list("DRMSystemList", "DRMSystem")
	if err != nil {
		return err
	}
	type pair struct {
		kid    drm.KID
		system drm.SystemID
	}
	seen := make(map[pair]bool)
	for _, n := range nodes {
		s, err := p.system(n)
		if err != nil {
			return err
		}
		if seen[pair{s.KID, s.System}] {
			return n.errorf("the system and KID of another element again")
		}
		seen[pair{s.KID, s.System}] = true
		p.d.Systems = append(p.d.Systems, s)
	}
	return nil
}

func (p *parser) system(n *node) (s System, err error) {
	if s.KID, err = p.knownKID(n); err != nil {
		return s, err
	}
	text, _ := n.attribute("systemId")
	id, err := drm.ParseKID(text)
	if err != nil || id.IsZero() {
		return s, n.errorf("@systemId is not a UUID")
	}
	s.System = drm.SystemID(id)
	s.Name, _ = n.attribute("name")
	for _, c := range n.children {
		if err := p.systemChild(&s, c); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (p *parser) systemChild(s *System, c *node) (err error) {
	switch {
	case c.is(nsSPEKE, "KeyFormat"), c.is(nsSPEKE, "KeyFormatVersions"):
		return keyFormat(s, c)
	case c.is(nsSPEKE, "ProtectionHeader"):
		s.PlayReadyHeader, err = content(s, c, s.PlayReadyHeader, WantSmoothHeader)
		return err
	case c.space != nsCPIX:
		return nil
	}
	switch c.name {
	case WantPssh:
		if s.Pssh, err = content(s, c, s.Pssh, WantPssh); err == nil && s.Pssh != nil && !keysource.IsPsshOf(s.Pssh, s.System) {
			return c.errorf("not a pssh box of that system")
		}
	case WantContentProtection:
		if s.ContentProtection, err = content(s, c, s.ContentProtection, WantContentProtection); err == nil && !isFragment(s.ContentProtection) {
			return c.errorf("not well-formed XML")
		}
		s.Robustness, _ = c.attribute("robustness")
	case WantSmoothHeader:
		s.PlayReadyHeader, err = content(s, c, s.PlayReadyHeader, WantSmoothHeader)
	case elementHLSSignaling:
		return hlsSignaling(s, c)
	case WantURIExtXKey:
		var uri []byte
		if uri, err = content(s, c, []byte(s.HLSKeyURI), WantURIExtXKey); err == nil && !isURIText(uri) {
			return c.errorf("not a URI")
		}
		s.HLSKeyURI = string(uri)
	}
	return err
}

// content reads the base64 of an element that stands once. Without content it is one that is asked for.
func content(s *System, c *node, earlier []byte, name string) ([]byte, error) {
	b, err := c.bytes()
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		s.Wants = append(s.Wants, name)
		return earlier, nil
	case len(earlier) > 0:
		return nil, c.errorf("stands twice")
	}
	return b, nil
}

// keyFormat reads the elements of SPEKE 1 that hold plain text, or base64 of it.
func keyFormat(s *System, c *node) error {
	text := strings.TrimSpace(c.text)
	if b, err := parseBase64(text); err == nil && len(b) > 2 && isURIText(b) {
		text = string(b)
	}
	if !isURIText([]byte(text)) {
		return c.errorf("not the value of an attribute of EXT-X-KEY")
	}
	if c.name == "KeyFormat" {
		s.HLSKeyFormat = text
	} else {
		s.HLSKeyFormatVersions = text
	}
	return nil
}

// hlsSignaling reads the tags of one kind of playlist, or of both if @playlist is missing.
func hlsSignaling(s *System, c *node) error {
	text, has := c.attribute("playlist")
	multivariant, media := text == "master" || text == "multiVariant" || !has, text == "media" || !has
	if !multivariant && !media {
		return c.errorf("@playlist is none of master, multiVariant and media")
	}
	for _, kind := range []struct {
		is   bool
		into *[]byte
		want string
	}{{multivariant, &s.HLSMultivariant, WantHLSMultivariant}, {media, &s.HLSMedia, WantHLSMedia}} {
		if !kind.is {
			continue
		}
		b, err := content(s, c, *kind.into, kind.want)
		if err != nil {
			return err
		}
		if !isTags(b) {
			return c.errorf("not lines of EXT-X tags")
		}
		*kind.into = b
	}
	return nil
}

var errNoCertificate = errors.New("not a certificate with an RSA key")

// parseCertificate reads DER.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errNoCertificate
	}
	if key, ok := certificate.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < MinRSABits || key.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("%w of %d to %d bits", errNoCertificate, MinRSABits, maxRSABits)
	}
	return certificate, nil
}
