package drm

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// KID is a 16-byte key ID in the byte order of tenc, pssh, default_KID and ClearKey (23001-7, 8.2).
//
// PlayReady alone writes KIDs as little-endian GUIDs; its builders convert at their own border.
type KID [16]byte

// ErrKID is returned by ParseKID for text that is not a key ID.
var ErrKID = errors.New("a KID is 32 hexadecimal digits, with or without the hyphens of a UUID")

// ParseKID reads 32 hexadecimal digits, with or without the hyphens of a UUID, in either case.
// It returns ErrKID and the zero KID for anything else.
func ParseKID(s string) (KID, error) {
	digits := s
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return KID{}, ErrKID
		}
		digits = strings.ReplaceAll(s, "-", "")
	}
	var k KID
	if len(digits) != 32 {
		return KID{}, ErrKID
	}
	if _, err := hex.Decode(k[:], []byte(digits)); err != nil {
		return KID{}, ErrKID
	}
	return k, nil
}

// ParseKIDBase64URL reads the ClearKey form: 22 characters of base64url without padding (EME, Clear Key license format).
func ParseKIDBase64URL(s string) (KID, error) {
	var k KID
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks, so that the length of its result alone does not tell.
	if err != nil || len(s) != 22 || len(b) != len(k) {
		return KID{}, ErrKID
	}
	copy(k[:], b)
	return k, nil
}

// String returns the KID as a lower-case UUID, the form of default_KID and of every log.
func (k KID) String() string {
	h := hex.EncodeToString(k[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Hex returns 32 lower-case hexadecimal digits.
func (k KID) Hex() string { return hex.EncodeToString(k[:]) }

// Base64URL returns the ClearKey form, without padding.
func (k KID) Base64URL() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// IsZero reports whether k is the all-zero KID, which never names a key here.
func (k KID) IsZero() bool { return k == KID{} }

// MarshalText writes the form of String, so that JSON and structured logs show a UUID and not sixteen numbers.
func (k KID) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
