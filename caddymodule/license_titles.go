package caddymodule

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/licensing"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/state"
)

// A renewal of Widevine names a license and no keys, and a license server that is told no title may give it whatever the title of the address
// is: who may watch one could go on with another. So it is remembered for which title a license was given. That is a help and no gate: of a
// license that nobody remembers, such as one from before a restart without shared state, the renewal is let through as it came.

const (
	// titleTimeout bounds what a license waits for the state on this account.
	titleTimeout = 250 * time.Millisecond
	// titleAtMost is when a license counts as over that lasts longer, or has no end.
	titleAtMost = 30 * 24 * time.Hour
	// titlesAtOnce and titlesEvery bound what one viewer makes a node remember: so many licenses at once, and a further one in each span. Each
	// license has another name, so that who draws one after the other would fill the state for all.
	titlesAtOnce = 256
	titlesEvery  = 20 * time.Second
	// titleViewers is of how many viewers a node knows how much they had remembered, some 200 bytes each.
	titleViewers = 1 << 16
	// titleLogEvery is the time between two lines about licenses that are not remembered.
	titleLogEvery = time.Minute
)

// titleBudget is what a node remembers of each viewer, and tells of what it does not. The zero value is ready for use.
type titleBudget struct {
	once    sync.Once
	viewers *policy.Limiter

	mu     sync.Mutex
	logged time.Time
}

// allows counts a license of a viewer, and reports whether it may be remembered.
func (b *titleBudget) allows(viewer []byte, now time.Time) bool {
	b.once.Do(func() {
		b.viewers, _ = policy.NewLimiter(policy.LimiterConfig{Rate: 1 / titlesEvery.Seconds(), Burst: titlesAtOnce, MaxKeys: titleViewers}) // has what it needs
	})
	allowed, _ := b.viewers.Allow(viewer, now)
	return allowed
}

// mayLog reports whether it is time for another line.
func (b *titleBudget) mayLog(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since := now.Sub(b.logged); since >= 0 && since < titleLogEvery {
		return false
	}
	b.logged = now
	return true
}

// titleViewer is whom a license counts for: the one that it would be on record for, or else an address.
func (q *request) titleViewer() []byte {
	if viewer := q.licensee(); viewer != "" {
		return append([]byte(q.viewers), viewer...)
	}
	return policy.AppendAddressKey([]byte(q.viewers), clientAddr(q.r))
}

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
// may renew it then; each renewal makes that longer.
func (q *request) rememberTitle(server *licenseServer, grant licensing.Grant, license []byte) {
	if !server.remembersTitles() {
		return
	}
	name := licensing.WidevineLicenseID(license)
	if name == "" {
		return
	}
	now := q.now()
	if !q.state.titles.allows(q.titleViewer(), now) {
		q.warnOfTitles("not remembered for which title a license was given: its viewer had too many", nil)
		return
	}
	until := licenseEnd(grant)
	switch {
	case until.IsZero() && !grant.Group.License.Persistent:
		until = now
	case until.IsZero(), until.After(now.Add(titleAtMost)):
		until = now.Add(titleAtMost)
	}
	until = until.Add(grantBeyond)
	anywhere, here := q.licenseTitle(name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.r.Context()), titleTimeout)
	defer cancel()
	if err := q.state.Titles.Grant(ctx, state.Grant{ID: anywhere, Until: until}, state.Grant{ID: here, Until: until}); err != nil {
		q.warnOfTitles("not remembered for which title a license was given", err)
	}
}

// warnOfTitles tells operators what the guard does not see, but not for each license.
func (q *request) warnOfTitles(what string, err error) {
	if q.state.titles.mayLog(q.now()) {
		q.logger.Warn(what, zap.Error(err))
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
	until, err := q.state.Titles.Granted(ctx, anywhere, here)
	if err != nil {
		q.warnOfTitles("not known for which title a license is renewed", err)
		return nil
	}
	if now := q.now(); now.Before(until[0]) && !now.Before(until[1]) {
		return licensing.ErrNoKeys
	}
	return nil
}
