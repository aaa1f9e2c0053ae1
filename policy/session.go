package policy

import (
	"errors"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// openSession returns the claims of the session that the request carries, and settles whether another may follow it.
//
// A session that is over is not a bad one: its viewer may come back to the manifest at the address that the player knows, with
// an access token that is good. That token decides then, as it would without the session.
func (t Tokens) openSession(q *question) (token.Claims, error) {
	request := q.viewer.Request
	claims, err := t.Sessions.Read(q.viewer.Session)
	if err != nil {
		return token.Claims{}, err
	}
	if err := claims.Check(request); err != nil {
		if errors.Is(err, token.ErrExpired) && t.renews(q, claims) {
			if fresh := t.freshToken(q, claims); fresh != nil {
				q.decision.Renewal = fresh
				return *fresh, nil
			}
		}
		return token.Claims{}, err
	}
	var renewUntil time.Time
	if t.Leases != nil {
		if renewUntil, err = t.Leases.Check(claims, q.asset, request, q.explaining); err != nil {
			return token.Claims{}, err
		}
	}
	if t.renews(q, claims) {
		// A token that is good for one use is not used up on a session that still lasts, and so makes none.
		if fresh := t.freshToken(q, claims); fresh != nil && fresh.Once == [16]byte{} {
			q.decision.Renewal = fresh
		}
		if q.decision.Renewal == nil && renewUntil.After(claims.Expires) {
			next := claims
			next.Expires = renewUntil
			q.decision.Renewal = &next
		}
	}
	return claims, nil
}

// renews reports whether the request is one on which a session may be followed by another: a manifest, whose addresses carry
// it, in the last part of the session or behind its end.
func (t Tokens) renews(q *question, session token.Claims) bool {
	return t.Renew > 0 && q.asset.Use == UseManifest && session.Expires.Sub(q.now) < t.Renew
}

// freshToken returns the claims of the access token that came with a session, if it is good, of the same viewer, and lets a session
// last longer. A token that is not changes nothing: players may keep sending the one that they began with. The playback goes on.
func (t Tokens) freshToken(q *question, session token.Claims) *token.Claims {
	if len(q.viewer.Tokens)+len(q.viewer.Found) == 0 {
		return nil
	}
	fresh, err := t.verify(q)
	if err != nil || fresh.Subject != session.Subject || !t.Sessions.End(fresh).After(session.Expires) {
		return nil
	}
	fresh.Playback = session.Playback
	return &fresh
}
