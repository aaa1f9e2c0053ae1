package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// titleProtector answers the questions of both rewriters for one manifest request: it seals what lies in the asset, finds
// out from the init segments what has to be protected, and names the keys.
type titleProtector struct {
	q          *request
	asset      address.Path
	group      drm.Group
	title      keysource.Title // without its crypto period, and with the newest generation
	replaced   drm.Generations // when its keys were replaced
	oldest     uint32          // generation whose keys are still given
	listed     uint32          // generation that live manifests list, the lowest
	licensed   uint32          // oldest generation that its licenses are for
	session    []string        // path elements
	keyFormats hls.KeyFormats
	implied    bool // group.Rotate is that of a live title whose group says nothing of rotation
	oneKey     bool // it is a live title under cenc whose key never changes
}

func (q *request) newTitleProtector() (*titleProtector, error) {
	group, err := q.chooseGroup()
	if err != nil {
		return nil, err
	}
	scheme, err := q.chooseScheme(group)
	if err != nil {
		return nil, err
	}
	session, err := q.sessionElements()
	if err != nil {
		return nil, fmt.Errorf("starting a session: %w", err)
	}
	asset := q.asset()
	replaced := q.generations(group.Name, asset)
	title := keysource.Title{Tenant: q.tenant, Group: group.Name, Asset: string(asset), Scheme: scheme, Generation: replaced.Current()}
	return &titleProtector{
		q: q, asset: asset, group: group, title: title, session: session,
		replaced: replaced, oldest: replaced.Oldest(q.now(), q.app.rekeyGrace()), listed: replaced.Oldest(q.now(), q.app.manifestGrace()), licensed: replaced.Current(),
	}, nil
}

// elements returns what a reference carries: the session, if it goes by path, and the seal.
func (p *titleProtector) elements(seal address.Seal, path address.Path) []string {
	seal.Group, seal.Asset = p.title.Group, p.asset
	if !seal.Scheme.Valid() && !seal.Passes {
		seal.Scheme = p.title.Scheme
	}
	session := p.session[:len(p.session):len(p.session)]
	if p.q.isShared(seal) {
		session = nil
	}
	return append(session, address.SealElement(p.q.sealer.Seal(seal, path)))
}

// admit refuses references that leave the asset: a free title's manifest must not have a premium title's segments sealed
// under the free title's key.
func (p *titleProtector) admit(path address.Path) error {
	if err := p.q.r.Context().Err(); err != nil {
		return err // everybody who waited for the manifest has left
	}
	if p.q.inAsset(p.asset, path) {
		return nil
	}
	return errOutOfAsset
}

func (p *titleProtector) readInit(ctx context.Context, from address.Resource) (*segcrypt.Init, error) {
	if err := p.admit(from.Path); err != nil {
		return nil, err
	}
	init, err := p.q.freshInit(ctx, p.q.origin, from)
	var fromOrigin *originError
	if errors.As(err, &fromOrigin) {
		return nil, fmt.Errorf("%w: %w", errInitUnavailable, err) // not 404: the manifest is there
	}
	if err != nil {
		return nil, fmt.Errorf("init segment: %w", err)
	}
	return init, nil
}

// sidecar seals a resource that leaves as it is; what it may be is judged by name now and by content when it is served.
func (p *titleProtector) sidecar(target address.Target) ([]string, error) {
	if err := p.admit(target.Path); err != nil {
		return nil, err
	}
	if !isSidecarName(target.Path.Ext()) {
		return nil, fmt.Errorf("%w by its name: want %s", errSidecar, strings.Join(slices.Sorted(maps.Keys(sidecarTypes)), " "))
	}
	return p.elements(address.Seal{Kind: address.SealSidecar}, target.Path), nil
}
