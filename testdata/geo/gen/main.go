// Command gen writes the small databases that the example configuration and the tests use. It takes the directory to write to as
// its only argument, and always writes the same bytes.
//
// Their networks are those reserved for documentation (RFC 5737, RFC 3849) and the loopback ones, their AS numbers those reserved
// for documentation (RFC 5398): nobody lives in them, so the files say nothing about anybody.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// database is one file. The type names the form of the records; no data of its publisher is in it.
type database struct {
	file, databaseType string
	networks           []network
}

type network struct {
	prefix string
	record mmdbtype.Map
}

var databases = []database{
	{"example-country.mmdb", "GeoLite2-Country", []network{
		{"192.0.2.0/24", country("DE")},
		{"198.51.100.0/24", country("US")},
		{"203.0.113.0/24", country("AT")},
		{"127.0.0.0/8", country("AT")},
		{"2001:db8::/32", country("FR")},
		{"::1/128", country("AT")},
	}},
	{"example-city.mmdb", "GeoLite2-City", []network{
		{"192.0.2.0/25", city("EU", "DE", "BE")},
		{"192.0.2.128/25", city("EU", "DE", "BY")},
		{"198.51.100.0/25", city("NA", "US", "CA")},
		{"198.51.100.128/25", city("NA", "US")},
		{"203.0.113.0/24", city("EU", "AT", "9")},
		{"127.0.0.0/8", city("EU", "AT", "9")},
		{"2001:db8::/33", city("EU", "FR", "IDF", "75")},
		{"2001:db8:8000::/33", city("AF", "RE")},
		{"::1/128", city("EU", "AT", "9")},
	}},
	{"example-asn.mmdb", "GeoLite2-ASN", []network{
		{"192.0.2.0/24", asn(64496)},
		{"198.51.100.0/24", asn(64497)},
		{"203.0.113.0/24", asn(64498)},
		{"127.0.0.0/8", asn(64499)},
		{"2001:db8::/32", asn(64500)},
	}},
	{"example-anonymous.mmdb", "GeoIP2-Anonymous-IP", []network{
		{"192.0.2.64/26", marks("is_anonymous", "is_anonymous_vpn", "is_hosting_provider")},
		{"198.51.100.64/26", marks("is_anonymous", "is_tor_exit_node")},
		{"203.0.113.64/26", marks("is_anonymous", "is_public_proxy")},
		{"203.0.113.128/26", marks("is_anonymous", "is_residential_proxy")},
		{"203.0.113.192/26", marks("is_hosting_provider")},
		{"2001:db8:f::/48", marks("is_anonymous", "is_anonymous_vpn")},
	}},
	{"example-ipinfo.mmdb", "ipinfo example lite", []network{
		{"192.0.2.0/24", lite("EU", "Europe", "DE", "Germany", "AS64496")},
		{"198.51.100.0/24", lite("NA", "North America", "US", "United States", "AS64497")},
		{"203.0.113.0/24", lite("EU", "Europe", "AT", "Austria", "")},
		{"2001:db8::/32", lite("EU", "Europe", "FR", "France", "AS64500")},
	}},
	{"example-flat.mmdb", "example country ipv4", []network{
		{"192.0.2.0/24", mmdbtype.Map{"country_code": mmdbtype.String("DE")}},
		{"198.51.100.0/24", mmdbtype.Map{"country_code": mmdbtype.String("US")}},
	}},
}

func code(key, code string) mmdbtype.Map {
	return mmdbtype.Map{mmdbtype.String(key): mmdbtype.String(code)}
}

func country(iso string) mmdbtype.Map { return mmdbtype.Map{"country": code("iso_code", iso)} }

func city(continent, iso string, subdivisions ...string) mmdbtype.Map {
	record := country(iso)
	record["continent"] = code("code", continent)
	var parts mmdbtype.Slice
	for _, part := range subdivisions {
		parts = append(parts, code("iso_code", part))
	}
	if len(parts) > 0 {
		record["subdivisions"] = parts
	}
	return record
}

func asn(number uint32) mmdbtype.Map {
	return mmdbtype.Map{
		"autonomous_system_number":       mmdbtype.Uint32(number),
		"autonomous_system_organization": mmdbtype.String("Documentation"),
	}
}

func marks(names ...string) mmdbtype.Map {
	record := mmdbtype.Map{}
	for _, name := range names {
		record[mmdbtype.String(name)] = mmdbtype.Bool(true)
	}
	return record
}

func lite(continentCode, continent, countryCode, country, asn string) mmdbtype.Map {
	record := mmdbtype.Map{
		"continent": mmdbtype.String(continent), "continent_code": mmdbtype.String(continentCode),
		"country": mmdbtype.String(country), "country_code": mmdbtype.String(countryCode),
	}
	if asn != "" {
		record["asn"], record["as_name"] = mmdbtype.String(asn), mmdbtype.String("Documentation")
	}
	return record
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gen <directory to write to>")
	}
	for _, d := range databases {
		if err := d.write(filepath.Join(os.Args[1], d.file)); err != nil {
			log.Fatal(err)
		}
	}
}

func (d database) write(path string) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType:            d.databaseType,
		Description:             map[string]string{"en": "caddy-drm example, documentation networks only"},
		Languages:               []string{"en"},
		BuildEpoch:              1767225600, // fixed, so that the file is reproducible
		RecordSize:              24,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		return fmt.Errorf("making tree: %w", err)
	}
	for _, n := range d.networks {
		_, network, err := net.ParseCIDR(n.prefix)
		if err != nil {
			return fmt.Errorf("parsing network: %w", err)
		}
		if err := tree.Insert(network, n.record); err != nil {
			return fmt.Errorf("inserting %s: %w", n.prefix, err)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := tree.WriteTo(file); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return file.Close()
}
