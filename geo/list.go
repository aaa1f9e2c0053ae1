package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// List names places and networks by any of their dimensions. An address is on it if one of its entries fits. The zero List is
// empty. It is not changed by use and is safe for concurrent use.
type List struct {
	Countries    Set
	Continents   []Continent
	Subdivisions []Subdivision
	ASNs         []uint32
	// Networks are marks; any of them fits.
	Networks Network
	// Prefixes are masked, and of IPv4 where they can be.
	Prefixes []netip.Prefix
}

// ErrWord is returned by ParseList for a word that it does not know.
var ErrWord = errors.New("want a country such as DE or FR+territories, a subdivision such as US-CA, continent:EU, eu, eea, a set of yours, " +
	"AS64496, anonymous, vpn, proxy, public_proxy, residential_proxy, tor, hosting, or an address or prefix")

const (
	continentPrefix   = "continent:"
	territoriesSuffix = "+territories"
)

// ListOf returns the list of the countries of s.
func ListOf(s Set) List { return List{Countries: s} }

// ParseList reads the words of a rule, in either case; see ErrWord for what they can be. sets are the operator's, which
// CheckSetName has admitted.
func ParseList(words []string, sets map[string]List) (List, error) {
	var l List
	for _, word := range words {
		if err := l.addWord(word, sets); err != nil {
			return List{}, err
		}
	}
	return l, nil
}

func (l *List) addWord(word string, sets map[string]List) error {
	lower := strings.ToLower(word)
	if set, ok := sets[lower]; ok {
		l.add(set)
		return nil
	}
	for _, row := range networkMarks {
		if row.word == lower {
			l.Networks |= row.mark
			return nil
		}
	}
	if code, ok := strings.CutPrefix(lower, continentPrefix); ok {
		continent, err := ParseContinent(code)
		l.Continents = append(l.Continents, continent)
		return err
	}
	if asn, ok := parseASN(word); ok {
		l.ASNs = append(l.ASNs, asn)
		return nil
	}
	if strings.ContainsAny(word, "./:") {
		prefix, err := parsePrefix(word)
		l.Prefixes = append(l.Prefixes, prefix)
		return err
	}
	if strings.Contains(word, "-") {
		subdivision, err := ParseSubdivision(word)
		l.Subdivisions = append(l.Subdivisions, subdivision)
		return err
	}
	return l.addCountries(lower)
}

func (l *List) addCountries(lower string) error {
	name, more := strings.CutSuffix(lower, territoriesSuffix)
	set, err := ParseSet(name)
	if err != nil {
		return fmt.Errorf("%.40q: %w", lower, ErrWord)
	}
	if more {
		with := set.withTerritories()
		if with == set {
			return fmt.Errorf("%.40q: no territory of it has a code of its own", lower)
		}
		set = with
	}
	l.Countries = l.Countries.Union(set)
	return nil
}

// parsePrefix reads an address or a prefix. Bits behind the prefix are a mistake in one of the two.
func parsePrefix(word string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(word)
	if addr, notAddr := netip.ParseAddr(word); notAddr == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%.60q: want an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32, without a zone", word)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%.60q: write an IPv4 prefix as such: addresses are compared after IPv4 is taken out of IPv6", word)
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("%.60q: it has bits behind its prefix; the prefix is %s", word, prefix.Masked())
	}
	return prefix, nil
}

func (l *List) add(other List) {
	l.Countries = l.Countries.Union(other.Countries)
	l.Continents = append(l.Continents, other.Continents...)
	l.Subdivisions = append(l.Subdivisions, other.Subdivisions...)
	l.ASNs = append(l.ASNs, other.ASNs...)
	l.Networks |= other.Networks
	l.Prefixes = append(l.Prefixes, other.Prefixes...)
}

// CheckSetName reports whether name can be that of an operator's set: three to thirty-two lower-case letters, digits and
// underscores that begin with a letter and are no word of ours.
func CheckSetName(name string) error {
	valid := len(name) >= 3 && len(name) <= 32 && name[0] >= 'a'
	for i := range len(name) {
		c := name[i]
		valid = valid && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_')
	}
	if !valid {
		return fmt.Errorf("set %.40q: want 3 to 32 lower-case letters, digits and underscores, a letter first", name)
	}
	var l List
	if err := l.addWord(name, nil); err == nil {
		return fmt.Errorf("set %q: the word has a meaning of its own", name)
	}
	return nil
}

// IsEmpty reports whether nothing is on l.
func (l List) IsEmpty() bool { return l.Dimensions() == 0 }

// Dimensions returns what must be known of an address to tell whether it is on l.
func (l List) Dimensions() (d Dimension) {
	for _, row := range []struct {
		dimension Dimension
		used      bool
	}{
		{DimensionCountry, !l.Countries.IsEmpty()},
		{DimensionSubdivision, len(l.Subdivisions) > 0},
		{DimensionContinent, len(l.Continents) > 0},
		{DimensionASN, len(l.ASNs) > 0},
		{DimensionNetwork, l.Networks != 0},
		{DimensionAddress, len(l.Prefixes) > 0},
	} {
		if row.used {
			d |= row.dimension
		}
	}
	return d
}

// find returns the first dimension in which p is on l, or else those that would have to be known to tell.
func (l *List) find(p *Place) (on, unknown Dimension) {
	if !l.Countries.IsEmpty() {
		if l.Countries.Contains(p.Country) {
			return DimensionCountry, 0
		}
		if !p.Country.IsKnown() {
			unknown |= DimensionCountry
		}
	}
	if len(l.Subdivisions) > 0 {
		switch is, can := p.isWithin(l.Subdivisions); {
		case is:
			return DimensionSubdivision, 0
		case can:
			unknown |= DimensionSubdivision
		}
	}
	if len(l.Continents) > 0 {
		if slices.Contains(l.Continents, p.Continent) {
			return DimensionContinent, 0
		}
		if !p.Continent.IsKnown() {
			unknown |= DimensionContinent
		}
	}
	if len(l.ASNs) > 0 {
		if slices.Contains(l.ASNs, p.ASN) {
			return DimensionASN, 0
		}
		if p.ASN == 0 {
			unknown |= DimensionASN
		}
	}
	if l.Networks != 0 {
		if l.Networks&p.Network != 0 {
			return DimensionNetwork, 0
		}
		if !p.Network.IsKnown() {
			unknown |= DimensionNetwork
		}
	}
	return l.findAddress(p, unknown)
}

func (l *List) findAddress(p *Place, unknown Dimension) (on, stillUnknown Dimension) {
	if len(l.Prefixes) == 0 {
		return 0, unknown
	}
	if !p.Addr.IsValid() {
		return 0, unknown | DimensionAddress
	}
	for _, prefix := range l.Prefixes {
		if prefix.Contains(p.Addr) {
			return DimensionAddress, 0
		}
	}
	return 0, unknown
}

// isWithin reports whether p is in one of the subdivisions and, if not, whether it could be: it is in the country of one, and no
// database says in which part.
func (p *Place) isWithin(subdivisions []Subdivision) (is, can bool) {
	if !p.Country.IsKnown() {
		return false, true
	}
	for _, s := range subdivisions {
		if s == p.Subdivisions[0] || s == p.Subdivisions[1] {
			return true, false
		}
		can = can || p.Subdivisions[0] == SubdivisionUnknown && s.Country() == p.Country
	}
	return false, can
}

// String returns words that ParseList reads as l.
func (l List) String() string {
	words := strings.Fields(l.Countries.String())
	for _, c := range l.Continents {
		words = append(words, continentPrefix+c.String())
	}
	for _, s := range l.Subdivisions {
		words = append(words, s.String())
	}
	for _, asn := range l.ASNs {
		words = append(words, Place{ASN: asn}.ASNString())
	}
	if l.Networks != 0 {
		words = append(words, strings.Split(l.Networks.String(), "+")...)
	}
	for _, p := range l.Prefixes {
		words = append(words, p.String())
	}
	return strings.Join(words, " ")
}
