package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// The reasons for which a database is refused; a caller may tell an operator what to do about each.
var (
	// ErrDatabaseType means a readable file that holds something else than countries, for example networks or domains.
	ErrDatabaseType = errors.New("the database does not place addresses in countries: want a country or city database")
	// ErrDatabaseCorrupt means a file that is not a database, or a damaged one.
	ErrDatabaseCorrupt = errors.New("the database is damaged, cut short, or not of the MaxMind DB format")
)

// Info describes a database for logs, metrics and operators.
type Info struct {
	Type      string    // the database_type of its metadata, such as GeoLite2-Country
	BuildTime time.Time // when its publisher built it
	Bytes     int       // its size
}

// Database places addresses in countries. It holds its file in memory and is safe for concurrent use; it needs no closing.
//
// It is never mapped into memory: a mapped file that is overwritten in place ends the process with a bus error.
type Database struct {
	reader *geoip2.Reader
	info   Info
}

// ParseDatabase checks all of b, which must not change afterwards, and returns its Database. Checking walks every record, which
// takes about a second for the largest city files.
func ParseDatabase(b []byte) (*Database, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrDatabaseCorrupt)
	}
	raw, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	reader, err := geoip2.OpenBytes(b)
	var unknownType geoip2.UnknownDatabaseTypeError
	switch {
	case errors.As(err, &unknownType):
		return nil, fmt.Errorf("%w, not %q", ErrDatabaseType, raw.Metadata.DatabaseType)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	// One look-up tells whether the library will serve countries from this type; its table of types is not exported.
	var method geoip2.InvalidMethodError
	if _, err := reader.Country(netip.IPv4Unspecified()); errors.As(err, &method) {
		return nil, fmt.Errorf("%w, not %q", ErrDatabaseType, raw.Metadata.DatabaseType)
	}
	if err := raw.Verify(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	info := Info{Type: raw.Metadata.DatabaseType, BuildTime: raw.Metadata.BuildTime().UTC(), Bytes: len(b)}
	return &Database{reader: reader, info: info}, nil
}

// Info describes the database.
func (d *Database) Info() Info { return d.info }

// Lookup returns the country in which addr is used. An IPv4 address inside an IPv6 one is taken out, and a zone is dropped:
// neither may be a way to another answer.
//
// It returns CountryUnknown for an invalid address, one that the database does not have, and one for which it only knows where
// the block is registered or whom it represents: neither says where the viewer is. An error means a defect of the database.
func (d *Database) Lookup(addr netip.Addr) (Country, error) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return CountryUnknown, nil
	}
	record, err := d.reader.Country(addr)
	if err != nil {
		if addr.Is6() && d.isIPv4Only() {
			return CountryUnknown, nil
		}
		return CountryUnknown, fmt.Errorf("looking up country: %w", err)
	}
	if record.Country.ISOCode == "" {
		return CountryUnknown, nil
	}
	c, err := ParseCountry(record.Country.ISOCode)
	if err != nil {
		return CountryUnknown, nil // a code that is not assigned places nobody
	}
	return c, nil
}

func (d *Database) isIPv4Only() bool { return d.reader.Metadata().IPVersion == 4 }
