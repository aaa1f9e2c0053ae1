package keysource

import (
	"context"
	"crypto/sha256"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Signal is what a key server says that one DRM system has to be told of one key. Fields that it left out are nil.
type Signal struct {
	System drm.SystemID
	KID    drm.KID
	// Pssh is a whole pssh box.
	Pssh []byte
	// ContentProtection is a fragment of well-formed XML: the children of the system's ContentProtection element in an MPD.
	ContentProtection []byte
	// Robustness is the robustness that goes with ContentProtection; it may be empty.
	Robustness string
	// HLSMultivariant and HLSMedia are the lines of tags for the playlists of that kind: EXT-X-SESSION-KEY and EXT-X-KEY.
	HLSMultivariant, HLSMedia []byte
	// HLSKeyURI is the URI of EXT-X-KEY, HLSKeyFormat and HLSKeyFormatVersions its KEYFORMAT and KEYFORMATVERSIONS, from servers
	// that do not write the line themselves.
	HLSKeyURI, HLSKeyFormat, HLSKeyFormatVersions string
	// PlayReadyHeader is a PlayReady Object, without a box around it.
	PlayReadyHeader []byte
}

// IsEmpty reports whether s says nothing.
func (s Signal) IsEmpty() bool {
	return s.Pssh == nil && s.ContentProtection == nil && s.HLSMultivariant == nil && s.HLSMedia == nil && s.HLSKeyURI == "" && s.PlayReadyHeader == nil
}

// Signaler is a Source that also knows what DRM systems are to be told. It observes ctx and fails as a Source does.
type Signaler interface {
	// Signals returns what the DRM systems are told of the key of r, in the order of the key server. It is false when the source leaves
	// that to its caller, who then builds the signals from the key. The slice is the caller's own, the bytes in it are not.
	Signals(ctx context.Context, r Request) ([]Signal, bool, error)
}

// ConstantIV is the constant IV of a key whose source gives none: the first 16 bytes of
// SHA-256("caddy-drm static constant iv v1" ‖ KID). It is fixed, as it has to be, and not secret, as IVs are not.
func ConstantIV(kid drm.KID) [drm.KeySize]byte {
	sum := sha256.Sum256(append([]byte(labelStaticIV), kid[:]...))
	return [drm.KeySize]byte(sum[:drm.KeySize])
}
