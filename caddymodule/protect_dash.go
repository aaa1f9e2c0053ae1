package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// dashProtector adapts titleProtector to dash.Protector.
type dashProtector struct{ *titleProtector }

// AdaptationSet implements dash.Protector. All Representations of a set share one key, that of the most valuable class
// among them: players cannot switch between keys inside of a set.
func (p dashProtector) AdaptationSet(ctx context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	class, err := p.classOfSet(ctx, set)
	if err != nil {
		return dash.Protection{}, err
	}
	var protection dash.Protection
	texts, passing := 0, 0
	for i, representation := range set.Representations {
		t, err := p.openTrack(ctx, address.Resource(representation.Init), class)
		if err != nil {
			return dash.Protection{}, fmt.Errorf("representation %d of its set: %w", i+1, err)
		}
		switch {
		case t.passes():
			passing++
		case t.isText():
			texts++
		default:
			protection.Scheme, protection.KID = p.title.Scheme, t.key.KID()
			protection.Systems = []dash.System{{
				ID: drm.SystemClearKey, LicenseURL: p.q.licenseURL(p.asset, p.session, endpointClearKey, t.licenseSeal()),
			}}
		}
		sealed, err := p.sealTrack(ctx, t, representation)
		if err != nil {
			return dash.Protection{}, fmt.Errorf("representation %d of its set: %w", i+1, err)
		}
		protection.Tracks = append(protection.Tracks, sealed)
	}
	switch all := len(set.Representations); {
	case passing > 0 && passing < all:
		return dash.Protection{}, errMixedProtection
	case texts > 0 && texts < all:
		return dash.Protection{}, errMixedSet
	}
	protection.Passes = passing > 0
	return protection, nil
}

// sealTrack seals a Representation as its segments are addressed: by template, by the index of a single file, or one by one.
func (p dashProtector) sealTrack(ctx context.Context, t track, r dash.Representation) (dash.TrackProtection, error) {
	seal := t.seal()
	switch {
	case r.List:
		one := func(part dash.Resource) ([]string, error) {
			if err := p.admit(part.Path); err != nil {
				return nil, err
			}
			seal := seal
			seal.Range = part.Range
			return p.elements(seal, part.Path), nil
		}
		return dash.TrackProtection{Segment: one}, nil
	case !r.Index.Range.IsZero():
		index, err := p.readIndex(ctx, r)
		if err != nil {
			return dash.TrackProtection{}, err
		}
		seal.Index, seal.IndexDigest = r.Index.Range, indexDigest(index)
		timeline := &dash.Timeline{Timescale: index.Timescale, Segments: make([]dash.TimelineSegment, len(index.Entries))}
		for i, entry := range index.Entries {
			timeline.Segments[i] = dash.TimelineSegment{Time: entry.Time, Duration: entry.Duration}
		}
		return dash.TrackProtection{Elements: p.elements(seal, r.Index.Path), Timeline: timeline}, nil
	default:
		seal.Template = r.Media
		return dash.TrackProtection{Elements: p.elements(seal, "")}, nil
	}
}

// readIndex reads the segment index of a single file, which has to hold the init segment too: the seal is for one path.
func (p dashProtector) readIndex(ctx context.Context, r dash.Representation) (*segcrypt.Index, error) {
	if err := p.admit(r.Index.Path); err != nil {
		return nil, err
	}
	if r.Init.Path != r.Index.Path {
		return nil, errInitElsewhere
	}
	index, err := p.q.freshIndex(ctx, p.q.origin, address.Resource(r.Index))
	var fromOrigin *originError
	if errors.As(err, &fromOrigin) {
		return nil, fmt.Errorf("%w: %w", errInitUnavailable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("segment index: %w", err)
	}
	return index, nil
}

var errInitElsewhere = errors.New("the init segment of a single file lies in another file")

func (p dashProtector) classOfSet(ctx context.Context, set dash.AdaptationSet) (drm.TrackClass, error) {
	var class drm.TrackClass
	for _, representation := range set.Representations {
		init, err := p.readInit(ctx, address.Resource(representation.Init))
		if err != nil {
			return 0, err
		}
		class = max(class, classOf(init))
	}
	return class, nil
}

// Sidecar implements dash.Protector.
func (p dashProtector) Sidecar(_ context.Context, target address.Target, _ string) ([]string, error) {
	return p.sidecar(target)
}
