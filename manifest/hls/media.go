package hls

import (
	"slices"
	"strings"
)

// mediaState is what a media playlist's lines leave for those that follow.
type mediaState struct {
	tracks     tracks
	lead       lead
	partRanges rangeChain
	ranges     rangeChain

	sequence  uint64  // of the segment that comes next
	index     int     // of the same, in this playlist
	epochs    []Epoch // by index; nil where all are of one
	gone      int     // how many of its segments, from the first on, have keys that are not given any more
	leaving   leaving // with those that leave the playlist
	clearLead int     // how many of its segments, from the first on, are in the clear lead
	numbered  bool    // EXT-X-MEDIA-SEQUENCE was seen
	skip      bool    // EXT-X-SKIP was seen
	began     bool    // a segment or a part was seen
	inf       int     // where the pending EXTINF begins in the output
	gap       bool    // of the next segment
	byteRange byteRange
	whose     whose // who protected the media

	mapHinted bool       // an EXT-X-PRELOAD-HINT for an init segment was seen
	hintedMap *openTrack // its track; nil if it is not known yet
}

// mediaLine rewrites one line of a media playlist: a known tag or a URI line.
func (r *rewriter) mediaLine(l line) error {
	if l.isURI() {
		return r.segmentURI(l)
	}
	switch l.tag {
	case tagInf:
		return r.segmentInf(l)
	case tagByteRange:
		return r.byteRangeTag(l)
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
	case tagServerControl:
		return r.serverControl()
	}
	if err := r.note(l); err != nil {
		return err
	}
	return r.writeAttributesOrCopy()
}

// note reads the tags that are written as they are and tell of the segments behind them.
func (r *rewriter) note(l line) error {
	switch l.tag {
	case tagSequence:
		return r.sequenceTag(l)
	case tagSkip:
		return r.skipTag()
	case tagGap:
		r.media.gap = true
	case tagDiscontinuity:
		r.media.lead.cut()
	case tagIndependent:
		r.media.lead.independentSegments = true
	}
	return nil
}

// sequenceTag reads EXT-X-MEDIA-SEQUENCE. Behind a segment it would number for one player what it does not for another.
func (r *rewriter) sequenceTag(l line) error {
	if r.media.numbered {
		return r.fault(errTwice)
	}
	if r.media.began || r.media.skip {
		return r.fault(errOrder)
	}
	var err error
	if r.media.sequence, err = parseCount(strings.TrimLeft(l.value, " \t")); err != nil {
		return r.fault(errSequence)
	}
	r.media.numbered = true
	return nil
}

// skipTag reads EXT-X-SKIP (8216bis, 4.4.5.2). Keys and init segments of what it skips are not known here, so that a
// delta update can be rewritten only if an EXT-X-MAP follows.
func (r *rewriter) skipTag() error {
	if r.media.skip {
		return r.fault(errTwice)
	}
	if r.media.began {
		return r.fault(errOrder)
	}
	a, ok := find(r.attrs, attrSkipped)
	if !ok {
		return r.fault(errMissing)
	}
	count, err := parseCount(r.line.value[a.start:a.end])
	if err != nil {
		return r.fault(errSequence)
	}
	r.media.sequence += count // both are below 2^63
	r.media.skip = true
	r.media.tracks.mapped, r.media.tracks.skipped = nil, true
	return nil
}

// serverControl takes the offer of delta updates out of EXT-X-SERVER-CONTROL: they would leave out the keys that we write
// and the EXT-X-MAP that says which.
func (r *rewriter) serverControl() error {
	if !slices.ContainsFunc(r.attrs, func(a attribute) bool { return a.name != attrSkipUntil && a.name != attrSkipDates }) {
		return nil
	}
	return r.writeAttributes(edit{name: attrSkipUntil, drop: true}, edit{name: attrSkipDates, drop: true})
}

const (
	attrSkipped   = "SKIPPED-SEGMENTS"
	attrSkipUntil = "CAN-SKIP-UNTIL"
	attrSkipDates = "CAN-SKIP-DATERANGES"
)

// segmentInf checks the whole form of EXTINF, since a player that reads only the beginning of a malformed one takes
// what is left for the URI.
func (r *rewriter) segmentInf(l line) error {
	if r.pending.tag != "" {
		return r.fault(errNoURI)
	}
	if _, _, ok := splitDuration(l.value); !ok {
		return r.fault(errDuration)
	}
	if err := r.rotate(); err != nil {
		return err
	}
	if err := r.endClearLead(); err != nil {
		return err
	}
	if r.isGone() && !r.media.gap {
		r.media.gap = true
		r.out = append(append(append(r.out, '#'), tagGap...), r.eol...)
		r.version.required = max(r.version.required, 8) // 8216bis, 8
	}
	r.pending, r.media.inf = l, len(r.out)
	r.copyLine(l)
	return nil
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// segmentURI rewrites the URI line of a segment.
func (r *rewriter) segmentURI(l line) error {
	if r.pending.tag == "" {
		return r.fault(errNoInf)
	}
	target, err := r.resolve(l.body)
	if err != nil {
		return err
	}
	m := &r.media
	resource, err := m.ranges.place(target, m.byteRange)
	if err != nil {
		return r.fault(err)
	}
	segment := Segment{Resource: resource, Sequence: m.sequence, IFrame: r.info.iFrames, Gap: m.gap, Epoch: r.ownEpoch()}
	track, err := r.trackFor(segment, m.inf)
	if err != nil {
		return err
	}
	segment.ClearLead = r.inClearLead(track)
	text, err := r.seal(track, segment)
	if err != nil {
		return err
	}
	r.writeURI(l, text)
	m.lead.endSegment()
	m.sequence++
	m.index++
	m.began, m.gap, m.byteRange, r.pending = true, false, byteRange{}, line{}
	return nil
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
	return r.writeAttributes(edit{name: attrURI, value: text})
}

// dateRange rewrites EXT-X-DATERANGE. Interstitials mostly live on other hosts; without its asset an interstitial is
// nothing, so that the whole line is dropped when the asset cannot be sealed. A list of assets is a document of
// references that nobody would rewrite, and is dropped always.
func (r *rewriter) dateRange() error {
	if _, ok := find(r.attrs, attrAssetList); ok {
		return nil
	}
	asset, ok := find(r.attrs, attrAssetURI)
	if !ok {
		return r.writeAttributes()
	}
	if !asset.quoted {
		return r.fault(errMissing)
	}
	text, err := r.sealPlaylist(r.line.value[asset.start:asset.end])
	if err != nil {
		return r.ctx.Err()
	}
	return r.writeAttributes(edit{name: attrAssetURI, value: text})
}
