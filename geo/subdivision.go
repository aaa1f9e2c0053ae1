package geo

import (
	"errors"
	"fmt"
	"strings"
)

// Subdivision is the ISO 3166-2 code of a part of a country, such as US-CA. The zero value is SubdivisionUnknown.
type Subdivision string

// SubdivisionUnknown is the subdivision of an address that no database places in one.
const SubdivisionUnknown Subdivision = ""

// ErrSubdivision is returned by ParseSubdivision for text that is not the code of a subdivision.
var ErrSubdivision = errors.New("want an ISO 3166-2 code such as US-CA")

// ParseSubdivision reads a code in either case: that of a country, a hyphen, and one to three letters or digits. Which codes
// are in use changes every year, so a code that fits this form is accepted.
func ParseSubdivision(s string) (Subdivision, error) {
	country, part, found := strings.Cut(s, "-")
	c, err := ParseCountry(country)
	if !found || err != nil || !isSubdivisionPart(part) {
		return SubdivisionUnknown, fmt.Errorf("subdivision %.8q: %w", s, ErrSubdivision)
	}
	return subdivisionOf(c, part), nil
}

// subdivisionOf expects a part that isSubdivisionPart accepts.
func subdivisionOf(c Country, part string) Subdivision {
	return Subdivision(c.String() + "-" + strings.ToUpper(part))
}

func isSubdivisionPart(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if c := s[i] &^ 0x20; !isLetter(c) && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

// Country returns the country that s is a part of.
func (s Subdivision) Country() Country {
	if len(s) < 2 {
		return CountryUnknown
	}
	return countryOf(string(s[:2]))
}

// String returns the code, or "unknown".
func (s Subdivision) String() string {
	if s == SubdivisionUnknown {
		return "unknown"
	}
	return string(s)
}
