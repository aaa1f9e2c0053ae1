package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// renewToken sends the token that follows the one of the request, if that one asks for it and is due. It reports whether the answer
// is a redirect, and whole. Segments bring none: they are kept by browsers, and a kept answer would bring an old token back.
func (q *request) renewToken() (answered bool, err error) {
	renewal := q.identity.claims.Renewal
	if renewal == nil || q.identity.claims.Session || q.kind == kindMedia {
		return false, nil
	}
	renewed, due, err := renewal.Renew(q.now())
	if err != nil {
		return false, fmt.Errorf("renewing the token: %w", err)
	}
	if !due {
		return false, nil
	}
	came := q.placeOfToken()
	switch way := renewed.Way; {
	case way == token.WayCookie, way == token.WayAsItCame && came.In == tokenInCookie:
		return false, q.sendTokenCookie(renewed, came)
	case way == token.WayHeader, way == token.WayAsItCame && came.In == tokenInHeader:
		q.sendTokenHeader(renewed, came)
		return false, nil
	default:
		return q.redirectToToken(renewed, came), nil
	}
}

// placeOfToken returns where the token of the request came from.
func (q *request) placeOfToken() TokenPlace {
	query, err := q.query()
	if err != nil {
		return TokenPlace{}
	}
	for _, place := range q.Token.From {
		if found, err := q.tokensAt(place, query); err == nil && len(found) > 0 && found[0] != "" {
			return place
		}
	}
	return TokenPlace{}
}

// sendTokenCookie sets the cookie with the attributes of the token, which its package has checked one by one. Over TLS it is
// Secure, whatever the token says.
func (q *request) sendTokenCookie(renewed token.Renewed, came TokenPlace) error {
	name := renewed.CookieName
	if name == "" && came.In == tokenInCookie {
		name = came.Name
	}
	if name == "" {
		name = catField
	}
	if name == sessionCookieName {
		return nil // ours
	}
	cookie, err := http.ParseSetCookie(strings.Join(append([]string{name + "=" + renewed.Token}, renewed.CookieAttributes...), "; "))
	if err != nil {
		return fmt.Errorf("renewing the token: %w", err)
	}
	cookie.Secure = cookie.Secure || q.publicScheme() == "https"
	http.SetCookie(q.w, cookie)
	return nil
}

func (q *request) sendTokenHeader(renewed token.Renewed, came TokenPlace) {
	name := renewed.HeaderName
	if name == "" && came.In == tokenInHeader && !strings.EqualFold(came.Name, "Authorization") {
		name = came.Name
	}
	if name == "" {
		name = catField
	}
	header := q.w.Header()
	header.Set(name, strings.Join(append([]string{renewed.Token}, renewed.HeaderParameters...), "; "))
	if exposed := header.Get("Access-Control-Expose-Headers"); exposed != "" {
		header.Set("Access-Control-Expose-Headers", exposed+", "+name)
	}
}

// redirectToToken sends the player to the same address with the new token in the query, in place of the old one. A token that came
// in another way would come again beside the new one, and a license request would lose its body: these are not sent on.
func (q *request) redirectToToken(renewed token.Renewed, came TokenPlace) bool {
	if came.In != tokenInQuery || q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return false
	}
	query := q.queryWithoutTokens()
	if query != "" {
		query += "&"
	}
	status := renewed.Status
	if status == 0 {
		status = http.StatusFound
	}
	header := q.w.Header()
	header.Set("Location", "?"+query+url.QueryEscape(came.Name)+"="+url.QueryEscape(renewed.Token))
	header.Set("Cache-Control", cacheNoStore)
	countServed(q.kind, 0)
	q.w.WriteHeader(status)
	return true
}
