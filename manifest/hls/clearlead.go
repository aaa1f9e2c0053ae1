package hls

import (
	"slices"
	"sort"
	"time"
)

// startsBefore returns how many segments of a playlist that has ended begin before lead, counted from its own beginning. A live
// playlist has none, and neither have parts, which nobody lists once their title is whole.
func (c *clock) startsBefore(lead time.Duration) int {
	if !c.ended || c.parts || c.skipped != nil {
		return 0
	}
	segments := c.starts[:len(c.starts)-1]
	return sort.Search(len(segments), func(i int) bool { return segments[i] >= int64(lead) })
}

// inClearLead reports whether the segment at hand, of a track, stays clear.
func (r *rewriter) inClearLead(track *openTrack) bool {
	return track.takesLead && r.media.index < r.media.clearLead
}

// keysInForce returns the keys of a track for the segment at hand: none in its clear lead.
func (r *rewriter) keysInForce(track *openTrack) ([]Key, error) {
	if r.inClearLead(track) {
		return nil, nil
	}
	return r.keysOf(track, r.media.tracks.epoch)
}

// endClearLead announces the keys in front of the first segment that is encrypted, and the init segment again: hls.js asks for a
// license only when an init segment comes behind a key. This one has no clear sample entries any more.
func (r *rewriter) endClearLead() error {
	t := &r.media.tracks
	if r.media.clearLead == 0 || r.media.index != r.media.clearLead || t.mapped == nil || !t.mapped.takesLead {
		return nil
	}
	keys, err := r.keysOf(t.mapped, t.epoch)
	if err != nil || !t.skipped && slices.Equal(keys, t.keys) { // an EXT-X-MAP stands here anyway
		return err
	}
	return r.restate()
}
