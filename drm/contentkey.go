package drm

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the size in bytes of a content key and of a constant IV.
const KeySize = 16

// ErrContentKey is returned by NewContentKey for material that cannot be a content key.
var ErrContentKey = errors.New("a content key is a KID, 16 secret bytes that are not all zero, and a 16-byte IV")

// ContentKey is a KID, its 16 secret bytes, and the constant IV that `cbcs` and SAMPLE-AES use with it.
//
// Wherever a ContentKey is printed, logged or marshaled only its KID appears; the secret leaves by Secret alone.
type ContentKey struct {
	kid    KID
	secret [KeySize]byte
	iv     [KeySize]byte
}

// NewContentKey copies secret and iv, both 16 bytes. A zero KID or an all-zero secret is refused: both mean that
// something upstream failed without saying so.
func NewContentKey(kid KID, secret, iv []byte) (ContentKey, error) {
	var zero [KeySize]byte
	if kid.IsZero() || len(secret) != KeySize || len(iv) != KeySize || subtle.ConstantTimeCompare(secret, zero[:]) == 1 {
		return ContentKey{}, ErrContentKey
	}
	k := ContentKey{kid: kid}
	copy(k.secret[:], secret)
	copy(k.iv[:], iv)
	return k, nil
}

// KID returns the public name of the key.
func (k ContentKey) KID() KID { return k.kid }

// Secret returns the 16 key bytes. Callers hand them to a cipher or to a license, and to nothing else.
func (k ContentKey) Secret() [KeySize]byte { return k.secret }

// ConstantIV returns the IV written into tenc for `cbcs` (23001-7, 8.2). `cenc` never uses it.
func (k ContentKey) ConstantIV() [KeySize]byte { return k.iv }

// IsZero reports whether k holds no key.
func (k ContentKey) IsZero() bool { return k == ContentKey{} }

// String returns the KID, so that no format verb prints the secret.
func (k ContentKey) String() string { return k.kid.String() }

// Format keeps every verb, %#v and %x included, from reaching the fields.
func (k ContentKey) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, k.kid.String()) }

// MarshalText writes the KID. There is no UnmarshalText: a key cannot be restored from its name.
func (k ContentKey) MarshalText() ([]byte, error) { return []byte(k.kid.String()), nil }

// LogValue makes slog print the KID.
func (k ContentKey) LogValue() slog.Value { return slog.StringValue(k.kid.String()) }
