package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// The bytes of a session token, big-endian, before base64url:
//
//	version=1(1) expires(4) idDigest(8) subject(len 1, bytes) scope(count 1, each len 2, bytes)
//	hosts(count 1, each len 1, bytes) countries(count 1, each 2) mac(16)
//
// expires is in seconds since 1970. The MAC is HMAC-SHA-256, cut to 128 bits, over a label and all bytes before it. There is
// no nonce: the same claims under the same key give the same session, so URLs that carry it stay the same for as long as the
// access token does.
const (
	sessionVersion  = 1
	sessionLabel    = "caddy-drm session 1\x00"
	sessionMACBytes = 16
	sessionMinBytes = 1 + 4 + idDigestBytes + 4 + sessionMACBytes
	idDigestBytes   = 8

	// maxSessionChars bounds what Open looks at and what Mint makes; a path element of most servers may be this long.
	maxSessionChars = 1 << 10
)

// SessionKeyBytes is the size of the key of NewSessionKey.
const SessionKeyBytes = 32

// SessionKey mints and opens session tokens. It is safe for concurrent use and prints without its key.
type SessionKey struct {
	secret [SessionKeyBytes]byte
	extend time.Duration
}

// NewSessionKey returns a key of 32 secret bytes, which the caller has derived for one tenant and for this purpose alone: that is
// what keeps a session of one site from opening another.
//
// extend is how long a session outlives the access token that it was minted from. Zero ends both at the same instant; a live
// stream whose access token is short-lived needs the time that a viewer may go on watching.
func NewSessionKey(secret []byte, extend time.Duration) (*SessionKey, error) {
	if len(secret) != SessionKeyBytes || isRepeated(secret) {
		return nil, fmt.Errorf("a session key is %d random bytes", SessionKeyBytes)
	}
	if extend < 0 {
		return nil, errors.New("a session cannot end before its token by configuration")
	}
	k := &SessionKey{extend: extend}
	copy(k.secret[:], secret)
	return k, nil
}

// Mint returns the session of claims: letters, digits, '-' and '_' only, so it can be a path element. Calls with the same claims
// return the same text.
//
// It ends when the claims do, plus the extension, rounded down to a second. Claims that are expired at now, or that were read from a session, are an error: a session begets none, so that every session
// ends. Pass the one that the viewer presented on as it is.
func (k *SessionKey) Mint(claims Claims, now time.Time) (string, error) {
	claims = claims.clone()
	expires := claims.Expires.Add(k.extend).Unix()
	switch err := claims.normalize(); {
	case err != nil:
		return "", err
	case claims.Session:
		return "", errors.New("a session cannot be minted from a session")
	case !now.Before(claims.Expires):
		return "", ErrExpired
	case now.Before(claims.NotBefore):
		return "", ErrNotYetValid
	case expires <= 0:
		return "", errors.New("expiry before 1970")
	}
	b := appendSession(nil, claims, uint32(min(expires, math.MaxUint32))) // later than 2106 is 2106
	b = append(b, k.mac(b)...)
	if base64.RawURLEncoding.EncodedLen(len(b)) > maxSessionChars {
		return "", fmt.Errorf("claims too long for a session of %d characters", maxSessionChars)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Open returns the claims in a session token: ErrMissing, ErrMalformed, ErrSignature or ErrExpired if there are none. Path, host
// and country are for the caller to check, since a session is opened before they are known to matter; Claims.Check does the
// first two.
func (k *SessionKey) Open(session string, now time.Time) (Claims, error) {
	if session == "" {
		return Claims{}, ErrMissing
	}
	if len(session) > maxSessionChars {
		return Claims{}, fmt.Errorf("%w: over %d characters", ErrMalformed, maxSessionChars)
	}
	b, err := decodeBase64URL(session)
	if err != nil || len(b) < sessionMinBytes || b[0] != sessionVersion {
		return Claims{}, fmt.Errorf("%w: not a session token", ErrMalformed)
	}
	body, mac := b[:len(b)-sessionMACBytes], b[len(b)-sessionMACBytes:]
	if !hmac.Equal(mac, k.mac(body)) { // constant time, and before anything is parsed
		return Claims{}, ErrSignature
	}
	c, err := parseSession(body)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !now.Before(c.Expires) {
		return Claims{}, ErrExpired
	}
	return c, nil
}

func (k *SessionKey) mac(body []byte) []byte {
	h := hmac.New(sha256.New, k.secret[:])
	_, _ = h.Write([]byte(sessionLabel))
	_, _ = h.Write(body)
	return h.Sum(nil)[:sessionMACBytes]
}

// String keeps the key out of every log.
func (k *SessionKey) String() string { return "session key" }

// Format keeps every verb from reaching the fields.
func (k *SessionKey) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.String()) }

// appendSession expects normalized claims, whose sizes fit the length fields.
func appendSession(b []byte, c Claims, expires uint32) []byte {
	b = append(b, sessionVersion)
	b = binary.BigEndian.AppendUint32(b, expires)
	var digest [idDigestBytes]byte // all zero: the token had no ID
	_, _ = hex.Decode(digest[:], []byte(c.IDDigest()))
	b = append(b, digest[:]...)
	b = append(append(b, byte(len(c.Subject))), c.Subject...)
	b = append(b, byte(len(c.Scope)))
	for _, prefix := range c.Scope {
		b = binary.BigEndian.AppendUint16(b, uint16(len(prefix)))
		b = append(b, prefix...)
	}
	b = append(b, byte(len(c.Hosts)))
	for _, host := range c.Hosts {
		b = append(append(b, byte(len(host))), host...)
	}
	b = append(b, byte(len(c.Countries)))
	for _, country := range c.Countries {
		b = append(b, country...)
	}
	return b
}

func parseSession(b []byte) (Claims, error) {
	r := sessionReader{b: b[1:]}
	c := Claims{Session: true}
	c.Expires = time.Unix(int64(r.uint(4)), 0)
	digest := r.take(idDigestBytes)
	if len(digest) == idDigestBytes && [idDigestBytes]byte(digest) != [idDigestBytes]byte{} {
		c.ID = hex.EncodeToString(digest)
	}
	c.Subject = string(r.take(r.uint(1)))
	for range r.uint(1) {
		c.Scope = append(c.Scope, string(r.take(r.uint(2))))
	}
	for range r.uint(1) {
		c.Hosts = append(c.Hosts, string(r.take(r.uint(1))))
	}
	for range r.uint(1) {
		c.Countries = append(c.Countries, string(r.take(2)))
	}
	if r.cut || len(r.b) > 0 {
		return Claims{}, errors.New("lengths that do not add up")
	}
	if err := c.normalize(); err != nil {
		return Claims{}, err
	}
	return c, nil
}

// sessionReader consumes bytes; after the first read past the end it returns nothing more.
type sessionReader struct {
	b   []byte
	cut bool
}

func (r *sessionReader) take(n int) []byte {
	if r.cut || n > len(r.b) {
		r.cut = true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *sessionReader) uint(n int) int {
	value := 0
	for _, c := range r.take(n) {
		value = value<<8 | int(c)
	}
	return value
}
