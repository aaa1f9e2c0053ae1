package caddymodule

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/manifest/dash"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
)

// Live channels under cenc whose group says nothing of rotation. Their keys change every drm.LiveCryptoPeriod, as keys that rotate do. What
// nobody asked for may keep nobody from playing: where it cannot be done, a channel has one key, and its operator is told.

// headerNotice tells of a manifest what an operator should know, and no player needs.
const (
	headerNotice = "Drm-Notice"
	noticeOneKey = "one_key"
)

// Why a live channel under cenc has one key.
var (
	errKeptLicenses = errors.New("licenses of its group are persistent")
	errUndivided    = errors.New("its manifest could not be divided before")
	errAskedSource  = errors.New("its keys are not derived, and a key server is asked for crypto periods only where the group says rotate")
)

// liveRotation returns how long a key of a live title of a group encrypts on this site. Only derived keys are there for whatever crypto
// period: a key server may refuse one that it was not set up for, or charge for it.
func (h *Handler) liveRotation(group drm.Group, scheme drm.ProtectionScheme) time.Duration {
	if !h.keysOf(group.Name).derived {
		return group.Rotate
	}
	return group.LiveRotation(scheme)
}

// withLiveRotation rewrites a manifest with the rotation that a live title has. isLive is asked only if it matters.
func (p *titleProtector) withLiveRotation(isLive func() bool, rewrite func(p *titleProtector) ([]byte, error)) ([]byte, error) {
	if p.group.Rotate > 0 || p.title.Scheme != drm.SchemeCenc || !isLive() {
		return rewrite(p)
	}
	manifestOf := p.q.tenant + "\x00" + string(p.q.addr.Path)
	if p.q.oneKey.has(manifestOf) {
		return p.withOneKey(errUndivided, rewrite)
	}
	rotating := *p
	switch rotating.group.Rotate = p.q.liveRotation(p.group, p.title.Scheme); {
	case rotating.group.Rotate > 0:
	case p.group.License.Persistent:
		return p.withOneKey(errKeptLicenses, rewrite)
	default:
		return p.withOneKey(errAskedSource, rewrite)
	}
	rotating.implied = true
	manifest, err := rewrite(&rotating)
	var inMPD *dash.SyntaxError
	var inPlaylist *hls.SyntaxError
	if !errors.As(err, &inMPD) && !errors.As(err, &inPlaylist) {
		return manifest, err
	}
	why := err
	if manifest, err = p.withOneKey(why, rewrite); err == nil && (errors.Is(why, dash.ErrUnsupported) || errors.Is(why, hls.ErrUnsupported)) {
		p.q.oneKey.first(manifestOf) // its form stands in the way, and may do so at the end of a week alone
	}
	return manifest, err
}

// withOneKey rewrites the manifest of a live title whose key never changes, and tells the operator why. What keeps it from being rewritten
// at all is nothing that rotation is to blame for.
func (p *titleProtector) withOneKey(why error, rewrite func(p *titleProtector) ([]byte, error)) ([]byte, error) {
	manifest, err := rewrite(p)
	if err != nil {
		return nil, err
	}
	p.oneKey = true
	if p.q.told.first(p.q.tenant + "\x00" + string(p.asset)) {
		p.q.logger.Warn("a live channel under cenc has one key for all time, under which IVs will meet: want rotate in its DRM group, or scheme cbcs",
			zap.String("tenant", p.q.tenant), zap.String("asset", string(p.asset)), zap.String("group", p.group.Name), zap.Error(why))
	}
	return manifest, nil
}

// isLiveHere reports whether an MPD is a live one of media that is encrypted here.
func (q *request) isLiveHere(mpd []byte) bool {
	return isLiveMPD(mpd) && (!q.passesProtected() || !bytes.Contains(mpd, []byte("ContentProtection")))
}

// isLiveCMAF reports whether a playlist is a live one of fragmented MP4: transport streams are never under cenc. An event, none of whose segments
// leave, ends long before IVs meet; and with its end it would get the key of a title on demand, which hls.js takes for an error.
func isLiveCMAF(info hls.Info) bool { return info.Live && info.Mapped && !info.Event }

// listsLiveCMAF reports whether isLiveCMAF holds for a playlist, or for the first of those that it lists.
func (p *titleProtector) listsLiveCMAF(playlist []byte) bool {
	info, err := hls.Inspect(playlist)
	if err != nil || info.Kind == hls.KindMedia {
		return err == nil && isLiveCMAF(info)
	}
	if !p.announcesSessionKeys() {
		return false
	}
	// EXT-X-SESSION-KEY would announce a key that no media playlist names, so that what cannot be seen is taken for live.
	target, err := address.NewBase(p.q.addr.Path, p.q.ownOrigins()).Resolve(info.Variant)
	if err != nil || p.admit(target.Path) != nil {
		return true
	}
	clear, err := p.q.origin.fetch(address.Resource{Path: target.Path}, fetchOptions{query: target.RawQuery, limit: p.q.MaxManifestSize})
	if err != nil {
		return true
	}
	defer clear.release()
	child, err := hls.Inspect(clear.body)
	return err != nil || isLiveCMAF(child)
}

// sealedGroup is the group that the seal of the request names, with the rotation of a live title whose group says nothing of it.
func (q *request) sealedGroup() drm.Group {
	group, _ := q.groupNamed(q.seal.Group)
	seal := q.seal
	return inPeriods(group, seal.Scheme, seal.Period > 0 || seal.Clock.Length > 0 || seal.Window.Rotate > 0)
}

// inPeriods is a group as it is where keys of a scheme rotate, if they do.
func inPeriods(group drm.Group, scheme drm.ProtectionScheme, rotates bool) drm.Group {
	if rotates && group.Rotate == 0 && scheme == drm.SchemeCenc {
		group.Rotate = drm.LiveCryptoPeriod
	}
	return group
}

// rotates reports whether the key of a track is said to be of a crypto period. Where nobody asked for rotation, period 0 is that of titles on
// demand, and of channels whose clock has just begun; both have the same key.
func (t keyedTrack) rotates() bool {
	return t.p.group.Rotate > 0 && (t.title.Period > 0 || !t.p.implied)
}

// has reports whether first was called with what before.
func (f *firstTime) has(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told[what]
}

// firstTime remembers what has been told. It forgets all when that is too much.
type firstTime struct {
	mu   sync.Mutex
	told map[string]bool
}

// maxTold bounds what a firstTime remembers.
const maxTold = 4096

// first reports whether it was not called with what before.
func (f *firstTime) first(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told[what] {
		return false
	}
	if f.told == nil || len(f.told) >= maxTold {
		f.told = make(map[string]bool)
	}
	f.told[what] = true
	return true
}
