package caddymodule

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

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
func (p hlsProtector) Track(ctx context.Context, init hls.Resource) (hls.Track, error) {
	t, err := p.openTrack(ctx, address.Resource{Path: init.Target.Path, Range: init.Range})
	if err != nil {
		return nil, err
	}
	return p.newHLSTrack(ctx, t, p.title)
}

// bareClasses are the extensions of segments that need no init segment, with the class of track that they are taken for:
// the resolution of a transport stream stands nowhere outside of it.
var bareClasses = map[string]drm.TrackClass{
	".ts": drm.ClassHD, ".m2ts": drm.ClassHD, ".tsv": drm.ClassHD, ".tsa": drm.ClassAudio,
	".aac": drm.ClassAudio, ".ac3": drm.ClassAudio, ".ec3": drm.ClassAudio, ".eac3": drm.ClassAudio, ".mp3": drm.ClassAudio,
}

// Bare implements hls.Protector.
func (p hlsProtector) Bare(ctx context.Context, first hls.Segment) (hls.Track, error) {
	ext := strings.ToLower(first.Target.Path.Ext())
	class, media := bareClasses[ext]
	switch {
	case media:
	case isSidecarName(ext) && p.title.Scheme != drm.SchemeAES128:
		return hlsText{p}, nil
	case ext == ".vtt" || ext == ".webvtt":
		class = drm.ClassAudio
	default:
		return nil, errBareSegment
	}
	if !usesClearKey(p.group) {
		return nil, errBareGroup
	}
	title := p.title
	if title.Scheme = drm.SchemeAES128; p.q.TransportStream == transportSampleAES && p.title.Scheme.Common() {
		title.Scheme = drm.SchemeCbcs
	}
	if ext == ".mp3" && title.Scheme == drm.SchemeCbcs {
		return nil, errMP3SampleAES
	}
	if first.IFrame && title.Scheme == drm.SchemeCbcs {
		return nil, errIFrameSampleAES
	}
	return p.newHLSTrack(ctx, track{p: p.titleProtector, class: class}, title)
}

var (
	errBareSegment     = errors.New("segments without EXT-X-MAP are neither a transport stream nor packed audio nor text")
	errBareGroup       = errors.New("players fetch the keys of segments without EXT-X-MAP in clear, and the DRM group has no clearkey")
	errMP3SampleAES    = errors.New("MP3 has no form of SAMPLE-AES")
	errIFrameSampleAES = errors.New("I-frames of a transport stream cannot have SAMPLE-AES: a range has no tables of its own")
)

// Sidecar implements hls.Protector.
func (p hlsProtector) Sidecar(_ context.Context, target address.Target) ([]string, error) {
	return p.sidecar(target)
}

// hlsTrack adapts track to hls.Track.
type hlsTrack struct {
	track
	ctx    context.Context //nolint:containedctx // of the rewriting, which asks for keys as it comes to new crypto periods
	title  keysource.Title // in no epoch
	epochs map[hls.Epoch]keyedTrack
	failed map[hls.Epoch]error // a key that was not there for EXT-X-KEY is not used for the segments behind it either
}

// newHLSTrack finds out whether the track can be protected, unless that depends on an epoch that is not known yet.
func (p hlsProtector) newHLSTrack(ctx context.Context, t track, title keysource.Title) (hls.Track, error) {
	h := hlsTrack{track: t, ctx: ctx, title: title, epochs: make(map[hls.Epoch]keyedTrack), failed: make(map[hls.Epoch]error)}
	if (p.group.Rotate > 0 || len(p.replaced) > 0) && !t.passes() {
		return h, nil
	}
	_, err := h.in(hls.Epoch{})
	return h, err
}

// in returns the track in an epoch.
func (t hlsTrack) in(epoch hls.Epoch) (keyedTrack, error) {
	if err := t.failed[epoch]; err != nil {
		return keyedTrack{}, err
	}
	if keyed, ok := t.epochs[epoch]; ok {
		return keyed, nil
	}
	title := t.title
	title.Period, title.Generation = epoch.CryptoPeriod, epoch.Generation
	keyed, err := t.keyed(t.ctx, title)
	if err != nil {
		t.failed[epoch] = err
		return keyedTrack{}, err
	}
	t.epochs[epoch] = keyed
	return keyed, nil
}

// Keys implements hls.Track. Without the key of the epoch there are none; Elements says why, before anything is written.
func (t hlsTrack) Keys(epoch hls.Epoch) []hls.Key {
	if t.leavesClear(t.title.Scheme) || t.passes() {
		return nil
	}
	keyed, err := t.in(epoch)
	if err != nil {
		return nil
	}
	keys, err := keyed.hlsKeys()
	if err != nil {
		t.failed[epoch] = err
	}
	return keys
}

// Passes implements hls.Track.
func (t hlsTrack) Passes() bool { return t.passes() }

// KeysAfterMap implements hls.Track: a key in front of EXT-X-MAP would be for the init segment too, if whole resources are
// encrypted, and that one has nothing to hide.
func (t hlsTrack) KeysAfterMap() bool { return !t.title.Scheme.Common() }

// TakesClearLead implements hls.Track.
func (t hlsTrack) TakesClearLead() bool { return t.takesClearLead() }

// Elements implements hls.Track: the seal is for exactly this path and range.
func (t hlsTrack) Elements(segment hls.Segment) ([]string, error) {
	path := segment.Target.Path
	if err := t.p.admit(path); err != nil {
		return nil, err
	}
	keyed, err := t.in(segment.Epoch)
	if err != nil {
		return nil, err
	}
	seal := keyed.seal()
	seal.Range, seal.IFrame = segment.Range, segment.IFrame && t.init != nil
	if segment.ClearLead {
		seal.ClearUntil = address.ClearAlways // the playlist says so, and announces no key for it
	}
	if seal.Scheme == drm.SchemeAES128 {
		seal.Sequence = segment.Sequence
	}
	if t.dependsOnLead() {
		for _, part := range segment.Lead {
			if err := t.p.admit(part.Target.Path); err != nil {
				return nil, err
			}
			seal.Lead = append(seal.Lead, address.Resource{Path: part.Target.Path, Range: part.Range})
		}
	}
	elements := t.p.elements(seal, path)
	if sealed := elements[len(elements)-1]; len(seal.Lead) > 0 && len(sealed) > len(address.SealElement(""))+address.MaxSeal {
		seal.Lead = nil // no gateway opens it; without its lead the part may still be one that can be protected
		elements = t.p.elements(seal, path)
	}
	return elements, nil
}

// inBand are the sample entries whose parameter sets, or whose frame headers, depend on earlier chunks.
var inBand = []string{"avc3", "hev1", "dvav", "dvhe", "vvi1", "av01", "dav1", "vp09"}

func (t hlsTrack) dependsOnLead() bool {
	if t.init == nil || !t.title.Scheme.Common() || t.passes() {
		return false
	}
	for _, track := range t.init.Tracks() {
		if slices.Contains(inBand, track.SampleEntry) {
			return true
		}
	}
	return false
}

// hlsText adapts the sidecars of a title to hls.Track: segments of WebVTT, which leave as they are.
type hlsText struct{ hlsProtector }

// Keys implements hls.Track.
func (hlsText) Keys(hls.Epoch) []hls.Key { return nil }

// Passes implements hls.Track.
func (hlsText) Passes() bool { return false }

// TakesClearLead implements hls.Track.
func (hlsText) TakesClearLead() bool { return false }

// KeysAfterMap implements hls.Track.
func (hlsText) KeysAfterMap() bool { return false }

// Elements implements hls.Track.
func (t hlsText) Elements(segment hls.Segment) ([]string, error) {
	if !segment.Range.IsZero() {
		return nil, errSidecar
	}
	return t.sidecar(segment.Target)
}
