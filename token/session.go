package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"time"
)

// The bytes of a session token, big-endian, before base64url:
//
//	version=2(1) expires(4) idDigest(8) subject(len 1, bytes) scope(count 1, each len 2, bytes)
//	hosts(count 1, each len 1, bytes) countries(count 1, each 2) [rights] mac(16)
//	rights: playback(8) binding(8) plans(count 1, each len 1, bytes) purchases(as plans) device(len 1, bytes)
//	home(len 1, bytes) maxStreams(1) level(1) conditions(len 2, bytes)
//
// expires is in seconds since 1970. The rights are left out where there are none. The MAC is HMAC-SHA-256, cut to 128 bits,
// over a label and all bytes before it. There is no nonce but the playback, which the caller chooses: the same claims under the
// same key give the same session, so URLs that carry it stay the same for as long as the access token does.
const (
	sessionVersion  = 2
	sessionLabel    = "caddy-drm session 2\x00"
	sessionMACBytes = 16
	sessionMinBytes = 1 + 4 + idDigestBytes + 4 + sessionMACBytes
	idDigestBytes   = 8

	// maxSessionChars bounds what Open looks at and what Mint makes; a path element of most servers may be this long.
	maxSessionChars = 1 << 10
)

// SessionKeyBytes is the size of the key of NewSessionKey.
const SessionKeyBytes = 32

// SessionConfig sets a SessionKey.
type SessionConfig struct {
	// Extend is how long a session outlives the access token that it was minted from. Zero ends both at the same instant; a live
	// stream whose access token is short-lived needs the time that a viewer may go on watching.
	Extend time.Duration
	// ParseConditions reads what Conditions.AppendBinary of the site's verifiers wrote. Nil: a session with conditions is malformed.
	ParseConditions func([]byte) (Conditions, error)
	// Opened remembers sessions. Nil: each is opened anew.
	Opened *OpenedSessions
}

// SessionKey mints and opens session tokens. It is safe for concurrent use and prints without its key.
type SessionKey struct {
	secret [SessionKeyBytes]byte
	config SessionConfig
}

// NewSessionKey returns a key of 32 secret bytes, which the caller has derived for one tenant and for this purpose alone: that is
// what keeps a session of one site from opening another.
func NewSessionKey(secret []byte, config SessionConfig) (*SessionKey, error) {
	if len(secret) != SessionKeyBytes || isRepeated(secret) {
		return nil, fmt.Errorf("a session key is %d random bytes", SessionKeyBytes)
	}
	if config.Extend < 0 {
		return nil, errors.New("a session cannot end before its token by configuration")
	}
	k := &SessionKey{config: config}
	copy(k.secret[:], secret)
	return k, nil
}

// Mint returns the session of claims: letters, digits, '-' and '_' only, so it can be a path element. Calls with the same claims
// return the same text.
//
// It ends when the claims do, plus the extension, rounded down to a second. Claims that are expired at now, or that were read from a session, are an error: a session begets none, so that every session
// ends. Pass the one that the viewer presented on as it is.
func (k *SessionKey) Mint(claims Claims, now time.Time) (string, error) {
	return k.MintUntil(claims, now, time.Time{})
}

// MintUntil is Mint for a session that ends at end, rounded down to a second, if it would end later. A zero end is none.
func (k *SessionKey) MintUntil(claims Claims, now, end time.Time) (string, error) {
	claims = claims.clone()
	expires := claims.Expires.Add(k.config.Extend).Unix()
	if !end.IsZero() {
		expires = min(expires, end.Unix())
	}
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
	return k.encode(claims, expires)
}

// encode writes normalized claims, whatever they were read from.
func (k *SessionKey) encode(claims Claims, expires int64) (string, error) {
	b, err := appendSession(nil, claims, uint32(min(expires, math.MaxUint32))) // later than 2106 is 2106
	if err != nil {
		return "", err
	}
	b = append(b, k.mac(b)...)
	if base64.RawURLEncoding.EncodedLen(len(b)) > maxSessionChars {
		return "", fmt.Errorf("claims too long for a session of %d characters", maxSessionChars)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Renew returns the session that follows on one whose claims Open returned: the same, but it ends at expires. Mint makes no session
// from a session, so that every one ends; whoever calls Renew has asked somebody who may let the viewer go on.
func (k *SessionKey) Renew(claims Claims, expires, now time.Time) (string, error) {
	claims = claims.clone()
	switch err := claims.normalize(); {
	case err != nil:
		return "", err
	case !claims.Session:
		return "", errors.New("only a session can be renewed")
	case !now.Before(expires) || expires.Unix() <= 0:
		return "", ErrExpired
	}
	return k.encode(claims, expires.Unix())
}

// End returns when a session ends: the one that claims were read from, or one that is minted from them.
func (k *SessionKey) End(claims Claims) time.Time {
	if claims.Session {
		return claims.Expires
	}
	return time.Unix(claims.Expires.Add(k.config.Extend).Unix(), 0)
}

// Open returns the claims in a session token: ErrMissing, ErrMalformed, ErrSignature or ErrExpired if there are none. Path, host
// and country are for the caller to check, since a session is opened before they are known to matter; Claims.Check does the
// first two.
func (k *SessionKey) Open(session string, now time.Time) (Claims, error) {
	c, err := k.Read(session)
	if err == nil && !now.Before(c.Expires) {
		return Claims{}, ErrExpired
	}
	return c, err
}

// Read is Open for a session that may be over: it tells whose it was. What the lists of the claims hold must not be changed.
func (k *SessionKey) Read(session string) (Claims, error) {
	if session == "" {
		return Claims{}, ErrMissing
	}
	if c, found := k.config.Opened.get(k, session); found {
		return c, nil
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
	c, err := k.parse(body)
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	k.config.Opened.add(k, session, c)
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
