package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/keysource"
	"github.com/caddy-drm/caddy-drm/manifest/hls"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// Handler protects the clear media that the handlers behind it serve.
//
// It rewrites DASH and HLS manifests, encrypts the segments that they name, and answers license requests. Inside of it
// everything is denied that is not a manifest, a URL that a manifest of ours named, or a listed sidecar: clear media
// never passes. The order token, geo, rights, limits, protection is fixed.
//
// Refusals carry a stable reason in a `Drm-Reason` header, in a problem+json body and in `{http.drm.deny_reason}`, with
// status 401 (token), 403 (scope, country, network, rights), 404 (not ours), 429 (limit) or 451 (country, network, if so configured);
// 502 and 503 report an origin or a key source that gave nothing that can be protected.
//
// Placeholders set: `{http.drm.tenant}`, `{http.drm.asset}`, `{http.drm.subject}`, `{http.drm.playback}`, `{http.drm.country}`,
// `{http.drm.geo.*}`,
// `{http.drm.deny_reason}`. Metrics: see `caddy_drm_*` in docs/operations.md.
type Handler struct {
	// Tenant separates sites that share a secret: no key, seal, license or session of one tenant works on another.
	// Default: the address that players see: the host, with its port if that is not the default one, and the path prefix
	// that handle_path took off.
	Tenant string `json:"tenant,omitempty"`
	// Secret is the deployment secret for this site, as in the app's setting, which it replaces.
	Secret string `json:"secret,omitempty"`
	// Scheme is `cenc`, `cbcs` or `auto` (default): what the query `drm` asks for, else cbcs for Apple's clients and cenc
	// for all others. `aes-128` encrypts the whole segments of HLS, with keys that players get in clear; MPDs are refused.
	Scheme string `json:"scheme,omitempty"`
	// Group is the DRM group of the site, by its name in the app. Default: temporary licenses of ClearKey, level low.
	Group string `json:"group,omitempty"`
	// Groups are other groups for some paths; the first that matches counts.
	Groups []GroupPaths `json:"groups,omitempty"`
	// TransportStream says how HLS segments without init segment are encrypted, transport streams and packed audio, under
	// the schemes of Common Encryption, which are not for them: whole with `aes-128` (default), which all players know, or
	// by frames with `sample-aes`.
	TransportStream string `json:"transport_stream,omitempty"`
	// ProtectedInput is what happens to media that the origin has protected already: `refuse` (default), or `pass`, as it is and
	// with the origin's signals. Segments are looked at and refused if they are clear. `replace` is for media that is clear although
	// manifests still have signals of protection: ours take their place.
	ProtectedInput string `json:"protected_input,omitempty"`
	// Experimental switches on what players do not agree on yet: `vvc`.
	Experimental []string `json:"experimental,omitempty"`
	// KeysRaw is the source of content keys. Default: derived from the secret, one key per title.
	KeysRaw json.RawMessage `json:"keys,omitempty" caddy:"namespace=drm.key_sources inline_key=source"`
	// KeyCache says how long keys of a source are kept. Default: asked for again after an hour, used for a day while the source is out.
	KeyCache *KeyCacheConfig `json:"key_cache,omitempty"`
	// Assets are patterns of directories whose content shares keys and rights, for instance `/vod/*`. An asterisk stands
	// for one path element. Default: the directory of the manifest that the player asked for.
	Assets []string `json:"assets,omitempty"`
	// Shared are patterns of paths outside of an asset that its manifests may refer to, for instance `/audio/*`.
	Shared []string `json:"shared,omitempty"`
	// Origins are absolute URLs that mean this site when they stand in a manifest, each ending in a slash.
	Origins []string `json:"origins,omitempty"`
	// Sidecars are extensions, with their dot, of resources served as they are if they hold text or a picture.
	Sidecars []string `json:"sidecars,omitempty"`
	// HLSKeyFormats are the key formats of HLS playlists: `identity` and `clearkey`. Default: both for cenc, clearkey for
	// cbcs, where players stumble over the other one. The query `keyformat` overrides it.
	HLSKeyFormats []string `json:"hls_key_formats,omitempty"`
	// License configures the license endpoints.
	License *LicenseConfig `json:"license,omitempty"`
	// RequireLicense gives segments only to sessions that hold a license for their key. Default: whoever may watch gets them.
	RequireLicense *RequireLicenseConfig `json:"require_license,omitempty"`
	// Token demands an access token.
	Token *TokenConfig `json:"token,omitempty"`
	// Geo allows or denies countries, networks and addresses.
	Geo *GeoConfig `json:"geo,omitempty"`
	// Rights says which titles may be shown when, where and to whom.
	Rights *RightsConfig `json:"rights,omitempty"`
	// Limit bounds the rate of requests of one viewer, and RequestLimits do so by other measures beside it.
	Limit         *LimitConfig  `json:"limit,omitempty"`
	RequestLimits []LimitConfig `json:"request_limits,omitempty"`
	// StreamLimits bound how many streams are watched at the same time.
	StreamLimits []StreamLimitConfig `json:"stream_limits,omitempty"`
	// Delivery says whether a shared cache in front may keep encrypted media. Default: no.
	Delivery *DeliveryConfig `json:"delivery,omitempty"`
	// Mode is `enforce` (default) or `observe`: tokens, countries, rights and limits are judged and logged, and refuse nobody. Media
	// is encrypted and addresses are sealed in both.
	Mode string `json:"mode,omitempty"`
	// CORSOrigins are the web origins whose pages may use the site. Default: all, without credentials.
	CORSOrigins []string `json:"cors_origins,omitempty"`
	// Refusals is `problem` (default) for a problem+json body of ours, or `handle_errors` for the site's error routes. Caddy
	// runs those with the path that was requested: with a file_server or a reverse_proxy among them they would hand out
	// the clear media that was just refused. Use respond or templates there, and nothing that reads the origin.
	Refusals string `json:"refusals,omitempty"`
	// MaxSegmentSize bounds a clear segment in bytes. Default 64 MiB.
	MaxSegmentSize int64 `json:"max_segment_size,omitempty"`
	// MaxManifestSize bounds a manifest in bytes. Default 16 MiB.
	MaxManifestSize int64 `json:"max_manifest_size,omitempty"`

	position   string // of the block in a Caddyfile, if this process has read it there
	app        *App
	secret     keysource.Secret
	keys       openKeys            // of the site
	groupKeys  map[string]openKeys // of groups that have a source of their own
	id         string              // tells caches of this handler from those of others
	keyFormats hls.KeyFormats
	parse      segcrypt.ParseOptions
	origins    []*url.URL
	assets     []pathPattern
	shared     []pathPattern
	groups     siteGroups
	rights     policy.Rights
	limits     []policy.Limits
	state      *SharedState
	logger     *zap.Logger
	strangers  strangerRecords
	issued     issuedLicenses
	// licenseLogger writes the records of licenses.
	licenseLogger *zap.Logger
	told          firstTime // titles whose operator was told that they have one key
	oneKey        firstTime // live manifests that cannot be divided

	geoDatabases geo.Databases
	geoRule      geo.Rule

	active atomic.Int64  // requests at this moment
	served atomic.Uint64 // requests ever

	limiterKeys []string // what Cleanup gives back

	mu    sync.Mutex
	sites map[string]*site
}

// LicenseConfig configures the license endpoints.
type LicenseConfig struct {
	// ClearKey serves W3C ClearKey licenses and HLS identity keys. It hands keys to whoever may watch, in clear: use it
	// for tests and for content of low value.
	ClearKey bool `json:"clearkey,omitempty"`
	// URL is the template of license URLs in manifests. Placeholders expand per request; `{http.drm.license_path}` is the
	// path, with session and seal. Default: scheme, host and path prefix of the request, then that path.
	URL string `json:"url,omitempty"`
	// URLs are the templates of the license URLs of `widevine` and `playready` in manifests, and that of the skd:// URIs of `fairplay`.
	// The first two take Caddy's placeholders, and have to be the same throughout a session; the last takes {kid}, {asset}, {group}
	// and {iv}. Default: none, and `skd://{kid}`.
	URLs map[string]string `json:"urls,omitempty"`
	// Servers are the license servers of `widevine`, `playready` and `fairplay` that requests are handed on to once they are allowed.
	// Manifests then name addresses of ours, unless URLs has one for the system.
	Servers map[string]*LicenseServerConfig `json:"servers,omitempty"`

	skd     drm.SKDTemplate
	servers map[drm.SystemID]*licenseServer
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.active.Add(1)
	h.served.Add(1)
	defer h.active.Add(-1)
	r, element := h.takeElement(r)
	q := &request{Handler: h, site: h.siteFor(r), element: element, r: r, w: w, origin: origin{client: r, next: next}}
	q.setPlaceholders()
	q.allowCORS()
	if r.Method == http.MethodOptions {
		return q.answerPreflight()
	}
	if err := q.classify(); err != nil {
		return q.fail(err)
	}
	viewer, err := q.identifyViewer()
	if err == nil {
		err = q.checkPull()
	}
	switch {
	case err == nil:
	case q.observes():
		q.observeFailure(err)
	default:
		return q.fail(err)
	}
	decision := q.decideAccess(viewer)
	switch {
	case decision.Allowed:
	case q.observes():
		q.observeDecision(decision)
	default:
		return q.refuse(decision)
	}
	if decision.Allowed && err == nil { // a site that only observes extends the tokens of nobody whom it would refuse
		if answered, err := q.renewToken(); answered || err != nil {
			return q.failIf(err)
		}
	}
	serve := q.serve
	if element != "" {
		serve = q.leaveElement
	}
	if err := serve(); err != nil {
		return q.fail(err)
	}
	return nil
}

// request is one request on its way through the handler.
type request struct {
	*Handler
	*site
	r      *http.Request
	w      http.ResponseWriter
	origin origin

	element  string // of the path, that holds a credential and is no longer in r
	kind     requestKind
	addr     address.Address
	seal     address.Seal // of a sealed playlist, media segment, sidecar or license
	identity identity     // who asks, once identifyViewer is done
	// ungranted are the licenses of which a segment needs one that is not of the clear lead; nil once it is settled.
	ungranted [][16]byte
	reason    string       // why the request was refused, for the placeholder
	license   licenseState // of a license request
}

// serve answers a request that is allowed.
func (q *request) serve() error {
	switch q.kind {
	case kindMPD:
		return q.serveMPD()
	case kindPlaylist:
		return q.servePlaylist()
	case kindMedia:
		return q.serveMedia()
	case kindSidecar:
		return q.serveSidecar()
	case kindClearKey:
		return q.serveClearKeyLicense()
	case kindRawKey:
		return q.serveRawKey()
	case kindWidevine, kindPlayReady, kindFairPlay:
		return q.serveProxiedLicense()
	case kindCertificate:
		return q.serveCertificate()
	case kindPlayerConfig:
		return q.servePlayerConfig()
	default:
		return errNotOurs
	}
}

// setPlaceholders makes what is known of the request visible to other handlers and to log formats, as it becomes known.
func (q *request) setPlaceholders() {
	repl, ok := q.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	repl.Map(func(key string) (any, bool) {
		switch key {
		case "http.drm.tenant":
			return q.tenant, true
		case "http.drm.asset":
			return string(q.asset()), true
		case "http.drm.subject":
			return q.identity.claims.Subject, true
		case "http.drm.playback":
			return playbackOf(q.identity.claims), true
		case "http.drm.country":
			return q.identity.place.Country.String(), true
		case "http.drm.deny_reason":
			return q.reason, true
		default:
			return geoPlaceholder(&q.identity.place, key)
		}
	})
}
