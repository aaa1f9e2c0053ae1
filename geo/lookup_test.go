package geo

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/geoip2-golang/v2"
)

// benchmarkDatabases are of the size of city records, with all their names.
func benchmarkDatabases(b *testing.B) Databases {
	b.Helper()
	var databases Databases
	for i, database := range [][]byte{
		testDatabase(b, "GeoIP2-City", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": cityRecord("EU", "DE", "BE"), "2001:db8::/32": cityRecord("EU", "FR", "IDF", "75")}),
		testDatabase(b, "GeoLite2-ASN", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": asnOf(64496), "2001:db8::/32": asnOf(64500)}),
		testDatabase(b, "GeoIP2-Anonymous-IP", 6, one("is_anonymous_vpn", mmdbtype.Bool(true))),
	} {
		path := filepath.Join(b.TempDir(), string(rune('a'+i)))
		replaceFile(b, path, database)
		f, err := OpenFile(path, FileConfig{})
		if err != nil {
			b.Fatal(err)
		}
		databases = append(databases, f)
	}
	return databases
}

func BenchmarkLookup(b *testing.B) {
	databases := benchmarkDatabases(b)
	for _, bench := range []struct {
		name string
		addr string
		of   Databases
	}{
		{"city/IPv4", "192.0.2.1", databases[:1]}, {"city/IPv6", "2001:db8::1", databases[:1]},
		{"city+asn+anonymous/IPv4", "192.0.2.1", databases}, {"city+asn+anonymous/IPv6", "2001:db8::1", databases},
	} {
		addr := netip.MustParseAddr(bench.addr)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if place, err := bench.of.Lookup(addr); err != nil || !place.Country.IsKnown() {
					b.Fatal(place, err)
				}
			}
		})
	}
	b.Run("city by the library/IPv4", func(b *testing.B) { // for comparison
		reader, err := geoip2.OpenBytes(testDatabase(b, "GeoIP2-City", 6, map[string]mmdbtype.DataType{"192.0.2.0/24": cityRecord("EU", "DE", "BE")}))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := reader.City(testAddr); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestLookupAllocatesNothing(t *testing.T) {
	databases := example(t, "city", "asn", "anonymous")
	rule := Rule{Deny: List{Networks: NetworkTor, ASNs: []uint32{1}}, Allow: ListOf(EU), Portable: EU}
	if n := testing.AllocsPerRun(100, func() {
		place, err := databases.Lookup(testAddr)
		if err != nil || !rule.Decide(place, countryOf("AT")).Verdict.Admits() {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
