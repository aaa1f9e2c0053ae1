package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/state"
	"github.com/caddy-drm/caddy-drm/token"
)

// Labels of what is derived from the deployment secret. Each has one purpose, and the tenant is always the first field.
const (
	labelSeal    = "caddy-drm seal v1"
	labelIV      = "caddy-drm iv v1"
	labelSession = "caddy-drm session v1"
	labelAudit   = "caddy-drm license audit v1"
)

// maxSites bounds the tenants that one handler keeps at hand. Without a configured tenant the Host header names it.
const maxSites = 1024

// maxHost is as long as a host with its port gets (RFC 1035, 2.3.4), with room to spare. Tenants stand in keys of caches and tables.
const maxHost = 280

// site is what belongs to one tenant: nothing in it works for another.
type site struct {
	tenant   string
	viewers  string     // what is counted of viewers and taken back from them is kept under this name, which is that of the tenant if it has one
	called   state.Site // by which revocations and re-keys may mean it
	handler  string     // whose site this is; blocks of one tenant may have other origins
	sealer   *address.Sealer
	sessions *token.SessionKey // nil without token
	policy   policy.Policy
	ivSecret [32]byte
	caches   *caches
	parse    segcrypt.ParseOptions
	// pseudonyms stand for viewers in audits, and for vendors of licenses.
	pseudonyms *state.Digester
}

// siteFor returns the site of a request: that of the configured tenant, or of the address that players see, which is the
// host and the path prefix that a handler such as handle_path took off. Two blocks with other rules but the same paths
// inside of them are two sites.
func (h *Handler) siteFor(r *http.Request) *site {
	tenant, viewers := h.Tenant, h.Tenant
	if tenant == "" {
		tenant, viewers = publicPlace(r), viewersAt(r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.sites[tenant]; ok {
		return s
	}
	if len(h.sites) >= maxSites {
		clear(h.sites) // made-up hosts; the real ones come back in a few microseconds each
	}
	s := h.newSite(tenant, viewers)
	h.sites[tenant] = s
	return s
}

func (h *Handler) newSite(tenant, viewers string) *site {
	s := &site{
		tenant:   tenant,
		viewers:  viewers,
		called:   h.names(tenant, viewers),
		handler:  h.id,
		sealer:   address.NewSealer(h.secret.Derive(labelSeal, tenant)),
		ivSecret: h.secret.Derive(labelIV, tenant),
		caches:   h.app.caches,
		parse:    h.parse,

		pseudonyms: state.NewDigester(h.secret.Derive(labelAudit, viewers)),
	}
	if h.Token != nil {
		// Two blocks of one tenant that trust other issuers do not open each other's sessions.
		key := h.secret.Derive(labelSession, tenant, h.Token.trust)
		sessions, err := token.NewSessionKey(key[:], token.SessionConfig{
			Extend: h.Token.sessionExtend(), ParseConditions: parseConditions, Opened: h.app.caches.sessions,
		})
		if err != nil {
			panic(err) // 32 derived bytes and a duration that Validate accepted
		}
		s.sessions = sessions
		s.policy.Tokens = policy.Tokens{
			Verifier: h.Token.verifier, Sessions: sessions, Replay: tenantReplay{h.app.ReplayFor(), viewers}, Renew: h.Token.sessionRenew(),
		}
		if h.Token.Entitlement != nil {
			s.policy.Tokens.Leases = leases{h.Token.Entitlement.leases, viewers}
		}
		s.policy.Binding = h.Token.SessionBinding.policy(h.secret.Derive(labelBinding, tenant))
	}
	s.policy.Geo, s.policy.Rights = h.geoRule, h.rights
	for _, limit := range h.limits {
		limit.Tenant = viewers
		s.policy.Limits = append(s.policy.Limits, limit)
	}
	h.judgeByState(s)
	return s
}

// keyDigest tells keys of one track apart in seals, so that a key that a key list replaced never stands behind an old URL.
func (s *site) keyDigest(key drm.ContentKey) (digest [8]byte) {
	kid, secret := key.KID(), key.Secret()
	mac := hmac.New(sha256.New, s.ivSecret[:])
	mac.Write([]byte("caddy-drm key digest v1"))
	mac.Write(kid[:])
	mac.Write(secret[:])
	copy(digest[:], mac.Sum(nil))
	return digest
}

// publicPlace names the host and the prefix at which players see the site.
func publicPlace(r *http.Request) string { return tenantOfHost(r) + tenantOfPrefix(r) }

// tenantOfPrefix normalizes the prefix as Caddy compares it: decoded, and in lower case.
func tenantOfPrefix(r *http.Request) string {
	prefix := publicPrefix(r)
	if decoded, err := url.PathUnescape(prefix); err == nil {
		prefix = decoded
	}
	return strings.ToLower(prefix)
}

// viewersAt names those who watch at a site. Caddy finds sites by the host without its port, which is what the client says it is: with
// another port a viewer has other keys, and must not have other counts.
func viewersAt(r *http.Request) string {
	host := strings.Trim(hostName(r.Host), "[]")
	if host == "" || len(host) > maxHost {
		return publicPlace(r)
	}
	return host + tenantOfPrefix(r)
}

// names lists those of a site: if nobody has named it, it is also meant by its host without the port.
func (h *Handler) names(tenant, viewers string) state.Site {
	s := state.Site{Names: []string{tenant}, ByAddress: h.Tenant == ""}
	if viewers != tenant {
		s.Names = []string{viewers, tenant}
	}
	return s
}

// tenantOfHost normalizes the requested host: lower case, no trailing dot, no default port.
func tenantOfHost(r *http.Request) string {
	host := strings.ToLower(r.Host)
	if name, port, err := net.SplitHostPort(host); err == nil && (port == "80" && r.TLS == nil || port == "443" && r.TLS != nil) {
		host = name
	}
	if host = strings.TrimSuffix(host, "."); host == "" || len(host) > maxHost {
		return "host-unknown" // HTTP/1.0 without a Host, or what is none: a tenant of its own, never that of a real host
	}
	return host
}
