package rights

import (
	"strings"

	"github.com/caddy-drm/caddy-drm/geo"
)

// wordWorld is everywhere, also for viewers whose country is not known.
const wordWorld = "world"

// Territories are where something holds. They are made by ParseTerritories alone, so that every word is understood in one place.
type Territories struct {
	words, excluded []string

	world bool // also where the country is not known
	set   geo.Set
	minus geo.Set
}

// ParseTerritories reads the words of package geo, and `world` for everywhere. What is excluded counts even if words have it. No
// word at all is an error, and so are territories of which nothing is left.
func ParseTerritories(words, excluded []string) (*Territories, error) {
	t := &Territories{words: words, excluded: excluded}
	var countries []string
	for _, word := range words {
		if strings.EqualFold(word, wordWorld) {
			t.world = true
			continue
		}
		countries = append(countries, word)
	}
	var err error
	if t.set, err = geo.ParseSet(countries...); err != nil {
		return nil, err
	}
	if t.minus, err = geo.ParseSet(excluded...); err != nil {
		return nil, err
	}
	if !t.world {
		left := false
		for _, country := range t.set.Countries() {
			left = left || !t.minus.Contains(country)
		}
		if !left {
			return nil, errNowhere
		}
	}
	return t, nil
}

// Contains reports whether country is one of the territories. One that is not known is only in the whole world, and not if
// anything is excluded from that.
func (t *Territories) Contains(country geo.Country) bool {
	switch {
	case !country.IsKnown():
		return t.world && t.minus.IsEmpty()
	case t.minus.Contains(country):
		return false
	default:
		return t.world || t.set.Contains(country)
	}
}

// mayContain is Contains for what forbids instead of allowing: a viewer whose country is not known may be there.
func (t *Territories) mayContain(country geo.Country) bool {
	return !country.IsKnown() || t.Contains(country)
}

// overlaps reports whether some country is in both.
func (t *Territories) overlaps(u *Territories) bool {
	if t.world && u.world {
		return true
	}
	some := t
	if t.world {
		some = u
	}
	for _, country := range some.set.Countries() {
		if t.Contains(country) && u.Contains(country) {
			return true
		}
	}
	return false
}

// IsWorld reports whether nobody's country has to be known.
func (t *Territories) IsWorld() bool { return t.world && t.minus.IsEmpty() }

// String returns the words.
func (t *Territories) String() string {
	if len(t.excluded) == 0 {
		return strings.Join(t.words, " ")
	}
	return strings.Join(t.words, " ") + " without " + strings.Join(t.excluded, " ")
}
