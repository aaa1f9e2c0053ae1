package hls

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// mediaState is what a media playlist's lines leave for those that follow.
type mediaState struct {
	tracks  map[address.Target]Track // by init segment
	track   Track                    // of the EXT-X-MAP in force; nil before the first
	keys    []Key                    // in force, as our lines have announced them
	iFrames bool                     // EXT-X-I-FRAMES-ONLY was seen
}

// mediaLine rewrites one line of a media playlist: a known tag or a URI line.
func (r *rewriter) mediaLine(l line) error {
	if l.isURI() {
		return r.segmentURI(l)
	}
	switch l.tag {
	case tagInf:
		return r.segmentInf(l)
	case tagKey:
		return r.originKey()
	case tagMap:
		return r.mapTag()
	case tagPart:
		return r.partTag()
	case tagPreloadHint:
		return r.preloadHint()
	case tagReport:
		return r.sealPlaylistURI()
	case tagDateRange:
		return r.dateRange()
	case tagByteRange:
		return r.fault(fmt.Errorf("%w: byte range of a clear file", ErrUnsupported))
	case tagSkip:
		return r.fault(fmt.Errorf("%w: delta update", ErrUnsupported))
	case tagIFramesOnly:
		r.media.iFrames = true
	}
	return r.writeAttributesOrCopy()
}

// segmentInf checks the whole form of EXTINF, since a player that reads only the beginning of a malformed one takes
// what is left for the URI.
func (r *rewriter) segmentInf(l line) error {
	if r.pending.tag != "" {
		return r.fault(errNoURI)
	}
	duration, _, _ := strings.Cut(l.value, ",")
	whole, fraction, hasFraction := strings.Cut(strings.Trim(duration, " \t"), ".")
	if !isDigits(whole) || hasFraction && !isDigits(fraction) {
		return r.fault(errDuration)
	}
	r.pending = l
	r.copyLine(l)
	return nil
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

func (r *rewriter) segmentURI(l line) error {
	text, err := r.sealSegment(l.body)
	if err != nil {
		return err
	}
	r.writeURI(l, text)
	r.pending = line{}
	return nil
}

// sealSegment returns a reference to a media segment or a part, sealed for the track in force. Without an EXT-X-MAP
// there is no track, and only what the Protector takes for a sidecar can be served.
func (r *rewriter) sealSegment(ref string) (string, error) {
	target, err := r.resolve(ref)
	if err != nil {
		return "", err
	}
	var elements []string
	if r.media.track != nil {
		elements, err = r.media.track.Elements(target)
	} else {
		elements, err = r.o.Protector.Sidecar(r.ctx, target)
	}
	if err != nil {
		return "", r.refused(err)
	}
	return r.express(target, elements)
}

// mapTag rewrites EXT-X-MAP and puts the keys of its track in front of it: a key applies to every segment behind its
// line (8216bis, 4.4.4.4), and players want it before the init segment that names it.
func (r *rewriter) mapTag() error {
	if _, ok := find(r.attrs, "BYTERANGE"); ok {
		return r.fault(fmt.Errorf("%w: byte range of a clear file", ErrUnsupported))
	}
	ref, err := r.requireURI()
	if err != nil {
		return err
	}
	target, err := r.resolve(ref)
	if err != nil {
		return err
	}
	track, err := r.trackOf(target)
	if err != nil {
		return err
	}
	elements, err := track.Elements(target)
	if err != nil {
		return r.refused(err)
	}
	text, err := r.express(target, elements)
	if err != nil {
		return err
	}
	if err := r.announce(track.Keys()); err != nil {
		return err
	}
	r.media.track = track
	return r.writeAttributes(attrURI, text)
}

// trackOf asks for each distinct init segment once.
func (r *rewriter) trackOf(init address.Target) (Track, error) {
	if track, ok := r.media.tracks[init]; ok {
		return track, nil
	}
	if len(r.media.tracks) == maxTracks {
		return nil, r.fault(fmt.Errorf("%w: over %d init segments", ErrTooLarge, maxTracks))
	}
	track, err := r.o.Protector.Track(r.ctx, init)
	if err != nil {
		return nil, r.refused(err)
	}
	if r.media.tracks == nil {
		r.media.tracks = make(map[address.Target]Track)
	}
	r.media.tracks[init] = track
	return track, nil
}

// announce writes the EXT-X-KEY lines that turn the keys in force into keys, none if they are the same.
func (r *rewriter) announce(keys []Key) error {
	if slices.Equal(keys, r.media.keys) {
		return nil
	}
	// A key stays in force until one of the same format follows, so that a format without a successor is switched off.
	for _, old := range r.media.keys {
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.format() == old.format() }) {
			r.out = append(r.out, "#EXT-X-KEY:METHOD=NONE"...)
			r.out = append(r.out, r.eol...)
			break
		}
	}
	for i, k := range keys {
		if slices.ContainsFunc(keys[:i], func(other Key) bool { return k.format() == other.format() }) {
			return r.refused(errKey) // the second would replace the first
		}
		out, err := k.appendLine(r.out)
		if err != nil {
			return r.refused(err)
		}
		r.out = append(out, r.eol...)
	}
	if len(keys) > 0 {
		r.version.required = 6 // KEYFORMAT and SAMPLE-AES need 5, EXT-X-MAP in a list of whole segments 6 (8216bis, 8)
		if r.media.iFrames {
			r.version.required = 5
		}
	}
	r.media.keys = slices.Clone(keys)
	return nil
}

func (r *rewriter) partTag() error {
	if _, ok := find(r.attrs, "BYTERANGE"); ok {
		return r.fault(fmt.Errorf("%w: byte range of a clear file", ErrUnsupported))
	}
	ref, err := r.requireURI()
	if err != nil {
		return err
	}
	text, err := r.sealSegment(ref)
	if err != nil {
		return err
	}
	return r.writeAttributes(attrURI, text)
}

// preloadHint rewrites the hint for a part. A hint is optional: one with a byte range, or for an init segment, which may
// not exist yet and so has no track, is dropped.
func (r *rewriter) preloadHint() error {
	kind, ok := find(r.attrs, "TYPE")
	_, start := find(r.attrs, "BYTERANGE-START")
	_, length := find(r.attrs, "BYTERANGE-LENGTH")
	if !ok || start || length || r.line.value[kind.start:kind.end] != "PART" {
		return nil
	}
	return r.partTag()
}

// sealPlaylistURI rewrites a tag whose URI is that of a playlist: EXT-X-MEDIA, EXT-X-RENDITION-REPORT.
func (r *rewriter) sealPlaylistURI() error {
	ref, err := r.requireURI()
	if err != nil {
		return err
	}
	text, err := r.sealPlaylist(ref)
	if err != nil {
		return err
	}
	return r.writeAttributes(attrURI, text)
}

// dateRange rewrites EXT-X-DATERANGE. Interstitials mostly live on other hosts; without its asset an interstitial is
// nothing, so that the whole line is dropped when the asset cannot be sealed. A list of assets is a document of
// references that nobody would rewrite, and is dropped always.
func (r *rewriter) dateRange() error {
	if _, ok := find(r.attrs, "X-ASSET-LIST"); ok {
		return nil
	}
	const attrAsset = "X-ASSET-URI"
	asset, ok := find(r.attrs, attrAsset)
	if !ok {
		return r.writeAttributes("", "")
	}
	if !asset.quoted {
		return r.fault(errMissing)
	}
	text, err := r.sealPlaylist(r.line.value[asset.start:asset.end])
	if err != nil {
		return r.ctx.Err()
	}
	return r.writeAttributes(attrAsset, text)
}
