package caddymodule

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/policy"
	"github.com/caddy-drm/caddy-drm/rights"
	"github.com/caddy-drm/caddy-drm/token"
)

// identity is who asks, as far as it is known: after a decision with the claims that it rested on.
type identity struct {
	place    geo.Place
	claims   token.Claims
	playback [8]byte // of the session that the request may start
	// until and windowEnd are those of the decision, title the catalog's entry.
	until, windowEnd time.Time
	title            *rights.Title
	session          string // the session token that the request carried, or that is minted for its child addresses
}

// identifyViewer collects what the request says about its viewer, and believes nothing of it yet. Of a session in the
// path, access tokens and a session cookie the first that is present decides alone: a bad one is never rescued by a good
// one further down. The cookie comes last because browsers send it on their own.
func (q *request) identifyViewer() (policy.Viewer, error) {
	viewer := policy.Viewer{Request: q.tokenRequest(), Agent: q.r.UserAgent()}
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
	if q.Token == nil {
		return viewer, nil
	}
	tokens, found, err := q.credentials()
	if err != nil {
		return policy.Viewer{}, err
	}
	switch {
	case q.addr.Session != "":
		viewer.Session = q.addr.Session
	case len(tokens)+len(found) > 0:
		viewer.Tokens, viewer.Found = tokens, found
	case q.Token.Session == sessionInCookie:
		if cookies := q.r.CookiesNamed(sessionCookieName); len(cookies) > 0 {
			viewer.Session = cookies[0].Value // the most specific path comes first (RFC 6265, 5.4)
		}
	}
	q.identity.session = viewer.Session
	viewer.Playback = q.drawPlayback(viewer.Session)
	q.identity.playback = viewer.Playback
	return viewer, nil
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
	case kindClearKey, kindRawKey:
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
	asset := policy.Asset{Name: string(q.asset()), Path: string(q.addr.Path), Use: q.kind.use()}
	decision := q.policy.Decide(q.r.Context(), q.now(), asset, viewer)
	if decision.Allowed {
		q.identity.claims = decision.Claims
		q.identity.keepRights(decision)
	}
	return decision
}

// startSession returns the session that the child addresses of a manifest carry: the one that the request came with, or
// one minted from its access token. Empty where no token is demanded.
func (q *request) startSession() (string, error) {
	if q.Token == nil || q.identity.session != "" {
		return q.identity.session, nil
	}
	claims := q.sessionClaims()
	if q.tellsPlaybacksApart() {
		claims.Playback = q.identity.playback
	}
	return q.sessions.MintUntil(claims, q.now(), q.identity.windowEnd)
}

// sessionElements returns the path elements that carry the session below a manifest. With cookies there are none, and the
// cookie is set, for the directory of the manifest as the player sees it.
func (q *request) sessionElements() ([]string, error) {
	session, err := q.startSession()
	if err != nil || session == "" {
		return nil, err
	}
	if q.Token.Session != sessionInCookie {
		return []string{address.SessionElement(session)}, nil
	}
	if q.identity.session == "" {
		http.SetCookie(q.w, q.sessionCookie(session))
	}
	return nil, nil
}

func (q *request) sessionCookie(session string) *http.Cookie {
	expires := q.identity.claims.Expires.Add(q.Token.sessionExtend())
	if end := q.identity.windowEnd; !end.IsZero() && end.Before(expires) {
		expires = end
	}
	path := q.asset()
	if len(q.shared) > 0 {
		path = "/" // what is shared lies outside of the asset
	}
	cookie := &http.Cookie{
		Name: sessionCookieName, Value: session, Path: publicPrefix(q.r) + path.Escaped(),
		Expires: expires, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if q.publicScheme() == "https" {
		// A page of another site may play here, if cors_origins lets it.
		cookie.Secure, cookie.SameSite = true, http.SameSiteNoneMode
	}
	return cookie
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
