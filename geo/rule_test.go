package geo

import (
	"errors"
	"strings"
	"testing"
)

func list(t testing.TB, words string, sets ...map[string]List) List {
	t.Helper()
	var named map[string]List
	if len(sets) > 0 {
		named = sets[0]
	}
	l, err := ParseList(strings.Fields(words), named)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testPlace reads country or subdivisions, AS number, network words and address, in any order.
func testPlace(t testing.TB, words string) (p Place) {
	t.Helper()
	for _, word := range strings.Fields(words) {
		if word == "none" {
			p.Network = NetworkKnown
			continue
		}
		l := list(t, word)
		for _, s := range l.Subdivisions {
			if p.Subdivisions[0] == "" {
				p.Subdivisions[0] = s
			} else {
				p.Subdivisions[1] = s
			}
			p.Country = s.Country()
		}
		for _, c := range l.Countries.Countries() {
			p.Country = c
		}
		for _, c := range l.Continents {
			p.Continent = c
		}
		for _, asn := range l.ASNs {
			p.ASN = asn
		}
		for _, prefix := range l.Prefixes {
			p.Addr = prefix.Addr()
		}
		p.Network |= l.Networks.normalized()
	}
	if p.Country.IsKnown() {
		p.Continent = ContinentOf(p.Country)
	}
	return p
}

func TestRule(t *testing.T) {
	for _, test := range []struct {
		name        string
		allow, deny string
		unknown     Dimension
		place       string
		want        Verdict
	}{
		{"no rule", "", "", 0, "US", Allowed},
		{"no rule, unknown country", "", "", 0, "", Allowed},
		{"on the allow list", "eu", "", 0, "AT", Allowed},
		{"not on the allow list", "eu", "", 0, "CH", NotListed},
		{"on the deny list", "", "US", 0, "US", Denied},
		{"not on the deny list", "", "US", 0, "CA", Allowed},
		{"deny beats allow", "eu", "DE", 0, "DE", Denied},
		{"a territory is not its parent", "FR", "", 0, "RE", NotListed},
		{"a territory is not denied with its parent", "", "FR", 0, "RE", Allowed},
		{"a territory by the word", "FR+territories", "", 0, "RE", Allowed},
		{"the parent by the word", "FR+territories", "", 0, "FR", Allowed},
		{"a territory denied by the word", "", "FR+territories", 0, "RE", Denied},
		{"a set with its territories", "eu+territories", "", 0, "GL", Allowed},
		{"unknown under an allow list", "eu", "", 0, "", Unknown},
		{"unknown under a deny list", "", "US", 0, "", Unknown},
		{"unknown by leave", "eu", "", AllDimensions, "", Allowed},
		{"unknown by leave, under a deny list", "", "US", AllDimensions, "", Allowed},
		{"leave for another dimension", "eu", "", DimensionASN, "", Unknown},
		{"leave does not admit what is known", "eu", "", AllDimensions, "US", NotListed},
		{"leave does not rescue what is denied", "eu", "tor", AllDimensions, "tor", Denied},

		{"a subdivision", "US-CA", "", 0, "US-CA", Allowed},
		{"another subdivision", "US-CA", "", 0, "US-NY", NotListed},
		{"the smaller of two", "GB-WSM", "", 0, "GB-ENG GB-WSM", Allowed},
		{"a country without its part", "US-CA", "", 0, "US", Unknown},
		{"another country", "US-CA", "", 0, "DE", NotListed},
		{"no country", "", "US-CA", 0, "", Unknown},
		{"a denied part of an allowed country", "US", "US-CA", 0, "US-CA", Denied},
		{"the rest of an allowed country", "US", "US-CA", 0, "US-NY", Allowed},
		{"an allowed country, its part not known", "US", "US-CA", 0, "US", Unknown},
		{"an allowed country, its part not known, by leave", "US", "US-CA", DimensionSubdivision, "US", Allowed},

		{"a continent", "continent:EU", "", 0, "CH", Allowed},
		{"the Union is not the continent", "eu", "", 0, "CH", NotListed},
		{"a continent alone is known", "continent:AS", "", 0, "continent:AS", Allowed},
		{"another continent", "", "continent:NA", 0, "BR", Allowed},
		{"no continent", "", "continent:NA", 0, "", Unknown},

		{"an ASN", "AS64496", "", 0, "AS64496", Allowed},
		{"another ASN", "AS64496", "", 0, "AS64497", NotListed},
		{"no ASN", "", "AS64496", 0, "DE", Unknown},
		{"country or ASN: the ASN", "DE AS64496", "", 0, "AS64496", Allowed},
		{"country or ASN: the country", "DE AS64496", "", 0, "DE", Allowed},
		{"country or ASN: another country, no ASN", "DE AS64496", "", 0, "FR", Unknown},
		{"country or ASN: leave for the country only", "DE AS64496", "", DimensionCountry, "FR", Unknown},

		{"a VPN", "eu", "vpn", 0, "DE vpn", Denied},
		{"a VPN by the wider word", "eu", "anonymous", 0, "DE vpn", Denied},
		{"hosting is not anonymous by itself", "eu", "anonymous", 0, "DE hosting", Allowed},
		{"a proxy of homes", "eu", "proxy", 0, "DE residential_proxy", Denied},
		{"a public proxy", "eu", "proxy", 0, "DE public_proxy", Denied},
		{"one kind of proxy", "eu", "public_proxy", 0, "DE residential_proxy", Allowed},
		{"Tor", "eu", "tor", 0, "DE tor", Denied},
		{"an ordinary network", "eu", "anonymous hosting", 0, "DE none", Allowed},
		{"a network that is not known", "eu", "anonymous", 0, "DE", Unknown},
		{"a network that is not known, by leave", "eu", "anonymous", DimensionNetwork, "DE", Allowed},
		{"a denied network is denied wherever it is", "eu", "vpn", 0, "vpn", Denied},

		{"a prefix", "192.0.2.0/24", "", 0, "192.0.2.7", Allowed},
		{"outside of the prefix", "192.0.2.0/24", "", 0, "198.51.100.7", NotListed},
		{"an address", "", "2001:db8::7", 0, "2001:db8::7", Denied},
		{"country or prefix", "US 192.0.2.0/24", "", 0, "DE 192.0.2.7", Allowed},
		{"no address", "", "192.0.2.0/24", 0, "DE", Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			rule := Rule{Allow: list(t, test.allow), Deny: list(t, test.deny), Unknown: test.unknown}
			place := testPlace(t, test.place)
			got := rule.Decide(place, CountryUnknown)
			if got.Verdict != test.want || got.Verdict.Admits() != (test.want == Allowed) {
				t.Errorf("%s (%s), want %s", got.Verdict, got, test.want)
			}
			if got.String() == "" || place.Addr.IsValid() && strings.Contains(got.String(), place.Addr.String()) {
				t.Errorf("explained as %q", got)
			}
		})
	}
	if Undecided.Admits() || Verdict(200).Admits() {
		t.Error("a verdict that was never given admits")
	}
}

func TestJudgmentSaysWhatItRestsOn(t *testing.T) {
	rule := Rule{Allow: list(t, "eu"), Deny: list(t, "DE-BE vpn AS64496 192.0.2.0/24")}
	for place, want := range map[string]string{
		"DE-BE": "DE-BE is on the deny list", "DE-BY vpn": "network anonymous+vpn is on the deny list", "DE-BY AS64496": "AS64496 is on the deny list",
		"CH none AS1 192.0.3.1":     "CH is not on the allow list",
		"AT 192.0.2.1":              "the address is on the deny list",
		"AT":                        "not known: asn, network, address",
		"AT none AS64497 192.0.3.1": "AT is on the allow list",
	} {
		j := rule.Decide(testPlace(t, place), CountryUnknown)
		if j.String() != want {
			t.Errorf("%s: %q, want %q", place, j, want)
		}
		if j.IsTerritorial() != (strings.HasPrefix(place, "DE-BE") || strings.Contains(want, "allow list")) {
			t.Errorf("%s: territorial %t", place, j.IsTerritorial())
		}
	}
}

func TestPortability(t *testing.T) {
	for _, test := range []struct {
		name              string
		portable          Set
		allow, deny       string
		place, home, want string
	}{
		{"off", Set{}, "AT", "", "DE", "AT", "not on the allow list"},
		{"a resident of one member state in another", EU, "AT", "", "DE", "AT", "allowed"},
		{"without a token", EU, "AT", "", "DE", "", "not on the allow list"},
		{"home is what is denied", EU, "eu", "AT", "DE", "AT", "on the deny list"},
		{"a resident of a third country", EU, "US", "", "DE", "US", "not on the allow list"},
		{"a resident who is in a third country", EU, "AT", "", "US", "AT", "not on the allow list"},
		{"home in the EEA, and the Union only", EU, "NO", "", "DE", "NO", "not on the allow list"},
		{"home in the EEA", EEA, "NO", "", "DE", "NO", "allowed"},
		{"a resident who is nowhere", EU, "AT", "", "", "AT", "not known"},
		{"at home", EU, "AT", "", "AT", "AT", "allowed"},
		{"which part of home is not known", EU, "ES-CN", "", "FR", "ES", "not known"},
		{"the part abroad does not count", EU, "ES", "FR-75", "FR-75", "ES", "allowed"},
		{"the network is not left at home", EU, "AT", "vpn", "DE vpn", "AT", "on the deny list"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rule := Rule{Allow: list(t, test.allow), Deny: list(t, test.deny), Portable: test.portable}
			home := CountryUnknown
			if test.home != "" {
				home = countryOf(test.home)
			}
			if j := rule.Decide(testPlace(t, test.place), home); j.Verdict.String() != test.want {
				t.Errorf("%s, want %s", j, test.want)
			}
		})
	}
}

func TestParseList(t *testing.T) {
	sets := map[string]List{"dach": list(t, "DE AT CH"), "ours": list(t, "AS64496 192.0.2.0/24")}
	for words, want := range map[string]string{
		"de At uk":                          "AT DE GB",
		"DACH li":                           "AT CH DE LI",
		"ours":                              "AS64496 192.0.2.0/24",
		"us-ca GB-eng":                      "US-CA GB-ENG",
		"Continent:eu continent:AS":         "continent:EU continent:AS",
		"as64496 AS4294967295":              "AS64496 AS4294967295",
		"VPN tor":                           "vpn tor",
		"proxy":                             "public_proxy residential_proxy",
		"192.0.2.7 ::ffff:192.0.2.8":        "192.0.2.7/32 192.0.2.8/32",
		"2001:DB8::/32":                     "2001:db8::/32",
		"dk+territories":                    "DK FO GL",
		"AS":                                "AS", // American Samoa, and neither Asia nor a number
		"":                                  "",
		"US anonymous AS1 DE-BE 10.0.0.0/8": "US DE-BE AS1 anonymous 10.0.0.0/8",
	} {
		l := list(t, words, sets)
		if l.String() != want {
			t.Errorf("%q is %q, want %q", words, l, want)
		}
		if again := list(t, l.String()); again.String() != want {
			t.Errorf("%q reads as %q again", l, again)
		}
		if l.IsEmpty() != (words == "") {
			t.Errorf("%q is empty: %t", words, l.IsEmpty())
		}
	}
	for _, word := range []string{
		"Germany", "ZZ", "EU-27", "DE+territories", "eu+", "continent:Europe", "continent:", "AS0", "AS4294967296", "US-", "US-CALI", "US-Ä", "XX-CA",
		"192.0.2.1/24", "192.0.2.0/33", "::ffff:192.0.2.0/120", "fe80::1%eth0", "300.1.1.1", "dach", "vpns", "", "*", "!DE", "+territories", "::/129",
	} {
		if l, err := ParseList([]string{word}, nil); err == nil || !l.IsEmpty() {
			t.Errorf("%q was read as %q", word, l)
		}
	}
	if _, err := ParseList([]string{"Germany"}, nil); !errors.Is(err, ErrWord) {
		t.Errorf("error %v, want ErrWord", err)
	}
}

func TestCheckSetName(t *testing.T) {
	for _, name := range []string{"dach", "region_1", "abc"} {
		if err := CheckSetName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "de", "eu", "eea", "vpn", "proxy", "as1", "as64496", "DACH", "1ab", "a-b", "a+b", "continent:eu", strings.Repeat("a", 33)} {
		if CheckSetName(name) == nil {
			t.Errorf("%q can be the name of a set", name)
		}
	}
}

func TestTables(t *testing.T) {
	n := 0
	for continent := Africa; continent <= SouthAmerica; continent++ {
		n += countriesOf[continent].Len()
		if again, err := ParseContinent(strings.ToLower(continent.String())); err != nil || again != continent {
			t.Errorf("%s parses as %s, %v", continent, again, err)
		}
	}
	for _, c := range assignedSet.Countries() {
		if !ContinentOf(c).IsKnown() {
			t.Errorf("%s is on no continent", c)
		}
	}
	if n != assignedSet.Len() {
		t.Errorf("%d countries on all continents, want %d: one is on two", n, assignedSet.Len())
	}
	if ContinentOf(CountryUnknown).IsKnown() || Continent(8).IsKnown() || Continent(8).String() != "unknown" {
		t.Error("what is no continent is one")
	}
	var all Set
	sum := 0
	for parent, set := range territories {
		if !parent.IsKnown() || set.Contains(parent) || set.Union(assignedSet) != assignedSet || Territories(parent) != set {
			t.Errorf("%s has the territories %s", parent, set)
		}
		all, sum = all.Union(set), sum+set.Len()
	}
	if all.Len() != sum {
		t.Error("a territory has two parents")
	}
	for _, code := range []string{"TW", "PS", "EH", "XK"} {
		if all.Contains(countryOf(code)) {
			t.Errorf("%s belongs to another code", code)
		}
	}
}

func TestPlaceMerge(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{"DE", "US-CA", "country DE, continent EU, ASN unknown, network unknown"},
		{"DE", "DE-BE AS1", "country DE, subdivision DE-BE, continent EU, ASN AS1, network unknown"},
		{"DE-BE AS1", "DE-BY AS2", "country DE, subdivision DE-BE, continent EU, ASN AS1, network unknown"},
		{"", "US-CA none", "country US, subdivision US-CA, continent NA, ASN unknown, network none"},
		{"continent:AS", "US", "country US, continent NA, ASN unknown, network unknown"},
		{"US none", "continent:AS vpn", "country US, continent NA, ASN unknown, network anonymous+vpn"},
	} {
		if got := testPlace(t, test.a).Merge(testPlace(t, test.b)); got.String() != test.want {
			t.Errorf("%q and %q: %s, want %s", test.a, test.b, got, test.want)
		}
	}
	if p := (Place{}).Merge(Place{Addr: testAddr}); p.Addr != testAddr {
		t.Error("the address is lost")
	}
}

func TestDimensions(t *testing.T) {
	for _, word := range dimensionWords {
		if d, ok := ParseDimension(word); !ok || d.String() != word || d&AllDimensions == 0 {
			t.Errorf("%s is %s, %t", word, d, ok)
		}
	}
	if _, ok := ParseDimension("planet"); ok {
		t.Error("planet is a dimension")
	}
	rule := Rule{Allow: list(t, "DE"), Deny: list(t, "vpn US-CA"), Unknown: DimensionNetwork, Portable: SetOf(countryOf("AT"))}
	if got := rule.String(); got != "allow DE, deny US-CA vpn, unknown allow network, portability AT" {
		t.Errorf("the rule is %q", got)
	}
	if got := rule.Needs(); got != DimensionCountry|DimensionSubdivision|DimensionNetwork {
		t.Errorf("the rule needs %s", got)
	}
}

func FuzzParseList(f *testing.F) {
	for _, word := range []string{"DE", "US-CA", "continent:EU", "FR+territories", "AS64496", "proxy", "192.0.2.0/24", "::ffff:1.2.3.4", "eu", "-", ":", "as"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		l, err := ParseList([]string{word}, nil)
		if (err == nil) == l.IsEmpty() {
			t.Fatalf("%q: %q, %v", word, l, err)
		}
		if err != nil {
			return
		}
		again, err := ParseList(strings.Fields(l.String()), nil)
		if err != nil || again.String() != l.String() {
			t.Fatalf("%q is %q, and that is %q, %v", word, l, again, err)
		}
		rule := Rule{Allow: l}
		if rule.Decide(Place{}, CountryUnknown).Verdict.Admits() {
			t.Fatalf("%q admits who is not known", word)
		}
	})
}

func BenchmarkRule(b *testing.B) {
	sets := map[string]List{"dach": list(b, "DE AT CH")}
	rule := Rule{Allow: list(b, "eu dach US-CA continent:OC", sets), Deny: list(b, "HU anonymous AS64496 AS64497 198.51.100.0/24"), Portable: EU}
	place := testPlace(b, "DE-BE AS64500 none 192.0.2.1")
	home := countryOf("AT")
	b.ReportAllocs()
	for b.Loop() {
		if !rule.Decide(place, home).Verdict.Admits() {
			b.Fatal("refused")
		}
	}
}
