package keysource

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	// MinSecretSize is the least number of bytes that a deployment secret holds after decoding.
	MinSecretSize = 32
	// maxSecretText bounds the text that ParseSecret looks at, in bytes.
	maxSecretText = 4096
	// minDistinctBytes is far below the 30 or so distinct values that 32 random bytes have: a random secret falls under it
	// less than once in 10^20 times, while repeated words, digits and keyboard runs do so at once.
	minDistinctBytes = 10
	// secretSalt separates this product's use of a secret from any other use of the same bytes (HKDF, 2.2).
	secretSalt = "caddy-drm deployment secret v1"
)

const redacted = "[secret]"

// Secret is the deployment secret from which every key, KID, IV and MAC key of the product is derived. The zero value is no
// secret. It has no text form: printing, logging and marshaling it writes "[secret]".
type Secret struct {
	prk hiddenKey // the pseudorandom key of HKDF
}

// hiddenKey holds 32 secret bytes inside a function. On an unexported field fmt cannot call our methods, and given a verb that
// does not fit it prints what a pointer points to; of a function it never has more than the address.
type hiddenKey func() [sha256.Size]byte

func hideKey(key [sha256.Size]byte) hiddenKey {
	return func() [sha256.Size]byte { return key }
}

// ParseSecret reads a deployment secret, with white space around it ignored. Text of hexadecimal digits only is read as
// such; else text that is valid base64 or base64url, padded or not, is; else the bytes of the text are the secret.
//
// It returns ErrSecret when fewer than MinSecretSize bytes remain, or when they are obviously not random: few distinct
// values, a short pattern repeated, or a plain sequence. The error never quotes the text.
func ParseSecret(text string) (Secret, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxSecretText {
		return Secret{}, fmt.Errorf("%w: more than %d characters", ErrSecret, maxSecretText)
	}
	b, form := decodeSecret(text)
	if len(b) < MinSecretSize {
		return Secret{}, fmt.Errorf("%w: read as %s it holds %d bytes, want at least %d", ErrSecret, form, len(b), MinSecretSize)
	}
	if reason := weakness(b); reason != "" {
		return Secret{}, fmt.Errorf("%w: read as %s it is %s; make one with a random generator", ErrSecret, form, reason)
	}
	return newSecret(b), nil
}

// NewSecret draws a secret from the system's random generator. text is the form to store: ParseSecret reads it back to
// the same secret.
func NewSecret() (s Secret, text string) {
	var b [MinSecretSize]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails: it ends the process instead.
	return newSecret(b[:]), base64.RawURLEncoding.EncodeToString(b[:])
}

func newSecret(b []byte) Secret {
	prk, err := hkdf.Extract(sha256.New, b, []byte(secretSalt))
	if err != nil {
		panic("keysource: extracting from a secret of 32 bytes or more cannot fail")
	}
	return Secret{prk: hideKey([sha256.Size]byte(prk))}
}

// Derive returns 32 bytes that depend on the secret, the label and each field, and tell nothing about the secret or about
// what any other label and fields give: HKDF-SHA-256 whose info holds label and fields, each after its length.
//
// It is the one derivation of the product. label is a constant of the caller, unique to one purpose and with a version;
// fields begin with the tenant whenever the result acts for a tenant. Derive of the zero Secret panics, since everything
// made from it would be public. Safe for concurrent use.
func (s Secret) Derive(label string, fields ...string) [32]byte {
	if s.prk == nil {
		panic("keysource: deriving from no secret")
	}
	size := 4 + len(label)
	for _, f := range fields {
		size += 4 + len(f)
	}
	info := appendField(make([]byte, 0, size), label)
	for _, f := range fields {
		info = appendField(info, f)
	}
	prk := s.prk()
	out, err := hkdf.Expand(sha256.New, prk[:], string(info), sha256.Size)
	if err != nil {
		panic("keysource: expanding a 32-byte key to 32 bytes cannot fail")
	}
	return [32]byte(out)
}

// IsZero reports whether s is no secret.
func (s Secret) IsZero() bool { return s.prk == nil }

// String returns "[secret]".
func (s Secret) String() string { return redacted }

// Format writes "[secret]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText writes "[secret]". There is no UnmarshalText: ParseSecret is the only way in.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue makes slog print "[secret]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// decodeSecret returns the bytes that text stands for, and the name of its form.
func decodeSecret(text string) (b []byte, form string) {
	if b, err := hex.DecodeString(text); err == nil {
		return b, "hexadecimal"
	}
	if b, err := decodeBase64(text); err == nil {
		return b, "base64"
	}
	return []byte(text), "plain text"
}

// weakness says why b cannot be random, or nothing.
func weakness(b []byte) string {
	var seen [256]bool
	distinct := 0
	for _, v := range b {
		if !seen[v] {
			seen[v] = true
			distinct++
		}
	}
	if distinct < minDistinctBytes {
		return "made of few distinct bytes"
	}
	// A pattern of MinSecretSize bytes or more is as good as a secret of that length.
	for period := 1; period <= len(b)/2 && period < MinSecretSize; period++ {
		if hasPeriod(b, period) {
			return "a short pattern repeated"
		}
	}
	if isSequence(b) {
		return "a plain sequence"
	}
	return ""
}

func hasPeriod(b []byte, period int) bool {
	for i := period; i < len(b); i++ {
		if b[i] != b[i-period] {
			return false
		}
	}
	return true
}

// isSequence reports whether most neighbors in b differ by one same step, as in 00 01 02 … and abcdef….
func isSequence(b []byte) bool {
	var steps [256]int
	for i := 1; i < len(b); i++ {
		steps[b[i]-b[i-1]]++
	}
	for _, n := range steps {
		if n > len(b)/2 {
			return true
		}
	}
	return false
}
