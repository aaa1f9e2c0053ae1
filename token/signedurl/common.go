package signedurl

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Limits.
const (
	// maxCredentialBytes bounds what is looked at.
	maxCredentialBytes = 4 << 10
	// maxKeys is how many keys one verifier may have: each costs a MAC where a credential does not name its key.
	maxKeys = 8
	// maxUnixSeconds is 9999-12-31T23:59:59Z; a later time is a mistake in units.
	maxUnixSeconds = 253402300799
)

// malformed is a refusal that says what is wrong, and nothing of what was presented.
func malformed(what string) error { return fmt.Errorf("%w: %s", token.ErrMalformed, what) }

// common is what all kinds share.
type common struct {
	identity string
	leeway   time.Duration
}

// newCommon makes an identity of everything that an answer depends on. Keys enter it as part of a digest.
func newCommon(kind string, leeway time.Duration, settings ...any) (common, error) {
	switch {
	case leeway == 0:
		leeway = token.DefaultLeeway
	case leeway < 0:
		leeway = 0
	case leeway > token.MaxLeeway:
		return common{}, fmt.Errorf("leeway of %s: want at most %s", leeway, token.MaxLeeway)
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d", leeway)
	for _, setting := range settings {
		_, _ = fmt.Fprintf(h, " %q", setting)
	}
	return common{identity: kind + "|" + hex.EncodeToString(h.Sum(nil)), leeway: leeway}, nil
}

// Identity implements token.Identified.
func (c common) Identity() string { return c.identity }

// times puts expiry and start into claims, leeway included. A zero start is none.
func (c common) times(claims *token.Claims, expires, start int64) {
	claims.Expires = time.Unix(expires, 0).Add(c.leeway)
	if start > 0 {
		claims.NotBefore = time.Unix(start, 0).Add(-c.leeway)
	}
}

// accept finishes claims whose signature fits.
func accept(claims token.Claims, req token.Request) (token.Claims, error) {
	if err := claims.Normalize(); err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrMalformed, err)
	}
	if err := claims.Check(req); err != nil {
		return token.Claims{}, err
	}
	return claims, nil
}

// checkCredential refuses what is not worth parsing.
func checkCredential(raw string) error {
	if raw == "" {
		return token.ErrMissing
	}
	if len(raw) > maxCredentialBytes {
		return malformed("over 4096 bytes")
	}
	return nil
}

// checkSecrets demands at least one key, and none that is empty or one byte repeated. They are copied.
func checkSecrets(secrets [][]byte) ([][]byte, error) {
	if len(secrets) == 0 || len(secrets) > maxKeys {
		return nil, fmt.Errorf("key: want 1 to %d, not %d", maxKeys, len(secrets))
	}
	copies := make([][]byte, len(secrets))
	for i, secret := range secrets {
		if len(secret) == 0 || bytes.Count(secret, secret[:1]) == len(secret) {
			return nil, errors.New("a key is empty, or one byte repeated")
		}
		copies[i] = bytes.Clone(secret)
	}
	return copies, nil
}

// anyEqual compares want with what each key gives, in constant time, and looks at every key: how long it takes tells nothing.
func anyEqual(want []byte, keys [][]byte, sum func(key []byte) []byte) bool {
	found := 0
	for _, key := range keys {
		found |= subtle.ConstantTimeCompare(want, sum(key))
	}
	return found == 1
}

// parseSeconds reads digits only: no sign, no leading zero.
func parseSeconds(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > maxUnixSeconds || strconv.FormatInt(n, 10) != s {
		return 0, malformed("a time that is not a decimal number of seconds")
	}
	return n, nil
}

// parseTenDigits reads a time that stands in what is signed without a separator to its neighbors.
func parseTenDigits(s string) (int64, error) {
	n, err := parseSeconds(s)
	if err != nil || len(s) != 10 {
		return 0, malformed("a time that has not ten digits")
	}
	return n, nil
}

// signingTime is the reverse: the text of a time that parseTenDigits takes.
func signingTime(at time.Time) (string, error) {
	s := strconv.FormatInt(at.Unix(), 10)
	if _, err := parseTenDigits(s); err != nil {
		return "", errors.New("the time must have ten digits as seconds since 1970: 2001 to 2286")
	}
	return s, nil
}

// escapedPath returns a decoded path as it stands in a URL.
func escapedPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// decodeBase64URL takes the one canonical form without padding.
func decodeBase64URL(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, malformed("not base64url")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, malformed("not base64url")
	}
	return b, nil
}

// one returns the value at a place: empty if there is none.
func one(c token.Carrier, in, name string) (string, error) {
	values := c.Values(token.Place{In: in, Name: name})
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	default:
		return "", token.ErrAmbiguous
	}
}

// boundTo is all of a request that a signature may cover without naming it.
func boundTo(req token.Request) string {
	return strings.Join([]string{req.Scheme, req.Host, req.Path, req.PublicPath, req.RawQuery, req.Addr.String(), req.Country}, "\x00")
}
