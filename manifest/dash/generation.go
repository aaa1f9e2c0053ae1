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

// noteGone looks where what is listed begins, and whether anything in front of it is not, since its keys are not given any more.
func (r *rewriter) noteGone(p *periodPlan, t *timing, cuts []cut, from, to int) {
	if cuts[0].generation < r.Rotation.Oldest {
		r.gone = true
	}
	if r.gone && r.begin == 0 && from < to {
		r.begin = addTimes(p.times.zero, cuts[from].start)
		start, end := t.at(cuts[from].first)
		r.segment = t.nanos(end) - t.nanos(start)
	}
}

// windowSlack is how much later than what is listed a shortened window begins, besides two segments: a player knows the edge as it was when it
// loaded the MPD first.
const windowSlack = int64(5 * time.Second)

// shortenWindow makes the time-shift window of a live MPD begin with what is listed, where something in front of that is gone. Some players go by
// the window alone: they keep the addresses of a Period that left, and ask for them again and again until the window has moved on. It moves on as
// it did before until it is surely behind them, so that nobody jumps who is behind them already.
func (r *rewriter) shortenWindow() error {
	if !r.gone || r.begin == 0 {
		return nil
	}
	const name = "timeShiftBufferDepth"
	edge := r.edge
	if r.counted {
		edge = r.Rotation.Now.UnixNano()
	}
	present, ok, err := r.durationOf(r.doc.root, name)
	if err != nil {
		return err
	}
	slack := min(max(0, edge-r.Rotation.Gone.UnixNano()), windowSlack+2*r.segment)
	if left := max(edge-r.begin-slack, int64(time.Second)); !ok || left < present {
		r.setAttribute(r.doc.root, name, formatDuration(left))
	}
	return nil
}

// keepGone keeps, of the Periods in front of the first that is listed, those whose keys are not given any more, each with its first segment alone
// and with the keys of what follows. All of it lies in front of the window, and nobody plays it. But dash.js takes the BaseURL of a Period that has
// left the MPD from the one that is in its place, and decrypts what it gets there with the keys that it has: it would stop. What is of an earlier
// crypto period goes: new keys of that nobody has asked for, and a source may have none. It returns which part is listed first then.
func (r *rewriter) keepGone(p *periodPlan, cuts []cut, from int) int {
	first := from
	for first > 0 && cuts[first-1].index == cuts[from].index && cuts[first-1].generation < r.Rotation.Oldest && p.keepFirst(first-1) {
		first--
		cuts[first].keys = cuts[from].keys
	}
	return first
}

// keepFirst leaves nothing but its first segment in a part; if there is none in an audio or video set, or segments are not listed, it returns false.
func (p *periodPlan) keepFirst(i int) bool {
	for _, s := range p.sets {
		for _, t := range s.tracks {
			switch {
			case t.timing == nil:
			case t.timing.byClock, (t.ContentType == "audio" || t.ContentType == "video") && t.spans[i].first >= t.spans[i].end:
				return false
			}
		}
	}
	for _, s := range p.sets {
		for _, t := range s.tracks {
			if t.timing != nil {
				t.spans[i].end = min(t.spans[i].end, t.spans[i].first+1)
			}
		}
	}
	return true
}
