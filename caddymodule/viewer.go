package caddymodule

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/entitlement"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/token"
)

// identity is who asks, as far as it is known: after a decision with the claims that it rested on.
type identity struct {
	country geo.Country
	claims  token.Claims
	request token.Request // what the viewer was judged by
	session sessionState
	scope   *entitlement.Scope // what an entitlement backend was asked and said; nil without one
	until   time.Time          // when the first thing ends that the decision rests on; zero: none does
}

// identifyViewer collects what the request says about its viewer, and believes nothing of it yet. Of a session in the
// address, access tokens and a session cookie the first that is present decides alone: a bad one is never rescued by a good
// one further down. The cookie comes last because browsers send it on their own. What becomes of a session in its last part
// is for the policy to say.
func (q *request) identifyViewer() (policy.Viewer, error) {
	viewer := policy.Viewer{Request: q.tokenRequest()}
	if (q.Geo != nil || q.Limit != nil) && q.r.TLS != nil && !q.r.TLS.HandshakeComplete {
		// Early data can be replayed from any address (RFC 8470, 5.2); the client sends it again after the handshake.
		return policy.Viewer{}, errTooEarly
	}
	if q.Geo != nil {
		viewer.Country = q.lookupCountry(viewer.Request.Addr)
	}
	q.identity.country = viewer.Country
	if q.Token == nil || q.isPublic() {
		return viewer, nil
	}
	tokens, err := q.accessTokens()
	if err != nil {
		return policy.Viewer{}, err
	}
	viewer.Tokens = tokens
	viewer.Session, err = q.presentedSession(len(tokens) > 0)
	q.identity.session.presented = viewer.Session
	return viewer, err
}

// tokenRequest is what tokens may be bound to. Without a demand for tokens the address is all that counts.
func (q *request) tokenRequest() token.Request {
	r := token.Request{Addr: clientAddr(q.r)}
	if q.Token == nil {
		return r
	}
	r.Host, r.Method, r.Header = hostName(q.r.Host), q.r.Method, q.r.Header.Values
	r.Scheme, r.PublicPath, r.RawQuery = q.publicScheme(), q.publicPath(), q.r.URL.RawQuery
	if q.r.TLS != nil {
		r.ALPN = q.r.TLS.NegotiatedProtocol
	}
	if addr, ok := q.r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		r.Port = uint16(addr.Port)
	}
	return r
}

// use is what a request of the kind wants, in the words of the policy.
func (k requestKind) use() policy.Use {
	switch k {
	case kindMedia:
		return policy.UseMedia
	case kindClearKey, kindRawKey:
		return policy.UseLicense
	case kindSidecar:
		return policy.UseSidecar
	default:
		return policy.UseManifest
	}
}

// accessTokens returns the access tokens of the request, from every configured place. A place that holds two is refused.
func (q *request) accessTokens() ([]string, error) {
	var tokens []string
	for _, place := range q.Token.From {
		found, err := q.tokensAt(place)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, found...)
	}
	return tokens, nil
}

func (q *request) tokensAt(place TokenPlace) ([]string, error) {
	var found []string
	switch place.In {
	case tokenInQuery:
		query, err := url.ParseQuery(q.r.URL.RawQuery)
		if err != nil {
			return nil, errQuery
		}
		found = query[place.Name]
	case tokenInHeader:
		found = headerTokens(q.r.Header, place.Name)
	case tokenInCookie:
		for _, cookie := range q.r.CookiesNamed(place.Name) {
			found = append(found, cookie.Value)
		}
	}
	if len(found) > 1 {
		return nil, errTokenTwice
	}
	return found, nil
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
	decision := q.policy.Decide(q.entitlementScope(q.r.Context()), time.Now(), q.policyAsset(), viewer)
	q.identity.request, q.identity.until = viewer.Request, decision.Until
	if decision.Allowed || q.observes() { // without a good token or session there are none
		q.identity.claims, q.identity.session.renewal = decision.Claims, decision.Renewal
	}
	return decision
}

// policyAsset names what is asked for in the words of the policy.
func (q *request) policyAsset() policy.Asset {
	return policy.Asset{Name: string(q.asset()), Path: string(q.addr.Path), Use: q.kind.use(), Public: q.isPublic()}
}

// lookupCountry returns the country of an address. A database that fails knows no country, which the rule denies unless
// the operator said otherwise.
func (q *request) lookupCountry(addr netip.Addr) geo.Country {
	country, err := q.geoFile.Lookup(addr)
	if err != nil {
		q.logger.Error("looking up the country of an address", zap.Error(err))
		return geo.CountryUnknown
	}
	return country
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
