package geo

import (
	"errors"
	"strings"
	"testing"
)

func TestParseCountry(t *testing.T) {
	for _, test := range []struct{ rule, text, want string }{
		{"upper case", "DE", "DE"},
		{"lower case", "de", "DE"},
		{"the usual UK", "uk", "GB"},
		{"the Commission's EL", "EL", "GR"},
		{"Kosovo", "XK", "XK"},
		{"a dependent territory", "gp", "GP"},
		{"user-assigned AA", "AA", ""},
		{"user-assigned QM", "QM", ""},
		{"user-assigned XA", "XA", ""},
		{"user-assigned ZZ", "ZZ", ""},
		{"reserved EU", "EU", ""},
		{"formerly used AN", "AN", ""},
		{"never assigned", "DU", ""},
		{"alpha-3", "DEU", ""},
		{"one letter", "D", ""},
		{"nothing", "", ""},
		{"a space", "D ", ""},
		{"a digit", "D1", ""},
		{"beyond ASCII", "Ä", ""},
		{"letters that fold to ASCII", "ſK", ""},
		{"two bytes that fold to one", "ſ", ""},
		{"the word of CountryUnknown", "unknown", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c, err := ParseCountry(test.text)
			if test.want == "" {
				if !errors.Is(err, ErrCountry) || c != CountryUnknown {
					t.Errorf("got %s, %v; want ErrCountry", c, err)
				}
				return
			}
			if err != nil || c.String() != test.want || !c.IsKnown() {
				t.Errorf("got %s, %v; want %s", c, err, test.want)
			}
		})
	}
}

func TestAssignedCodes(t *testing.T) {
	codes := strings.Fields(assigned)
	if len(codes) != 249+1 || assignedSet.Len() != len(codes) { // ISO 3166-1 has 249; XK is ours
		t.Errorf("%d codes, %d of them distinct, want 250", len(codes), assignedSet.Len())
	}
	if assignedSet.String() != assigned {
		t.Error("the codes are not in alphabetical order, or the set loses some")
	}
	if Country(0x4445).String() != "DE" || CountryUnknown.String() != "unknown" || Country(0x5A5A).IsKnown() || Country(0xFFFF).IsKnown() {
		t.Error("a value that is no country is known, or one that is has another name")
	}
}

func TestParseSet(t *testing.T) {
	if EU.Len() != 27 || EEA.Len() != 30 {
		t.Errorf("EU has %d members and EEA %d, want 27 and 30", EU.Len(), EEA.Len())
	}
	s, err := ParseSet("EEA", "ch", "uk")
	if err != nil || s.Len() != 32 {
		t.Errorf("got %s, %v; want 30 + CH + GB", s, err)
	}
	fr, err := ParseSet("FR")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"GP", "MQ", "GF", "RE", "YT", "NC", "PF"} {
		c, err := ParseCountry(code)
		if err != nil || fr.Contains(c) {
			t.Errorf("FR covers %s, which has its own code", code)
		}
	}
	if EU.Contains(CountryUnknown) || (Set{}).Contains(CountryUnknown) || !(Set{}).IsEmpty() || fr.IsEmpty() {
		t.Error("an unknown country is in a set, or an empty set is not empty")
	}
	if s, err := ParseSet("DE", "Germany"); !errors.Is(err, ErrCountry) || !s.IsEmpty() {
		t.Errorf("got %s, %v; want ErrCountry", s, err)
	}
	if got := SetOf(CountryUnknown, countryOf("ZW"), countryOf("AD"), Country(0xFFFF)).String(); got != "AD ZW" {
		t.Errorf("got %q, want AD ZW", got)
	}
}

func FuzzParseCountry(f *testing.F) {
	for _, s := range []string{"DE", "uk", "EL", "XK", "ZZ", "", "\xff\xff", "unknown", "ſK", "ı"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCountry(s)
		if (err == nil) != c.IsKnown() || err != nil && c != CountryUnknown {
			t.Fatalf("%q: %s, %v", s, c, err)
		}
		if err != nil {
			return
		}
		if again, err := ParseCountry(c.String()); err != nil || again != c {
			t.Fatalf("%q: %s does not parse as itself", s, c)
		}
	})
}
