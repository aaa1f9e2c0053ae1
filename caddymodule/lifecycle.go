package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
}

// handlerCount names the handlers of this process.
var handlerCount atomic.Uint64

// Defaults of sizes.
const (
	defaultMaxSegment  = 64 << 20
	defaultMaxManifest = 16 << 20
)

// CaddyModule returns the module's registration.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.drm", New: func() caddy.Module { return new(Handler) }}
}

// Provision makes the handler ready: whatever can fail fails here or in Validate, and never on the first request.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.position = readPositions.of(h)
	app, err := ctx.App("drm")
	if err != nil {
		return err // of another block
	}
	h.app, _ = app.(*App)
	return h.inBlock(h.provision(ctx))
}

func (h *Handler) provision(ctx caddy.Context) (err error) {
	h.logger = ctx.Logger()
	h.licenseLogger = h.logger.Named("licenses")
	h.sites = make(map[string]*site)
	h.id = strconv.FormatUint(handlerCount.Add(1), 36)
	h.setDefaults()
	if h.state, err = h.app.useState(); err != nil {
		return err
	}
	for _, step := range []func(caddy.Context) error{
		h.resolveSecret, h.openKeySource, h.compilePatterns, h.compileGroups, h.compileDelivery, h.compileToken, h.compileEntitlement, h.compileGeo, h.compileRights, h.compileLimit, h.compileLicenseServers,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	h.warnIfObserving()
	return nil
}

func (h *Handler) setDefaults() {
	if h.Scheme == "" {
		h.Scheme = schemeAuto
	}
	h.parse.Protected = h.passesProtected()
	h.parse.VVC = isOneOf(experimentalVVC, h.Experimental...)
	if h.License == nil {
		h.License = new(LicenseConfig)
	}
	if h.MaxSegmentSize == 0 {
		h.MaxSegmentSize = defaultMaxSegment
	}
	if h.MaxManifestSize == 0 {
		h.MaxManifestSize = defaultMaxManifest
	}
}

func (h *Handler) resolveSecret(ctx caddy.Context) (err error) {
	if h.Secret == "" {
		h.secret, err = h.app.sharedSecret()
		return err
	}
	if h.secret, err = resolveSecret(h.Secret); err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	return nil
}

// KeySource is what the modules of the namespace drm.key_sources are.
type KeySource interface {
	// Source returns the source for one handler. secret is the deployment secret; scheme is zero if a handler uses both.
	Source(secret keysource.Secret, scheme drm.ProtectionScheme) (keysource.Source, error)
}

// openKeySource opens the source of content keys of the site, and those of groups that have one of their own.
func (h *Handler) openKeySource(ctx caddy.Context) (err error) {
	scheme, _ := drm.ParseProtectionScheme(h.Scheme) // zero for auto
	if h.keys, err = h.openKeys(ctx, h, h.KeysRaw, scheme); err != nil {
		return err
	}
	h.groupKeys = make(map[string]openKeys)
	for _, name := range sortedKeys(h.app.Groups) {
		c := h.app.Groups[name]
		if c.KeysRaw == nil {
			continue
		}
		of := scheme
		if group := h.app.groups[name]; group.Scheme.Valid() {
			of = group.Scheme
		}
		if h.groupKeys[name], err = h.openKeys(ctx, c, c.KeysRaw, of); err != nil {
			return fmt.Errorf("group %q: %w", name, err)
		}
	}
	return nil
}

func (h *Handler) compilePatterns(caddy.Context) (err error) {
	if h.assets, err = parsePathPatterns(h.Assets); err != nil {
		return fmt.Errorf("assets: %w", err)
	}
	if h.shared, err = parsePathPatterns(h.Shared); err != nil {
		return fmt.Errorf("shared: %w", err)
	}
	for _, text := range h.Origins {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || !strings.HasSuffix(u.Path, "/") {
			return errors.New("origins: want absolute http or https URLs that end in a slash, without credentials or query")
		}
		h.origins = append(h.origins, u)
	}
	if len(h.HLSKeyFormats) > 0 {
		if h.keyFormats, err = parseKeyFormatWords(h.HLSKeyFormats); err != nil {
			return fmt.Errorf("hls_key_formats: %w", err)
		}
	}
	return nil
}

// Validate finds what contradicts itself, so that `caddy validate` does, and names the setting.
func (h *Handler) Validate() error { return h.inBlock(h.validate()) }

func (h *Handler) validate() error {
	if err := h.clearKeyMistake(); err != nil {
		return err
	}
	checks := []struct {
		setting string
		bad     bool
		want    string
	}{
		{"scheme", !isOneOf(h.Scheme, schemeAuto, "cenc", "cbcs", "aes-128"), "auto, cenc, cbcs or aes-128"},
		{"transport_stream", !isOneOf(h.TransportStream, "", transportAES128, transportSampleAES), "aes-128 or sample-aes"},
		{"protected_input", !isOneOf(h.ProtectedInput, "", protectedRefuse, protectedPass, protectedReplace), "refuse, pass or replace"},
		{"mode", !isOneOf(h.Mode, "", modeEnforce, modeObserve), "enforce or observe"},
		{"refusals", !isOneOf(h.Refusals, "", refusalsAsProblem, refusalsToErrorRoutes), "problem or handle_errors"},
		{"max_segment_size", h.MaxSegmentSize < 0, "a positive size"},
		{"max_manifest_size", h.MaxManifestSize < 0, "a positive size"},
		{"geo.status", h.Geo != nil && h.Geo.Status != 0 && h.Geo.Status != 403 && h.Geo.Status != 451, "403 or 451"},
		{"geo.portability", h.Geo != nil && h.Geo.Portability != "" && h.Token == nil, "a token, which says where the viewer is at home"},
		{"geo.blocked_by", h.Geo != nil && h.Geo.BlockedBy != "" && !isHTTPURL(h.Geo.BlockedBy), "an absolute http or https URL"},
		{"limit.per", h.Limit != nil && h.Limit.Per < 0, "a positive duration"},
		{"token.session_extend", h.Token != nil && h.Token.SessionExtend < 0, "a positive duration"},
		{"token.session", h.Token != nil && !isOneOf(h.Token.Session, "", sessionInPath, sessionInQuery, sessionInCookie), "path, query or cookie"},
	}
	for _, check := range checks {
		if check.bad {
			return fmt.Errorf("%s: want %s", check.setting, check.want)
		}
	}
	for _, check := range []func() error{h.validateSession, h.validateDelivery, h.validateLicenseGate, h.rightsMistake} {
		if err := check(); err != nil {
			return err
		}
	}
	for _, word := range h.Experimental {
		if word != experimentalVVC {
			return fmt.Errorf("experimental: %q: want vvc", word)
		}
	}
	for _, ext := range h.Sidecars {
		if !mayBeListed(strings.ToLower(ext)) {
			return fmt.Errorf("sidecars: %q is not an extension of text or pictures that can be told from media", ext)
		}
	}
	for _, origin := range h.CORSOrigins {
		if u, err := url.Parse(origin); err != nil || !isHTTPURL(origin) || u.Path != "" {
			return fmt.Errorf("cors_origins: want origins such as https://play.example.com")
		}
	}
	return nil
}

func isOneOf(word string, words ...string) bool {
	for _, w := range words {
		if word == w {
			return true
		}
	}
	return false
}

// isHTTPURL also keeps out what could end a header or an attribute.
func isHTTPURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.ContainsAny(text, "<>\"' \r\n")
}

// Cleanup releases what Provision acquired, also when it failed half-way.
//
// A reload does not wait for the requests of the old configuration: Caddy calls Cleanup while they still run, and while
// connections that were just accepted are about to begin one. So what they need is closed once nobody has used the
// handler for a while.
func (h *Handler) Cleanup() error {
	if h.keys.source != nil || h.state != nil || h.Token != nil {
		go h.closeWhenIdle()
	}
	return nil
}

// A handler of an old configuration is idle after this many checks in a row without a request.
const (
	idleCheckInterval = 100 * time.Millisecond
	idleChecks        = 20
)

func (h *Handler) closeWhenIdle() {
	ticker := time.NewTicker(idleCheckInterval)
	defer ticker.Stop()
	served := h.served.Load()
	for quiet := 0; quiet < idleChecks; quiet++ {
		<-ticker.C
		if now := h.served.Load(); h.active.Load() > 0 || now != served {
			served, quiet = now, -1
		}
	}
	if h.keys.source != nil {
		h.closeKeys()
	}
	h.License.close()
	if h.Token != nil {
		h.Token.Entitlement.close()
		if h.Token.close != nil {
			h.Token.close()
		}
	}
	if h.state != nil {
		releaseState(h.app.stateKey)
	}
	for _, key := range h.limiterKeys {
		_, _ = limiterPool.Delete(key) // Destruct returns no error
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
