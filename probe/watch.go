package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Bounds of the pause between two reloads.
const (
	leastPause = 500 * time.Millisecond
	mostPause  = 10 * time.Second
	// maxWatched bounds the segments that are remembered.
	maxWatched = 1 << 20
)

// watched is what a live manifest has said so far.
type watched struct {
	keys    map[string]string // of each segment, by what names it
	periods map[string]string // where each Period begins
}

// watch follows a live manifest: new segments are probed, and what was said stays true.
func (p *prober) watch(ctx context.Context, stretches []*stretch) error {
	known := watched{make(map[string]string), make(map[string]string)}
	p.compare(&known, stretches)
	for end := p.o.Now().Add(p.o.Watch); ; {
		pause := pauseOf(stretches)
		if p.o.Now().Add(pause).After(end) {
			return nil
		}
		if err := p.o.Sleep(ctx, pause); err != nil {
			return err
		}
		fresh, err := p.openManifest(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrManifest):
			p.problem(NotFetched, place{URL: p.report.URL}, "a reload: %v", err)
			continue
		case err != nil:
			return err
		}
		p.report.Reloads++
		stretches = fresh
		for _, s := range p.compare(&known, stretches) {
			p.progress("new in %s: %s", s.name(), plural(len(s.segments), "segment"))
			chosen := s.segments[len(s.segments)-1:]
			if len(s.segments) > 1 {
				chosen = []segment{s.segments[0], s.segments[len(s.segments)-1]}
			}
			if p.o.All {
				chosen = s.segments
			}
			p.rendition(s.rendition).Listed += len(s.segments)
			p.probeStretch(ctx, s, chosen)
		}
		if !p.report.Live { // it has ended; a static manifest is another presentation of the same
			p.report.Live = true
			p.note("the presentation ended while it was watched")
			return nil
		}
	}
}

// pauseOf is half of a segment.
func pauseOf(stretches []*stretch) time.Duration {
	shortest := mostPause
	for _, s := range stretches {
		for _, seg := range s.segments {
			if half := seg.duration / 2; half > 0 {
				shortest = min(shortest, half)
			}
		}
	}
	return max(shortest, leastPause)
}

// compare says what changed that must not, and returns the stretches with those segments that are new.
func (p *prober) compare(known *watched, stretches []*stretch) (fresh []*stretch) {
	for _, s := range stretches {
		p.comparePeriod(known, s)
		added := *s
		added.segments = nil
		key := s.protection.key()
		for _, seg := range s.segments {
			name := s.segmentName(seg)
			before, seen := known.keys[name]
			switch {
			case !seen:
				if len(known.keys) < maxWatched {
					known.keys[name] = key
				}
				added.segments = append(added.segments, seg)
			case before != key:
				at := s.place()
				at.URL = public(seg.url)
				p.problem(KeyChanged, at, "it was announced under %s, and now under %s", before, key)
				known.keys[name] = key
			}
		}
		if len(added.segments) > 0 {
			fresh = append(fresh, &added)
		}
	}
	return fresh
}

// comparePeriod holds a Period of DASH to its start.
func (p *prober) comparePeriod(known *watched, s *stretch) {
	if !s.exact || s.period == "" {
		return
	}
	begin := seconds(s.periodStart)
	if before, seen := known.periods[s.period]; seen && before != begin {
		p.problem(PeriodMoved, place{Period: s.period}, "it began at %s, and now at %s", before, begin)
	}
	known.periods[s.period] = begin
}

// segmentName is what a segment of a rendition is called in every reload: by its number in HLS, by its time in DASH, where Periods begin anew.
func (s *stretch) segmentName(seg segment) string {
	if !s.exact {
		return fmt.Sprintf("%s %d %s", s.rendition, seg.number, identity(seg.url))
	}
	return fmt.Sprintf("%s %s %s", s.rendition, seconds(seg.start), identity(seg.url))
}

// key is how the key of a stretch is named.
func (p protection) key() string {
	var names []string
	for _, kid := range p.kids {
		names = append(names, "KID "+kid.String())
	}
	if len(names) == 0 && p.keyURI != "" {
		names = append(names, "the key at "+public(p.keyURI))
	}
	if len(names) == 0 {
		for _, signal := range p.systems {
			for _, box := range signal.pssh {
				for _, kid := range append(box.KIDs, drm.KID{}) {
					if !kid.IsZero() {
						names = append(names, "KID "+kid.String())
					}
				}
			}
		}
	}
	if len(names) == 0 {
		return "no key"
	}
	return strings.Join(names, ", ")
}
