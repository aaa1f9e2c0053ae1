package hls

import "time"

const (
	// maxLag is how far the dates of a live playlist may be behind for it to be divided where keys were replaced: encoders and their
	// storage are some seconds late. maxAhead is how far they may be ahead: what is listed by the time of a re-key is never given new keys.
	maxLag   = 30 * time.Second
	maxAhead = 5 * time.Second
)

// Divides reports whether a playlist can have new keys from where they were replaced on: a live one, by dates that are about right. An
// encoder may stall later, so that who asks should keep to the first answer.
func Divides(playlist []byte, rotation Rotation, now time.Time) bool {
	r := rewriter{}
	c, err := r.readClock(string(playlist))
	if err != nil {
		return false
	}
	c.anchor(rotation)
	if c.ended || len(c.dates) == 0 || c.dateless != nil || len(c.starts) < 2 {
		return false
	}
	c.fromDates()
	newest, _, _ := rotation.Replaced.At(c.starts[0] + int64(cutSlack))
	lag := now.Sub(time.Unix(0, c.starts[len(c.starts)-1]))
	return newest == rotation.Replaced.Current() || lag <= maxLag && lag >= -maxAhead
}

// generations finds out the generation of each segment by its date.
func (c *clock) generations(rotation Rotation, epochs []Epoch) []Epoch {
	listed := uint32(0)
	for i := range epochs {
		generation, _, _ := rotation.Replaced.At(c.starts[i] + int64(cutSlack))
		listed = max(listed, generation) // a date that jumps back gives no keys back
		epochs[i].Generation = rotation.Generation + listed
	}
	return epochs
}

// gone returns how many segments have keys that are not given any more; none if there is no other.
func gone(epochs []Epoch, oldest uint32) (n int) {
	for n < len(epochs) && epochs[n].Generation < oldest {
		n++
	}
	if n >= len(epochs)-1 { // the last is that of the segment to come
		return 0
	}
	return n
}

// anchor gives a live playlist without dates the one that is remembered of it, and has those of others remembered. Between two dates of an
// encoder that seldom writes one, each segment is taken for as long as the target duration.
func (c *clock) anchor(rotation Rotation) {
	if rotation.Anchor == nil || c.ended || c.event || c.dateless != nil || c.target == 0 {
		return
	}
	if len(c.dates) > 0 {
		first := c.dates[0]
		rotation.Anchor(Anchor{c.sequence, time.Duration(first.at - c.starts[first.index])})
		return
	}
	known := rotation.Anchor(Anchor{})
	if known == (Anchor{}) {
		return
	}
	segments := int64(c.sequence - known.Sequence)
	if at := known.At + time.Duration(segments)*time.Duration(c.target)*time.Second; segments < 1<<24 && segments > -1<<24 && at >= 0 {
		c.dates, c.anchored = []dated{{0, int64(at)}}, true
	}
}
