package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// titleProtector answers the questions of both rewriters for one manifest request: it seals what lies in the asset, finds
// out from the init segments what has to be protected, and names the keys.
type titleProtector struct {
	q          *request
	asset      address.Path
	title      keysource.Title
	session    []string // path elements
	keyFormats hls.KeyFormats
}

func (q *request) newTitleProtector() (*titleProtector, error) {
	scheme, err := q.chooseScheme()
	if err != nil {
		return nil, err
	}
	session, err := q.sessionElements()
	if err != nil {
		return nil, fmt.Errorf("starting a session: %w", err)
	}
	asset := q.asset()
	return &titleProtector{q: q, asset: asset, title: q.titleOf(asset, q.seal.Group, scheme), session: session}, nil
}

// elements returns what a reference carries: the session, if it goes by path, and the seal.
func (p *titleProtector) elements(seal address.Seal, path address.Path) []string {
	seal.Group, seal.Asset = p.title.Group, p.asset
	if !seal.Scheme.Valid() && !seal.Passes {
		seal.Scheme = p.title.Scheme
	}
	session := p.session[:len(p.session):len(p.session)]
	if p.q.isShared(seal) {
		session = nil
	}
	return append(session, address.SealElement(p.q.sealer.Seal(seal, path)))
}

// admit refuses references that leave the asset: a free title's manifest must not have a premium title's segments sealed
// under the free title's key.
func (p *titleProtector) admit(path address.Path) error {
	if p.q.inAsset(p.asset, path) {
		return nil
	}
	return errOutOfAsset
}

// track is a track of the title: its key, and its init segment if it has one.
type track struct {
	p      *titleProtector
	title  keysource.Title
	source address.Resource // of the init segment; zero without one
	init   *segcrypt.Init   // nil without one
	class  drm.TrackClass
	key    drm.ContentKey // not used for text, and zero for what passes
}

// openTrack reads the init segment at from and selects the key for its class. Tracks that one key has to serve are given
// the class of the most valuable among them by atLeast.
func (p *titleProtector) openTrack(ctx context.Context, from address.Resource, atLeast drm.TrackClass) (track, error) {
	init, err := p.readInit(ctx, from)
	if err != nil {
		return track{}, err
	}
	if init.Protected() {
		return track{p: p, title: p.title, source: from, init: init}, nil
	}
	t, err := p.selectKey(ctx, p.title, max(classOf(init), atLeast))
	if err != nil {
		return track{}, err
	}
	t.source, t.init = from, init
	if !p.title.Scheme.Common() {
		return t, nil
	}
	// What cannot be protected is found here, while the manifest can still be refused, and not by the first segment.
	if _, err := p.q.protectorFor(ctx, init, p.title, t.key); err != nil {
		return track{}, fmt.Errorf("init segment: %w", err)
	}
	return t, nil
}

// selectKey starts a track with the key of a class.
func (p *titleProtector) selectKey(ctx context.Context, title keysource.Title, class drm.TrackClass) (track, error) {
	t := track{p: p, title: title, class: keysource.ClassFor(p.q.source, class)}
	var err error
	if t.key, err = p.q.source.ContentKey(ctx, keysource.Request{Title: title, Class: t.class}); err != nil {
		return track{}, fmt.Errorf("selecting the content key: %w", err)
	}
	return t, nil
}

func (p *titleProtector) readInit(ctx context.Context, from address.Resource) (*segcrypt.Init, error) {
	if err := p.admit(from.Path); err != nil {
		return nil, err
	}
	init, err := p.q.freshInit(ctx, p.q.origin, from)
	var fromOrigin *originError
	if errors.As(err, &fromOrigin) {
		return nil, fmt.Errorf("%w: %w", errInitUnavailable, err) // not 404: the manifest is there
	}
	if err != nil {
		return nil, fmt.Errorf("init segment: %w", err)
	}
	return init, nil
}

// isText reports whether the track has nothing to protect.
func (t track) isText() bool { return t.init != nil && kindOf(t.init) == segcrypt.KindText }

// seal returns the seal of the track, for the caller to say what of it.
func (t track) seal() address.Seal {
	if t.passes() {
		return t.passingSeal()
	}
	seal := address.Seal{
		Kind: address.SealMedia, Scheme: t.title.Scheme, Class: t.class, KeyDigest: t.p.q.keyDigest(t.key),
		Init: t.source.Path, InitRange: t.source.Range,
	}
	if t.init != nil {
		seal.InitDigest, seal.Clear = t.init.Digest(), t.isText()
	}
	return seal
}

// licenseSeal returns the seal of the license endpoints for the keys of the track's scheme.
func (t track) licenseSeal() string {
	return t.p.q.sealer.Seal(address.Seal{
		Kind: address.SealLicense, Group: t.title.Group, Asset: t.p.asset, Scheme: t.title.Scheme,
	}, t.p.asset)
}

// classOf returns the track class that an init segment stands for: that of its most valuable track.
func classOf(init *segcrypt.Init) drm.TrackClass {
	class := drm.ClassAudio
	for _, track := range init.Tracks() {
		if track.Kind == segcrypt.KindVideo {
			class = max(class, drm.VideoClass(track.Width, track.Height))
		}
	}
	return class
}

// sidecar seals a resource that leaves as it is; what it may be is judged by name now and by content when it is served.
func (p *titleProtector) sidecar(target address.Target) ([]string, error) {
	if err := p.admit(target.Path); err != nil {
		return nil, err
	}
	if !isSidecarName(target.Path.Ext()) {
		return nil, errSidecar
	}
	return p.elements(address.Seal{Kind: address.SealSidecar}, target.Path), nil
}
