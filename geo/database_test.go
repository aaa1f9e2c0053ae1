package geo

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

const examplePath = "../testdata/geo/example-country.mmdb"

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
				c, err := d.Lookup(addr)
				if err != nil || c.String() != test.want {
					t.Errorf("got %s, %v; want %s", c, err, test.want)
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
	if c, err := d.Lookup(netip.MustParseAddr("2001:db8::1")); err != nil || c != CountryUnknown {
		t.Errorf("IPv6: got %s, %v; want unknown", c, err)
	}
	if c, err := d.Lookup(netip.MustParseAddr("::ffff:192.0.2.1")); err != nil || c.String() != "DE" {
		t.Errorf("IPv4 inside IPv6: got %s, %v; want DE", c, err)
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
		{"of networks", testDatabase(t, "GeoLite2-ASN", 6, nil), ErrDatabaseType},
		{"of domains", testDatabase(t, "GeoIP2-Domain", 6, nil), ErrDatabaseType},
		{"of anonymizers", testDatabase(t, "GeoIP2-Anonymous-IP", 6, nil), ErrDatabaseType},
		{"flat, of another publisher", testDatabase(t, "ipinfo standard_location.mmdb", 6, nil), ErrDatabaseType},
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

func TestExampleDatabase(t *testing.T) {
	f, err := OpenFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.7": "DE", "198.51.100.7": "US", "203.0.113.7": "AT", "127.0.0.1": "AT", "2001:db8::7": "FR", "::1": "AT",
		"192.0.3.1": "unknown", "2001:db9::1": "unknown", "::2": "unknown",
	} {
		if c, err := f.Lookup(netip.MustParseAddr(addr)); err != nil || c.String() != want {
			t.Errorf("%s: got %s, %v; want %s", addr, c, err, want)
		}
	}
	if info := f.Info(); info.Type != "GeoLite2-Country" || !info.BuildTime.Equal(time.Unix(1767225600, 0)) || info.Bytes == 0 {
		t.Errorf("info is %+v", info)
	}
	if testing.Short() {
		return
	}
	anew := filepath.Join(t.TempDir(), "anew.mmdb")
	if out, err := exec.Command("go", "run", "../testdata/geo/gen", anew).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !bytes.Equal(readFile(t, anew), readFile(t, examplePath)) {
		t.Error("the committed file is not what its generator writes")
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzParseDatabase(f *testing.F) {
	good := testDatabase(f, "GeoLite2-Country", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": placed("DE")})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(strings.Repeat("\xab\xcd\xefMaxMind.com", 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDatabase(b)
		if (err == nil) != (d != nil) {
			t.Fatal("a database came with an error, or neither")
		}
		if d == nil {
			return
		}
		for _, addr := range []string{"192.0.2.1", "2001:db8::1", "::1"} {
			if c, err := d.Lookup(netip.MustParseAddr(addr)); err != nil && c != CountryUnknown {
				t.Fatal("an error came with a country")
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	d, err := ParseDatabase(testDatabase(b, "GeoLite2-Country", 6, testRecords()))
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(addr); err != nil {
			b.Fatal(err)
		}
	}
}
