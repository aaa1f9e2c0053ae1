package dash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// schemeSwitching says between which AdaptationSets a player may switch (5.3.3.5); one of them switches nowhere else.
const schemeSwitching = "urn:mpeg:dash:adaptation-set-switching:2016"

// group is the tracks of an AdaptationSet that share a key. Each is written as a set of its own.
type group struct {
	key    Key
	tracks []int
	// id is @id, and switching the ids of the sets that a player may switch to, where they have to be written.
	id, switching string
}

// groupTracks forms the groups of a set from the answer for it, in the order of their first tracks. Tracks that are dropped, and
// those without segments in this part of the Period, are in none.
func (s *setPlan) groupTracks(part *part) error {
	s.groups = nil
	at := map[int]int{}
	for i, t := range s.answer.Tracks {
		if t.Drop || part.isEmpty(s.tracks[i]) {
			continue
		}
		key := t.Key
		if s.answer.Passes || s.answer.Scheme == 0 {
			key = 0
		}
		if _, ok := at[key]; !ok {
			k, err := s.answer.key(key)
			if err != nil {
				return err
			}
			at[key] = len(s.groups)
			s.groups = append(s.groups, group{key: k})
		}
		g := &s.groups[at[key]]
		g.tracks = append(g.tracks, i)
	}
	return nil
}

// key returns the key that a TrackProtection names.
func (p *Protection) key(i int) (Key, error) {
	switch {
	case i == 0:
		return Key{KID: p.KID, Systems: p.Systems}, nil
	case i > 0 && i <= len(p.Further):
		return p.Further[i-1], nil
	default:
		return Key{}, fmt.Errorf("%w: a track of a key that is not there", ErrOptions)
	}
}

// nameGroups gives the sets that come of one an id each, and says between which of them and others a player may switch.
func nameGroups(sets []*setPlan) {
	used, became := map[string]bool{}, map[string][]string{}
	split := false
	for _, s := range sets {
		used[s.node.trimmed("id")] = true
		split = split || len(s.groups) > 1
	}
	if !split {
		return
	}
	next := uint64(0)
	for _, s := range sets {
		own := s.node.trimmed("id")
		if len(s.groups) > 1 {
			for i := range s.groups {
				id := own
				for i > 0 || own == "" {
					next++
					if id = strconv.FormatUint(next, 10); !used[id] {
						break
					}
				}
				s.groups[i].id = id
				became[own] = append(became[own], id)
			}
		}
	}
	for _, s := range sets {
		s.joinGroups(became)
	}
}

// joinGroups notes for each group of s the sets to switch to: the others that came of s, and what came of those that s names.
func (s *setPlan) joinGroups(became map[string][]string) {
	var named []string
	if property := switchingOf(s.node); property != nil {
		for id := range strings.SplitSeq(property.trimmed("value"), ",") {
			id = strings.TrimSpace(id)
			if ids := became[id]; id != "" && ids != nil {
				named = append(named, ids...)
			} else if id != "" {
				named = append(named, id)
			}
		}
	}
	for i := range s.groups {
		var ids []string
		for k := range s.groups {
			if k != i {
				ids = append(ids, s.groups[k].id)
			}
		}
		for _, id := range named {
			if id != s.groups[i].id && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		s.groups[i].switching = strings.Join(ids, ",")
	}
}

func switchingOf(set *node) *node {
	for _, c := range set.children {
		if c.is("SupplementalProperty") && c.trimmed("schemeIdUri") == schemeSwitching {
			return c
		}
	}
	return nil
}

// beforeSwitching lists the children of an AdaptationSet that stand in front of InbandEventStream (5.3.7).
var beforeSwitching = append(beforeProtection[:len(beforeProtection):len(beforeProtection)],
	"ContentProtection", "OutputProtection", "EssentialProperty", "SupplementalProperty")

// writeGroup makes set the set of one group: its id, its key, its Representations and no others.
func (r *rewriter) writeGroup(s *setPlan, g *group, part *part) error {
	set := s.node
	r.cleanSet(s)
	if g.id != "" && g.id != set.trimmed("id") {
		r.setAttribute(set, "id", g.id)
	}
	if !s.answer.Passes && s.answer.Scheme != 0 {
		r.signal(set, s.answer.Scheme, g.key)
	}
	property := switchingOf(set)
	switch {
	case g.switching == "":
	case property == nil:
		r.insertFirst(set, beforeSwitching, fmt.Sprintf(`<%s schemeIdUri="%s" value="%s"/>`,
			set.qualified("SupplementalProperty"), schemeSwitching, escapeXML(g.switching)))
	case property.trimmed("value") != g.switching:
		r.setAttribute(property, "value", g.switching)
	}
	for i, t := range s.tracks {
		if !slices.Contains(g.tracks, i) {
			r.remove(t.node)
			continue
		}
		if err := r.retime(t, part, false); err != nil {
			return err
		}
		if err := r.sealTrack(t, s.answer.Tracks[i], part); err != nil {
			return err
		}
		if err := r.checkWritten(t.node, 0); err != nil {
			return err
		}
	}
	return nil
}
