package drm

import "time"

// Generations are the times, in Unix seconds and ascending, at which a title got new keys by an emergency re-key. Their number is its
// generation. Nil: never.
type Generations []int64

// Current is the generation of the newest keys.
func (g Generations) Current() uint32 { return uint32(len(g)) }

// Live reports whether a generation is the current one, or one that another took the place of within the grace time. One that is
// higher than the current one is live, too: another node knows already what is yet to come here.
func (g Generations) Live(generation uint32, now time.Time, grace time.Duration) bool {
	return generation >= g.Current() || now.Before(time.Unix(g[generation], 0).Add(grace))
}

// Oldest is the lowest generation that is live.
func (g Generations) Oldest(now time.Time, grace time.Duration) uint32 {
	oldest := g.Current()
	for oldest > 0 && g.Live(oldest-1, now, grace) {
		oldest--
	}
	return oldest
}

// At returns the generation of live media that begins at a time, in nanoseconds since 1970: what comes behind a re-key has the new keys.
// It holds from one time to another, exclusive; the nearest that an int64 holds, where there is no other generation.
func (g Generations) At(nanos int64) (generation uint32, from, to int64) {
	const least, most = -1 << 63, 1<<63 - 1
	from, to = least, most
	for _, seconds := range g {
		at := seconds * int64(time.Second)
		if at > nanos {
			return generation, from, at
		}
		generation, from = generation+1, at
	}
	return generation, from, to
}
