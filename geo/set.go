package geo

import (
	"fmt"
	"math/bits"
	"strings"
)

// Set is a set of countries. It is a value: it can be copied and compared, and its zero value is empty.
//
// A parent does not cover its dependent territories that have codes of their own: FR is without GP, MQ, GF, RE and the others, US
// without PR and GU, GB without JE, GG, IM and GI, CN without HK and MO. Licenses usually list them one by one, and so do rules;
// ParseList reads `FR+territories` as both.
type Set struct {
	words [setWords]uint64
}

const setWords = (26*26 + 63) / 64

// The sets that have names. EU has 27 members; EEA adds Iceland, Liechtenstein and Norway. Switzerland is in neither.
var (
	EU  = setOfCodes("AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE")
	EEA = EU.Union(setOfCodes("IS LI NO"))
)

// ParseSet reads codes of countries and the names `eu` and `eea`, in either case.
func ParseSet(words ...string) (Set, error) {
	var s Set
	for _, word := range words {
		switch strings.ToLower(word) {
		case "eu":
			s = s.Union(EU)
		case "eea":
			s = s.Union(EEA)
		default:
			c, err := ParseCountry(word)
			if err != nil {
				return Set{}, fmt.Errorf("%w, or eu or eea", err)
			}
			s.add(c)
		}
	}
	return s, nil
}

// SetOf returns the set of the given countries; CountryUnknown is left out.
func SetOf(countries ...Country) Set {
	var s Set
	for _, c := range countries {
		if c.IsKnown() {
			s.add(c)
		}
	}
	return s
}

// setOfCodes expects upper-case codes; it serves the tables of this package.
func setOfCodes(codes string) Set {
	var s Set
	for code := range strings.FieldsSeq(codes) {
		s.add(countryOf(code))
	}
	return s
}

// index is -1 for anything but two letters.
func (c Country) index() int {
	high, low := byte(c>>8), byte(c)
	if !isLetter(high) || !isLetter(low) {
		return -1
	}
	return int(high-'A')*26 + int(low-'A')
}

func (s *Set) add(c Country) {
	i := c.index()
	s.words[i/64] |= 1 << (i % 64)
}

// Contains reports whether c is in s. CountryUnknown is in no set.
func (s Set) Contains(c Country) bool {
	i := c.index()
	return i >= 0 && s.words[i/64]&(1<<(i%64)) != 0
}

// Union returns the countries that are in s, in t, or in both.
func (s Set) Union(t Set) Set {
	for i := range s.words {
		s.words[i] |= t.words[i]
	}
	return s
}

// IsEmpty reports whether s has no country.
func (s Set) IsEmpty() bool { return s == Set{} }

// Len returns the number of countries.
func (s Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Countries returns the members in alphabetical order.
func (s Set) Countries() []Country {
	var list []Country
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			n := i*64 + bits.TrailingZeros64(w)
			list = append(list, Country('A'+n/26)<<8|Country('A'+n%26))
		}
	}
	return list
}

// String returns the codes, in alphabetical order and separated by spaces.
func (s Set) String() string {
	codes := make([]string, 0, s.Len())
	for _, c := range s.Countries() {
		codes = append(codes, c.String())
	}
	return strings.Join(codes, " ")
}
