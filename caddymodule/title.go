package caddymodule

import (
	"errors"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/rights"
)

// defaultRekeyGrace is how long what was announced under older keys goes on after an emergency re-key: long enough for players to come
// back to a live manifest.
const defaultRekeyGrace = 30 * time.Second

var errGroupUnknown = errors.New("the catalog of rights names a DRM group that is not configured")

// chooseGroup is the one place that decides which DRM group a manifest has: that of the seal of its parent playlist, as long as it holds,
// or the one that holds now.
func (q *request) chooseGroup() (drm.Group, error) {
	if q.seal.Kind == 0 {
		return q.groupNow()
	}
	g, known := q.groupNamed(q.seal.Group)
	if !known {
		return drm.Group{}, errNotOurs
	}
	return g, q.checkGroup()
}

// groupNow returns the group that holds for what is asked for: that of its title in the catalog, or that of the site for its asset. A
// catalog may name groups of its own as long as none is configured.
func (q *request) groupNow() (drm.Group, error) {
	if len(q.app.groups) == 0 {
		return q.groupFor(string(q.asset())), nil
	}
	if title := q.listedTitle(); title != nil && title.Group != "" {
		g, known := q.app.groups[title.Group]
		if !known {
			return drm.Group{}, errGroupUnknown
		}
		return q.onThisSite(g), nil
	}
	return q.groupFor(string(q.asset())), nil
}

// listedTitle returns the catalog's entry for the title of the request: not that of the path where titles share media, but of the asset
// that the media was sealed for. Where a site only observes, rules in front of that on rights may have left it open.
func (q *request) listedTitle() *rights.Title {
	path := q.addr.Path
	switch asset := q.asset(); {
	case q.policy.Rights.Current == nil:
		return nil
	case !path.Under(asset):
		path = asset
	case q.identity.title != nil:
		return q.identity.title
	}
	catalog := q.policy.Rights.Current.Catalog(q.now())
	if catalog == nil {
		return nil
	}
	return catalog.Lookup(string(path))
}

// checkGroup refuses playlists, media and licenses that were sealed under another group than holds now: who still has a key of a group that the
// title has left gets nothing more by it.
func (q *request) checkGroup() error {
	if len(q.app.groups) == 0 || q.seal.Passes {
		return nil
	}
	g, err := q.groupNow()
	if err != nil {
		return err
	}
	if g.Name != q.seal.Group {
		return errKeyReplaced
	}
	return nil
}

// servesClearKey reports whether the keys that the seal of the request is for may be handed out in clear: by a license of ClearKey, or as
// they are.
func (q *request) servesClearKey() bool {
	g, known := q.groupNamed(q.seal.Group)
	return known && q.License.ClearKey && usesClearKey(g)
}

// groupNamed returns the group that a seal names, as it is on this site. Without a name it is the site's own.
func (q *request) groupNamed(name string) (drm.Group, bool) {
	if name == "" {
		return q.onThisSite(drm.Group{}), true
	}
	g, known := q.app.groups[name]
	return q.onThisSite(g), known
}

// onThisSite fills in the scheme of the site where the group leaves it open.
func (q *request) onThisSite(g drm.Group) drm.Group {
	if !g.Scheme.Valid() {
		g.Scheme, _ = groupScheme(q.Scheme) // zero for auto
	}
	return g
}

// sealedTitle is the title, with crypto period and generation, that the seal of the request is for.
func (q *request) sealedTitle() keysource.Title {
	return keysource.Title{
		Tenant: q.tenant, Group: q.seal.Group, Asset: string(q.seal.Asset), Scheme: q.seal.Scheme,
		Period: q.seal.Period, Generation: q.seal.Generation,
	}
}

// generations says when the keys of a title were replaced.
func (q *request) generations(group string, asset address.Path) drm.Generations {
	return q.state.Revocations.Generations(q.called, group, string(asset))
}

// isReplaced reports whether the key of the seal was replaced by an emergency re-key, and the time of grace is over.
func (q *request) isReplaced(seal address.Seal) bool {
	if seal.Kind != address.SealMedia || seal.Passes {
		return false // it names no key: what it leads to is sealed anew, and licenses hold the keys of the time
	}
	return !q.generations(seal.Group, seal.Asset).Live(seal.Generation, q.now(), q.app.rekeyGrace())
}

// manifestGrace is how long live manifests list what has older keys: somewhat shorter than these are given, so that players which are still there
// have loaded a manifest without it before they are refused.
func (a *App) manifestGrace() time.Duration {
	grace := a.rekeyGrace()
	return grace - min(grace/4, maxManifestLead)
}

// maxManifestLead is longer than players wait between two loads of a live manifest.
const maxManifestLead = 10 * time.Second

func (a *App) rekeyGrace() time.Duration {
	switch {
	case a.RekeyGrace > 0:
		return time.Duration(a.RekeyGrace)
	case a.RekeyGrace < 0:
		return 0
	default:
		return defaultRekeyGrace
	}
}
