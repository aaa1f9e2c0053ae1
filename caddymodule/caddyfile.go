package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/drm"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("drm", parseHandler)
	// Inside of encode, in front of everything that serves: clear bytes are protected before anybody compresses them.
	httpcaddyfile.RegisterDirectiveOrder("drm", httpcaddyfile.After, "encode")
}

func parseHandler(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile reads
//
//	drm [<matcher>] {
//		tenant          <name>
//		secret          {env.NAME}|{file./path}
//		scheme          auto|cenc|cbcs|aes-128
//		group           <name> [<path...>]
//		transport_stream aes-128|sample-aes
//		protected_input refuse|pass|replace
//		experimental    vvc
//		keys            derived|static … { … }
//		key_cache       <fresh> [<hard limit>]
//		license_server  clearkey {
//			url <template>
//		}
//		license_server  widevine|playready|fairplay <url...> { … }
//		license_url     widevine|playready|fairplay <template>
//		require_license [<wait>]
//		hls_key_formats identity clearkey
//		asset           <pattern...>
//		shared          <pattern...>
//		origin          <url...>
//		sidecar         <.ext...>
//		token           jwt|signed|cat|akamai|cloudfront|secure_link|flussonic|bunny { … }
//		entitlement     <url> { … }
//		token_from      query|header|cookie <name> | path [<name>]
//		session         path|query|cookie [<name>] [<extend>] { … }
//		geo             [<database...>] {
//			allow       <place or network...>
//			deny        <place or network...>
//			unknown     deny|allow [country] [subdivision] [continent] [asn] [network]
//			portability [eu|eea]
//			status      403|451
//			blocked_by  <url>
//		}
//		rights          <catalog>|{ … }
//		limit           requests <n> per <duration> [burst <n>] [by address|subject|device|<placeholder>]
//		limit           streams <n>|token by subject|device|title [idle <duration>] [reject_new|kick_oldest]
//		delivery        edge|behind_cdn { … }
//		mode            enforce|observe
//		cors            <origin...>
//		refusals        problem|handle_errors
//		max_segment_size  <size>
//		max_manifest_size <size>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	file, line := d.File(), d.Line()
	if d.NextArg() {
		return d.ArgErr()
	}
	if err := eachOption(d, h.options(d)); err != nil {
		return err
	}
	readPositions.remember(h, file, line)
	return nil
}

func (h *Handler) options(d *caddyfile.Dispenser) options {
	return options{
		"tenant":            func() error { return oneArg(d, &h.Tenant) },
		"secret":            func() error { return secretArg(d, &h.Secret) },
		"scheme":            func() error { return wordArg(d, &h.Scheme, schemeAuto, "cenc", "cbcs", "aes-128") },
		"group":             repeatable(func() error { return h.unmarshalSiteGroup(d) }),
		"transport_stream":  func() error { return wordArg(d, &h.TransportStream, transportAES128, transportSampleAES) },
		"protected_input":   func() error { return wordArg(d, &h.ProtectedInput, protectedRefuse, protectedPass, protectedReplace) },
		"experimental":      func() error { return someArgs(d, &h.Experimental) },
		"keys":              func() error { return h.unmarshalKeys(d) },
		"key_cache":         func() error { return h.unmarshalKeyCache(d) },
		"license_server":    repeatable(func() error { return h.unmarshalLicense(d) }),
		"license_url":       repeatable(func() error { return h.unmarshalLicenseURL(d) }),
		"require_license":   func() error { return h.unmarshalRequireLicense(d) },
		"hls_key_formats":   func() error { return someArgs(d, &h.HLSKeyFormats) },
		"asset":             func() error { return someArgs(d, &h.Assets) },
		"shared":            func() error { return someArgs(d, &h.Shared) },
		"origin":            func() error { return someArgs(d, &h.Origins) },
		"sidecar":           func() error { return someArgs(d, &h.Sidecars) },
		"token":             repeatable(func() error { return h.unmarshalToken(d) }),
		"entitlement":       func() error { return h.unmarshalEntitlement(d) },
		"token_from":        repeatable(func() error { return h.unmarshalTokenFrom(d) }),
		"session":           func() error { return h.unmarshalSession(d) },
		"geo":               func() error { return h.unmarshalGeo(d) },
		"rights":            func() error { return h.unmarshalRights(d) },
		"limit":             repeatable(func() error { return h.unmarshalLimits(d) }),
		"delivery":          func() error { return h.unmarshalDelivery(d) },
		"mode":              func() error { return wordArg(d, &h.Mode, modeEnforce, modeObserve) },
		"cors":              func() error { return someArgs(d, &h.CORSOrigins) },
		"refusals":          func() error { return wordArg(d, &h.Refusals, refusalsAsProblem, refusalsToErrorRoutes) },
		"max_segment_size":  func() error { return sizeArg(d, &h.MaxSegmentSize) },
		"max_manifest_size": func() error { return sizeArg(d, &h.MaxManifestSize) },
	}
}

func (h *Handler) unmarshalKeys(d *caddyfile.Dispenser) (err error) {
	h.KeysRaw, err = unmarshalGuest(d, "drm.key_sources.", "source")
	return err
}

func (h *Handler) unmarshalLicense(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	if h.License == nil {
		h.License = new(LicenseConfig)
	}
	word := d.Val()
	if word != drm.SystemClearKey.Word() {
		return h.License.unmarshalServer(d, word)
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	if h.License.ClearKey {
		return d.Err("license_server clearkey: given twice")
	}
	h.License.ClearKey = true
	return eachOption(d, options{"url": func() error { return oneArg(d, &h.License.URL) }})
}

func (h *Handler) token() *TokenConfig {
	if h.Token == nil {
		h.Token = new(TokenConfig)
	}
	return h.Token
}

// unmarshalToken reads one kind of token, while file and line of a mistake are known.
func (h *Handler) unmarshalToken(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	kind := d.Val()
	d.Prev()
	switch kinds := guestNames("drm.token_verifiers"); {
	case !slices.Contains(kinds, kind):
		return d.Errf("token %q: want one of %s", kind, strings.Join(kinds, ", "))
	case slices.ContainsFunc(h.token().VerifiersRaw, func(raw json.RawMessage) bool { return guestName(raw, "kind") == kind }):
		return d.Errf("token %s stands twice: a kind has one block, and may have several keys", kind)
	}
	raw, err := unmarshalGuest(d, "drm.token_verifiers.", "kind")
	if err != nil {
		return err
	}
	h.token().VerifiersRaw = append(h.token().VerifiersRaw, raw)
	return nil
}

func (h *Handler) unmarshalTokenFrom(d *caddyfile.Dispenser) error {
	args := append(d.RemainingArgs(), "")
	if len(args) != 3 && (len(args) != 2 || args[0] != tokenInPath) {
		return d.ArgErr()
	}
	if !isOneOf(args[0], tokenInQuery, tokenInHeader, tokenInCookie, tokenInPath) {
		return d.Errf("token_from %q: want query, header, cookie or path", args[0])
	}
	h.token().From = append(h.token().From, TokenPlace{In: args[0], Name: args[1]})
	return nil
}

// unmarshalGuest lets the module that the next argument names read the rest, and returns its JSON.
func unmarshalGuest(d *caddyfile.Dispenser, namespace, inlineKey string) (json.RawMessage, error) {
	if !d.NextArg() {
		return nil, d.ArgErr()
	}
	name := d.Val()
	module, err := caddyfile.UnmarshalModule(d, namespace+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(module, inlineKey, name, nil), nil
}

// guestNames are the modules of a namespace, in order.
func guestNames(namespace string) []string {
	var names []string
	for _, module := range caddy.GetModules(namespace) {
		names = append(names, module.ID.Name())
	}
	slices.Sort(names)
	return names
}

// guestName returns which module a JSON object is for.
func guestName(raw json.RawMessage, inlineKey string) string {
	var object map[string]json.RawMessage
	var name string
	if json.Unmarshal(raw, &object) != nil || json.Unmarshal(object[inlineKey], &name) != nil {
		return ""
	}
	return name
}

// secretArg refuses what is not a placeholder while file and line are still known.
func secretArg(d *caddyfile.Dispenser, into *string) error {
	if err := oneArg(d, into); err != nil {
		return err
	}
	// Caddy has already expanded {$NAME}, and what it left there stands in the configuration.
	if err := checkSecretPlaceholder(strings.TrimSpace(*into)); err != nil {
		return d.Err(err.Error())
	}
	return nil
}
