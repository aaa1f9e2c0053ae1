package geo

import (
	"errors"
	"net/netip"
)

// Databases are the databases of one site, the most trusted first.
type Databases []*File

// Lookup asks all databases and merges what they know; see Place.Merge. If some of them fail it returns what the others know, and
// the errors. It allocates nothing unless one fails.
func (d Databases) Lookup(addr netip.Addr) (Place, error) {
	place := Place{Addr: addr.Unmap().WithZone("")}
	var failed error
	for _, file := range d {
		found, err := file.Lookup(addr)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		place = place.Merge(found)
	}
	return place, failed
}

// Provides returns what the databases tell together. The address is known without any.
func (d Databases) Provides() Dimension {
	provided := DimensionAddress
	for _, file := range d {
		provided |= file.Info().Provides
	}
	return provided
}
