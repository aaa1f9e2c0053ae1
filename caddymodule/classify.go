package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
)

// requestKind is what a request asks for.
type requestKind uint8

const (
	kindUnknown requestKind = iota
	kindMPD
	kindPlaylist
	kindMedia
	kindSidecar
	kindClearKey
	kindRawKey
	kindWidevine
	kindPlayReady
	kindFairPlay
	kindCertificate
	kindPlayerConfig
	kindCount
)

// String returns the word that metrics use.
func (k requestKind) String() string {
	switch k {
	case kindMPD, kindPlaylist:
		return "manifest"
	case kindMedia:
		return "media"
	case kindSidecar:
		return "sidecar"
	case kindClearKey, kindWidevine, kindPlayReady, kindFairPlay:
		return "license"
	case kindRawKey:
		return "key"
	case kindCertificate:
		return "certificate"
	case kindPlayerConfig:
		return "player_config"
	default:
		return "unknown"
	}
}

// Endpoints below address.EndpointElement.
const (
	endpointClearKey = "clearkey" // POST clearkey/<seal>
	endpointRawKey   = "key"      // GET key/<seal>/<KID in hex>

	endpointWidevine    = "widevine"  // POST widevine/<seal>
	endpointPlayReady   = "playready" // POST playready/<seal>
	endpointFairPlay    = "fairplay"  // POST fairplay/<seal>
	endpointCertificate = "cert"      // GET fairplay/cert/<seal>
	endpointConfig      = "config"    // GET config/<group>.json
)

// proxied are the license endpoints that other servers answer.
var proxied = map[string]requestKind{endpointWidevine: kindWidevine, endpointPlayReady: kindPlayReady, endpointFairPlay: kindFairPlay}

// isProxied reports whether an endpoint is one of them, or belongs to it.
func isProxied(endpoint []string) bool { return len(endpoint) > 0 && proxied[endpoint[0]] != 0 }

// asksLicense reports whether requests of the kind are posted to a license server.
func (k requestKind) asksLicense() bool {
	return k == kindClearKey || k == kindWidevine || k == kindPlayReady || k == kindFairPlay
}

// classify finds out what the request asks for from its clean path and its seal alone. Whatever is not recognized is
// errNotOurs: a path that looks like media and has no seal is refused exactly like one that does not exist.
func (q *request) classify() error {
	addr, err := address.Parse(q.r.URL.EscapedPath())
	if err != nil || isRespelled(q.r) {
		return errNotOurs
	}
	q.addr = addr
	if addr.Session != "" && !q.sessionsInPath() {
		return errNotOurs // nobody would open it, and it hides the path from matchers in front of us
	}
	switch {
	case addr.Endpoint != nil:
		err = q.classifyEndpoint()
	case addr.Seal != "":
		err = q.classifySealed()
	default:
		err = q.classifyUnsealed()
	}
	if err != nil {
		return err
	}
	if err := q.checkElement(); err != nil {
		return err
	}
	if !addr.InPlace(q.asset()) {
		return errNotOurs
	}
	return q.checkMethod()
}

func (q *request) classifyEndpoint() error {
	rest := q.addr.Endpoint
	switch {
	case len(rest) == 2 && rest[0] == endpointClearKey:
		q.kind = kindClearKey
	case len(rest) == 3 && rest[0] == endpointRawKey:
		q.kind = kindRawKey
	case len(rest) == 2 && proxied[rest[0]] != 0:
		q.kind = proxied[rest[0]]
	case len(rest) == 3 && rest[0] == endpointFairPlay && rest[1] == endpointCertificate:
		q.kind = kindCertificate
		return q.openSeal(rest[2], address.SealLicense)
	case len(rest) == 2 && rest[0] == endpointConfig:
		q.kind = kindPlayerConfig
		return nil // it names what a manifest would name, and is judged like one
	default:
		return errNotOurs
	}
	return q.openSeal(rest[1], address.SealLicense)
}

// classifySealed tells a playlist from media by its extension, which the seal then has to confirm.
func (q *request) classifySealed() error {
	if kind := manifestKind(q.addr.Path); kind == kindPlaylist {
		q.kind = kind
		return q.openSeal(q.addr.Seal, address.SealPlaylist)
	}
	if q.openSeal(q.addr.Seal, address.SealMedia) == nil {
		q.kind = kindMedia
		return nil
	}
	q.kind = kindSidecar
	return q.openSeal(q.addr.Seal, address.SealSidecar)
}

func (q *request) classifyUnsealed() error {
	if q.kind = manifestKind(q.addr.Path); q.kind != kindUnknown {
		return nil
	}
	ext := q.addr.Path.Ext()
	for _, listed := range q.Sidecars {
		if ext != "" && strings.EqualFold(ext, listed) {
			q.kind = kindSidecar
			return nil
		}
	}
	return errNotOurs
}

func (q *request) openSeal(text string, kind address.SealKind) error {
	seal, err := q.sealer.Open(text, kind, q.addr.Path)
	if err != nil || q.isReplaced(seal) {
		return errNotOurs
	}
	if _, known := q.app.groups[seal.Group]; !known && seal.Group != "" {
		return errNotOurs
	}
	switch {
	case seal.Passes:
		if !q.passesProtected() || seal.Scheme != 0 || seal.Init == "" {
			return errNotOurs
		}
	case !seal.Scheme.Valid() && kind != address.SealSidecar:
		return errNotOurs
	}
	q.seal = seal
	return nil
}

// checkMethod lets GET and HEAD through, and POST to license endpoints.
func (q *request) checkMethod() error {
	switch {
	case q.kind.asksLicense() && q.r.Method == http.MethodPost:
		return nil
	case !q.kind.asksLicense() && (q.r.Method == http.MethodGet || q.r.Method == http.MethodHead):
		return nil
	default:
		return errMethod
	}
}

// manifestKind tells a manifest by the extension of its clean path. Case does not matter, so that an origin on a file
// system that ignores it hands out no other spelling.
func manifestKind(p address.Path) requestKind {
	switch p.Ext() {
	case ".mpd":
		return kindMPD
	case ".m3u8", ".m3u":
		return kindPlaylist
	default:
		return kindUnknown
	}
}

// asset returns the directory whose content shares keys and rights with what is asked for.
func (q *request) asset() address.Path {
	if q.seal.Asset != "" {
		return q.seal.Asset
	}
	return q.assetOf(q.addr.Path)
}

// assetOf returns the asset of a manifest.
func (h *Handler) assetOf(p address.Path) address.Path {
	for _, pattern := range h.assets {
		if asset, ok := pattern.directory(p); ok {
			return asset
		}
	}
	return p.Dir()
}

// inAsset reports whether a manifest of asset may refer to p: what lies below it, and what is shared.
func (h *Handler) inAsset(asset, p address.Path) bool {
	if p.Under(asset) {
		return true
	}
	for _, pattern := range h.shared {
		if pattern.matches(p) {
			return true
		}
	}
	return false
}

// chooseScheme is the one place that decides the scheme of a manifest: the seal of a child playlist, the group or the site,
// what the player asked for, and last what kind of client it is.
func (q *request) chooseScheme(group drm.Group) (drm.ProtectionScheme, error) {
	if q.seal.Scheme.Valid() {
		return q.seal.Scheme, nil
	}
	if group.Scheme.Valid() {
		return group.Scheme, nil
	}
	if asked := q.r.URL.Query().Get(querySchemeName); asked != "" {
		scheme, err := drm.ParseProtectionScheme(asked)
		if err != nil || !scheme.Common() { // whoever has keys of a DRM system must not have them handed out in clear
			return 0, errQuery
		}
		return scheme, nil
	}
	if isAppleClient(q.r.UserAgent()) {
		return drm.SchemeCbcs, nil
	}
	return drm.SchemeCenc, nil
}

// isAppleClient knows AVFoundation players by the names that they send, and Safari by what only Safari sends.
func isAppleClient(userAgent string) bool {
	if strings.Contains(userAgent, "AppleCoreMedia") || strings.HasPrefix(userAgent, "AppleTV") {
		return true
	}
	return strings.Contains(userAgent, "Version/") && strings.Contains(userAgent, "Safari/") &&
		!strings.Contains(userAgent, "Chrome/") && !strings.Contains(userAgent, "Android")
}
