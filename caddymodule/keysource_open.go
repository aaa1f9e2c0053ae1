package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// openKeys is a source of content keys that is in use.
type openKeys struct {
	source  *keysource.Cached
	oneKey  bool   // audio and video of a title share a key
	fixed   bool   // a title has the same keys at all times
	derived bool   // a title has a key in whatever crypto period
	pool    string // by which source is given back to keyPool; empty: it is of this handler alone
}

// openKeys loads the module that raw of owner, the field KeysRaw, names, and puts the cache in front of it. Without raw keys are derived.
func (h *Handler) openKeys(ctx caddy.Context, owner any, raw json.RawMessage, scheme drm.ProtectionScheme) (openKeys, error) {
	var module KeySource = new(DerivedKeys)
	if raw != nil {
		loaded, err := ctx.LoadModule(owner, "KeysRaw")
		if err != nil {
			return openKeys{}, fmt.Errorf("keys: %w", err)
		}
		module, _ = loaded.(KeySource)
	}
	if module == nil {
		return openKeys{}, errors.New("keys: the module is no key source")
	}
	source, pool, err := h.poolKeys(module, scheme, func() (*keysource.Cached, error) { return h.cachedSource(module, scheme) })
	if err != nil {
		return openKeys{}, err
	}
	keys := openKeys{source: source, oneKey: !source.Split(), pool: pool}
	_, keys.fixed = module.(*StaticKeys)
	_, keys.derived = module.(*DerivedKeys)
	return keys, nil
}

// cachedSource opens a source and puts a cache in front of it.
func (h *Handler) cachedSource(module KeySource, scheme drm.ProtectionScheme) (*keysource.Cached, error) {
	source, err := module.Source(h.secret, scheme)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	cached, err := keysource.NewCached(source, time.Now, h.KeyCache.options())
	if err != nil {
		return nil, fmt.Errorf("key_cache: %w", err)
	}
	return cached, nil
}

// keysOf returns the source of the keys of a group's titles: its own, or that of the site.
func (h *Handler) keysOf(group string) openKeys {
	if keys, ok := h.groupKeys[group]; ok {
		return keys
	}
	return h.keys
}

// sourceOf is the source of keysOf.
func (h *Handler) sourceOf(group string) *keysource.Cached { return h.keysOf(group).source }

func (h *Handler) closeKeys() {
	h.keys.close()
	for _, keys := range h.groupKeys {
		keys.close()
	}
}

// close gives the source back, or closes it.
func (k openKeys) close() {
	switch {
	case k.source == nil: // it could not be opened
	case k.pool != "":
		_, _ = keyPool.Delete(k.pool) // Destruct returns no error
	default:
		k.source.Close()
	}
}
