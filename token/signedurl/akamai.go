package signedurl

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// AkamaiConfig is what a verifier of Akamai's tokens demands, edge authorization token 2.0. Keys is required.
type AkamaiConfig struct {
	// Keys are the decoded keys; several while they are changed.
	Keys [][]byte
	// Hash is sha256, and the default; sha1 or md5, which are weak, only where tokens are still made with them.
	Hash string
	// Salt is a further secret behind what is signed, if tokens are made with one.
	Salt string
	// EscapeEarly is true if tokens are made from values that are percent-encoded before they are signed.
	EscapeEarly bool
	// Names are those of the query parameter, cookie or field that carries the token. Default: hdnts, hdnea, __token__.
	Names []string
	// Leeway is the difference between clocks that is forgiven; zero means token.DefaultLeeway, negative none.
	Leeway time.Duration
}

// Akamai verifies Akamai's tokens. It is safe for concurrent use.
type Akamai struct {
	common
	config AkamaiConfig
	hash   func() hash.Hash
}

// akamaiHashes are the algorithms of the format.
var akamaiHashes = map[string]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha1": sha1.New, "md5": md5.New}

// NewAkamai checks config and returns its verifier.
func NewAkamai(config AkamaiConfig) (v *Akamai, err error) {
	if config.Keys, err = checkSecrets(config.Keys); err != nil {
		return nil, err
	}
	v = &Akamai{hash: akamaiHashes[config.Hash]}
	if v.hash == nil {
		return nil, fmt.Errorf("hash %q: want sha256, sha1 or md5", config.Hash)
	}
	if len(config.Names) == 0 {
		config.Names = []string{"hdnts", "hdnea", "__token__"}
	}
	v.config = config
	v.common, err = newCommon("akamai", config.Leeway, config.Keys, config.Hash, config.Salt, strconv.FormatBool(config.EscapeEarly))
	return v, err
}

// Places implements token.Finder.
func (v *Akamai) Places() []token.Place {
	var places []token.Place
	for _, name := range v.config.Names {
		for _, in := range []string{token.InQuery, token.InCookie, token.InHeader} {
			places = append(places, token.Place{In: in, Name: name})
		}
	}
	return places
}

// Find implements token.Finder.
func (v *Akamai) Find(c token.Carrier) ([]string, error) {
	var found []string
	for _, place := range v.Places() {
		value, err := one(c, place.In, place.Name)
		if err != nil {
			return nil, err
		}
		if value == "" {
			continue
		}
		if place.In == token.InQuery && v.config.EscapeEarly {
			// What is escaped in it is signed as it stands there. Whoever escaped all of it once more has no bare equals sign left.
			if raw := rawValue(c.RawQuery, place.Name); strings.Contains(raw, "=") {
				value = raw
			}
		}
		if !slices.Contains(found, value) {
			found = append(found, value)
		}
	}
	return found, nil
}

// BoundTo implements token.Bound: a token with an ACL says itself what it covers.
func (v *Akamai) BoundTo(raw string, req token.Request) string {
	if strings.Contains(raw, "~acl=") || strings.HasPrefix(raw, "acl=") {
		return ""
	}
	return boundTo(req)
}

// akamaiToken is a token of which nothing is known to be true yet.
type akamaiToken struct {
	signed         string // without the MAC
	mac            []byte
	fields         map[string]string
	expires, start int64
	acl            []string
	addr           netip.Addr
	subject        string
}

// akamaiFields are the fields of a token, in the order in which the format has them. Another one might be a restriction.
var akamaiFields = []string{"ip", "st", "exp", "acl", "id", "data"}

func (v *Akamai) parse(raw string) (t akamaiToken, err error) {
	if err := checkCredential(raw); err != nil {
		return t, err
	}
	at := strings.LastIndex(raw, "~hmac=")
	if at < 0 {
		return t, malformed("no hmac at its end")
	}
	t.signed = raw[:at]
	if t.mac, err = hex.DecodeString(raw[at+len("~hmac="):]); err != nil || len(t.mac) != v.hash().Size() {
		return t, malformed("an hmac of another form")
	}
	t.fields = make(map[string]string, len(akamaiFields))
	for field := range strings.SplitSeq(t.signed, "~") {
		name, value, _ := strings.Cut(field, "=")
		if _, twice := t.fields[name]; twice || value == "" || !slices.Contains(akamaiFields, name) {
			return t, malformed("a field that is unknown, empty or twice there")
		}
		t.fields[name] = value
	}
	return t, v.parseFields(&t)
}

func (v *Akamai) parseFields(t *akamaiToken) (err error) {
	if t.expires, err = parseSeconds(t.fields["exp"]); err != nil {
		return err
	}
	if st, ok := t.fields["st"]; ok {
		if t.start, err = parseSeconds(st); err != nil {
			return err
		}
	}
	if ip, ok := t.fields["ip"]; ok {
		if t.addr, err = netip.ParseAddr(v.unescape(ip)); err != nil {
			return malformed("an address that is none")
		}
	}
	if acl, ok := t.fields["acl"]; ok {
		t.acl = strings.Split(v.unescape(acl), "!")
	}
	t.subject = v.unescape(t.fields["id"])
	return nil
}

func (v *Akamai) unescape(text string) string {
	if !v.config.EscapeEarly {
		return text
	}
	if decoded, err := url.QueryUnescape(text); err == nil {
		return decoded
	}
	return text
}

func (v *Akamai) escape(text string) string {
	if !v.config.EscapeEarly {
		return text
	}
	return lowerEscapes(url.QueryEscape(text))
}

// lowerEscapes writes the digits of percent-encodings in lower case, which is how the format escapes.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

func (v *Akamai) sum(key []byte, signed, path string) []byte {
	if path != "" {
		signed += "~url=" + v.escape(path)
	}
	if v.config.Salt != "" {
		signed += "~salt=" + v.config.Salt
	}
	mac := hmac.New(v.hash, key)
	_, _ = mac.Write([]byte(signed))
	return mac.Sum(nil)
}

// Verify implements token.Verifier. A token without acl is for the one path that it was made for.
func (v *Akamai) Verify(_ context.Context, raw string, req token.Request) (token.Claims, error) {
	t, err := v.parse(raw)
	if err != nil {
		return token.Claims{}, err
	}
	path := ""
	if t.acl == nil {
		path = escapedPath(req.PublicPath)
	}
	if !anyEqual(t.mac, v.config.Keys, func(key []byte) []byte { return v.sum(key, t.signed, path) }) {
		return token.Claims{}, token.ErrSignature
	}
	claims := token.Claims{Subject: t.subject}
	v.times(&claims, t.expires, t.start)
	var c conditions
	if t.acl == nil {
		claims.OneAddress, claims.Scope = true, []string{req.Path}
	} else if !slices.Contains(t.acl, "/*") { // that is everything
		c.patterns = t.acl
	}
	if prefix, ok := clientPrefix(t.addr); ok {
		c.prefixes = []netip.Prefix{prefix}
	}
	if err := c.validate(); err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrMalformed, err)
	}
	claims.Conditions = c.orNil()
	return accept(claims, req)
}

// AkamaiToken is what Sign puts into a token: ACL or Path, and Expires, are required.
type AkamaiToken struct {
	Expires, Start time.Time
	// ACL are patterns of paths; Path is the one path, as it stands in a URL.
	ACL  []string
	Path string
	// Addr binds the token to a client; ID and Data are for the receiver.
	Addr     netip.Addr
	ID, Data string
}

// Sign returns a token that is signed with the first key.
func (v *Akamai) Sign(t AkamaiToken) (string, error) {
	switch {
	case (len(t.ACL) == 0) == (t.Path == ""):
		return "", errors.New("want either patterns or a path")
	case t.Expires.Unix() <= 0 || t.Expires.Unix() > maxUnixSeconds:
		return "", errors.New("a token needs an expiry")
	}
	var fields []string
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, name+"="+value)
		}
	}
	if t.Addr.IsValid() {
		add("ip", v.escape(t.Addr.String()))
	}
	if t.Start.Unix() > 0 {
		add("st", strconv.FormatInt(t.Start.Unix(), 10))
	}
	add("exp", strconv.FormatInt(t.Expires.Unix(), 10))
	add("acl", strings.Join(t.ACL, "!"))
	add("id", v.escape(t.ID))
	add("data", v.escape(t.Data))
	signed := strings.Join(fields, "~")
	if strings.Count(signed, "~") != len(fields)-1 {
		return "", errors.New("a value holds a ~, which separates the fields")
	}
	return signed + "~hmac=" + hex.EncodeToString(v.sum(v.config.Keys[0], signed, t.Path)), nil
}

// rawValue returns the value of a query parameter as it is spelled, the first if there are several.
func rawValue(rawQuery, name string) string {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if n, value, _ := strings.Cut(pair, "="); n == name {
			return value
		}
	}
	return ""
}

func countParameter(rawQuery, name string) (n int) {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if other, _, _ := strings.Cut(pair, "="); other == name {
			n++
		}
	}
	return n
}
