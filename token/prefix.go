package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The wire form of a signed prefix, which any language with HMAC can produce:
//
//	token   = "v1." payload "." mac           letters, digits, '-', '_' and '.': safe in query, cookie and path
//	payload = base64url(fields)               without padding
//	mac     = base64url(HMAC-SHA-256(secret, "v1." payload))
//	fields  = field *( "&" field )            each name once, but prefix, host and country as often as needed
//	field   = "exp=" seconds                  required; seconds since 1970, decimal
//	        | "prefix=" path                  a clean path prefix; none: the whole site
//	        | "nbf=" seconds | "host=" name | "country=" code | "sub=" text | "jti=" text
//	        | "kid=" text                     required where several keys are configured
//
// Values are percent-encoded; letters, digits and -._~/:@ may stand for themselves. An unknown field is an error, since it
// might be a restriction.
const (
	prefixVersion    = "v1"
	maxPrefixBytes   = 4 << 10
	maxPrefixFields  = 64
	prefixPlainBytes = "-._~/:@"
)

// SignedPrefixConfig is what a verifier of signed prefixes demands. Keys is required and holds keys made with SecretKey.
type SignedPrefixConfig struct {
	Keys *KeySet
	// Leeway is as in JWTConfig.
	Leeway time.Duration
}

// SignedPrefix verifies signed prefixes. It is safe for concurrent use.
type SignedPrefix struct {
	keys   *KeySet
	leeway time.Duration
	name   string // begins the identity
}

// NewSignedPrefix checks config and returns its verifier.
func NewSignedPrefix(config SignedPrefixConfig) (*SignedPrefix, error) {
	if config.Keys == nil {
		return nil, errors.New("a signed prefix verifier needs keys")
	}
	for _, k := range config.Keys.current.Load().keys {
		if !k.allows(HS256) {
			return nil, fmt.Errorf("%s is not for HS256, the algorithm of signed prefixes", k)
		}
	}
	leeway, err := checkLeeway(config.Leeway)
	if err != nil {
		return nil, err
	}
	return &SignedPrefix{keys: config.Keys, leeway: leeway, name: fmt.Sprintf("prefix|%d|", leeway)}, nil
}

// Identity implements Identified.
func (v *SignedPrefix) Identity() string {
	return v.name + v.keys.current.Load().identity
}

// Verify implements Verifier. The MAC covers the encoded payload, so nothing but kid is acted on before it is checked.
func (v *SignedPrefix) Verify(_ context.Context, raw string, req Request) (Claims, error) {
	if raw == "" {
		return Claims{}, ErrMissing
	}
	p, err := parsePrefix(raw)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	key, found := v.keys.current.Load().lookup(p.kid)
	if !found || !key.allows(HS256) {
		return Claims{}, fmt.Errorf("%w: no key of that kid", ErrSignature)
	}
	if !hmac.Equal(p.mac, prefixMAC(key, p.signed)) { // constant time: the MAC must not be guessable byte by byte
		return Claims{}, ErrSignature
	}
	c := p.claims
	c.Expires = c.Expires.Add(v.leeway)
	if !c.NotBefore.IsZero() {
		c.NotBefore = c.NotBefore.Add(-v.leeway)
	}
	if err := c.Check(req); err != nil {
		return Claims{}, err
	}
	return c, nil
}

// SignPrefix returns the signed prefix for claims. Expires is required; it and NotBefore are written in whole seconds, rounded
// down. key must be made with SecretKey; its name becomes the kid.
func SignPrefix(key Key, claims Claims) (string, error) {
	claims = claims.clone()
	switch err := claims.normalize(); {
	case err != nil:
		return "", err
	case !key.allows(HS256):
		return "", fmt.Errorf("%s is not for HS256, the algorithm of signed prefixes", key)
	case claims.Session:
		return "", errors.New("a session cannot be turned into an access token")
	case claims.Expires.Unix() <= 0 || claims.Expires.Unix() > maxUnixSeconds:
		return "", errors.New("a signed prefix needs an expiry")
	}
	fields := []string{"exp=" + strconv.FormatInt(claims.Expires.Unix(), 10)}
	add := func(name string, values ...string) {
		for _, value := range values {
			if value != "" {
				fields = append(fields, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
			}
		}
	}
	if nbf := claims.NotBefore.Unix(); nbf > 0 {
		add("nbf", strconv.FormatInt(nbf, 10))
	}
	add("prefix", claims.Scope...)
	add("host", claims.Hosts...)
	add("country", claims.Countries...)
	add("sub", claims.Subject)
	add("jti", claims.ID)
	add("kid", key.id)
	if len(fields) > maxPrefixFields {
		return "", errors.New("too many fields")
	}
	signed := prefixVersion + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Join(fields, "&")))
	signature := signed + "." + base64.RawURLEncoding.EncodeToString(prefixMAC(key, signed))
	if len(signature) > maxPrefixBytes {
		return "", fmt.Errorf("over %d bytes", maxPrefixBytes)
	}
	return signature, nil
}

func prefixMAC(key Key, signed string) []byte {
	secret, _ := key.material.([]byte)
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write([]byte(signed))
	return h.Sum(nil)
}

// parsedPrefix is a signed prefix of which nothing is known to be true yet.
type parsedPrefix struct {
	claims Claims
	kid    string
	signed string // the text under the MAC
	mac    []byte
}

func parsePrefix(raw string) (parsedPrefix, error) {
	if len(raw) > maxPrefixBytes {
		return parsedPrefix{}, fmt.Errorf("over %d bytes", maxPrefixBytes)
	}
	if strings.Count(raw, ".") != 2 || !strings.HasPrefix(raw, prefixVersion+".") {
		return parsedPrefix{}, errors.New("not of the form v1.payload.mac")
	}
	end := strings.LastIndexByte(raw, '.')
	fields, err := decodeBase64URL(raw[len(prefixVersion)+1 : end])
	if err != nil {
		return parsedPrefix{}, fmt.Errorf("payload: %w", err)
	}
	mac, err := decodeBase64URL(raw[end+1:])
	if err != nil || len(mac) != sha256.Size {
		return parsedPrefix{}, errors.New("mac: not 32 bytes of base64url")
	}
	p := parsedPrefix{signed: raw[:end], mac: mac}
	if err := p.parseFields(string(fields)); err != nil {
		return parsedPrefix{}, err
	}
	if err := p.claims.normalize(); err != nil {
		return parsedPrefix{}, err
	}
	return p, nil
}

func (p *parsedPrefix) parseFields(fields string) error {
	if strings.Count(fields, "&") >= maxPrefixFields {
		return errors.New("too many fields")
	}
	seen := map[string]bool{}
	for field := range strings.SplitSeq(fields, "&") {
		name, encoded, _ := strings.Cut(field, "=")
		value, err := decodeField(encoded)
		if err != nil {
			return err
		}
		repeatable, err := p.setField(name, value)
		if err != nil {
			return err
		}
		if seen[name] && !repeatable {
			return errors.New("a field is given twice")
		}
		seen[name] = true
	}
	if !seen["exp"] {
		return errors.New("no exp")
	}
	return nil
}

func (p *parsedPrefix) setField(name, value string) (repeatable bool, err error) {
	c := &p.claims
	switch name {
	case "exp":
		c.Expires, err = parseSeconds(value)
	case "nbf":
		c.NotBefore, err = parseSeconds(value)
	case "prefix":
		c.Scope, repeatable = append(c.Scope, value), true
	case "host":
		c.Hosts, repeatable = append(c.Hosts, value), true
	case "country":
		c.Countries, repeatable = append(c.Countries, value), true
	case "sub":
		c.Subject = value
	case "jti":
		c.ID = value
	case "kid":
		p.kid = value
	default:
		err = errors.New("unknown field")
	}
	return repeatable, err
}

// decodeField undoes strict percent-encoding. A bare '+' is refused because half of the world reads it as a space.
func decodeField(encoded string) (string, error) {
	if encoded == "" {
		return "", errors.New("a field without a value")
	}
	var b strings.Builder
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		switch {
		case c == '%':
			if len(encoded)-i < 3 {
				return "", errors.New("cut percent-encoding")
			}
			octet, err := hex.DecodeString(encoded[i+1 : i+3])
			if err != nil {
				return "", errors.New("percent sign without two hexadecimal digits")
			}
			c, i = octet[0], i+2
		case isAlphanumeric(c), strings.IndexByte(prefixPlainBytes, c) >= 0:
		default:
			return "", errors.New("a character that must be percent-encoded")
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

func isAlphanumeric(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9'
}

// parseSeconds reads digits only: no sign, no leading zero, so that a time has one spelling.
func parseSeconds(s string) (time.Time, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 || n > maxUnixSeconds || strconv.FormatUint(n, 10) != s {
		return time.Time{}, errors.New("a time that is not a decimal number of seconds")
	}
	return time.Unix(int64(n), 0), nil
}
