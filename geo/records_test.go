package geo

import (
	"bytes"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/geoip2-golang/v2"
)

func asnOf(number uint32) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number": mmdbtype.Uint32(number), "autonomous_system_organization": mmdbtype.String("Documentation"),
	}
}

// names is a map of names in eight languages, as publishers have it: what a look-up must not have to read.
func names(name string) mmdbtype.Map {
	m := mmdbtype.Map{}
	for _, language := range []string{"de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"} {
		m[mmdbtype.String(language)] = mmdbtype.String(name + " in " + language)
	}
	return m
}

func named(key, code, name string, geonameID uint32) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(key): mmdbtype.String(code), "names": names(name), "geoname_id": mmdbtype.Uint32(geonameID)}
}

// cityRecord has all that a city record has.
func cityRecord(continent, country string, parts ...string) mmdbtype.Map {
	record := mmdbtype.Map{
		"city":               mmdbtype.Map{"names": names("A city"), "geoname_id": mmdbtype.Uint32(1)},
		"continent":          named("code", continent, "A continent", 2),
		"country":            named("iso_code", country, "A country", 3),
		"registered_country": named("iso_code", "GB", "Another country", 4),
		"location": mmdbtype.Map{
			"latitude": mmdbtype.Float64(1.5), "longitude": mmdbtype.Float64(2.5), "accuracy_radius": mmdbtype.Uint16(10), "time_zone": mmdbtype.String("UTC"),
		},
		"postal": mmdbtype.Map{"code": mmdbtype.String("10115")},
		"traits": mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64511), "is_anycast": mmdbtype.Bool(true), "isp": mmdbtype.String("An ISP")},
	}
	var subdivisions mmdbtype.Slice
	for i, part := range parts {
		subdivisions = append(subdivisions, named("iso_code", part, "A part", uint32(i)))
	}
	if len(parts) > 0 {
		record["subdivisions"] = subdivisions
	}
	return record
}

func TestRecordForms(t *testing.T) {
	text := func(pairs ...string) mmdbtype.Map {
		m := mmdbtype.Map{}
		for i := 0; i < len(pairs); i += 2 {
			m[mmdbtype.String(pairs[i])] = mmdbtype.String(pairs[i+1])
		}
		return m
	}
	marks := func(keys ...string) mmdbtype.Map {
		m := mmdbtype.Map{}
		for _, key := range keys {
			name, no := strings.CutPrefix(key, "!")
			m[mmdbtype.String(name)] = mmdbtype.Bool(!no)
		}
		return m
	}
	for _, test := range []struct {
		rule, databaseType string
		record             mmdbtype.Map
		want               string
	}{
		{"city", "GeoLite2-City", cityRecord("NA", "US", "CA"), "country US, subdivision US-CA, continent NA, ASN AS64511, network unknown"},
		{"city in two levels", "GeoIP2-City", cityRecord("EU", "GB", "ENG", "WSM", "X"), "country GB, subdivision GB-ENG and GB-WSM, continent EU, ASN AS64511, network unknown"},
		{"enterprise", "GeoIP2-Enterprise", cityRecord("EU", "DE", "BE"), "country DE, subdivision DE-BE, continent EU, ASN AS64511, network unknown"},
		{"a part that is no code", "GeoLite2-City", cityRecord("EU", "DE", "Berlin", "BE"), "country DE, subdivision DE-BE, continent EU, ASN AS64511, network unknown"},
		{"country without continent", "GeoLite2-Country", placed("BR"), "country BR, continent SA, ASN unknown, network unknown"},
		{"lower case", "DBIP-Country-Lite", placed("de"), "country DE, continent EU, ASN unknown, network unknown"},
		{"ASN", "GeoLite2-ASN", asnOf(64496), "country unknown, continent unknown, ASN AS64496, network unknown"},
		{"ASN of DB-IP", "DBIP-ASN-Lite (compat=GeoLite2-ASN)", asnOf(64496), "country unknown, continent unknown, ASN AS64496, network unknown"},
		{"ISP", "GeoIP2-ISP", asnOf(4294967295), "country unknown, continent unknown, ASN AS4294967295, network unknown"},
		{"VPN", "GeoIP2-Anonymous-IP", marks("is_anonymous", "is_anonymous_vpn"), "country unknown, continent unknown, ASN unknown, network anonymous+vpn"},
		{"what a mark implies", "GeoIP2-Anonymous-IP", marks("is_tor_exit_node"), "country unknown, continent unknown, ASN unknown, network anonymous+tor"},
		{"both proxies", "GeoIP-Anonymous-Plus", marks("is_public_proxy", "is_residential_proxy"), "country unknown, continent unknown, ASN unknown, network anonymous+public_proxy+residential_proxy"},
		{"hosting alone", "GeoIP2-Anonymous-IP", marks("is_hosting_provider"), "country unknown, continent unknown, ASN unknown, network hosting"},
		{"marks that are not set", "GeoIP2-Anonymous-IP", marks("!is_anonymous", "!is_anonymous_vpn"), "country unknown, continent unknown, ASN unknown, network none"},
		{"IPinfo Lite", "ipinfo lite", text("country_code", "DE", "country", "Germany", "continent_code", "EU", "continent", "Europe", "asn", "AS64496", "as_name", "X"), "country DE, continent EU, ASN AS64496, network unknown"},
		{"IPinfo, the older form", "ipinfo country_asn", text("country", "DE", "country_name", "Germany", "continent", "EU", "continent_name", "Europe", "asn", "AS64496"), "country DE, continent EU, ASN AS64496, network unknown"},
		{"a name of two letters is not a code", "ipinfo lite", text("country_code", "DE", "country", "AT"), "country DE, continent EU, ASN unknown, network unknown"},
		{"flat", "geo-whois-asn-country", text("country_code", "RE"), "country RE, continent AF, ASN unknown, network unknown"},
		{"an ASN that is none", "ipinfo lite", text("country_code", "DE", "asn", "ASx"), "country DE, continent EU, ASN unknown, network unknown"},
		{"an ASN that is too large", "ipinfo lite", mmdbtype.Map{"country_code": mmdbtype.String("DE"), "asn": mmdbtype.Uint64(1 << 32)}, "country DE, continent EU, ASN unknown, network unknown"},
		{"a continent alone", "ipinfo lite", mmdbtype.Map{"continent": mmdbtype.Map{"code": mmdbtype.String("AS")}, "asn": mmdbtype.Uint32(7)}, "country unknown, continent AS, ASN AS7, network unknown"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			d, err := ParseDatabase(testDatabase(t, test.databaseType, 6, map[string]mmdbtype.DataType{"192.0.2.0/24": test.record}))
			if err != nil {
				t.Fatal(err)
			}
			place, err := d.Lookup(testAddr)
			if err != nil || place.String() != test.want {
				t.Errorf("got  %s, %v\nwant %s", place, err, test.want)
			}
		})
	}
}

// Our reading of MaxMind's records is that of the library that is made for them.
func TestRecordsAsTheLibraryReadsThem(t *testing.T) {
	records := map[string]mmdbtype.DataType{
		"192.0.2.0/25": cityRecord("EU", "DE", "BE"), "192.0.2.128/25": cityRecord("EU", "GB", "ENG", "WSM"), "198.51.100.0/24": placed("US"),
	}
	b := testDatabase(t, "GeoIP2-Enterprise", 6, records)
	d, err := ParseDatabase(b)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := geoip2.OpenBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"192.0.2.1", "192.0.2.200", "198.51.100.1", "203.0.113.1"} {
		addr := netip.MustParseAddr(text)
		want, err := reader.Enterprise(addr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Lookup(addr)
		if err != nil {
			t.Fatal(err)
		}
		if code := want.Country.ISOCode; got.Country.String() != code && (code != "" || got.Country.IsKnown()) {
			t.Errorf("%s: country %s, want %q", text, got.Country, code)
		}
		if got.ASN != uint32(want.Traits.AutonomousSystemNumber) {
			t.Errorf("%s: ASN %d, want %d", text, got.ASN, want.Traits.AutonomousSystemNumber)
		}
		for i, s := range want.Subdivisions {
			if string(got.Subdivisions[i]) != want.Country.ISOCode+"-"+s.ISOCode {
				t.Errorf("%s: subdivision %s, want %s", text, got.Subdivisions[i], s.ISOCode)
			}
		}
	}
}

// example opens files of testdata.
func example(t testing.TB, kinds ...string) Databases {
	t.Helper()
	var databases Databases
	for _, kind := range kinds {
		f, err := OpenFile(filepath.Join(exampleDir, "example-"+kind+".mmdb"), FileConfig{})
		if err != nil {
			t.Fatal(err)
		}
		databases = append(databases, f)
	}
	return databases
}

var exampleKinds = []string{"country", "city", "asn", "anonymous", "ipinfo", "flat"}

func TestExampleDatabases(t *testing.T) {
	for _, test := range []struct{ kinds, addr, want string }{
		{"country", "192.0.2.7", "country DE, continent EU, ASN unknown, network unknown"},
		{"country", "2001:db8::7", "country FR, continent EU, ASN unknown, network unknown"},
		{"country", "192.0.3.1", "country unknown, continent unknown, ASN unknown, network unknown"},
		{"country asn anonymous", "192.0.2.7", "country DE, continent EU, ASN AS64496, network none"},
		{"country asn anonymous", "192.0.2.70", "country DE, continent EU, ASN AS64496, network anonymous+vpn+hosting"},
		{"country asn anonymous", "192.0.3.1", "country unknown, continent unknown, ASN unknown, network none"},
		{"city", "198.51.100.7", "country US, subdivision US-CA, continent NA, ASN unknown, network unknown"},
		{"country city", "198.51.100.7", "country US, subdivision US-CA, continent NA, ASN unknown, network unknown"},
		{"country city", "2001:db8:8000::1", "country FR, continent EU, ASN unknown, network unknown"}, // the first counts, and RE is no part of FR
		{"city country", "2001:db8:8000::1", "country RE, continent AF, ASN unknown, network unknown"},
		{"city", "2001:db8::1", "country FR, subdivision FR-IDF and FR-75, continent EU, ASN unknown, network unknown"},
		{"ipinfo", "198.51.100.7", "country US, continent NA, ASN AS64497, network unknown"},
		{"flat ipinfo", "203.0.113.7", "country AT, continent EU, ASN unknown, network unknown"},
		{"flat asn", "203.0.113.7", "country unknown, continent unknown, ASN AS64498, network unknown"},
	} {
		place, err := example(t, strings.Fields(test.kinds)...).Lookup(netip.MustParseAddr(test.addr))
		if err != nil || place.String() != test.want {
			t.Errorf("%s of %s: got  %s, %v\nwant %s", test.addr, test.kinds, place, err, test.want)
		}
	}
	if got := example(t, "asn", "anonymous").Provides(); got != DimensionASN|DimensionNetwork|DimensionAddress {
		t.Errorf("ASNs and networks provide %s", got)
	}
	info := example(t, "city")[0].Info()
	if info.Type != "GeoLite2-City" || !info.BuildTime.Equal(time.Unix(1767225600, 0)) || info.Bytes == 0 || info.Records != 7 ||
		info.Provides != territorial {
		t.Errorf("info is %+v", info)
	}
}

func TestExampleDatabasesAreMadeByTheirGenerator(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the generator")
	}
	anew := t.TempDir()
	if out, err := exec.Command("go", "run", "../testdata/geo/gen", anew).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, kind := range exampleKinds {
		name := "example-" + kind + ".mmdb"
		if !bytes.Equal(readFile(t, filepath.Join(anew, name)), readFile(t, filepath.Join(exampleDir, name))) {
			t.Errorf("the committed %s is not what its generator writes", name)
		}
	}
}

func TestDatabasesThatFail(t *testing.T) {
	files := example(t, "country", "asn")
	files[0].current.Load().records = nil // as if the tree led to what was not there
	place, err := files.Lookup(testAddr)
	if err == nil || place.Country.IsKnown() || place.ASN != 64496 {
		t.Errorf("got %s, %v; want the ASN and an error", place, err)
	}
}

// A tree whose branches meet again has a hundred nodes and 2¹⁰⁰ ways through them. They are not walked.
func TestTreeWithMoreWaysThanNodes(t *testing.T) {
	b := testDatabase(t, "GeoLite2-Country", 6, map[string]mmdbtype.DataType{"8000::/1": placed("DE")})
	d, err := ParseDatabase(b)
	if err != nil {
		t.Fatal(err)
	}
	nodes := int(d.reader.Metadata.NodeCount)
	leaf := slices.Clone(b[3:6]) // of the first node, right
	const chain = 100
	var tree []byte
	for i := range chain {
		next := []byte{0, 0, byte(i + 1)}
		if i == chain-1 {
			pointer := int(leaf[0])<<16 | int(leaf[1])<<8 | int(leaf[2])
			pointer += chain - nodes
			next = []byte{byte(pointer >> 16), byte(pointer >> 8), byte(pointer)}
		}
		tree = append(append(tree, next...), next...)
	}
	b = append(tree, b[6*nodes:]...)
	at := bytes.LastIndex(b, []byte("node_count")) + len("node_count")
	if b[at]>>5 != 6 || b[at]&0x1f == 0 {
		t.Fatalf("node_count is not where it was: %x", b[at:at+4])
	}
	size := int(b[at] & 0x1f)
	copy(b[at+1:], append(make([]byte, size-1), chain))
	if d, err = ParseDatabase(b); err != nil { // which returns at all
		t.Fatal(err)
	}
	for _, addr := range []string{"2001:db8::1", "192.0.2.1"} {
		if place, err := d.Lookup(netip.MustParseAddr(addr)); err != nil || place.Country.String() != "DE" {
			t.Errorf("%s: got %s, %v", addr, place, err)
		}
	}
}

// Records of all sizes lead to what the library finds.
func TestRecordSizes(t *testing.T) {
	for _, size := range []int{24, 28, 32} {
		tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-Country", RecordSize: size, IncludeReservedNetworks: true,
			Description: map[string]string{"en": "test"}, BuildEpoch: 1767225600})
		if err != nil {
			t.Fatal(err)
		}
		for prefix, code := range map[string]string{"192.0.2.0/24": "DE", "198.51.100.0/24": "US", "2001:db8::/32": "FR"} {
			_, network, err := net.ParseCIDR(prefix)
			if err != nil {
				t.Fatal(err)
			}
			if err := tree.Insert(network, placed(code)); err != nil {
				t.Fatal(err)
			}
		}
		var b bytes.Buffer
		if _, err := tree.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		d, err := ParseDatabase(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for addr, want := range map[string]string{"192.0.2.1": "DE", "198.51.100.1": "US", "2001:db8::1": "FR"} {
			if place, err := d.Lookup(netip.MustParseAddr(addr)); err != nil || place.Country.String() != want {
				t.Errorf("%d bits, %s: got %s, %v; want %s", size, addr, place, err, want)
			}
		}
		if d.Info().Records != 3 {
			t.Errorf("%d bits: %d records, want 3", size, d.Info().Records)
		}
	}
	if _, _, err := nodeRecords(make([]byte, 5), 20); err == nil {
		t.Error("records of 20 bits were read")
	}
	if err := recordOffsets(make([]byte, 10), 2, 24, nil); err == nil {
		t.Error("nodes behind the end were read")
	}
}

func FuzzParseDatabase(f *testing.F) {
	good := testDatabase(f, "GeoLite2-Country", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": placed("DE")})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(strings.Repeat("\xab\xcd\xefMaxMind.com", 3)))
	f.Add(testDatabase(f, "GeoIP2-City", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": cityRecord("EU", "GB", "ENG", "WSM")}))
	for _, kind := range exampleKinds {
		f.Add(readFile(f, filepath.Join(exampleDir, "example-"+kind+".mmdb")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDatabase(b)
		if (err == nil) != (d != nil) {
			t.Fatal("a database came with an error, or neither")
		}
		if d == nil {
			return
		}
		if d.Info().Provides == 0 {
			t.Fatal("a database that tells nothing was accepted")
		}
		for _, addr := range []string{"192.0.2.1", "198.51.100.70", "2001:db8::1", "::1"} {
			place, err := d.Lookup(netip.MustParseAddr(addr))
			if err != nil && (place.Country.IsKnown() || place.ASN != 0 || place.Network != 0) {
				t.Fatal("an error came with a place")
			}
			for _, s := range place.Subdivisions {
				if again, err := ParseSubdivision(string(s)); s != "" && (err != nil || again != s || s.Country() != place.Country) {
					t.Fatalf("subdivision %q of %s", s, place.Country)
				}
			}
			if place.Country.IsKnown() && !place.Continent.IsKnown() {
				t.Fatalf("%s is on no continent", place.Country)
			}
		}
	})
}
