package state

import (
	"net/url"
	"slices"
	"strings"
)

// Site is a site as revocations and re-keys may mean it.
type Site struct {
	// Names are all that it has.
	Names []string
	// ByAddress says that nobody has named the site: Names are its host and prefix then, in lower case and decoded, and entries may spell
	// them in another way.
	ByAddress bool
}

// HoldsFor reports whether the entry means a site.
func (r Revocation) HoldsFor(site Site) bool { return meant(r.Tenant).is(site) }

// tenant is whom an entry means.
type tenant struct {
	name    string // empty: all sites
	address string // the same as sites have it that nobody has named
}

func meant(name string) tenant { return tenant{name, addressIn(name)} }

func (t tenant) is(site Site) bool {
	return t.name == "" || slices.Contains(site.Names, t.name) || site.ByAddress && slices.Contains(site.Names, t.address)
}

// addressIn brings a host and a prefix into the form in which requests have them: lower case and decoded, without the port that http or https
// has by default, and without the last dot of a host.
func addressIn(name string) string {
	host, prefix := name, ""
	if i := strings.IndexByte(name, '/'); i >= 0 {
		host, prefix = name[:i], name[i:]
	}
	if decoded, err := url.PathUnescape(prefix); err == nil {
		prefix = decoded
	}
	for _, port := range [...]string{":443", ":80"} {
		if bare, found := strings.CutSuffix(host, port); found && (!strings.Contains(bare, ":") || strings.HasSuffix(bare, "]")) {
			host = bare
			break
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, ".") + prefix)
}
