package policy

import (
	"context"
	"errors"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// Tokens is the demand for a token. The zero value demands none.
type Tokens struct {
	// Verifier checks access tokens. Nil: none are demanded, and those presented mean nothing.
	Verifier token.Verifier
	// Sessions opens session tokens. Nil: there are none, and one that is presented is invalid.
	Sessions *token.SessionKey
	// Renew is the last part of a session, in which it is followed by another on manifest requests that allow it. Zero: every
	// session ends when it ends.
	Renew time.Duration
	// Leases is asked whether the viewer of a session may go on. Nil: a session is enough.
	Leases Leases
	// Optional admits requests without any token or session. One that is presented must be good nonetheless.
	Optional bool
	// Replay remembers the tokens that are good for one use. Nil: nobody does, and they are refused.
	Replay token.Replay
}

// Leases is who lets a viewer go on with a session: an entitlement backend, by what it said last.
type Leases interface {
	// Check returns nil, or an error that wraps one of token's sentinels. renewUntil is how long a session may be made to last
	// by what was said; zero: no longer than it does. It never waits. With explaining nothing is asked or counted.
	Check(claims token.Claims, asset Asset, req token.Request, explaining bool) (renewUntil time.Time, err error)
}

// judgeToken finds out who asks. A session that the caller presents decides alone, because a player may keep sending the
// access token that it began with long after that has expired. A bad session is never rescued by a good token.
func (p *Policy) judgeToken(q *question) {
	t := p.Tokens
	if t.Verifier == nil && t.Sessions == nil {
		return
	}
	claims, err := t.identify(q)
	if q.explaining {
		q.input = describePresented(q.viewer)
	}
	if errors.Is(err, token.ErrMissing) && t.Optional {
		return
	}
	if q.viewer.Session != "" && errors.Is(err, token.ErrExpired) && p.windowIsOver(q) {
		q.refuse(ReasonRightsEnded, "rights: the window is over, and the session with it")
		return
	}
	if err != nil {
		q.decision.Answer = token.AnswerOf(err)
		q.refuse(reasonOf(err), "token: "+ruleOf(err))
		return
	}
	q.decision.Claims = claims
	q.until(claims.Expires)
}

func describePresented(viewer Viewer) string {
	switch {
	case viewer.Session != "":
		return "a session"
	case len(viewer.Tokens)+len(viewer.Found) > 0:
		return "an access token"
	default:
		return "nothing presented"
	}
}

func (t Tokens) identify(q *question) (token.Claims, error) {
	if q.viewer.Session == "" {
		return t.verify(q)
	}
	if t.Sessions == nil {
		return token.Claims{}, token.ErrMalformed
	}
	return t.openSession(q)
}

// verify returns the claims of the access token.
func (t Tokens) verify(q *question) (token.Claims, error) {
	only, err := token.Pick(q.viewer.Tokens, q.viewer.Found)
	if err != nil {
		return token.Claims{}, err
	}
	verifier := only.Verifier
	if verifier == nil {
		verifier = t.Verifier
	}
	if verifier == nil {
		return token.Claims{}, token.ErrMissing // only sessions are taken here
	}
	if v, ok := verifier.(Explainer); ok && q.explaining {
		return v.Explain(q.ctx, only.Raw, q.viewer.Request)
	}
	return verifier.Verify(q.ctx, only.Raw, q.viewer.Request)
}

// Explainer is a verifier whose Verify has effects, such as being counted by somebody who is asked. Explain has none.
type Explainer interface {
	Explain(ctx context.Context, raw string, req token.Request) (token.Claims, error)
}

// tokenReasons maps the sentinels of package token. What is not here is a failure of the verifier.
var tokenReasons = []struct {
	err    error
	reason Reason
}{
	{token.ErrMissing, ReasonTokenMissing},
	{token.ErrAmbiguous, ReasonTokenAmbiguous},
	{token.ErrMalformed, ReasonTokenInvalid},
	{token.ErrSignature, ReasonTokenInvalid},
	{token.ErrIssuer, ReasonTokenInvalid},
	{token.ErrAudience, ReasonTokenInvalid},
	{token.ErrExpired, ReasonTokenExpired},
	{token.ErrNotYetValid, ReasonTokenNotYetValid},
	{token.ErrScope, ReasonTokenScope},
	{token.ErrRequest, ReasonTokenRequest},
	{token.ErrAddress, ReasonTokenAddress},
	{token.ErrCountry, ReasonCountryDenied},
	{token.ErrCountryUnknown, ReasonCountryUnknown},
	{token.ErrReplayed, ReasonTokenReplayed},
	{token.ErrUnsupported, ReasonTokenUnsupported},
	{token.ErrNotEntitled, ReasonNotEntitled},
	{token.ErrEntitlementUnknown, ReasonEntitlementUnknown},
}

func reasonOf(err error) Reason {
	for _, row := range tokenReasons {
		if errors.Is(err, row.err) {
			return row.reason
		}
	}
	return ReasonTokenUnverifiable
}

// ruleOf shows an error's text only if it is one of package token, which promises that no token is in it.
func ruleOf(err error) string {
	if reasonOf(err) == ReasonTokenUnverifiable {
		return "it could not be verified"
	}
	return err.Error()
}
