package geo

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"
)

// The reasons for which a database is refused; a caller may tell an operator what to do about each.
var (
	// ErrDatabaseType means a readable file that holds something else than places or networks, for example domains, or whose
	// records do not hold what its type promises.
	ErrDatabaseType = errors.New("the database tells no country, ASN or kind of network")
	// ErrDatabaseCorrupt means a file that is not a database, or a damaged one.
	ErrDatabaseCorrupt = errors.New("the database is damaged, cut short, or not of the MaxMind DB format")
)

// Info describes a database for logs, metrics and operators.
type Info struct {
	Type      string    // the database_type of its metadata, such as GeoLite2-Country
	BuildTime time.Time // when its publisher built it
	Bytes     int       // its size
	Records   int       // how many different records it has
	Provides  Dimension // what its records tell; with countries go their continents
}

// Database tells what is known of addresses: countries, subdivisions, ASNs, kinds of network. It holds its file in memory and is
// safe for concurrent use; it needs no closing.
//
// It is never mapped into memory: a mapped file that is overwritten in place ends the process with a bus error.
//
// Every record is read once, when the database is, and kept in 12 bytes. So what is wrong with one is found before it is in use,
// and a look-up only walks the tree.
type Database struct {
	reader       *maxminddb.Reader
	records      map[uint32]record // by offset in the file
	subdivisions []Subdivision
	info         Info
}

// ParseDatabase checks all of b, which must not change afterwards, and returns its Database. Checking walks the tree and every
// record twice, which takes some seconds for the largest city files.
func ParseDatabase(b []byte) (*Database, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrDatabaseCorrupt)
	}
	reader, err := maxminddb.OpenBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	promised, err := promisedBy(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	if err := reader.Verify(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	d := &Database{reader: reader, records: make(map[uint32]record), subdivisions: []Subdivision{SubdivisionUnknown}}
	metadata := reader.Metadata
	d.info = Info{Type: metadata.DatabaseType, BuildTime: metadata.BuildTime().UTC(), Bytes: len(b)}
	if err := d.readRecords(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabaseCorrupt, err)
	}
	d.info.Records = len(d.records)
	if provided := d.info.Provides; provided == 0 || promised&^provided != 0 {
		return nil, fmt.Errorf("%w: no record of this %q does", ErrDatabaseType, metadata.DatabaseType)
	}
	return d, nil
}

// promisedBy returns what a type must tell that the library of MaxMind's formats knows, by the methods that serve it. Other types
// promise nothing: what their records hold decides.
func promisedBy(b []byte) (Dimension, error) {
	reader, err := geoip2.OpenBytes(b)
	var unknown geoip2.UnknownDatabaseTypeError
	if errors.As(err, &unknown) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	any := netip.IPv4Unspecified()
	var promised Dimension
	for _, row := range []struct {
		dimension Dimension
		lookup    func(netip.Addr) error
	}{
		{DimensionCountry, func(a netip.Addr) error { _, err := reader.Country(a); return err }},
		{DimensionASN, func(a netip.Addr) error { _, err := reader.ASN(a); return err }},
		{DimensionNetwork, func(a netip.Addr) error { _, err := reader.AnonymousIP(a); return err }},
		{DimensionNetwork, func(a netip.Addr) error { _, err := reader.AnonymousPlus(a); return err }},
	} {
		var method geoip2.InvalidMethodError
		if err := row.lookup(any); !errors.As(err, &method) {
			promised |= row.dimension
		}
	}
	if promised == 0 {
		promised = AllDimensions // of domains or connection types, which nothing of ours can serve
	}
	return promised, nil
}

// readRecords reads every record once, however many networks share it.
func (d *Database) readRecords(b []byte) error {
	index := make(map[Subdivision]uint16)
	intern := func(s Subdivision) (uint16, error) {
		if i, ok := index[s]; ok {
			return i, nil
		}
		if len(d.subdivisions) > math.MaxUint16 {
			return 0, errors.New("more than 65535 subdivisions")
		}
		index[s] = uint16(len(d.subdivisions))
		d.subdivisions = append(d.subdivisions, s)
		return index[s], nil
	}
	return recordOffsets(b, d.reader.Metadata.NodeCount, d.reader.Metadata.RecordSize, func(offset uint32) error {
		if _, ok := d.records[offset]; ok {
			return nil
		}
		var f fields
		if err := d.reader.LookupOffset(uintptr(offset)).Decode(&f); err != nil {
			return err
		}
		r, err := f.compact(intern)
		if err != nil {
			return err
		}
		d.records[offset] = r
		d.info.Provides |= r.provides()
		return nil
	})
}

func (r record) provides() (d Dimension) {
	if r.country.IsKnown() {
		d |= DimensionCountry | DimensionContinent
	}
	if r.subdivisions[0] != 0 {
		d |= DimensionSubdivision
	}
	if r.asn != 0 {
		d |= DimensionASN
	}
	if r.network.IsKnown() {
		d |= DimensionNetwork
	}
	return d
}

// Info describes the database.
func (d *Database) Info() Info { return d.info }

// Lookup returns what the database knows of addr. An IPv4 address inside an IPv6 one is taken out, and a zone is dropped: neither
// may be a way to another answer.
//
// The place is unknown for an invalid address, one that the database does not have, and one for which it only knows where the
// block is registered or whom it represents: neither says where the viewer is. The network alone is known of every address
// that a database of networks could have: those list what is out of the ordinary. An error means a defect of the database.
//
// It allocates nothing.
func (d *Database) Lookup(addr netip.Addr) (Place, error) {
	addr = addr.Unmap().WithZone("")
	place := Place{Addr: addr}
	if !addr.IsValid() || addr.Is6() && d.reader.Metadata.IPVersion == 4 {
		return place, nil
	}
	result := d.reader.Lookup(addr)
	if err := result.Err(); err != nil {
		return place, fmt.Errorf("looking up an address: %w", err)
	}
	if d.info.Provides&DimensionNetwork != 0 {
		place.Network = NetworkKnown
	}
	if !result.Found() {
		return place, nil
	}
	r, ok := d.records[uint32(result.Offset())]
	if !ok { // every record was read
		return place, errors.New("looking up an address: its record was not there when the database was read")
	}
	place.Country, place.Continent, place.ASN = r.country, r.continent, r.asn
	place.Network |= r.network
	for i, n := range r.subdivisions {
		place.Subdivisions[i] = d.subdivisions[n]
	}
	return place, nil
}
