package geo

// Rule says which countries are admitted. The zero Rule admits everybody, unknown addresses included.
type Rule struct {
	// Allow, unless it is empty, lists the only countries that are admitted.
	Allow Set
	// Deny lists countries that are not, even if Allow has them.
	Deny Set
	// Unknown admits addresses whose country is not known. By default a rule that restricts anything denies them: an address
	// that the database has never heard of would otherwise be the way around the rule.
	Unknown bool
}

// Verdict is the outcome of a Rule.
type Verdict uint8

// The verdicts. Only Allowed admits; the zero Verdict does not.
const (
	Undecided Verdict = iota
	Allowed
	Denied    // the country is on the deny list
	NotListed // there is an allow list, and the country is not on it
	Unknown   // the country is not known
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
		return "country not known"
	default:
		return "undecided"
	}
}

// IsZero reports whether r restricts nothing.
func (r Rule) IsZero() bool { return r.Allow.IsEmpty() && r.Deny.IsEmpty() }

// Decide judges a country by r.
func (r Rule) Decide(c Country) Verdict {
	switch {
	case r.IsZero():
		return Allowed
	case !c.IsKnown():
		if r.Unknown {
			return Allowed
		}
		return Unknown
	case r.Deny.Contains(c):
		return Denied
	case !r.Allow.IsEmpty() && !r.Allow.Contains(c):
		return NotListed
	}
	return Allowed
}
