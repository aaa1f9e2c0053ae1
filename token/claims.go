package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of one token's claims. They bound what a session token must carry and what a request must compare.
const (
	maxSubjectBytes = 255
	maxScopeEntries = 16
	maxScopeBytes   = 512
	maxCountries    = 64
	maxHosts        = 16
	maxRights       = 64 // plans and purchases, each
	maxRightBytes   = 64
	maxStreams      = 255
)

// maxUnixSeconds is 9999-12-31T23:59:59Z; a later expiry is a mistake in units, such as milliseconds.
const maxUnixSeconds = 253402300799

// Claims is what a verified token says. The zero value says nothing and is expired.
type Claims struct {
	// Subject names the viewer in the issuer's words; it may be empty.
	Subject string
	// ID is the token's own name (jti); for a session it is the digest of that name. See IDDigest.
	ID string
	// Scope lists the clean path prefixes that the token allows, without a slash at their end. Empty: the whole site.
	Scope []string
	// Hosts lists the host names that the token is for, lower case. Empty: any.
	Hosts []string
	// Countries lists where the token may be used, as upper-case two-letter codes. Empty: anywhere.
	Countries []string
	// Expires is the first instant at which the token is refused. The verifier's leeway is included.
	Expires time.Time
	// NotBefore is the first instant at which the token is accepted, leeway included; zero: at once.
	NotBefore time.Time
	// Plans and Purchases are what the viewer has subscribed to and bought or rented, in the operator's words; HomeCountry is
	// where the viewer is a customer, as an upper-case two-letter code.
	Plans, Purchases []string
	HomeCountry      string
	// Device names the viewer's device, in the issuer's words.
	Device string
	// MaxStreams is how many streams the viewer may watch at once; 0 leaves that to the rules of the site.
	MaxStreams int
	// Level is the security level that the viewer's device can have, `high`, `medium` or `low`; empty if the token does not say.
	Level string
	// OneAddress is true for a token that was made for one URL. A session that is minted for a manifest with it covers the
	// manifest's asset.
	OneAddress bool
	// Conditions are further demands on each request; nil if there are none.
	Conditions Conditions
	// Once names a token that may be used one time, to whoever remembers that; all zero: it may be used again. Sessions are not
	// asked: they are what the one use was for.
	Once [16]byte
	// Renewal issues the token that follows this one; nil if none does. Sessions have none.
	Renewal Renewal
	// Playback tells the playbacks of one viewer apart, and Binding is a digest of what a session is bound to. Both are set by
	// whoever mints a session; all zero: not told apart, not bound.
	Playback, Binding [8]byte
	// Session is true if the claims were read from a session token.
	Session bool
}

// Request is what a Verifier may know about the request that a token arrived with.
type Request struct {
	// Now is the instant to judge expiry by.
	Now time.Time
	// Host is the requested host name, without a port.
	Host string
	// Path is the clean path of the reference itself: decoded, no dot segments, no seal or session element.
	Path string
	// Asset names what shares keys and rights with Path: for a seal, the asset that it was made for.
	Asset string
	// Method is the request's method, in upper case.
	Method string
	// Scheme is http or https, and Port the port that the viewer connected to, 0 if it is not known.
	Scheme string
	Port   uint16
	// PublicPath and RawQuery are those of the URL as the viewer asked for it: PublicPath is decoded and has a prefix that a
	// handler in front took off, but no session or seal element; RawQuery has no parameter that carried a token.
	PublicPath, RawQuery string
	// Addr is the viewer's address, by the server's own rules on proxies; ASN the number of its network, 0 if it is not known.
	Addr netip.Addr
	ASN  uint32
	// Country is the ISO 3166-1 code of the viewer's country, Subdivision the ISO 3166-2 code with it (US-CA); both are empty if not known.
	Country, Subdivision string
	// ALPN is the protocol that TLS agreed on; empty without TLS.
	ALPN string
	// Header returns all values of a field of the request. Nil: there are none.
	Header func(name string) []string
}

// Conditions are what a token demands of each request beyond Claims' own fields. They are immutable and safe for concurrent use.
type Conditions interface {
	// Check reports whether they hold for req: nil, or an error that wraps one of this package's sentinels.
	Check(req Request) error
	// AppendBinary appends the form in which a session carries them; see SessionConfig.ParseConditions.
	AppendBinary(dst []byte) ([]byte, error)
}

// Verifier checks one kind of token.
type Verifier interface {
	// Verify returns the claims of raw if they are authentic and hold for req. Otherwise it returns zero Claims and an
	// error that wraps one of this package's sentinels, or any other error if it could not do its work. Answers may be remembered,
	// so what the lists of the claims hold must not be changed.
	Verify(ctx context.Context, raw string, req Request) (Claims, error)
}

// Check reports whether the claims hold for req: ErrExpired, ErrNotYetValid, ErrScope, what Conditions say, or nil.
func (c Claims) Check(req Request) error { return c.Answered(c.check(req)) }

func (c Claims) check(req Request) error {
	switch {
	case !req.Now.Before(c.Expires):
		return ErrExpired
	case req.Now.Before(c.NotBefore):
		return ErrNotYetValid
	case !c.AllowsHost(req.Host), !c.AllowsPath(req.Path):
		return ErrScope
	case c.Conditions != nil:
		return c.Conditions.Check(req)
	}
	return nil
}

// AllowsPath reports whether cleanPath lies in the token's scope. Prefixes match whole path elements: `/vod/a` covers
// `/vod/a` and `/vod/a/x`, never `/vod/ab`. A path that is not clean is never allowed, not even by an empty scope: what the
// scope was checked against must be what the origin is asked for.
func (c Claims) AllowsPath(cleanPath string) bool {
	if !isCleanPath(cleanPath) {
		return false
	}
	if len(c.Scope) == 0 {
		return true
	}
	return slices.ContainsFunc(c.Scope, func(prefix string) bool { return coversPath(prefix, cleanPath) })
}

// AllowsHost reports whether the token is for host, without regard to the case of ASCII letters.
func (c Claims) AllowsHost(host string) bool {
	if len(c.Hosts) == 0 {
		return true
	}
	return slices.ContainsFunc(c.Hosts, func(h string) bool { return len(h) == len(host) && strings.EqualFold(h, host) })
}

// IDDigest returns 16 hexadecimal digits that name the token without being its ID, and "" if it has none. It is the same
// for a token and for every session minted from it, so a revocation of one finds the other.
func (c Claims) IDDigest() string {
	if c.Session || c.ID == "" {
		return c.ID
	}
	sum := sha256.Sum256([]byte(c.ID))
	return hex.EncodeToString(sum[:idDigestBytes])
}

// clone returns claims that share no slice with c, so that a cached value cannot be changed by one of its readers.
func (c Claims) clone() Claims {
	c.Scope, c.Hosts, c.Countries = slices.Clone(c.Scope), slices.Clone(c.Hosts), slices.Clone(c.Countries)
	c.Plans, c.Purchases = slices.Clone(c.Plans), slices.Clone(c.Purchases)
	return c
}

// coversPath expects a clean path; prefix may end with a slash.
func coversPath(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, found := strings.CutPrefix(path, prefix)
	return found && (rest == "" || rest[0] == '/')
}

// isCleanPath reports whether p is absolute and has no empty or dot segment, no control character and no backslash, which
// some file systems read as a slash.
func isCleanPath(p string) bool {
	if p == "" || p[0] != '/' {
		return false
	}
	for i := 0; i < len(p); i++ {
		if p[i] < 0x20 || p[i] == 0x7f || p[i] == '\\' {
			return false
		}
	}
	segments := p[1:]
	for segments != "" {
		segment, rest, more := strings.Cut(segments, "/")
		if segment == "." || segment == ".." || (segment == "" && more) {
			return false
		}
		segments = rest
	}
	return true
}

// Normalize checks claims that another package read from a token, and brings them into the form that Claims promises. It shares no
// slice with what the caller holds. A restriction that cannot be understood is an error.
func (c *Claims) Normalize() error {
	*c = c.clone()
	return c.normalize()
}

// normalize checks what a token claims and brings it into the form that Claims promises. A restriction that cannot be
// understood is an error: read as "no restriction", it would open what its author meant to close.
func (c *Claims) normalize() error {
	if len(c.Subject) > maxSubjectBytes || len(c.ID) > maxSubjectBytes {
		return errors.New("subject or ID over 255 bytes")
	}
	if !utf8.ValidString(c.Subject) || !utf8.ValidString(c.ID) {
		return errors.New("subject or ID not UTF-8")
	}
	if len(c.Scope) > maxScopeEntries || len(c.Countries) > maxCountries || len(c.Hosts) > maxHosts {
		return errors.New("too many paths, countries or hosts")
	}
	for i, prefix := range c.Scope {
		if len(prefix) > maxScopeBytes || !isCleanPath(prefix) || strings.ContainsAny(prefix, "*?#") {
			return fmt.Errorf("path %d is not a clean prefix", i)
		}
		if prefix != "/" {
			c.Scope[i] = strings.TrimSuffix(prefix, "/")
		}
	}
	for i, country := range c.Countries {
		if !isAlpha2(country) {
			return fmt.Errorf("country %d is not a two-letter code", i)
		}
		c.Countries[i] = strings.ToUpper(country)
	}
	for i, host := range c.Hosts {
		if !isHostName(host) {
			return fmt.Errorf("host %d is not a host name", i)
		}
		c.Hosts[i] = strings.ToLower(host)
	}
	return c.normalizeRights()
}

// normalizeRights is normalize for what the viewer has a right to.
func (c *Claims) normalizeRights() error {
	for _, list := range [][]string{c.Plans, c.Purchases} {
		if len(list) > maxRights {
			return errors.New("too many plans or purchases")
		}
		for _, word := range list {
			if word == "" || len(word) > maxRightBytes || !utf8.ValidString(word) {
				return fmt.Errorf("a plan or purchase is not a word of up to %d bytes", maxRightBytes)
			}
		}
	}
	if len(c.Device) > maxSubjectBytes || !utf8.ValidString(c.Device) {
		return errors.New("device over 255 bytes or not UTF-8")
	}
	if c.HomeCountry != "" && !isAlpha2(c.HomeCountry) {
		return errors.New("the home country is not a two-letter code")
	}
	c.HomeCountry = strings.ToUpper(c.HomeCountry)
	if c.MaxStreams < 0 || c.MaxStreams > maxStreams {
		return fmt.Errorf("want 0 to %d streams", maxStreams)
	}
	if !slices.Contains(levels, c.Level) {
		return errors.New("the level is none of high, medium and low")
	}
	return nil
}

// levels are the values of Claims.Level; a session carries the index.
var levels = []string{"", "low", "medium", "high"}

func isAlpha2(s string) bool {
	return len(s) == 2 && isLetter(s[0]) && isLetter(s[1])
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// isHostName accepts names and address literals without a port; what matters is that it can equal a requested host.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isLetter(c), '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}

// Normalized returns claims that came from elsewhere than a token in the form that Claims promises, or says what cannot be
// understood.
func (c Claims) Normalized() (Claims, error) {
	c = c.clone()
	if err := c.normalize(); err != nil {
		return Claims{}, err
	}
	return c, nil
}
