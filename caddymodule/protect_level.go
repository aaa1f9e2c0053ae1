package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// What the level of a viewer's device allows. Tokens say what a device can do (the claim level); a group says what its content needs. Where
// the device cannot have the most valuable renditions, manifests leave them out, and their segments and keys are refused: whoever
// knows their addresses gains nothing. A token that says nothing leaves it to the license server and the CDM.

var errLevel = errors.New("the device of the viewer cannot have this rendition")

// levelNeeded is the level that a class of track needs in a group. Sound needs none of its own: who may not see may listen.
func levelNeeded(group drm.Group, class drm.TrackClass) drm.Level {
	switch class {
	case drm.ClassHD, drm.ClassUHD1, drm.ClassUHD2:
		return group.ForClass(class).Level
	default:
		return drm.LevelLow
	}
}

// allowsClass reports whether the device of the viewer may have tracks of a class.
func (q *request) allowsClass(group drm.Group, class drm.TrackClass) bool {
	claimed := q.identity.claims.Level
	if claimed == "" {
		return true
	}
	level, err := drm.ParseLevel(claimed)
	return err != nil || level >= levelNeeded(group, class)
}

// drops reports whether a track is left out of a manifest.
func (p *titleProtector) drops(t track) bool { return !p.q.allowsClass(p.group, t.class) }

// checkLevel refuses the segments of a track that the device of the viewer cannot have.
func (q *request) checkLevel() error {
	if q.kind != kindMedia || q.seal.Passes || q.identity.claims.Level == "" {
		return nil
	}
	group, _ := q.groupNamed(q.seal.Group)
	if q.allowsClass(group, drm.ClassUHD2) {
		return nil // nothing needs more
	}
	class := q.seal.Class
	if class == drm.ClassShared && q.seal.Init != "" { // the key says nothing of the track, and its init segment does
		init, err := q.sealedInit(q.r.Context(), q.origin, address.Resource{Path: q.seal.Init, Range: q.seal.InitRange}, q.seal.InitDigest)
		if err != nil {
			return fmt.Errorf("reading the init segment: %w", err)
		}
		class = classOf(init)
	}
	if q.allowsClass(group, class) {
		return nil
	}
	return errLevel
}

// Variant implements hls.VariantProtector.
func (p hlsProtector) Variant(_ context.Context, v hls.Variant) (hls.VariantTerms, error) {
	if v.Width > 0 && !p.q.allowsClass(p.group, drm.VideoClass(v.Width, v.Height)) {
		return hls.VariantTerms{Drop: true}, nil
	}
	if v.Width == 0 {
		return hls.VariantTerms{}, nil // of sound alone
	}
	return hls.VariantTerms{HDCP: hls.HDCPLevelFor(p.group.HDCP)}, nil
}
