package drm

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"unique"
)

// KeySize is the size in bytes of a content key and of a constant IV.
const KeySize = 16

// ErrContentKey is returned by NewContentKey for material that cannot be a content key.
var ErrContentKey = errors.New("a content key is a KID, 16 secret bytes that are not all zero, and a 16-byte IV")

// ContentKey is a KID, its 16 secret bytes, and the constant IV that `cbcs` and SAMPLE-AES use with it.
//
// Wherever a ContentKey is printed, logged or marshaled only its KID appears; the secret leaves by Secret alone. Two
// ContentKeys are == when their KIDs, secrets and IVs are.
type ContentKey struct {
	kid KID
	// material is the secret and the IV behind it. The methods below speak for a ContentKey that fmt can call them on. It
	// cannot when the key is an unexported field of a struct, and does not for a verb that does not fit (%p, a stray %w).
	// Then it prints fields: of this one an address, since fmt never follows a pointer to a string.
	material unique.Handle[string]
}

// NewContentKey copies secret and iv, both 16 bytes. A zero KID or an all-zero secret is refused: both mean that
// something upstream failed without saying so.
func NewContentKey(kid KID, secret, iv []byte) (ContentKey, error) {
	var zero [KeySize]byte
	if kid.IsZero() || len(secret) != KeySize || len(iv) != KeySize || subtle.ConstantTimeCompare(secret, zero[:]) == 1 {
		return ContentKey{}, ErrContentKey
	}
	return ContentKey{kid: kid, material: unique.Make(string(secret) + string(iv))}, nil
}

// KID returns the public name of the key.
func (k ContentKey) KID() KID { return k.kid }

// Secret returns the 16 key bytes, zeros of the zero ContentKey. Callers hand them to a cipher or to a license, and to
// nothing else.
func (k ContentKey) Secret() [KeySize]byte {
	secret, _ := k.parts()
	return secret
}

// ConstantIV returns the IV written into tenc for `cbcs` (23001-7, 8.2). `cenc` never uses it.
func (k ContentKey) ConstantIV() [KeySize]byte {
	_, iv := k.parts()
	return iv
}

func (k ContentKey) parts() (secret, iv [KeySize]byte) {
	if !k.IsZero() { // the zero Handle has no value to give
		material := k.material.Value()
		copy(secret[:], material[:KeySize])
		copy(iv[:], material[KeySize:])
	}
	return secret, iv
}

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
