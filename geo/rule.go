package geo

import "fmt"

// Rule says who is admitted, by what is known of the address. The zero Rule admits everybody, unknown addresses included.
type Rule struct {
	// Allow, unless it is empty, lists the only addresses that are admitted.
	Allow List
	// Deny lists those that are not, even if they are on Allow.
	Deny List
	// Unknown are the dimensions that need not be known: where one of them keeps a list from being judged, the address is taken to
	// be on Allow and not on Deny. By default a rule denies what it cannot judge: an address that the database has never heard
	// of would otherwise be the way around the rule.
	Unknown Dimension
	// Portable is the set of countries whose residents are judged as if at home while they are in another of them (Regulation
	// (EU) 2017/1128, articles 3 and 4). Empty: nobody is.
	Portable Set
}

// Verdict is the outcome of a Rule.
type Verdict uint8

// The verdicts. Only Allowed admits; the zero Verdict does not.
const (
	Undecided Verdict = iota
	Allowed
	Denied    // on the deny list
	NotListed // there is an allow list, and the address is not on it
	Unknown   // what a list has to know is not known
)

// Admits reports whether v lets the viewer in.
func (v Verdict) Admits() bool { return v == Allowed }

// String returns a word for logs and explanations.
func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "allowed"
	case Denied:
		return "on the deny list"
	case NotListed:
		return "not on the allow list"
	case Unknown:
		return "not known"
	default:
		return "undecided"
	}
}

// Judgment is a verdict with what it rests on.
type Judgment struct {
	Verdict Verdict
	// Dimension is that of the entry that fits, all those that are not known, or all those of an allow list that no entry of
	// fits. Zero: no list was needed.
	Dimension Dimension
	// Place is what was judged: that of the address, or home for a viewer who is judged as if there.
	Place Place
}

// IsTerritorial reports whether the judgment rests on where the address is, rather than on what network it belongs to.
func (j Judgment) IsTerritorial() bool { return j.Dimension&territorial != 0 }

// String explains the judgment to an operator, without the address.
func (j Judgment) String() string {
	switch {
	case j.Verdict == Unknown:
		return fmt.Sprintf("not known: %s", j.Dimension)
	case j.Dimension == 0 || j.Verdict == Undecided:
		return j.Verdict.String()
	case j.Verdict == Allowed:
		return fmt.Sprintf("%s is on the allow list", j.Place.describe(j.Dimension))
	}
	return fmt.Sprintf("%s is %s", j.Place.describe(j.Dimension), j.Verdict)
}

// describe names what is known of the first of the dimensions.
func (p Place) describe(d Dimension) string {
	switch {
	case d&DimensionCountry != 0:
		return p.Country.String()
	case d&DimensionSubdivision != 0:
		if p.Subdivisions[1] != SubdivisionUnknown {
			return p.Subdivisions[0].String() + " or " + p.Subdivisions[1].String()
		}
		return p.Subdivisions[0].String()
	case d&DimensionContinent != 0:
		return continentPrefix + p.Continent.String()
	case d&DimensionASN != 0:
		return p.ASNString()
	case d&DimensionNetwork != 0:
		return "network " + p.Network.String()
	default:
		return "the address"
	}
}

// IsZero reports whether r restricts nothing.
func (r *Rule) IsZero() bool { return r.Needs() == 0 }

// Needs returns what must be known of an address to judge it by r.
func (r *Rule) Needs() Dimension { return r.Allow.Dimensions() | r.Deny.Dimensions() }

// Decide judges a place by r. home is where a verified token says that the viewer is a customer, CountryUnknown without one. It
// allocates nothing.
func (r *Rule) Decide(p Place, home Country) Judgment {
	if home.IsKnown() {
		p = p.atHome(home, r.Portable)
	}
	denied, unknown := r.Deny.find(&p)
	if denied != 0 {
		return Judgment{Verdict: Denied, Dimension: denied, Place: p}
	}
	unknown &^= r.Unknown
	needed := r.Allow.Dimensions()
	if needed == 0 {
		if unknown != 0 {
			return Judgment{Verdict: Unknown, Dimension: unknown, Place: p}
		}
		return Judgment{Verdict: Allowed, Place: p}
	}
	allowed, missing := r.Allow.find(&p)
	switch {
	case allowed == 0 && missing == 0:
		return Judgment{Verdict: NotListed, Dimension: needed, Place: p}
	case allowed == 0 && missing&r.Unknown == 0:
		return Judgment{Verdict: Unknown, Dimension: unknown | missing, Place: p}
	case unknown != 0:
		return Judgment{Verdict: Unknown, Dimension: unknown, Place: p}
	}
	return Judgment{Verdict: Allowed, Dimension: allowed, Place: p}
}

// String writes r in the words of a configuration.
func (r *Rule) String() string {
	var text string
	add := func(word, rest string) {
		if rest != "" {
			if text != "" {
				text += ", "
			}
			text += word + " " + rest
		}
	}
	add("allow", r.Allow.String())
	add("deny", r.Deny.String())
	add("unknown allow", r.Unknown.String())
	add("portability", r.Portable.String())
	return text
}
