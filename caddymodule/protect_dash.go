package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// dashProtector adapts titleProtector to dash.Protector.
type dashProtector struct {
	*titleProtector
	window address.Window // of the licenses
}

// AdaptationSet implements dash.Protector. Representations of one class share a key, and have a set of their own: players cannot switch
// between keys inside of a set.
func (p dashProtector) AdaptationSet(ctx context.Context, set dash.AdaptationSet) (dash.Protection, error) {
	if err := p.checkCount(set.CryptoPeriod); err != nil {
		return dash.Protection{}, err
	}
	a := setAnswer{p: p, title: p.title}
	a.title.Period, a.title.Generation = set.CryptoPeriod, set.Generation
	for i, representation := range set.Representations {
		if err := a.add(ctx, representation); err != nil {
			return dash.Protection{}, fmt.Errorf("representation %d of its set: %w", i+1, err)
		}
	}
	return a.protection()
}

// setAnswer is the answer for an AdaptationSet while it is put together.
type setAnswer struct {
	p              dashProtector
	title          keysource.Title // in the crypto period of the set
	keys           []dash.Key
	tracks         []dash.TrackProtection
	texts, passing int
	dropped        int
}

func (a *setAnswer) add(ctx context.Context, representation dash.Representation) error {
	t, err := a.p.openTrack(ctx, representation.Init)
	if err != nil {
		return err
	}
	if a.p.drops(t) {
		a.dropped++
		a.tracks = append(a.tracks, dash.TrackProtection{Drop: true})
		return nil
	}
	keyed, err := t.keyed(ctx, a.title)
	if err != nil {
		return err
	}
	key := 0
	switch {
	case t.passes():
		a.passing++
	case t.isText():
		a.texts++
	default:
		if key, err = a.key(keyed); err != nil {
			return err
		}
	}
	sealed, err := a.p.sealTrack(ctx, keyed, representation)
	if err != nil {
		return err
	}
	sealed.Key = key
	a.tracks = append(a.tracks, sealed)
	return nil
}

// key returns the index of a track's key, which is announced once.
func (a *setAnswer) key(t keyedTrack) (int, error) {
	for i, known := range a.keys {
		if known.KID == t.key.KID() {
			return i, nil
		}
	}
	systems, err := t.dashSystems(a.p.window)
	if err != nil {
		return 0, err
	}
	a.keys = append(a.keys, dash.Key{KID: t.key.KID(), Systems: systems})
	return len(a.keys) - 1, nil
}

func (a *setAnswer) protection() (dash.Protection, error) {
	switch all := len(a.tracks) - a.dropped; {
	case a.passing > 0 && a.passing < all:
		return dash.Protection{}, errMixedProtection
	case a.texts > 0 && a.texts < all:
		return dash.Protection{}, errMixedSet
	}
	answer := dash.Protection{Passes: a.passing > 0, Tracks: a.tracks}
	if len(a.keys) > 0 {
		answer.Scheme, answer.KID, answer.Systems, answer.Further = a.title.Scheme, a.keys[0].KID, a.keys[0].Systems, a.keys[1:]
	}
	return answer, nil
}

// sealTrack seals a Representation as its segments are addressed: by template, by the index of a single file, or one by one.
func (p dashProtector) sealTrack(ctx context.Context, t keyedTrack, r dash.Representation) (dash.TrackProtection, error) {
	seal := t.seal()
	if p.group.Rotate > 0 && !t.passes() && !t.isText() && !r.List {
		seal.Clock = t.clock(r)
	}
	seal.ClearUntil = t.clearUntil(r.ClearUntil)
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
		if err := p.admitTemplate(r.Media); err != nil {
			return dash.TrackProtection{}, err
		}
		seal.Template = r.Media
		return dash.TrackProtection{Elements: p.elements(seal, "")}, nil
	}
}

// clock returns the clock of the crypto periods in the ticks that say when a segment begins: those of its index, or of the media. An MPD
// may count time in others.
func (t keyedTrack) clock(r dash.Representation) address.Clock {
	scale := r.Timescale
	if scale == 0 {
		return address.Clock{} // it is asked about to find the times of its segments, and again once they are known
	}
	if tracks := t.init.Tracks(); r.Index.Range.IsZero() && len(tracks) > 0 && tracks[0].Timescale > 0 {
		scale = tracks[0].Timescale
	}
	from, to := int64(r.Timescale), int64(scale)
	return address.Clock{
		Origin: r.Epoch/from*to + r.Epoch%from*to/from, // in two steps, since the ticks since 1970 leave no room for a product
		Length: uint64(t.p.group.Rotate/time.Second) * uint64(scale),
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
	index, err := p.q.freshIndex(ctx, p.q.origin, r.Index)
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

// Sidecar implements dash.Protector.
func (p dashProtector) Sidecar(_ context.Context, target address.Target, _ string) ([]string, error) {
	return p.sidecar(target)
}

// Thumbnails implements dash.Protector. A picture is no reason to refuse a title.
func (p dashProtector) Thumbnails(_ context.Context, media address.Template) ([]string, error) {
	err := p.admitTemplate(media)
	if errors.Is(err, errOutOfAsset) || !isPictureName(address.Path(media.String()).Ext()) {
		return nil, dash.ErrLeftOut
	}
	return p.elements(address.Seal{Kind: address.SealSidecar, Template: media}, ""), err
}

// admitTemplate is admit for all paths of a template. They begin as its text does: identifiers stand for digits, and no path of an asset
// has their dollar signs.
func (p dashProtector) admitTemplate(media address.Template) error {
	return p.admit(address.Path(media.String()))
}
