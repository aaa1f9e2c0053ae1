package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
)

// Licenses that are kept on the device, and those of ClearKey, whose decryption module counts no time and tells nobody when it is used: what
// such a license may last, the gateway keeps on record, and stops issuing and serving when it is over.

// keptAtMost is how long a license is on record that nothing ends.
const keptAtMost = 365 * 24 * time.Hour

// licenseLease is how long a license of ClearKey lasts.
type licenseLease struct {
	kept    bool      // on the device, and so for every session of the viewer there
	ends    time.Time // zero: with the session
	renewed bool      // it goes on with a rental that the viewer has begun
}

// leaseClearKey says how long a license lasts that is about to leave, and refuses one of a rental that is over. The first license of a title
// counts as its first use, since nobody tells the gateway of any other: windows begin with it, and a further license leaves them as
// they are. Where licenses may be kept, those that are not are judged alike, since a key is a key.
func (q *request) leaseClearKey(keys []drm.ContentKey, wanted licensing.SessionType) (licenseLease, error) {
	group, _ := q.groupNamed(q.seal.Group)
	if !group.License.Persistent || q.observes() {
		return licenseLease{}, nil
	}
	now := q.now()
	terms, open := licensing.LimitTerms(group.License, now, q.identity.windowEnd)
	if !open {
		return licenseLease{}, errLicenseOver
	}
	lease := licenseLease{kept: wanted == licensing.SessionPersistent}
	if lifetime := licensing.Lifetime(terms); lifetime > 0 {
		lease.ends = now.Add(lifetime)
	}
	end, begun, err := q.rentalWindow(group, keys)
	lease.ends, lease.renewed = earlier(lease.ends, end), begun
	return lease, err
}

// unavailable says of an error of the shared state that it is about licenses.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errGrantsUnavailable, err)
}

// licensee stands for the viewer whom a license on a device is on record for, as a keyed digest, since who reads the shared state could try
// names: of the token's subject and device, or of the playback of who has no subject; empty if nobody knows.
func (q *request) licensee() string {
	var digest state.Digest
	switch claims := q.identity.claims; {
	case claims.Subject != "":
		digest = q.pseudonyms.Digest("licensee", fmt.Sprintf("%d:%s%s", len(claims.Subject), claims.Subject, claims.Device))
	case claims.Playback != [8]byte{}:
		digest = q.pseudonyms.Digest("licensee without a subject", string(claims.Playback[:]))
	default:
		return ""
	}
	return string(digest[:])
}

// licenseeUntil is how long anything is kept on record of the licensee: a playback comes back in no session that does not follow on this one,
// and no state is to be filled by who draws one after the other.
func (q *request) licenseeUntil() time.Time {
	if claims := q.identity.claims; claims.Subject == "" {
		return claims.Expires.Add(grantBeyond)
	}
	return q.now().Add(keptAtMost)
}

// keptGrantOf names a license for one key on the device of a viewer.
func (q *request) keptGrantOf(kid drm.KID, viewer string) [16]byte {
	return digest16("kept license", q.viewers, viewer, string(kid[:]))
}

// grantsOf names what opens the segments of a key: a license in this session, or one that the viewer has kept on the device.
func (q *request) grantsOf(kid drm.KID) [][16]byte {
	grants := [][16]byte{q.grantOf(kid)}
	if group, _ := q.groupNamed(q.seal.Group); group.License.Persistent {
		if viewer := q.licensee(); viewer != "" {
			grants = append(grants, q.keptGrantOf(kid, viewer))
		}
	}
	return grants
}

// keepLicense puts keys on record that the viewer keeps on the device, until the license ends: whether its session lasts, and what the token
// of the next one allows, is judged with each request. A shorter license beside a longer one ends nothing.
func (q *request) keepLicense(keys []licensing.GrantedKey, ends time.Time) error {
	viewer := q.licensee()
	switch {
	case q.RequireLicense == nil || q.observes() && viewer == "":
		return nil
	case viewer == "":
		return errLicenseRequired
	}
	ends = earlier(ends, q.licenseeUntil())
	ids := q.keptGrantsOf(keys, viewer)
	known, err := q.state.Grants.Until(q.r.Context(), ids...)
	if err != nil {
		return unavailable(err)
	}
	var longer []state.Grant
	for i, id := range ids {
		if known[i].Before(ends) {
			longer = append(longer, state.Grant{ID: id, Until: ends})
		}
	}
	return unavailable(q.state.Grants.Add(q.r.Context(), longer...))
}

func (q *request) keptGrantsOf(keys []licensing.GrantedKey, viewer string) [][16]byte {
	ids := make([][16]byte, len(keys))
	for i, key := range keys {
		ids[i] = q.keptGrantOf(key.Key.KID(), viewer)
	}
	return ids
}

// releaseClearKey takes back the licenses for keys, and acknowledges that, after which the device forgets them. No key leaves, so that keys
// that the title no longer has can be given back, too. The windows of a rental go on: who gives a license back gains no time by it.
func (q *request) releaseClearKey(release licensing.ClearKeyRequest) error {
	if err := q.releaseLicense(release.KIDs); err != nil {
		return err
	}
	outcome := licenseOutcome{result: resultRelease}
	for _, kid := range release.KIDs {
		outcome.kids = append(outcome.kids, kid.String())
	}
	q.auditGrant(outcome)
	q.writeSecret("application/json", licensing.BuildClearKeyAcknowledgment(release))
	return nil
}

// releaseLicense ends what licenses for keys have opened for the session and the viewer.
func (q *request) releaseLicense(kids []drm.KID) error {
	if q.RequireLicense == nil {
		return nil
	}
	var grants [][16]byte
	for _, kid := range kids {
		grants = append(grants, q.grantsOf(kid)...)
	}
	return unavailable(q.state.Grants.Release(q.r.Context(), grants...))
}

// recordProxied remembers what a license server gave or took back. A certificate opens nothing.
func (q *request) recordProxied(grant licensing.Grant, c licensing.Challenge, result string) error {
	switch result {
	case resultGrant, resultRenewal:
		if err := q.grantLicense(grant.Keys, time.Time{}); err != nil {
			return err
		}
		return q.keepProxied(grant, c)
	case resultRelease:
		return q.releaseKept(grant.Keys)
	}
	return nil
}

// keepProxied puts on record what a license server gave that stays on the device. Widevine alone says whether it does, but not when it is
// renewed: then it is what has been on record, unless the license is one for streaming.
func (q *request) keepProxied(grant licensing.Grant, c licensing.Challenge) (err error) {
	keys := grant.Keys
	switch {
	case !grant.Group.License.Persistent:
		return nil
	case grant.System != drm.SystemWidevine || c.Persistent:
	case c.Purpose == licensing.PurposeRenewal && !c.Streams:
		if keys, err = q.stillKept(keys); err != nil {
			return err
		}
	default:
		return nil
	}
	return q.keepLicense(keys, licenseEnd(grant))
}

// stillKept returns those of keys that are on record for the viewer's device.
func (q *request) stillKept(keys []licensing.GrantedKey) (kept []licensing.GrantedKey, err error) {
	viewer := q.licensee()
	if q.RequireLicense == nil || viewer == "" {
		return nil, nil
	}
	until, err := q.state.Grants.Until(q.r.Context(), q.keptGrantsOf(keys, viewer)...)
	if err != nil {
		return nil, unavailable(err)
	}
	for i, key := range keys {
		if q.now().Before(until[i]) {
			kept = append(kept, key)
		}
	}
	return kept, nil
}

// releaseKept ends what is on record of the viewer's device for keys. A release of Widevine does not say whose keys they are, nor that a
// temporary license of the session is over.
func (q *request) releaseKept(keys []licensing.GrantedKey) error {
	if q.RequireLicense == nil {
		return nil
	}
	var grants [][16]byte
	for _, key := range keys {
		grants = append(grants, q.grantsOf(key.Key.KID())[1:]...)
	}
	return unavailable(q.state.Grants.Release(q.r.Context(), grants...))
}
