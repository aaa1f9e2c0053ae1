package rights

import (
	"sync/atomic"
	"time"
)

// Current is a catalog that is replaced while it is in use: a question that has begun ends on the catalog that it began with. Its
// zero value has none. It is safe for concurrent use.
type Current struct {
	version atomic.Pointer[version]
	// StaleAfter is how long a catalog counts after it was last known to be the newest; 0: for good. It is set before use.
	StaleAfter time.Duration
}

// version is one catalog, and when its source last confirmed it.
type version struct {
	catalog   *Catalog
	confirmed time.Time
}

// Replace puts a catalog in place of the one before. confirmed is when its source said that it is the newest.
func (c *Current) Replace(catalog *Catalog, confirmed time.Time) {
	c.version.Store(&version{catalog: catalog, confirmed: confirmed})
}

// Confirm says that the catalog in use is still the newest at now.
func (c *Current) Confirm(now time.Time) {
	if v := c.version.Load(); v != nil {
		c.Replace(v.catalog, now)
	}
}

// Catalog returns the catalog that counts at now, or nil: there is none yet, or it is stale.
func (c *Current) Catalog(now time.Time) *Catalog {
	v := c.version.Load()
	if v == nil || c.StaleAfter > 0 && now.Sub(v.confirmed) >= c.StaleAfter {
		return nil
	}
	return v.catalog
}

// Confirmed returns when the source last confirmed the catalog in use; zero: there is none.
func (c *Current) Confirmed() time.Time {
	if v := c.version.Load(); v != nil {
		return v.confirmed
	}
	return time.Time{}
}

// StaleAt returns when the catalog in use stops to count unless it is confirmed before; zero: never, or there is none.
func (c *Current) StaleAt() time.Time {
	v := c.version.Load()
	if v == nil || c.StaleAfter == 0 {
		return time.Time{}
	}
	return v.confirmed.Add(c.StaleAfter)
}

// Fixed is a catalog that is never replaced.
func Fixed(catalog *Catalog) *Current {
	c := new(Current)
	c.Replace(catalog, time.Time{})
	return c
}
