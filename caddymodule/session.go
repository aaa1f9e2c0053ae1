package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/token"
)

// sessionState is what is known of a request's session.
type sessionState struct {
	presented string        // by the request; believed once the policy has opened it
	renewal   *token.Claims // what the next session may be made of, if one is due
	carried   string        // by the addresses of the manifest, once startSession is done
}

// presentedSession returns the session of the request. In the path and in the query it means the same, and two that differ are one
// too many. A cookie counts where no access token comes along.
func (q *request) presentedSession(withToken bool) (string, error) {
	session := q.addr.Session
	if name := q.sessionQuery(); name != "" {
		query, err := url.ParseQuery(q.r.URL.RawQuery)
		if err != nil {
			return "", errQuery
		}
		switch values := query[name]; {
		case len(values) > 1:
			return "", errTokenTwice
		case len(values) == 0 || values[0] == "":
		case session != "" && session != values[0]:
			return "", errTokenTwice
		default:
			session = values[0]
		}
	}
	if session == "" && !withToken {
		session = q.cookieSession()
	}
	return session, nil
}

// cookieSession returns the session cookie for the asset, or nothing where sessions are no cookies.
func (q *request) cookieSession() string {
	if q.Token.Session != sessionInCookie {
		return ""
	}
	if cookies := q.r.CookiesNamed(q.sessionCookieName()); len(cookies) > 0 {
		return cookies[0].Value // the most specific path comes first (RFC 6265, 5.4)
	}
	return ""
}

// sessionQuery returns the name of the parameter that carries sessions, or nothing where none does.
func (h *Handler) sessionQuery() string {
	if h.Token == nil || h.Token.Session != sessionInQuery {
		return ""
	}
	return h.Token.sessionName()
}

// sessionsInPath reports whether the site reads sessions from elements of the path. A site whose sessions go by query does as
// well, so that viewers go on over a change of the configuration.
func (h *Handler) sessionsInPath() bool { return h.Token != nil && h.Token.Session != sessionInCookie }

// startSession returns the session that the child addresses of a manifest carry: the one that the request came with, the one that
// follows on it, or one minted from its access token. Empty where no token is demanded.
func (q *request) startSession() (session string, err error) {
	s := &q.identity.session
	switch {
	case q.Token == nil:
		return "", nil
	case s.renewal != nil:
		session, err = q.renewSession(*s.renewal)
	case q.identity.claims.Session:
		session = s.presented
	case q.identity.claims.Expires.IsZero(): // nobody was let in: the site only observes
		return "", nil
	default:
		session, err = q.mintSession(q.identity.claims)
	}
	s.carried = session
	return session, err
}

// mintSession makes a session of the claims of an access token.
func (q *request) mintSession(claims token.Claims) (string, error) {
	// What the manifest names lies in its asset. A shared playlist is no way into the asset that it was sealed for.
	if claims.OneAddress && (q.kind == kindMPD || q.kind == kindPlaylist) && q.addr.Path.Under(q.asset()) {
		claims.Scope = q.assetScope()
		claims.Conditions = assetConditions{asset: string(q.asset()), inner: claims.Conditions}
	}
	if q.Token.Session == sessionInCookie && claims.Playback == [8]byte{} {
		// The access token decided, but the playback is the one that the cookie stands for.
		if before, err := q.sessions.Read(q.cookieSession()); err == nil && before.Subject == claims.Subject {
			claims.Playback = before.Playback
		}
	}
	// The session of a player configuration asks for licenses: the stream is that of the manifest, and of its segments.
	forLicenses := q.kind == kindPlayerConfig && !q.sharesSession()
	if q.tellsPlaybacksApart() && claims.Playback == [8]byte{} && !forLicenses {
		claims.Playback = q.identity.playback
	}
	q.startPlayback(&claims)
	claims.Binding = q.policy.Binding.Digest(q.identity.request)
	return q.sessions.MintUntil(claims, q.now(), q.identity.windowEnd)
}

// assetScope returns the prefixes that a manifest of the asset leads to.
func (q *request) assetScope() []string {
	scope := []string{strings.TrimSuffix(string(q.asset()), "/")}
	if scope[0] == "" {
		return nil // the whole site is the asset
	}
	for _, pattern := range q.shared {
		if prefix := pattern.literal(); prefix != "" {
			scope = append(scope, prefix)
		}
	}
	return scope
}

// renewSession returns the session that follows on the presented one. A player may come back for hours to the address with the old
// one, each time with a newer access token. It is given the same session until that is in its last part itself, or
// else it would fetch its keys again and again, whose addresses carry the session.
func (q *request) renewSession(claims token.Claims) (string, error) {
	key := q.renewalKey(claims)
	now := q.now()
	if next, ok := q.caches.renewals.Get(key); ok {
		if known, err := q.sessions.Open(next, now.Add(q.policy.Tokens.Renew)); err == nil && known.Subject == claims.Subject {
			return next, nil
		}
	}
	var next string
	var err error
	if claims.Session {
		next, err = q.sessions.Renew(claims, earlier(claims.Expires, q.identity.windowEnd), now)
	} else {
		next, err = q.mintSession(claims)
	}
	if err == nil {
		q.caches.renewals.SetWithTTL(key, next, 1, q.sessions.End(claims).Sub(now))
	}
	return next, err
}

// renewalKey names what the next session depends on beside the token that it is made of: the one before, what it is bound to, the asset,
// whose rights may end it, and, for a token that was made for one address, that address.
func (q *request) renewalKey(claims token.Claims) string {
	binding := q.policy.Binding.Digest(q.identity.request)
	parts := []string{q.identity.session.presented, string(binding[:]), string(q.asset()), ""}
	if claims.OneAddress {
		parts[3] = string(q.addr.Path)
	}
	digest := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return string(digest[:])
}

// earlier returns the earlier of two ends; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// sessionElements returns the path elements that carry the session below a manifest; a rewriter may move them into the query.
// With cookies there are none, and the cookie is set, for the directory of the manifest as the player sees it.
func (q *request) sessionElements() ([]string, error) {
	session, err := q.startSession()
	if err != nil || session == "" {
		return nil, err
	}
	if q.Token.Session != sessionInCookie {
		return []string{address.SessionElement(session)}, nil
	}
	if session != q.identity.session.presented {
		cookie, err := q.sessionCookie(session)
		if err != nil {
			return nil, err
		}
		http.SetCookie(q.w, cookie)
	}
	return nil, nil
}

func (q *request) sessionCookie(session string) (*http.Cookie, error) {
	claims, err := q.sessions.Read(session)
	if err != nil {
		return nil, err
	}
	path := q.asset()
	if len(q.shared) > 0 {
		path = "/" // what is shared lies outside of the asset
	}
	cookie := &http.Cookie{
		Name: q.sessionCookieName(), Value: session, Path: publicPrefix(q.r) + path.Escaped(),
		Expires: claims.Expires, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if q.publicScheme() == "https" {
		// A page of another site may play here, if cors_origins lets it.
		cookie.Secure, cookie.SameSite = true, http.SameSiteNoneMode
	}
	return cookie, nil
}

// sessionCookieName returns the name of the cookie. Where its path cannot tell titles apart, its name does: the session of one
// title must not take the place of another's.
func (q *request) sessionCookieName() string {
	name := q.Token.sessionName()
	if len(q.shared) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(q.asset()))
	return name + "_" + hex.EncodeToString(sum[:4])
}

// startsSession reports whether the session of the child addresses is of no use yet at the manifest's own: a new one in the
// address, or one in a cookie beside the token in the query that it came from.
func (q *request) startsSession() bool {
	switch {
	case q.Token == nil || q.identity.session.presented != "" || q.identity.session.carried == "":
		return false
	case q.Token.Session != sessionInCookie:
		return true
	default:
		return q.queryWithoutTokens() != q.r.URL.RawQuery
	}
}

// movesSession reports whether a playlist has to be asked for below the session that follows on the one in its path. hls.js takes
// a segment whose path changes between two playlists for a mistake, and compares what is written there: below the new session the
// same text leads to the new addresses. In a query they may change.
func (q *request) movesSession() bool {
	s := q.identity.session
	return q.kind == kindPlaylist && q.addr.Session != "" && s.carried != q.addr.Session && q.sessionQuery() == ""
}

// redirectToSession sends the player to the same manifest with its session. A live manifest is fetched again for hours,
// always at the URL that the player knows, and the access token in that one may be valid for minutes.
func (q *request) redirectToSession(session []string) {
	elements, query := address.SessionToQuery(q.sessionQuery(), session, q.queryWithoutTokens())
	target := address.Target{Path: q.addr.Path, RawQuery: query}
	if q.addr.Seal != "" {
		elements = append(elements[:len(elements):len(elements)], address.SealElement(q.addr.Seal))
	}
	header := q.w.Header()
	header.Set("Location", address.Relative(q.r.URL.EscapedPath(), target, elements...))
	header.Set("Cache-Control", cacheNoStore)
	countServed(q.kind, 0)
	q.w.WriteHeader(http.StatusFound)
}
