package dash

import (
	"strconv"
	"time"
)

// partID is the id of a part that begins with an epoch. The first of a Period whose keys never changed has that of the Period: its
// viewers know no other when they do.
func (r *rewriter) partID(original string, index, generation uint32) string {
	id := original
	if r.Rotation.Length > 0 {
		id += "-k" + strconv.FormatUint(uint64(index), 10)
	}
	return r.ofGeneration(id, generation)
}

// ofGeneration names a Period with the keys of a generation.
func (r *rewriter) ofGeneration(id string, generation uint32) string {
	if generation == 0 {
		return id
	}
	id += "-g" + strconv.FormatUint(uint64(generation), 10)
	if r.Rotation.Replaced == nil && (r.dynamic() || r.Rotation.Length == 0) {
		id += "-whole" // where it is cut, it begins later
	}
	return id
}

// cutName names a cut: where crypto periods change, whatever the keys.
func (r *rewriter) cutName(p *periodPlan, c *cut) string {
	name := r.partID(p.times.id, c.index, 0)
	if c.rekeyed { // by its time, since nodes may count re-keys differently for a moment
		name += "-r" + strconv.FormatInt(r.Rotation.Replaced[c.generation-r.Rotation.Generation-1], 10)
	}
	return name
}

// nameGeneration names a Period that is written as one, once its keys were replaced.
func (r *rewriter) nameGeneration(p *periodPlan) error {
	if r.Rotation.newest() == 0 {
		return nil
	}
	start, _, err := r.durationOf(p.node, "start")
	if err != nil {
		return err
	}
	r.setAttribute(p.node, "id", r.ofGeneration(r.periodID(p.node, p.index, start), r.Rotation.newest()))
	return nil
}

// maxLag is how far the clock of a live MPD may be off for it to be cut where keys were replaced. Encoders and their storage are some
// seconds late.
const maxLag = 30 * time.Second

// maxAhead is how far it may be ahead: what is listed by the time of a re-key is never given new keys.
const maxAhead = 5 * time.Second

// noteEdge looks where the segments of a Period end, and whether keys of some were replaced.
func (r *rewriter) noteEdge(p *periodPlan, t *timing, cuts []cut) {
	if len(cuts) == 0 || t.byClock {
		return
	}
	_, end := t.at(t.total - 1)
	r.edge = max(r.edge, addTimes(p.times.zero, t.nanos(end)))
	r.replaced = r.replaced || cuts[0].generation < r.Rotation.newest()
}

// checkEdge refuses to cut, where keys were replaced, by a clock that is not ours.
func (r *rewriter) checkEdge() error {
	if !r.replaced || r.edge == 0 || r.Rotation.Trusted {
		return nil
	}
	if lag := r.Rotation.Now.Sub(time.Unix(0, r.edge)); lag > maxLag || lag < -maxAhead {
		return r.doc.errorf(r.doc.root, "%w: a clock that is %s behind", ErrUnsupported, lag.Round(time.Second))
	}
	return nil
}
