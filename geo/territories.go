package geo

// territories lists, by the country that a rule names, what `+territories` adds to it: what belongs to it or to its crown, or is
// in free association with it, and has an ISO 3166-1 code of its own.
//
// Taiwan, Palestine and Western Sahara belong to no other code here: a rule names them, or does not cover them.
var territories = map[Country]Set{
	countryOf("AU"): setOfCodes("CC CX HM NF"),
	countryOf("CN"): setOfCodes("HK MO"),
	countryOf("DK"): setOfCodes("FO GL"),
	countryOf("FI"): setOfCodes("AX"),
	countryOf("FR"): setOfCodes("BL GF GP MF MQ NC PF PM RE TF WF YT"),
	countryOf("GB"): setOfCodes("AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG"),
	countryOf("NL"): setOfCodes("AW BQ CW SX"),
	countryOf("NO"): setOfCodes("BV SJ"),
	countryOf("NZ"): setOfCodes("CK NU TK"),
	countryOf("US"): setOfCodes("AS GU MP PR UM VI"),
}

// Territories returns the dependent territories of c that have codes of their own. A Set never covers them by their parent.
func Territories(c Country) Set { return territories[c] }

// withTerritories returns s and the territories of its members.
func (s Set) withTerritories() Set {
	for _, c := range s.Countries() {
		s = s.Union(territories[c])
	}
	return s
}
