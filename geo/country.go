package geo

import (
	"errors"
	"fmt"
	"strings"
)

// Country is an officially assigned ISO 3166-1 alpha-2 code, or XK, the user-assigned code of Kosovo that all address databases
// use. The zero value is CountryUnknown.
type Country uint16

// CountryUnknown is the country of an address that no database places. It belongs to no Set.
const CountryUnknown Country = 0

// ErrCountry is returned by ParseCountry for text that is not the code of a country.
var ErrCountry = errors.New("want an ISO 3166-1 alpha-2 code such as DE")

// assigned lists the 249 officially assigned codes, and XK.
const assigned = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT " +
	"MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

var assignedSet = setOfCodes(assigned)

// codeAt is where the code of a country stands in assigned, plus one: the text of a country is part of that constant.
var codeAt = func() (at [26 * 26]uint16) {
	for i := 0; i < len(assigned); i += 3 {
		at[countryOf(assigned[i:i+2]).index()] = uint16(i) + 1
	}
	return at
}()

// ParseCountry reads a code in either case. UK and EL, which the Commission and the public use, become GB and GR. Codes that are
// not assigned (AA, QM to QZ, XA to XZ but XK, ZZ, EU and all others) are ErrCountry.
func ParseCountry(s string) (Country, error) {
	if len(s) != 2 || s[0] >= 0x80 || s[1] >= 0x80 { // before folding, which makes ASCII letters of some others
		return CountryUnknown, fmt.Errorf("country %.8q: %w", s, ErrCountry)
	}
	upper := strings.ToUpper(s)
	switch upper {
	case "UK":
		upper = "GB"
	case "EL":
		upper = "GR"
	}
	if c := countryOf(upper); assignedSet.Contains(c) {
		return c, nil
	}
	return CountryUnknown, fmt.Errorf("country %.8q: %w", s, ErrCountry)
}

func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' }

// countryOf expects two upper-case letters.
func countryOf(code string) Country { return Country(code[0])<<8 | Country(code[1]) }

// IsKnown reports whether c is the code of a country.
func (c Country) IsKnown() bool { return assignedSet.Contains(c) }

// String returns the two letters, or "unknown". It allocates nothing.
func (c Country) String() string {
	if i := c.index(); i >= 0 && codeAt[i] > 0 {
		return assigned[codeAt[i]-1 : codeAt[i]+1]
	}
	return "unknown"
}

// MarshalText writes what String returns.
func (c Country) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
