package hls

// maxLead bounds Segment.Lead: each of its resources may have to be fetched to serve one part.
const maxLead = 16

// lead follows the parts since the last one that players can begin with.
type lead struct {
	parts []Resource // from that one on; empty if there is none, or too many
	// inside reports that a part of the segment at hand was listed.
	inside bool
	// begins reports that segments begin with a part that players can begin with, as EXT-X-INDEPENDENT-SEGMENTS says or
	// the last segment did.
	begins, independentSegments bool
}

// next returns the Lead of a part, and follows it.
func (l *lead) next(part Resource, independent, gap bool) []Resource {
	first := !l.inside
	l.inside = true
	independent = independent || first && l.independentSegments
	if first {
		l.begins = independent
	}
	parts := l.parts[:len(l.parts):len(l.parts)]
	switch {
	case independent:
		parts = nil
		l.parts = []Resource{part} // a new array: what was returned before may be kept
	case len(parts) == maxLead:
		l.parts = nil
	case len(parts) > 0:
		l.parts = append(l.parts, part)
	}
	if gap {
		l.parts = nil
	}
	return parts
}

// hint returns the Lead of a part that is not listed yet. Nothing says whether it will be independent: the first of a
// segment is taken for what the first of the last segment was, so that its URL stays the same once it is listed.
func (l *lead) hint() []Resource {
	if !l.inside && (l.begins || l.independentSegments) {
		return nil
	}
	return l.parts[:len(l.parts):len(l.parts)]
}

// endSegment follows the URI line of a segment. One that has no parts listed cuts the row.
func (l *lead) endSegment() {
	if !l.inside {
		l.cut()
	}
	l.inside = false
}

// cut forgets the parts so far, because what follows does not continue them.
func (l *lead) cut() { l.parts = nil }

// partTag rewrites EXT-X-PART (8216bis, 4.4.4.9).
func (r *rewriter) partTag() error {
	target, err := r.resolveURI()
	if err != nil {
		return err
	}
	b, err := r.rangeAttribute()
	if err != nil {
		return err
	}
	resource, err := r.media.partRanges.place(target, b)
	if err != nil {
		return r.fault(err)
	}
	part := Segment{Resource: resource, Sequence: r.media.sequence, IFrame: r.info.iFrames, Gap: r.isGone() || r.says("GAP", "YES"), Epoch: r.ownEpoch()}
	part.Lead = r.media.lead.next(resource, r.says("INDEPENDENT", "YES"), part.Gap)
	if err := r.rotate(); err != nil {
		return err
	}
	track, err := r.trackFor(part, len(r.out))
	if err != nil {
		return err
	}
	r.media.began = true
	text, err := r.seal(track, part)
	if err != nil {
		return err
	}
	edits := []edit{{name: attrURI, value: text}, {name: attrByteRange, drop: true}}
	if part.Gap {
		edits = append(edits, edit{name: "GAP", value: "YES", add: true})
	}
	err = r.writeAttributes(edits...)
	r.media.inf = len(r.out) // should an EXTINF wait for its URI, its keys must not stand in front of those of the part
	return err
}

// preloadHint rewrites the hint for a part, or for an init segment that is known already (8216bis, 4.4.5.3). A hint is
// optional. It is dropped when there is no track for it yet, and when its range is open at the end: what it names is
// whole only when it is listed. It is also dropped when it begins an epoch, whose keys stand in front of the first part or
// segment that is listed.
func (r *rewriter) preloadHint() error {
	_, ranged := find(r.attrs, attrRangeStart)
	_, closed := find(r.attrs, attrRangeLength)
	isMap := r.says("TYPE", "MAP")
	switch {
	case ranged && !closed:
		if isMap {
			r.media.mapHinted, r.media.hintedMap = true, nil
		}
		return nil
	case !isMap && !r.says("TYPE", "PART"):
		return nil
	}
	hinted, err := r.hinted()
	if err != nil {
		return err
	}
	s, track := r.hintedSegment(hinted, isMap)
	if track == nil || r.beginsEpoch(track) {
		return nil
	}
	text, err := r.seal(track, s)
	if err != nil {
		return err
	}
	return r.writeAttributes(edit{name: attrURI, value: text}, edit{name: attrRangeStart, drop: true}, edit{name: attrRangeLength, drop: true})
}

// hintedSegment returns what to ask of which track for a hint; no track if there is none yet. A part that is hinted
// together with an init segment belongs to the latter.
func (r *rewriter) hintedSegment(hinted Resource, isMap bool) (Segment, *openTrack) {
	m := &r.media
	if isMap {
		m.mapHinted, m.hintedMap = true, m.tracks.byInit[hinted]
		return Segment{Resource: hinted, Epoch: r.epoch()}, m.hintedMap
	}
	part := Segment{Resource: hinted, Sequence: m.sequence, IFrame: r.info.iFrames, Lead: m.lead.hint(), Epoch: r.epoch()}
	switch {
	case !m.mapHinted:
		return part, m.tracks.known(hinted.Target)
	case m.hintedMap != m.tracks.mapped:
		part.Lead = nil
	}
	return part, m.hintedMap
}

// hinted returns what the EXT-X-PRELOAD-HINT at hand names.
func (r *rewriter) hinted() (Resource, error) {
	target, err := r.resolveURI()
	if err != nil {
		return Resource{}, err
	}
	var b byteRange
	if length, ok := find(r.attrs, attrRangeLength); ok {
		text := r.line.value[length.start:length.end] + "@0"
		if start, ok := find(r.attrs, attrRangeStart); ok {
			text = r.line.value[length.start:length.end] + "@" + r.line.value[start.start:start.end]
		}
		if b, err = parseByteRange(text); err != nil {
			return Resource{}, r.fault(err)
		}
	}
	resource, err := new(rangeChain).place(target, b)
	if err != nil {
		return Resource{}, r.fault(err)
	}
	return resource, nil
}

const (
	attrByteRange   = "BYTERANGE"
	attrRangeStart  = "BYTERANGE-START"
	attrRangeLength = "BYTERANGE-LENGTH"
)
