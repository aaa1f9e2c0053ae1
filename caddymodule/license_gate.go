package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/state"
)

// RequireLicenseConfig gives segments of a key only to sessions that a license for it was granted to.
type RequireLicenseConfig struct {
	// GrantWait is how long a segment that comes before the license waits for it. Default 2s; a negative value does not wait.
	GrantWait caddy.Duration `json:"grant_wait,omitempty"`
}

const (
	defaultGrantWait = 2 * time.Second
	maxGrantWait     = 30 * time.Second
	// grantBeyond is how long a grant outlives its session: the sessions that follow on one are of the same playback, and whether they
	// last is judged with each request.
	grantBeyond = 24 * time.Hour
)

var (
	errLicenseRequired   = errors.New("no license for the key was granted to the session")
	errGrantsUnavailable = errors.New("license grants cannot be read or kept")
)

func (c *RequireLicenseConfig) wait() time.Duration {
	switch {
	case c.GrantWait < 0:
		return 0
	case c.GrantWait > 0:
		return time.Duration(c.GrantWait)
	default:
		return defaultGrantWait
	}
}

// validateLicenseGate finds what license-gated segments cannot do without.
func (h *Handler) validateLicenseGate() error {
	switch c := h.RequireLicense; {
	case c == nil:
		return nil
	case h.Token == nil:
		return errors.New("require_license: want tokens: a license is granted to a session")
	case h.behindCDN():
		return errors.New("require_license does not go with delivery behind_cdn: media ends at the CDN, and no request for it says whose it is")
	case c.wait() > maxGrantWait:
		return fmt.Errorf("require_license: want to wait for %s at most", maxGrantWait)
	}
	return nil
}

// grantOf names a license for one key in one session.
func (q *request) grantOf(kid drm.KID) [16]byte {
	playback := q.identity.claims.Playback
	return digest16("license grant", q.viewers, string(playback[:]), string(kid[:]))
}

func digest16(fields ...string) [16]byte {
	h := sha256.New()
	for _, field := range fields {
		_, _ = fmt.Fprintf(h, "%d:%s", len(field), field)
	}
	return [16]byte(h.Sum(nil))
}

// grantLicense remembers that keys were given to the session, before they leave: who cannot be remembered could not watch. ends is when the
// gateway itself ends the license; zero if it does not.
func (q *request) grantLicense(keys []licensing.GrantedKey, ends time.Time) error {
	if q.RequireLicense == nil {
		return nil
	}
	claims := q.identity.claims
	if claims.Playback == ([8]byte{}) {
		if q.observes() {
			return nil
		}
		return errLicenseRequired
	}
	until := earlier(claims.Expires.Add(grantBeyond), ends)
	grants := make([]state.Grant, len(keys))
	for i, key := range keys {
		grants[i] = state.Grant{ID: q.grantOf(key.Key.KID()), Until: until}
	}
	return unavailable(q.state.Grants.Add(q.r.Context(), grants...))
}

// checkLicense lets a segment through if the session has a license for its key, or gets one within a moment. Without one it is given the
// init segment and the first segment of each track, since players ask for a license when they have seen these.
func (q *request) checkLicense() error {
	grants, err := q.neededGrants()
	if grants == nil || err != nil {
		return err
	}
	if q.seal.ClearUntil == 0 {
		return q.admitSegment(grants)
	}
	err = q.awaitGrant(grants, 0)
	if errors.Is(err, errLicenseRequired) { // whether the segment is of the lead, which needs none, it says itself
		q.ungranted, err = grants, nil
	}
	return err
}

// neededGrants names the licenses of which the segment needs one; nil for what needs none.
func (q *request) neededGrants() ([][16]byte, error) {
	if q.RequireLicense == nil || q.seal.Passes || q.seal.Clear || q.seal.ClearUntil == address.ClearAlways || q.wantsInit() || q.observes() {
		return nil, nil
	}
	if q.identity.claims.Playback == ([8]byte{}) {
		return nil, errLicenseRequired
	}
	key, err := q.sourceOf(q.seal.Group).ContentKey(q.r.Context(), keysource.Request{Title: q.sealedTitle(), Class: q.seal.Class})
	if err != nil {
		return nil, fmt.Errorf("selecting the content key: %w", err)
	}
	return q.grantsOf(key.KID()), nil
}

// lookForLicense reports what checkLicense would, without waiting, and gives no track its first segment. Of a title with a clear lead
// only the segment itself says whether it is of the lead: it passes.
func (q *request) lookForLicense() error {
	grants, err := q.neededGrants()
	if grants == nil || err != nil || q.seal.ClearUntil != 0 {
		return err
	}
	if track, segment := q.earlyNames(grants); q.state.Grants.MayBeEarly(track, segment) {
		return nil
	}
	return q.awaitGrant(grants, 0)
}

// checkLead refuses a segment of a title with a clear lead that is not of the lead, as any other without a license.
func (q *request) checkLead(seg *segcrypt.Segment) error {
	if q.ungranted == nil || seg.LeavesClear() {
		return nil
	}
	return q.admitSegment(q.ungranted)
}

// admitSegment lets the first segment of a track through, and waits for the license for every other. A track is told by its init segment,
// so that it is the same one in DASH and in HLS.
func (q *request) admitSegment(grants [][16]byte) error {
	if track, segment := q.earlyNames(grants); q.state.Grants.Early(track, segment) {
		return nil
	}
	return q.awaitGrant(grants, q.RequireLicense.wait())
}

func (q *request) earlyNames(grants [][16]byte) (track, segment [16]byte) {
	return digest16("track", string(grants[0][:]), string(q.seal.Init)),
		digest16("segment", string(q.addr.Path), fmt.Sprint(q.addr.Number), q.seal.Range.Header())
}

func (q *request) awaitGrant(grants [][16]byte, wait time.Duration) error {
	switch err := q.state.Grants.Wait(q.r.Context(), wait, grants...); {
	case errors.Is(err, state.ErrNotGranted):
		return errLicenseRequired
	case err != nil && q.r.Context().Err() == nil:
		return unavailable(err)
	default:
		return err
	}
}

// unmarshalRequireLicense reads
//
//	require_license [<wait>]
func (h *Handler) unmarshalRequireLicense(d *caddyfile.Dispenser) error {
	h.RequireLicense = new(RequireLicenseConfig)
	args := d.RemainingArgs()
	switch {
	case len(args) == 0:
		return nil
	case len(args) > 1:
		return d.ArgErr()
	}
	wait, err := caddy.ParseDuration(args[0])
	if err != nil || wait < 0 {
		return d.Errf("require_license %s: want how long a segment waits for its license, such as 2s", args[0])
	}
	if h.RequireLicense.GrantWait = caddy.Duration(wait); wait == 0 {
		h.RequireLicense.GrantWait = -1
	}
	return nil
}
