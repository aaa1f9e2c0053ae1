package geo

import (
	"net/netip"
	"strconv"
	"strings"
)

// Dimension is one of the things that are known of an address, or a set of them.
type Dimension uint8

// The dimensions.
const (
	DimensionCountry Dimension = 1 << iota
	DimensionSubdivision
	DimensionContinent
	DimensionASN
	DimensionNetwork
	DimensionAddress

	// AllDimensions is all of them.
	AllDimensions = DimensionCountry | DimensionSubdivision | DimensionContinent | DimensionASN | DimensionNetwork | DimensionAddress
	// territorial are those that say where, and not through whom.
	territorial = DimensionCountry | DimensionSubdivision | DimensionContinent
)

var dimensionWords = [...]string{"country", "subdivision", "continent", "asn", "network", "address"}

// ParseDimension reads the word of one dimension: country, subdivision, continent, asn, network or address.
func ParseDimension(word string) (Dimension, bool) {
	for i, w := range dimensionWords {
		if w == word {
			return 1 << i, true
		}
	}
	return 0, false
}

// String returns the words of d, separated by commas.
func (d Dimension) String() string {
	var words []string
	for i, word := range dimensionWords {
		if d&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Place is what is known of an address. The zero Place knows nothing.
type Place struct {
	// Addr is the address itself, without a zone and never IPv4 inside IPv6.
	Addr netip.Addr
	// Country is where the address is used.
	Country Country
	// Continent is that of the database or, where it names a country alone, of the country.
	Continent Continent
	// Network is what kind of network it is.
	Network Network
	// Subdivisions are parts of Country, the largest first.
	Subdivisions [2]Subdivision
	// ASN is the number of the autonomous system that announces the address; 0 if it is not known.
	ASN uint32
}

// Subdivision returns the largest subdivision that is known.
func (p Place) Subdivision() Subdivision { return p.Subdivisions[0] }

// Merge returns p, with what it does not know taken from other. Where both know the country, p's counts, and parts of another
// country are left out. The marks of both networks hold: one database is enough to make a network a VPN.
func (p Place) Merge(other Place) Place {
	if !p.Addr.IsValid() {
		p.Addr = other.Addr
	}
	switch {
	case !p.Country.IsKnown():
		p.Country, p.Subdivisions = other.Country, other.Subdivisions
		if other.Continent.IsKnown() {
			p.Continent = other.Continent
		}
	case p.Country == other.Country && p.Subdivisions[0] == SubdivisionUnknown:
		p.Subdivisions = other.Subdivisions
	}
	if p.ASN == 0 {
		p.ASN = other.ASN
	}
	p.Network |= other.Network
	return p
}

// atHome returns p as if its viewer were at home, in another country of set.
func (p Place) atHome(home Country, set Set) Place {
	if home == p.Country || !set.Contains(home) || !set.Contains(p.Country) {
		return p
	}
	p.Country, p.Subdivisions, p.Continent = home, [2]Subdivision{}, ContinentOf(home)
	return p
}

// String describes p for an operator, without the address.
func (p Place) String() string {
	var b strings.Builder
	b.WriteString("country " + p.Country.String() + ", ")
	if p.Subdivisions[0] != SubdivisionUnknown {
		b.WriteString("subdivision " + string(p.Subdivisions[0]))
		if p.Subdivisions[1] != SubdivisionUnknown {
			b.WriteString(" and " + string(p.Subdivisions[1]))
		}
		b.WriteString(", ")
	}
	b.WriteString("continent " + p.Continent.String() + ", ASN " + p.ASNString() + ", network " + p.Network.String())
	return b.String()
}

// ASNString returns the number with its prefix, such as AS64496, or "unknown".
func (p Place) ASNString() string {
	if p.ASN == 0 {
		return "unknown"
	}
	return "AS" + strconv.FormatUint(uint64(p.ASN), 10)
}
