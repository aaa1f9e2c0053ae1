package caddymodule

import (
	"context"
	"fmt"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// track is a track of the title: its init segment, if it has one, and the class of its keys.
type track struct {
	p      *titleProtector
	source address.Resource // of the init segment; zero without one
	init   *segcrypt.Init   // nil without one
	class  drm.TrackClass
}

// openTrack reads the init segment at from.
func (p *titleProtector) openTrack(ctx context.Context, from address.Resource) (track, error) {
	init, err := p.readInit(ctx, from)
	if err != nil {
		return track{}, err
	}
	return track{p: p, source: from, init: init, class: classOf(init)}, nil
}

// isText reports whether the track has neither picture nor sound.
func (t track) isText() bool { return t.init != nil && kindOf(t.init) == segcrypt.KindText }

// leavesClear reports whether nothing of the track is encrypted: the schemes of Common Encryption leave text as it is, and AES-128
// encrypts segments without a look at what is in them.
func (t track) leavesClear(scheme drm.ProtectionScheme) bool { return t.isText() && scheme.Common() }

// keyedTrack is a track with the key of one crypto period.
type keyedTrack struct {
	track
	title keysource.Title    // in that period
	key   drm.ContentKey     // not used for text, and zero for what passes
	told  []keysource.Signal // what a key server says that systems are to be told of the key; nil: it leaves that to us
}

// keyed selects the key of the track for a title in one of its crypto periods.
func (t track) keyed(ctx context.Context, title keysource.Title) (keyedTrack, error) {
	k := keyedTrack{track: t, title: title}
	if t.passes() {
		return k, nil
	}
	q := t.p.q
	source := q.sourceOf(title.Group)
	k.class = keysource.ClassFor(source, t.class)
	var err error
	asked := keysource.Request{Title: title, Class: k.class}
	if k.key, err = source.ContentKey(ctx, asked); err != nil {
		return keyedTrack{}, fmt.Errorf("selecting the content key: %w", err)
	}
	if k.told, _, err = source.Signals(ctx, asked); err != nil {
		return keyedTrack{}, fmt.Errorf("asking what is to be signaled: %w", err)
	}
	if t.init == nil || !title.Scheme.Common() {
		return k, nil
	}
	// What cannot be protected is found here, while the manifest can still be refused, and not by the first segment.
	if _, err := q.protectorFor(ctx, t.init, asked, k.key, 0); err != nil {
		return keyedTrack{}, fmt.Errorf("init segment: %w", err)
	}
	return k, nil
}

// seal returns the seal of the track, for the caller to say what of it.
func (t keyedTrack) seal() address.Seal {
	if t.passes() {
		return t.passingSeal()
	}
	seal := address.Seal{
		Kind: address.SealMedia, Scheme: t.title.Scheme, Class: t.class, KeyDigest: t.p.q.keyDigest(t.key),
		Period: t.title.Period, Generation: t.title.Generation, Init: t.source.Path, InitRange: t.source.Range,
	}
	if t.init != nil {
		seal.InitDigest, seal.Clear = t.init.Digest(), t.leavesClear(t.title.Scheme)
	}
	return seal
}

// licenseSeal returns the seal of the license endpoints for the keys of the track's scheme, in the crypto periods of window and in all
// generations that the manifest may name: players keep to the first URL that they see.
func (t keyedTrack) licenseSeal(window address.Window) string {
	seal := address.Seal{
		Kind: address.SealLicense, Group: t.title.Group, Asset: t.p.asset, Scheme: t.title.Scheme,
		Period: t.title.Period, Generation: t.p.licensed, Window: window,
	}
	if window != (address.Window{}) {
		seal.Period = 0 // one URL for all periods
	}
	return t.p.q.sealer.Seal(seal, t.p.asset)
}

// keySeal returns the seal of the endpoint of the key itself.
func (t keyedTrack) keySeal() string {
	return t.p.q.sealer.Seal(address.Seal{
		Kind: address.SealLicense, Group: t.title.Group, Asset: t.p.asset, Scheme: t.title.Scheme,
		Period: t.title.Period, Generation: t.title.Generation,
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
