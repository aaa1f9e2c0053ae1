package dash

import "math"

// MediaTime is a time of the media of a Representation, in ticks: what decode times count.
type MediaTime struct {
	Ticks     int64  // more than 0
	Timescale uint32 // ticks per second. Zero: there is no time
}

// readClearLeads finds out how much of each Period is in the clear lead, which is counted from the start of the first. Where the times
// of Periods are not known, there is no lead.
func (r *rewriter) readClearLeads(periods []*node) {
	if r.ClearLead <= 0 || r.dynamic() {
		return
	}
	times, err := r.readTimes(periods)
	if err != nil {
		return
	}
	r.clearLeads = make([]int64, len(times))
	for i, t := range times {
		r.clearLeads[i] = max(0, int64(r.ClearLead)-(t.start-times[0].start))
	}
}

// placeClearLead tells the tracks of a Period where the lead ends in their media. A track whose ticks cannot be told has none.
func (r *rewriter) placeClearLead(p *periodPlan) {
	if p.index >= len(r.clearLeads) || r.clearLeads[p.index] == 0 {
		return
	}
	for _, s := range p.sets {
		for _, t := range s.tracks {
			t.ClearUntil = t.mediaTime(r.clearLeads[p.index])
		}
	}
}

// mediaTime returns what is played nanos behind the start of the Period.
func (t *track) mediaTime(nanos int64) MediaTime {
	elements := t.place.templates
	switch t.by {
	case byIndex:
		elements = t.place.bases
	case byList:
		elements = t.place.lists
	case byFile:
		return MediaTime{}
	case byTemplate:
	}
	scale, err := effectiveNumber(elements, "timescale", 1)
	if err != nil || scale == 0 || scale > math.MaxUint32 {
		return MediaTime{}
	}
	offset, err := effectiveNumber(elements, "presentationTimeOffset", 0)
	if err != nil {
		return MediaTime{}
	}
	ticks := addTimes(offset, mulDivUp(nanos, scale, nanosPerSecond))
	if ticks <= 0 || ticks == math.MaxInt64 {
		return MediaTime{}
	}
	return MediaTime{Ticks: ticks, Timescale: uint32(scale)}
}
