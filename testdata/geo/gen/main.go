// Command gen writes example-country.mmdb, the small database that the example configuration and the tests use. It takes the path
// to write as its only argument, and always writes the same bytes.
package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// networks are those reserved for documentation (RFC 5737, RFC 3849) and the loopback ones: nobody lives in them, so the file
// says nothing about anybody.
var networks = []struct{ prefix, country string }{
	{"192.0.2.0/24", "DE"},
	{"198.51.100.0/24", "US"},
	{"203.0.113.0/24", "AT"},
	{"127.0.0.0/8", "AT"},
	{"2001:db8::/32", "FR"},
	{"::1/128", "AT"},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gen <file to write>")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(path string) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType:            "GeoLite2-Country", // the schema; the content is ours
		Description:             map[string]string{"en": "caddy-drm example, documentation networks only"},
		Languages:               []string{"en"},
		BuildEpoch:              1767225600, // fixed, so that the file is reproducible
		RecordSize:              24,
		IncludeReservedNetworks: true,
	})
	if err != nil {
		return fmt.Errorf("making tree: %w", err)
	}
	for _, n := range networks {
		_, network, err := net.ParseCIDR(n.prefix)
		if err != nil {
			return fmt.Errorf("parsing network: %w", err)
		}
		record := mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(n.country)}}
		if err := tree.Insert(network, record); err != nil {
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
