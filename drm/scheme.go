package drm

import "fmt"

// ProtectionScheme is a scheme of Common Encryption (23001-7, 10), or the encryption of whole segments that HLS has. The
// zero value is no scheme.
type ProtectionScheme uint8

// The schemes that players and DRM systems support in practice.
const (
	// SchemeCenc is AES-128 in counter mode, subsamples for NAL and OBU video, 8-byte IVs.
	SchemeCenc ProtectionScheme = iota + 1
	// SchemeCbcs is AES-128 in CBC mode, pattern 1:9 for video, a constant IV.
	SchemeCbcs
	// SchemeAES128 is AES-128 in CBC mode over whole segments, with padding (RFC 8216, 4.3.2.4). It is for HLS alone and has
	// keys of its own: they are handed out in clear, while those of the other schemes may be kept by a DRM system.
	SchemeAES128
)

// Schemes lists the schemes of Common Encryption, in the order of their values.
var Schemes = [...]ProtectionScheme{SchemeCenc, SchemeCbcs}

// AllSchemes lists every scheme, in the order of their values.
var AllSchemes = [...]ProtectionScheme{SchemeCenc, SchemeCbcs, SchemeAES128}

// ParseProtectionScheme reads `cenc`, `cbcs` or `aes-128`.
func ParseProtectionScheme(s string) (ProtectionScheme, error) {
	for _, scheme := range AllSchemes {
		if s == scheme.String() {
			return scheme, nil
		}
	}
	return 0, fmt.Errorf("protection scheme %q: want cenc, cbcs or aes-128", s)
}

// Valid reports whether s is a scheme.
func (s ProtectionScheme) Valid() bool { return s.Common() || s == SchemeAES128 }

// Common reports whether s is one of Schemes.
func (s ProtectionScheme) Common() bool { return s == SchemeCenc || s == SchemeCbcs }

// String returns the four-character code that schm and mp4protection carry, or "aes-128".
func (s ProtectionScheme) String() string {
	switch s {
	case SchemeCenc:
		return "cenc"
	case SchemeCbcs:
		return "cbcs"
	case SchemeAES128:
		return "aes-128"
	default:
		return "none"
	}
}

// FourCC returns the scheme_type of schm of a scheme of Common Encryption.
func (s ProtectionScheme) FourCC() [4]byte { return [4]byte([]byte(s.String())) }

// PerSampleIVSize is the Per_Sample_IV_Size of tenc, in bytes: 8 for `cenc` (CMAF demands it), 0 for `cbcs`.
func (s ProtectionScheme) PerSampleIVSize() int {
	if s == SchemeCenc {
		return 8
	}
	return 0
}

// Pattern is the crypt and skip block count of a protected run.
type Pattern struct{ Crypt, Skip uint8 }

// VideoPattern is 1:9 for `cbcs` and none for `cenc`. Audio never has a pattern (23001-7, 10.4).
func (s ProtectionScheme) VideoPattern() Pattern {
	if s == SchemeCbcs {
		return Pattern{Crypt: 1, Skip: 9}
	}
	return Pattern{}
}

// HLSMethod is the METHOD of EXT-X-KEY under this scheme (RFC 8216, 4.3.2.4; SAMPLE-AES-CTR is the spelling that players
// agreed on for fMP4).
func (s ProtectionScheme) HLSMethod() string {
	switch s {
	case SchemeCenc:
		return "SAMPLE-AES-CTR"
	case SchemeAES128:
		return "AES-128"
	default:
		return "SAMPLE-AES"
	}
}
