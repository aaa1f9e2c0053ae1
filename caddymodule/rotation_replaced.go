package caddymodule

import (
	"errors"
	"fmt"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// Live manifests of titles whose keys were replaced. What begins behind the re-key has the new keys, and what was there before keeps the older
// ones as long as they are given. That takes a manifest that can be divided by a clock that is about right; else all of it has the newest
// keys. Which of the two is decided once for a re-key: an encoder that stalls later, and lags, moves nothing.

// rekeyKept is how long it is kept from its last use on what was decided about a re-key, and where what follows it begins.
const rekeyKept = 30 * 24 * time.Hour

// divides decides whether the live manifests of a kind are divided where the keys of the title were replaced last, or finds what was decided
// before. possible says whether the one at hand can be.
func (p *titleProtector) divides(kind string, possible bool) bool {
	const divided, whole time.Duration = 0, 1
	decision := whole
	if possible {
		decision = divided
	}
	q := p.q
	id := q.state.digest.Digest("re-key", fmt.Sprintf("%q %q %q %d", q.viewers, p.asset, kind, p.replaced[len(p.replaced)-1]))
	decision, err := q.state.Cuts.Cut(q.r.Context(), id, decision, rekeyKept, true)
	if err != nil { // it is the viewer who leaves
		return possible
	}
	return decision == divided
}

// rewriteReplaced rewrites a live MPD with options to divide it where keys were replaced.
func (p *titleProtector) rewriteReplaced(clear []byte, options dash.Options) ([]byte, error) {
	ctx := p.q.r.Context()
	whole := options
	whole.Rotation.Replaced, whole.Rotation.Oldest, whole.Rotation.Generation = nil, 0, p.title.Generation
	mpd, err := dash.Rewrite(ctx, clear, options)
	if err != nil && !errors.As(err, new(*dash.SyntaxError)) {
		return nil, err
	}
	if divided := err == nil; !divided {
		if mpd, err = dash.Rewrite(ctx, clear, whole); err != nil {
			return nil, err
		}
		if !p.divides("dash", false) {
			return mpd, nil
		}
	} else if p.divides("dash", true) {
		return mpd, nil
	} else {
		return dash.Rewrite(ctx, clear, whole)
	}
	options.Rotation.Trusted = true
	before := options
	before.Rotation.Oldest = 0 // nothing new yet: nobody gets what is listed, but players find it where it was
	for _, o := range []dash.Options{options, before} {
		if divided, err := dash.Rewrite(ctx, clear, o); err == nil {
			return divided, nil
		}
	}
	return mpd, nil
}

// hlsRotation returns how a media playlist is divided.
func (p *titleProtector) hlsRotation(playlist []byte) hls.Rotation {
	rotation := hls.Rotation{Length: p.group.Rotate, Replaced: p.replaced, Oldest: p.listed}
	path := p.q.cacheKey(p.q.origin, address.Resource{Path: p.q.addr.Path})
	rotation.Anchor = func(dated hls.Anchor) hls.Anchor { return p.q.caches.anchors.of(path, dated) }
	if len(p.replaced) == 0 || !isLivePlaylist(playlist) {
		return rotation
	}
	p.licensed = p.oldest
	if !p.divides("hls", hls.Divides(playlist, rotation, p.q.now())) {
		rotation.Generation, rotation.Replaced, rotation.Oldest = p.title.Generation, nil, 0
	}
	return rotation
}

// gone is since when live manifests do not list any more what has older keys than theirs; zero if there are none.
func (p *titleProtector) gone() time.Time {
	if p.listed == 0 {
		return time.Time{}
	}
	return time.Unix(p.replaced[p.listed-1], 0).Add(p.q.app.manifestGrace())
}
