package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
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
	seal.Group, seal.Asset, seal.Scheme = p.title.Group, p.asset, p.title.Scheme
	return append(p.session[:len(p.session):len(p.session)], address.SealElement(p.q.sealer.Seal(seal, path)))
}

// admit refuses references that leave the asset: a free title's manifest must not have a premium title's segments sealed
// under the free title's key.
func (p *titleProtector) admit(path address.Path) error {
	if p.q.inAsset(p.asset, path) {
		return nil
	}
	return errOutOfAsset
}

// track is an init segment and the key of its track.
type track struct {
	p     *titleProtector
	path  address.Path
	init  *segcrypt.Init
	class drm.TrackClass
	key   drm.ContentKey // zero for text
}

// openTrack reads the init segment at path and selects the key for its class. Tracks that one key has to serve are given
// the class of the most valuable among them by atLeast.
func (p *titleProtector) openTrack(ctx context.Context, path address.Path, atLeast drm.TrackClass) (track, error) {
	init, err := p.readInit(ctx, path)
	if err != nil {
		return track{}, err
	}
	t := track{p: p, path: path, init: init, class: keysource.ClassFor(p.q.source, max(classOf(init), atLeast))}
	if t.key, err = p.q.source.ContentKey(ctx, keysource.Request{Title: p.title, Class: t.class}); err != nil {
		return track{}, fmt.Errorf("selecting the content key: %w", err)
	}
	// What cannot be protected is found here, while the manifest can still be refused, and not by the first segment.
	if _, err := p.q.protectorFor(ctx, init, p.title, t.key); err != nil {
		return track{}, fmt.Errorf("init segment: %w", err)
	}
	return t, nil
}

func (p *titleProtector) readInit(ctx context.Context, path address.Path) (*segcrypt.Init, error) {
	if err := p.admit(path); err != nil {
		return nil, err
	}
	init, err := p.q.freshInit(ctx, p.q.origin, path)
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
func (t track) isText() bool { return kindOf(t.init) == segcrypt.KindText }

// seal returns the seal of the track; a template makes it one for all segments of a Representation.
func (t track) seal(template address.Template) address.Seal {
	return address.Seal{
		Kind: address.SealMedia, Class: t.class, Init: t.path, InitDigest: t.init.Digest(),
		KeyDigest: t.p.q.keyDigest(t.key), Template: template,
	}
}

// classOf returns the track class that an init segment stands for.
func classOf(init *segcrypt.Init) drm.TrackClass {
	tracks := init.Tracks()
	if len(tracks) == 0 || tracks[0].Kind != segcrypt.KindVideo {
		return drm.ClassAudio
	}
	return drm.VideoClass(tracks[0].Width, tracks[0].Height)
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

// licenseSeal returns the seal of the title's license endpoints.
func (p *titleProtector) licenseSeal() string {
	return p.q.sealer.Seal(address.Seal{
		Kind: address.SealLicense, Group: p.title.Group, Asset: p.asset, Scheme: p.title.Scheme,
	}, p.asset)
}

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
	texts := 0
	for i, representation := range set.Representations {
		if err := p.admit(address.Path(representation.Media.String())); err != nil {
			return dash.Protection{}, err
		}
		t, err := p.openTrack(ctx, representation.Init, class)
		if err != nil {
			return dash.Protection{}, fmt.Errorf("representation %d of its set: %w", i+1, err)
		}
		if t.isText() {
			texts++
		} else {
			protection.Scheme, protection.KID = p.title.Scheme, t.key.KID()
		}
		protection.Elements = append(protection.Elements, p.elements(t.seal(representation.Media), ""))
	}
	if texts > 0 && texts < len(set.Representations) {
		return dash.Protection{}, errMixedSet
	}
	if protection.Scheme.Valid() {
		protection.LicenseURL = p.q.licenseURL(p.asset, p.session, endpointClearKey, p.licenseSeal())
	}
	return protection, nil
}

func (p dashProtector) classOfSet(ctx context.Context, set dash.AdaptationSet) (drm.TrackClass, error) {
	var class drm.TrackClass
	for _, representation := range set.Representations {
		init, err := p.readInit(ctx, representation.Init)
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

// hlsProtector adapts titleProtector to hls.Protector.
type hlsProtector struct{ *titleProtector }

// Playlist implements hls.Protector.
func (p hlsProtector) Playlist(_ context.Context, target address.Target) ([]string, error) {
	if err := p.admit(target.Path); err != nil {
		return nil, err
	}
	if manifestKind(target.Path) != kindPlaylist {
		return nil, errOutOfAsset
	}
	return p.elements(address.Seal{Kind: address.SealPlaylist, KeyFormats: uint8(p.keyFormats)}, target.Path), nil
}

// Track implements hls.Protector.
func (p hlsProtector) Track(ctx context.Context, init address.Target) (hls.Track, error) {
	t, err := p.openTrack(ctx, init.Path, 0)
	if err != nil {
		return nil, err
	}
	return hlsTrack{t}, nil
}

// Sidecar implements hls.Protector.
func (p hlsProtector) Sidecar(_ context.Context, target address.Target) ([]string, error) {
	return p.sidecar(target)
}

// hlsTrack adapts track to hls.Track.
type hlsTrack struct{ track }

// Keys implements hls.Track. The URIs differ per KID, since players keep licenses by URI.
func (t hlsTrack) Keys() []hls.Key {
	if t.isText() {
		return nil
	}
	p, kid, seal := t.p, t.key.KID(), t.p.licenseSeal()
	var keys []hls.Key
	if p.keyFormats.Has(hls.FormatIdentity) {
		keys = append(keys, hls.Key{
			Method: p.title.Scheme.HLSMethod(), KeyFormat: "identity",
			URI: p.q.licenseURL(p.asset, p.session, endpointRawKey, seal, kid.Hex()),
		})
	}
	if p.keyFormats.Has(hls.FormatClearKey) {
		keys = append(keys, hls.Key{
			Method: p.title.Scheme.HLSMethod(), KeyFormat: "org.w3.clearkey", KeyFormatVersions: "1", KID: kid,
			URI: p.q.licenseURL(p.asset, p.session, endpointClearKey, seal) + "?kid=" + kid.Hex(),
		})
	}
	return keys
}

// Elements implements hls.Track: the seal is for exactly this path.
func (t hlsTrack) Elements(target address.Target) ([]string, error) {
	if err := t.p.admit(target.Path); err != nil {
		return nil, err
	}
	return t.p.elements(t.seal(address.Template{}), target.Path), nil
}
