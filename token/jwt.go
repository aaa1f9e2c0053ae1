package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Sizes of a token and of its encoded header, checked before anything in them is decoded. The header is read before the signature
// is, so it is the part that an attacker can make expensive.
const (
	maxTokenBytes  = 8 << 10
	maxHeaderBytes = 2 << 10
)

// Clock differences that verifiers forgive.
const (
	DefaultLeeway = 30 * time.Second
	MaxLeeway     = 60 * time.Second
)

// Names of the claims that restrict where a token holds, unless JWTConfig says otherwise.
const (
	DefaultPathsClaim     = "paths"
	DefaultCountriesClaim = "countries"
	DefaultHostsClaim     = "hosts"
)

// JWTConfig is what a JWT verifier demands. Keys is required.
type JWTConfig struct {
	// Keys is the closed set that kid selects from, each with its algorithms.
	Keys *KeySet
	// Issuer, if set, must equal iss.
	Issuer string
	// Audience, if set, must have a value in common with aud. If it is empty, a token that has an aud is refused: it is meant
	// for somebody, and not for us (JWT, 4.1.3).
	Audience []string
	// Type, if set, must equal typ without regard to case and to a leading `application/` (RFC 8725, 3.11).
	Type string
	// Refresh, if set, is asked to renew Keys when none of them has the kid of a token, or when there are none yet. It returns when the
	// keys may have changed, and false if that is not worth another look. It is called with nothing verified, so it bounds itself
	// how often it does anything and how long it takes.
	Refresh func(ctx context.Context) bool
	// Leeway is added to exp and taken from nbf; zero means DefaultLeeway, negative none. At most MaxLeeway.
	Leeway time.Duration
	// PathsClaim, CountriesClaim and HostsClaim name the claims, each a string or an array of strings, that become Scope,
	// Countries and Hosts. Empty: the default names.
	PathsClaim, CountriesClaim, HostsClaim string
}

// JWT verifies signed JWTs in compact form. It is safe for concurrent use, and never follows a URL or a key in a token.
type JWT struct {
	config JWTConfig
	digest string
}

// NewJWT checks config and returns its verifier.
func NewJWT(config JWTConfig) (*JWT, error) {
	if config.Keys == nil {
		return nil, errors.New("a JWT verifier needs keys")
	}
	leeway, err := checkLeeway(config.Leeway)
	if err != nil {
		return nil, err
	}
	config.Leeway = leeway
	config.Audience = slices.Clone(config.Audience)
	setDefault(&config.PathsClaim, DefaultPathsClaim)
	setDefault(&config.CountriesClaim, DefaultCountriesClaim)
	setDefault(&config.HostsClaim, DefaultHostsClaim)
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %q %d %q %q %q", config.Issuer, config.Audience, config.Type, config.Leeway,
		config.PathsClaim, config.CountriesClaim, config.HostsClaim)
	return &JWT{config: config, digest: hex.EncodeToString(h.Sum(nil))}, nil
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func checkLeeway(leeway time.Duration) (time.Duration, error) {
	switch {
	case leeway == 0:
		return DefaultLeeway, nil
	case leeway < 0:
		return 0, nil
	case leeway > MaxLeeway:
		return 0, fmt.Errorf("leeway of %s: want at most %s", leeway, MaxLeeway)
	}
	return leeway, nil
}

// Identity implements Identified: it changes with the configuration and with the keys.
func (v *JWT) Identity() string {
	return "jwt|" + v.digest + "|" + v.config.Keys.current.Load().identity
}

// Verify implements Verifier. It refuses, before any cryptography: more than 8 KiB, anything but three parts of strict
// base64url, members named twice, deep nesting, an algorithm that the key is not for, and the headers crit, b64, zip, jku, jwk,
// x5u and x5c. A token without exp is malformed.
func (v *JWT) Verify(ctx context.Context, raw string, req Request) (Claims, error) {
	if raw == "" {
		return Claims{}, ErrMissing
	}
	payload, err := v.authenticate(ctx, raw)
	if err != nil {
		return Claims{}, err
	}
	claims, err := v.readClaims(payload)
	if err != nil {
		return Claims{}, err
	}
	if err := claims.Check(req); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// authenticate returns the payload of raw if its signature fits.
func (v *JWT) authenticate(ctx context.Context, raw string) ([]byte, error) {
	if len(raw) > maxTokenBytes {
		return nil, fmt.Errorf("%w: over %d bytes", ErrMalformed, maxTokenBytes)
	}
	if strings.Count(raw, ".") != 2 {
		return nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	parts := strings.Split(raw, ".")
	if len(parts[0]) > maxHeaderBytes {
		return nil, fmt.Errorf("%w: header over %d bytes", ErrMalformed, maxHeaderBytes)
	}
	header, err := decodeBase64URL(parts[0])
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	for _, part := range parts[1:] {
		if !isBase64URL(part) {
			return nil, fmt.Errorf("%w: payload or signature: not base64url", ErrMalformed)
		}
	}
	key, algorithm, err := v.selectKey(ctx, header)
	if err != nil {
		return nil, err
	}
	if _, err := decodeBase64URL(parts[2]); err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrMalformed, err)
	}
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{algorithm.jose()})
	if err != nil {
		return nil, ErrMalformed // the cause may quote the header
	}
	payload, err := signed.Verify(key.material)
	if err != nil || !saltFits(key, algorithm, raw) {
		return nil, ErrSignature
	}
	return payload, nil
}

// refusedHeaders change how a token is read or bring their own key. A verifier that ignored crit, b64 or zip would check
// something else than what was signed (JWS, 4.1.11; RFC 7797); one that followed the others would trust the attacker's key.
var refusedHeaders = []string{"crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c"}

func (v *JWT) selectKey(ctx context.Context, header []byte) (Key, Algorithm, error) {
	members, err := readObject(header)
	if err != nil {
		return Key{}, "", fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	for _, name := range refusedHeaders {
		if _, found := members[name]; found {
			return Key{}, "", fmt.Errorf("%w: header %q is not accepted", ErrMalformed, name)
		}
	}
	alg, err := readString(members, "alg")
	if err != nil {
		return Key{}, "", err
	}
	kid, err := readString(members, "kid")
	if err != nil {
		return Key{}, "", err
	}
	typ, err := readString(members, "typ")
	if err != nil {
		return Key{}, "", err
	}
	if v.config.Type != "" && !strings.EqualFold(trimMediaType(typ), trimMediaType(v.config.Type)) {
		return Key{}, "", fmt.Errorf("%w: another typ", ErrMalformed)
	}
	key, found := v.findKey(ctx, kid, Algorithm(alg))
	switch {
	case v.config.Keys.Len() == 0:
		return Key{}, "", ErrNoKeys
	case !found:
		return Key{}, "", fmt.Errorf("%w: no key of that kid", ErrSignature)
	case !key.allows(Algorithm(alg)):
		return Key{}, "", fmt.Errorf("%w: algorithm not allowed for its key", ErrSignature)
	}
	return key, Algorithm(alg), nil
}

// findKey looks a second time after a refresh, and a third, because the first may have ended what had begun before the key was there.
func (v *JWT) findKey(ctx context.Context, kid string, alg Algorithm) (key Key, found bool) {
	key, found = v.config.Keys.current.Load().lookup(kid)
	for range 2 {
		if found || v.config.Refresh == nil || !v.config.Keys.mayHave(alg) || !v.config.Refresh(ctx) {
			break
		}
		key, found = v.config.Keys.current.Load().lookup(kid)
	}
	return key, found
}

// trimMediaType undoes the abbreviation that JWS 4.1.9 allows.
func trimMediaType(typ string) string {
	if rest, found := strings.CutPrefix(strings.ToLower(typ), "application/"); found {
		return rest
	}
	return typ
}

func (v *JWT) readClaims(payload []byte) (Claims, error) {
	members, err := readObject(payload)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	if err := v.checkParties(members); err != nil {
		return Claims{}, err
	}
	var c Claims
	r := claimReader{members: members}
	c.Subject = r.text("sub")
	c.ID = r.text("jti")
	c.Scope = r.list(v.config.PathsClaim)
	c.Countries = r.list(v.config.CountriesClaim)
	c.Hosts = r.list(v.config.HostsClaim)
	c.Plans, c.Purchases = r.list("plans"), r.list("purchases")
	c.HomeCountry, c.Device, c.Level = r.text("home_country"), r.text("device"), r.text("level")
	c.MaxStreams = r.count("max_streams")
	expires, hasExpiry := r.date("exp")
	notBefore, hasNotBefore := r.date("nbf")
	switch {
	case r.err != nil:
		return Claims{}, r.err
	case !hasExpiry:
		return Claims{}, fmt.Errorf("%w: no exp", ErrMalformed)
	}
	c.Expires = expires.Add(v.config.Leeway)
	if hasNotBefore {
		c.NotBefore = notBefore.Add(-v.config.Leeway)
	}
	if err := c.normalize(); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return c, nil
}

func (v *JWT) checkParties(members map[string]json.RawMessage) error {
	issuer, err := readString(members, "iss")
	if err != nil {
		return err
	}
	if v.config.Issuer != "" && issuer != v.config.Issuer {
		return ErrIssuer
	}
	audience, found, err := readStrings(members, "aud")
	if err != nil {
		return err
	}
	if !found && len(v.config.Audience) == 0 {
		return nil
	}
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.config.Audience, a) }) {
		return ErrAudience
	}
	return nil
}

// decodeBase64URL reads the one canonical form: no padding, no line breaks, no loose bits at the end.
func decodeBase64URL(s string) ([]byte, error) {
	if !isBase64URL(s) { // DecodeString passes over line breaks
		return nil, errors.New("not base64url")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("not canonical base64url")
	}
	return b, nil
}

func isBase64URL(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isAlphanumeric(c), c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}
