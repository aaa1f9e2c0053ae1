package keysource

import "time"

// evictionSample is how many entries an eviction looks at. A full scan would make each made-up title cost a walk over the
// whole map.
const evictionSample = 8

// evictAnswer drops the least useful of a few answers in use. Go starts each walk over a map at a random place.
func (t *table[K, V]) evictAnswer(now time.Time) {
	var victim *answer[K, V]
	looked := 0
	for _, a := range t.inUse {
		if !t.usable(a, now) {
			victim = a
			break
		}
		if victim == nil || a.used.Load() < victim.used.Load() {
			victim = a
		}
		if looked++; looked == evictionSample {
			break
		}
	}
	if victim != nil {
		delete(t.inUse, victim.question)
	}
}

// evictFailure drops the one of a few failures that ends first.
func (t *table[K, V]) evictFailure(now time.Time) {
	var victim K
	var until time.Time
	looked := 0
	for q, f := range t.failed {
		if looked == 0 || f.until.Before(until) {
			victim, until = q, f.until
		}
		if looked++; looked == evictionSample || until.Before(now) {
			break
		}
	}
	delete(t.failed, victim)
}
