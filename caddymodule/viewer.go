package caddymodule

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/entitlement"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/rights"
	"github.com/caddy-drm/caddy-drm/token"
)

// identity is who asks, as far as it is known: after a decision with the claims that it rested on.
type identity struct {
	place    geo.Place
	claims   token.Claims
	request  token.Request // what the viewer was judged by
	playback [8]byte       // of the session that the request may start
	session  sessionState
	scope    *entitlement.Scope // what an entitlement backend was asked and said; nil without one
	// until and windowEnd are those of the decision, title the catalog's entry.
	until, windowEnd time.Time
	title            *rights.Title
}

// identifyViewer collects what the request says about its viewer, and believes nothing of it yet. Of a session in the
// address, access tokens and a session cookie the first that is present decides alone: a bad one is never rescued by a good
// one further down. The cookie comes last because browsers send it on their own. What becomes of a session in its last part
// is for the policy to say.
func (q *request) identifyViewer() (policy.Viewer, error) {
	viewer := policy.Viewer{Request: q.tokenRequest(), Agent: q.r.UserAgent(), BeginsNothing: q.beginsNothing()}
	if q.expandsPlaceholders() {
		viewer.Expand = q.expand
	}
	if (q.Geo != nil || len(q.geoDatabases) > 0 || q.countsRequests()) && q.r.TLS != nil && !q.r.TLS.HandshakeComplete {
		// Early data can be replayed from any address (RFC 8470, 5.2); the client sends it again after the handshake.
		return policy.Viewer{}, errTooEarly
	}
	if len(q.geoDatabases) > 0 {
		viewer.Place = q.lookupPlace(viewer.Request.Addr)
	}
	q.identity.place = viewer.Place
	if q.Token == nil || q.isPublic() {
		return viewer, nil
	}
	tokens, found, err := q.credentials()
	if err != nil {
		return policy.Viewer{}, err
	}
	viewer.Tokens, viewer.Found = tokens, found
	viewer.Session, err = q.presentedSession(len(tokens)+len(found) > 0)
	q.identity.session.presented = viewer.Session
	viewer.Playback = q.drawPlayback(viewer.Session)
	q.identity.playback = viewer.Playback
	return viewer, err
}

// tokenRequest is what tokens may be bound to. Without a demand for tokens the address is all that counts.
func (q *request) tokenRequest() token.Request {
	r := token.Request{Addr: clientAddr(q.r), Method: q.r.Method}
	if q.Token == nil {
		return r
	}
	r.Host, r.Header = hostName(q.r.Host), q.r.Header.Values
	r.Scheme, r.PublicPath, r.RawQuery = q.publicScheme(), q.publicPath(), q.queryWithoutTokens()
	if q.r.TLS != nil {
		r.ALPN = q.r.TLS.NegotiatedProtocol
	}
	if addr, ok := q.r.Context().Value(http.LocalAddrContextKey).(interface{ AddrPort() netip.AddrPort }); ok { // of TCP or UDP
		r.Port = addr.AddrPort().Port()
	}
	return r
}

// use is what a request of the kind wants, in the words of the policy.
func (k requestKind) use() policy.Use {
	switch k {
	case kindMedia:
		return policy.UseMedia
	case kindClearKey, kindRawKey, kindWidevine, kindPlayReady, kindFairPlay, kindCertificate:
		return policy.UseLicense
	case kindSidecar:
		return policy.UseSidecar
	default:
		return policy.UseManifest
	}
}

// headerTokens returns the tokens in a header. Authorization may hold credentials of other schemes, which are not ours.
func headerTokens(header http.Header, name string) []string {
	values := header.Values(name)
	if !strings.EqualFold(name, "Authorization") {
		return values
	}
	var tokens []string
	for _, value := range values {
		if scheme, credential, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.TrimSpace(credential))
		}
	}
	return tokens
}

// decideAccess asks the policy of the site about the clean path of the request.
func (q *request) decideAccess(viewer policy.Viewer) policy.Decision {
	decision := q.policy.Decide(q.entitlementScope(q.r.Context()), q.now(), q.policyAsset(), viewer)
	q.identity.request, q.license.subject, q.license.admitted = viewer.Request, decision.Claims.Subject, decision.Allowed
	q.identity.request.ASN = viewer.Place.ASN
	if decision.Allowed || q.observes() { // without a good token or session there are none
		q.identity.claims, q.identity.session.renewal = decision.Claims, decision.Renewal
		q.identity.keepRights(decision)
	}
	return decision
}

// policyAsset names what is asked for in the words of the policy.
func (q *request) policyAsset() policy.Asset {
	return policy.Asset{Name: string(q.asset()), Path: string(q.addr.Path), Use: q.kind.use(), Public: q.isPublic()}
}

// clientAddr returns the address that Caddy determined, which honors trusted_proxies. Forwarding headers are never read
// here.
func clientAddr(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if text == "" {
		text, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// hostName returns the host without its port, in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
