package caddymodule

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/state"
)

// A renewal of Widevine names a license and no keys, and a license server that is told no title may give it whatever the title of the address
// is: who may watch one could go on with another. So it is remembered for which title a license was given. That is a help and no gate: of a
// license that nobody remembers, such as one from before a restart without shared state, the renewal is let through as it came.

// titleTimeout bounds what a license waits for the state on this account.
const titleTimeout = 250 * time.Millisecond

// licenseTitle is the name of a license in the state, by itself and as that of the title. The first is the same for all sites, which may share a
// license server.
func (q *request) licenseTitle(license string) (anywhere, here [16]byte) {
	return digest16("widevine license", license), digest16("widevine license of a title", license, q.tenant, string(q.seal.Asset))
}

// remembersTitles reports whether nobody but the gateway can tell of which title a license is.
func (s *licenseServer) remembersTitles() bool {
	return s.system == drm.SystemWidevine && !s.vendor.Binds()
}

// rememberTitle notes for which title a license was given or renewed. It is remembered for a day beyond its end, since a player that was paused
// may renew it then.
func (q *request) rememberTitle(server *licenseServer, grant licensing.Grant, license []byte) {
	if !server.remembersTitles() {
		return
	}
	name := licensing.WidevineLicenseID(license)
	if name == "" {
		return
	}
	until := licenseEnd(grant)
	if until.IsZero() {
		until = q.now()
		if grant.Group.License.Persistent {
			until = until.Add(keptAtMost)
		}
	}
	until = until.Add(grantBeyond)
	anywhere, here := q.licenseTitle(name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.r.Context()), titleTimeout)
	defer cancel()
	if err := q.state.Titles.Add(ctx, state.Grant{ID: anywhere, Until: until}, state.Grant{ID: here, Until: until}); err != nil {
		q.logger.Warn("not remembered for which title a license was given", zap.Error(err))
	}
}

// checkTitle refuses to renew a license that was given for another title.
func (q *request) checkTitle(server *licenseServer, c licensing.Challenge) error {
	if c.Purpose != licensing.PurposeRenewal || c.LicenseID == "" || !server.remembersTitles() {
		return nil
	}
	anywhere, here := q.licenseTitle(c.LicenseID)
	ctx, cancel := context.WithTimeout(q.r.Context(), titleTimeout)
	defer cancel()
	until, err := q.state.Titles.Until(ctx, anywhere, here)
	if err != nil {
		q.logger.Warn("not known for which title a license is renewed", zap.Error(err))
		return nil
	}
	if now := q.now(); now.Before(until[0]) && !now.Before(until[1]) {
		return licensing.ErrNoKeys
	}
	return nil
}
