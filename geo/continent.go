package geo

import (
	"errors"
	"fmt"
	"strings"
)

// Continent is one of the seven continents of address databases. The zero value is ContinentUnknown.
type Continent uint8

// The continents. Europe is the continent, with Russia and without the islands overseas; the Union is the Set EU.
const (
	ContinentUnknown Continent = iota
	Africa
	Antarctica
	Asia
	Europe
	NorthAmerica
	Oceania
	SouthAmerica
)

// ErrContinent is returned by ParseContinent for text that is not the code of a continent.
var ErrContinent = errors.New("want AF, AN, AS, EU, NA, OC or SA")

var continentCodes = [...]string{"unknown", "AF", "AN", "AS", "EU", "NA", "OC", "SA"}

// ParseContinent reads the code of a continent in either case.
func ParseContinent(s string) (Continent, error) {
	for i, code := range continentCodes[1:] {
		if strings.EqualFold(s, code) {
			return Continent(i + 1), nil
		}
	}
	return ContinentUnknown, fmt.Errorf("continent %.8q: %w", s, ErrContinent)
}

// IsKnown reports whether c is a continent.
func (c Continent) IsKnown() bool { return c != ContinentUnknown && int(c) < len(continentCodes) }

// String returns the two letters, or "unknown".
func (c Continent) String() string {
	if !c.IsKnown() {
		return continentCodes[0]
	}
	return continentCodes[c]
}

// countriesOf places every country on one continent, as the publishers of databases that name continents do: Cyprus, Russia and
// Svalbard in Europe, Türkiye and the Caucasus in Asia, Timor-Leste in Oceania. It serves databases that name countries alone.
var countriesOf = [...]Set{
	Africa: setOfCodes("AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH " +
		"SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW"),
	Antarctica: setOfCodes("AQ BV GS HM TF"),
	Asia: setOfCodes("AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY " +
		"TH TJ TM TR TW UZ VN YE"),
	Europe: setOfCodes("AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS " +
		"RU SE SI SJ SK SM UA VA XK"),
	NorthAmerica: setOfCodes("AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US VC VG VI"),
	Oceania:      setOfCodes("AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
	SouthAmerica: setOfCodes("AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
}

// ContinentOf returns the continent of a country, and ContinentUnknown for one that is not known.
func ContinentOf(c Country) Continent {
	for continent := Africa; continent <= SouthAmerica; continent++ {
		if countriesOf[continent].Contains(c) {
			return continent
		}
	}
	return ContinentUnknown
}
