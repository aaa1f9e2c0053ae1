package state

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Kinds of entries that give titles new keys. They stand in the list of revocations, since they have to reach the same nodes in the same
// time, and to survive the same restarts; nothing lifts them, and they never end.
const (
	// RekeyTitle is for a clean path and all below it.
	RekeyTitle RevocationKind = "rekey_title"
	// RekeyGroup is for all titles of a DRM group, named by it.
	RekeyGroup RevocationKind = "rekey_group"
)

// rekeyEnd is later than anything that is asked for.
var rekeyEnd = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// rekeyLead is how long after its entry a re-key begins for the media of live titles, in seconds: clocks of nodes differ, and nodes hear of it one
// after the other. What they have listed by then keeps its keys.
const rekeyLead = 5

// NewRekey makes the entry that gives new keys to a title or a group from now on; tenant may be empty: all. Every entry counts, also a
// second one for the same title.
func NewRekey(kind RevocationKind, tenant, value, note string, now time.Time) (Revocation, error) {
	r := Revocation{Kind: kind, Tenant: tenant, Created: now.UTC().Truncate(time.Second), Expires: rekeyEnd, Note: note}
	switch {
	case len(tenant) > maxTenantBytes || strings.ContainsRune(tenant, 0) || len(note) > maxNoteBytes:
		return Revocation{}, fmt.Errorf("%w: the tenant has up to %d bytes, the note up to %d", ErrRevocation, maxTenantBytes, maxNoteBytes)
	case value == "" || len(value) > maxRevokedBytes:
		return Revocation{}, fmt.Errorf("%w: want a value of up to %d bytes", ErrRevocation, maxRevokedBytes)
	}
	switch kind {
	case RekeyTitle:
		path, err := normalize(RevokeTitle, value)
		if err != nil {
			return Revocation{}, err
		}
		r.Value = path
	case RekeyGroup:
		r.Value = value
	default:
		return Revocation{}, fmt.Errorf("%w: %q gives nothing new keys", ErrRevocation, kind)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	r.ID = hex.EncodeToString(id[:])
	return r, nil
}

// IsRekey reports whether the entry gives new keys instead of revoking anything.
func (r Revocation) IsRekey() bool { return r.Kind == RekeyTitle || r.Kind == RekeyGroup }

// Generations returns when a title got new keys: by its own path, by those above it, or with its group. A re-key counts at once, although its
// time is some seconds ahead.
func (r *Revocations) Generations(site Site, group, asset string) drm.Generations {
	known := r.copy.Load()
	if len(known.rekeyed) == 0 {
		return nil
	}
	var times drm.Generations
	collect := func(what rekeyed) {
		for _, entry := range known.rekeyed[what] {
			if entry.tenant.is(site) {
				times = append(times, entry.unix+rekeyLead)
			}
		}
	}
	if group != "" {
		collect(rekeyed{RekeyGroup, group})
	}
	for path := titlePath(asset); path != ""; path = path[:max(strings.LastIndexByte(path, '/'), 0)] {
		collect(rekeyed{RekeyTitle, path})
	}
	collect(rekeyed{RekeyTitle, "/"})
	slices.Sort(times)
	return times
}

// rekeyed is what got new keys.
type rekeyed struct {
	kind  RevocationKind
	value string
}

// KeyRevoked reports whether a content key has been revoked.
func (r *Revocations) KeyRevoked(now time.Time, site Site, kid drm.KID) bool {
	return holds(r.copy.Load().keys[kid], site, now.Unix())
}

// AnyKeyRevoked reports whether KeyRevoked can be true at all.
func (r *Revocations) AnyKeyRevoked() bool { return len(r.copy.Load().keys) > 0 }
