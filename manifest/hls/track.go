package hls

import (
	"fmt"
	"slices"

	"github.com/caddy-drm/caddy-drm/address"
)

// openTrack is a track that the Protector was asked for, with its keys, which may be costly to make.
type openTrack struct {
	Track
	keys             map[Epoch][]Key // as far as they were asked for
	afterMap, passes bool
	takesLead        bool // TakesClearLead, which passing tracks cannot
}

// tracks are those of a playlist, and what is in force of them.
type tracks struct {
	byInit      map[Resource]*openTrack
	byExtension map[string]*openTrack
	mapped      *openTrack // of the EXT-X-MAP in force; nil before the first
	bare        *openTrack // of the last segment, as long as there is no EXT-X-MAP

	keys     []Key      // in force, as our lines have announced them
	epoch    Epoch      // theirs
	periods  int        // that keys were asked for, of all tracks
	restated mapInForce // with rotation, and with a clear lead
	skipped  bool       // an EXT-X-SKIP has hidden which keys are in force, until the next EXT-X-MAP
}

// mapTag rewrites EXT-X-MAP and puts the keys of its track in front of it: a key applies to every segment behind its
// line (8216bis, 4.4.4.4), and players want it before the init segment that names it. It also applies to the init segment,
// so that those of a track whose init segment stays clear stand behind it, and none is in force in front of it.
func (r *rewriter) mapTag() error {
	target, err := r.resolveURI()
	if err != nil {
		return err
	}
	b, err := r.rangeAttribute()
	if err != nil {
		return err
	}
	b.placed = b.length > 0 // an init segment continues nothing: without an offset, players read from the start of the file
	init, err := new(rangeChain).place(target, b)
	if err != nil {
		return r.fault(err)
	}
	track, err := r.trackOf(init)
	if err != nil {
		return err
	}
	if err := r.settleTrack(track); err != nil {
		return err
	}
	text, err := r.seal(track, Segment{Resource: init, Epoch: r.epoch(), ClearLead: r.inClearLead(track)})
	if err != nil {
		return err
	}
	t := &r.media.tracks
	if track != t.mapped {
		r.media.lead.cut()
	}
	t.mapped, t.epoch = track, r.epoch()
	if r.media.epochs != nil || r.media.clearLead > 0 {
		t.restated = mapInForce{init, r.line, slices.Clone(r.attrs)}
	}
	return r.writeMap(track, text)
}

// writeMap writes the line at hand, an EXT-X-MAP, and the keys of its track.
func (r *rewriter) writeMap(track *openTrack, text string) error {
	edits := []edit{{name: attrURI, value: text}, {name: attrByteRange, drop: true}}
	if track.passes {
		return r.writeAttributes(edits...)
	}
	keys, err := r.keysInForce(track)
	if err != nil {
		return err
	}
	if !track.afterMap {
		if slices.ContainsFunc(keys, func(k Key) bool { return k.Method == MethodAES128 && !k.HasIV }) {
			return r.refused(errKey) // an init segment has no sequence number to take the IV from (8216bis, 4.4.4.5)
		}
		if err := r.announce(len(r.out), keys); err != nil {
			return err
		}
		return r.writeAttributes(edits...)
	}
	if err := r.announce(len(r.out), nil); err != nil {
		return err
	}
	if err := r.writeAttributes(edits...); err != nil {
		return err
	}
	if r.line.end == "" { // the last line of a playlist may lack its end
		r.out = append(r.out, r.eol...)
	}
	return r.announce(len(r.out), keys)
}

// trackOf asks for each distinct init segment once.
func (r *rewriter) trackOf(init Resource) (*openTrack, error) {
	t := &r.media.tracks
	if track, ok := t.byInit[init]; ok {
		return track, nil
	}
	if err := r.checkTracks(); err != nil {
		return nil, err
	}
	track, err := r.o.Protector.Track(r.ctx, init)
	if err != nil {
		return nil, r.refused(err)
	}
	if t.byInit == nil {
		t.byInit = make(map[Resource]*openTrack)
	}
	t.byInit[init] = open(track)
	return t.byInit[init], nil
}

// trackFor returns the track of a media segment or a part, and announces its keys in front of out[at] when it is the
// first without EXT-X-MAP that has them.
func (r *rewriter) trackFor(s Segment, at int) (*openTrack, error) {
	t := &r.media.tracks
	if t.mapped != nil {
		return t.mapped, nil
	}
	if t.skipped {
		return nil, r.fault(fmt.Errorf("%w: delta update without EXT-X-MAP", ErrUnsupported))
	}
	if r.media.whose == origins {
		return nil, r.fault(fmt.Errorf("%w, and without EXT-X-MAP its media cannot be told from clear media", ErrAlreadyProtected))
	}
	r.media.whose = ours
	extension := s.Target.Path.Ext()
	track, ok := t.byExtension[extension]
	if !ok {
		if err := r.checkTracks(); err != nil {
			return nil, err
		}
		bare, err := r.o.Protector.Bare(r.ctx, s)
		if err != nil {
			return nil, r.refused(err)
		}
		if t.byExtension == nil {
			t.byExtension = make(map[string]*openTrack)
		}
		track = open(bare)
		track.takesLead = false
		t.byExtension[extension] = track
	}
	if epoch := r.epoch(); track != t.bare || epoch != t.epoch {
		keys, err := r.keysOf(track, epoch)
		if err != nil {
			return nil, err
		}
		if err := r.announce(at, keys); err != nil {
			return nil, err
		}
		t.bare, t.epoch = track, epoch
	}
	return track, nil
}

// known returns the track in force for a resource that may not exist yet; nil if there is none.
func (t *tracks) known(target address.Target) *openTrack {
	if t.mapped != nil {
		return t.mapped
	}
	if track := t.byExtension[target.Path.Ext()]; track != nil && track == t.bare {
		return track
	}
	return nil
}

func open(track Track) *openTrack {
	o := &openTrack{Track: track, afterMap: track.KeysAfterMap(), passes: track.Passes()}
	o.takesLead = !o.passes && !o.afterMap && track.TakesClearLead()
	return o
}

func (r *rewriter) checkTracks() error {
	if t := &r.media.tracks; len(t.byInit)+len(t.byExtension) >= maxTracks {
		return r.fault(fmt.Errorf("%w: over %d init segments and file extensions", ErrTooLarge, maxTracks))
	}
	return nil
}

// seal returns a reference to what a track describes, as seen from the request.
func (r *rewriter) seal(track *openTrack, s Segment) (string, error) {
	if track.passes {
		s.Epoch = Epoch{}
	}
	elements, err := track.Elements(s)
	if err != nil && s.Gap && r.isGone() {
		s.Epoch = r.epoch() // of a key that is gone for us, too
		elements, err = track.Elements(s)
	}
	if err != nil {
		return "", r.refused(err)
	}
	return r.express(s.Target, elements)
}

// announce puts the EXT-X-KEY lines that turn the keys in force into keys in front of out[at]; none if they are the same.
func (r *rewriter) announce(at int, keys []Key) error {
	t := &r.media.tracks
	if !t.skipped && slices.Equal(keys, t.keys) {
		return nil
	}
	lines := r.keyLines[:0]
	// A key stays in force until one of the same format follows, so that a format without a successor is switched off.
	lost := func(old Key) bool { return !slices.ContainsFunc(keys, old.sameFormat) }
	if t.skipped || slices.ContainsFunc(t.keys, lost) {
		lines = append(append(lines, "#EXT-X-KEY:METHOD=NONE"...), r.eol...)
	}
	for i, k := range keys {
		if slices.ContainsFunc(keys[:i], k.sameFormat) {
			return r.refused(errKey) // the second would replace the first
		}
		var err error
		if lines, err = k.appendLine(lines, tagKey); err != nil {
			return r.refused(err)
		}
		lines = append(lines, r.eol...)
		r.version.required = max(r.version.required, r.versionFor(k))
	}
	r.insert(at, lines)
	r.keyLines, t.keys, t.skipped = lines, keys, false
	return nil
}

// versionFor returns the EXT-X-VERSION that a playlist with k needs (8216bis, 8), 0 if it needs none.
func (r *rewriter) versionFor(k Key) uint64 {
	switch {
	case r.media.tracks.mapped != nil && !r.info.iFrames:
		return 6 // EXT-X-MAP in a list of whole segments
	case r.media.tracks.mapped != nil:
		return 5
	default:
		return k.version()
	}
}

// insert puts lines in front of out[at].
func (r *rewriter) insert(at int, lines []byte) {
	r.out = slices.Insert(r.out, at, lines...)
	if r.version.start > at {
		r.version.start += len(lines)
		r.version.end += len(lines)
	}
}
