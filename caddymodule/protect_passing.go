package caddymodule

import (
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
)

// Media that the origin has protected already passes if protected_input says so: what the origin signals stays, every reference
// is sealed as always, and what leaves is looked at before. Whether a track passes is decided once, by its init segment when a
// manifest is rewritten; the seal carries it, with the digest of that init segment. Clear media that takes the place of
// protected media fits neither.

var (
	errNotProtected    = errors.New("what should pass is not protected as its init segment says")
	errMixedProtection = errors.New("an AdaptationSet has tracks that are protected already and tracks that are not")
)

func (h *Handler) passesProtected() bool { return h.ProtectedInput == protectedPass }

// replacesProtection reports whether signals in manifests are left over from another life of the media, which is clear.
func (h *Handler) replacesProtection() bool { return h.ProtectedInput == protectedReplace }

// passes reports whether the track came protected, and leaves as it is. Without the option no such init segment is read.
func (t track) passes() bool { return t.init != nil && t.init.Protected() }

// passingSeal is the same for every scheme that players ask for: there is nothing of ours in what it stands for.
func (t track) passingSeal() address.Seal {
	return address.Seal{
		Kind: address.SealMedia, Passes: true, Init: t.source.Path, InitRange: t.source.Range, InitDigest: t.init.Digest(),
	}
}

// passSegment lets a segment leave as it came. What a range of an I-frame playlist goes on to was read to look at the whole chunk.
func passSegment(m *media, clear *clearResource) (outgoing, string, error) {
	body, err := m.init.Pass(clear.body)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNotProtected, err)
	}
	if clear.partial > 0 {
		body = body[:clear.partial]
	}
	return protectedBytes{b: body}, mediaType(m.init), nil
}
