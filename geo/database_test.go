package geo

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

const exampleDir = "../testdata/geo"

// testDatabase returns the bytes of a database with one record per network.
func testDatabase(t testing.TB, databaseType string, ipVersion int, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: databaseType, Description: map[string]string{"en": "test"}, IPVersion: ipVersion, RecordSize: 24,
		IncludeReservedNetworks: true, BuildEpoch: 1767225600,
	})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, record := range records {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(network, record); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func isoCode(code string) mmdbtype.Map { return mmdbtype.Map{"iso_code": mmdbtype.String(code)} }

func one(key string, value mmdbtype.DataType) map[string]mmdbtype.DataType {
	return map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.Map{mmdbtype.String(key): value}}
}

func placed(code string) mmdbtype.Map { return mmdbtype.Map{"country": isoCode(code)} }

func testRecords() map[string]mmdbtype.DataType {
	return map[string]mmdbtype.DataType{
		"192.0.2.0/24":    placed("DE"),
		"198.51.100.0/25": mmdbtype.Map{"registered_country": isoCode("US")},
		"198.51.100.128/25": mmdbtype.Map{
			"country": isoCode("DE"), "registered_country": isoCode("GB"),
			"represented_country": mmdbtype.Map{"iso_code": mmdbtype.String("US"), "type": mmdbtype.String("military")},
		},
		"203.0.113.0/24": placed("ZZ"),
		"2001:db8::/32":  placed("FR"),
		"fe80::/10":      placed("AT"),
	}
}

func TestDatabaseLookup(t *testing.T) {
	for _, databaseType := range []string{"GeoLite2-Country", "GeoIP2-City", "DBIP-Country-Lite", "GeoIP2-Enterprise"} {
		d, err := ParseDatabase(testDatabase(t, databaseType, 6, testRecords()))
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ rule, addr, want string }{
			{"IPv4", "192.0.2.1", "DE"},
			{"IPv4 inside IPv6", "::ffff:192.0.2.1", "DE"},
			{"IPv4 inside IPv6 with a zone", "::ffff:192.0.2.1%eth0", "DE"},
			{"IPv6", "2001:db8::1", "FR"},
			{"IPv6 with a zone", "fe80::1%eth0", "AT"},
			{"only registered somewhere", "198.51.100.1", "unknown"},
			{"country, not whom it represents", "198.51.100.200", "DE"},
			{"a code that is not assigned", "203.0.113.1", "unknown"},
			{"private", "10.0.0.1", "unknown"},
			{"private IPv6", "fd00::1", "unknown"},
			{"unspecified", "0.0.0.0", "unknown"},
			{"not in the database", "8.8.8.8", "unknown"},
			{"invalid", "", "unknown"},
		} {
			t.Run(databaseType+" "+test.rule, func(t *testing.T) {
				var addr netip.Addr
				if test.addr != "" {
					addr = netip.MustParseAddr(test.addr)
				}
				place, err := d.Lookup(addr)
				if err != nil || place.Country.String() != test.want {
					t.Errorf("got %s, %v; want %s", place, err, test.want)
				}
				if place.Addr != addr.Unmap().WithZone("") {
					t.Errorf("the place is of %s", place.Addr)
				}
			})
		}
	}
}

func TestDatabaseOfIPv4Only(t *testing.T) {
	d, err := ParseDatabase(testDatabase(t, "GeoLite2-Country", 4, map[string]mmdbtype.DataType{"192.0.2.0/24": placed("DE")}))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := d.Lookup(netip.MustParseAddr("2001:db8::1")); err != nil || p.Country != CountryUnknown {
		t.Errorf("IPv6: got %s, %v; want unknown", p, err)
	}
	if p, err := d.Lookup(netip.MustParseAddr("::ffff:192.0.2.1")); err != nil || p.Country.String() != "DE" {
		t.Errorf("IPv4 inside IPv6: got %s, %v; want DE", p, err)
	}
}

// Row 35: what is no good is refused when it is loaded, not when a viewer comes.
func TestParseDatabaseRefuses(t *testing.T) {
	good := testDatabase(t, "GeoLite2-Country", 6, testRecords())
	for _, test := range []struct {
		rule string
		b    []byte
		want error
	}{
		{"empty", nil, ErrDatabaseCorrupt},
		{"text", []byte("<html>404 Not Found</html>"), ErrDatabaseCorrupt},
		{"cut at half", good[:len(good)/2], ErrDatabaseCorrupt},
		{"cut in front", good[100:], ErrDatabaseCorrupt},
		{"tree overwritten", overwritten(good, 0, 300), ErrDatabaseCorrupt},
		{"records overwritten", overwritten(good, bytes.Index(good, []byte("iso_code"))-1, 40), ErrDatabaseCorrupt},
		{"of domains", testDatabase(t, "GeoIP2-Domain", 6, one("domain", mmdbtype.String("example.com"))), ErrDatabaseType},
		{"of connection types", testDatabase(t, "GeoIP2-Connection-Type", 6, one("connection_type", mmdbtype.String("Cellular"))), ErrDatabaseType},
		{"of a type that nobody knows, and nothing of ours", testDatabase(t, "example", 6, one("timezone", mmdbtype.String("UTC"))), ErrDatabaseType},
		{"without any network", testDatabase(t, "GeoLite2-Country", 6, nil), ErrDatabaseType},
		{"of countries by its type, of ASNs by its records", testDatabase(t, "GeoLite2-Country", 6, one("autonomous_system_number", mmdbtype.Uint32(64496))), ErrDatabaseType},
		{"of ASNs by its type, of countries by its records", testDatabase(t, "GeoLite2-ASN", 6, one("country", isoCode("DE"))), ErrDatabaseType},
		{"of countries by its type, with names for codes", testDatabase(t, "GeoLite2-Country", 6, one("country", mmdbtype.String("Germany"))), ErrDatabaseType},
		{"flat, with names alone", testDatabase(t, "example lite", 6, one("country", mmdbtype.String("Germany"))), ErrDatabaseType},
		{"of places that are not assigned", testDatabase(t, "example lite", 6, one("country_code", mmdbtype.String("ZZ"))), ErrDatabaseType},
		{"with a list for a country", testDatabase(t, "GeoLite2-Country", 6, one("country", mmdbtype.Slice{mmdbtype.String("DE")})), ErrDatabaseType},
		{"with text for marks", testDatabase(t, "GeoIP2-Anonymous-IP", 6, one("is_anonymous", mmdbtype.String("true"))), ErrDatabaseType},
		{"with records that are no maps", testDatabase(t, "GeoLite2-Country", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.String("DE")}), ErrDatabaseType},
	} {
		t.Run(test.rule, func(t *testing.T) {
			d, err := ParseDatabase(test.b)
			if !errors.Is(err, test.want) || d != nil {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func overwritten(b []byte, at, n int) []byte {
	b = bytes.Clone(b)
	for i := range n {
		b[at+i] = 0xfe
	}
	return b
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
