package hls

import "slices"

// group names renditions: the TYPE and the GROUP-ID of EXT-X-MEDIA (8216bis, 4.4.6.1).
type group struct{ kind, id string }

// span is a place in the output, end exclusive.
type span struct{ start, end int }

// renditions follows which groups variants refer to. It is empty unless the Protector judges variants.
type renditions struct {
	kept, lost map[group]bool // groups of variants that stay, and of those that are dropped
	lines      map[group][]span
}

// groupAttributes are those of a variant that name a group, by the TYPE that the group has.
var groupAttributes = [...]string{"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"}

// noteGroups takes the groups of the variant of the line at hand as kept or lost.
func (r *rewriter) noteGroups(drop bool) error {
	groups := &r.multivariant.renditions
	if groups.kept == nil {
		groups.kept, groups.lost = make(map[group]bool), make(map[group]bool)
	}
	for _, kind := range groupAttributes {
		a, ok := find(r.attrs, kind)
		if !ok || !a.quoted {
			continue // CLOSED-CAPTIONS=NONE
		}
		id, err := r.variables.expand(r.line.value[a.start:a.end])
		if err != nil {
			return r.fault(err)
		}
		if drop {
			groups.lost[group{kind, id}] = true
		} else {
			groups.kept[group{kind, id}] = true
		}
	}
	return nil
}

// noteRendition keeps the place of an EXT-X-MEDIA that has been written from out[start] on. Variants that need it may stand
// in front of it and behind it. Audio always stays: no level of protection asks for less of it.
func (r *rewriter) noteRendition(start int) error {
	if _, judges := r.o.Protector.(VariantProtector); !judges || r.says("TYPE", "AUDIO") {
		return nil
	}
	kind, hasType := find(r.attrs, "TYPE")
	id, hasID := find(r.attrs, "GROUP-ID")
	if !hasType || !hasID {
		return nil
	}
	name, err := r.variables.expand(r.line.value[id.start:id.end])
	if err != nil {
		return r.fault(err)
	}
	groups := &r.multivariant.renditions
	if groups.lines == nil {
		groups.lines = make(map[group][]span)
	}
	g := group{r.line.value[kind.start:kind.end], name}
	groups.lines[g] = append(groups.lines[g], span{start, len(r.out)})
	return nil
}

// dropRenditions takes out the renditions that nothing refers to any more. A group that no variant ever referred to stays.
func (r *rewriter) dropRenditions() {
	groups := &r.multivariant.renditions
	var drop []span
	for g, lines := range groups.lines {
		if groups.lost[g] && !groups.kept[g] {
			drop = append(drop, lines...)
		}
	}
	slices.SortFunc(drop, func(a, b span) int { return a.start - b.start })
	out, rest := r.out[:0], 0
	for _, s := range drop {
		out = append(out, r.out[rest:s.start]...)
		rest = s.end
	}
	r.out = append(out, r.out[rest:]...)
	before := 0
	for _, s := range drop {
		if s.end <= r.version.start {
			before += s.end - s.start
		}
	}
	r.version.start, r.version.end = r.version.start-before, r.version.end-before
}

// endMultivariant does what can only be done behind the last line.
func (r *rewriter) endMultivariant() error {
	m := &r.multivariant
	if m.dropped && !m.kept {
		return ErrNoVariants
	}
	r.dropRenditions()
	return nil
}
