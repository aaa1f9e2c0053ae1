package policy

import (
	"context"
	"errors"

	"github.com/caddy-drm/caddy-drm/token"
)

// Tokens is the demand for a token. The zero value demands none.
type Tokens struct {
	// Verifier checks access tokens. Nil: none are demanded, and those presented mean nothing.
	Verifier token.Verifier
	// Sessions opens session tokens. Nil: there are none, and one that is presented is invalid.
	Sessions *token.SessionKey
	// Optional admits requests without any token or session. One that is presented must be good nonetheless.
	Optional bool
	// Replay remembers the tokens that are good for one use. Nil: nobody does, and they are refused.
	Replay token.Replay
}

// judgeToken finds out who asks. A session that the caller presents decides alone, because a player may keep sending the
// access token that it began with long after that has expired. A bad session is never rescued by a good token.
func (p *Policy) judgeToken(q *question) {
	t := p.Tokens
	if t.Verifier == nil && t.Sessions == nil {
		return
	}
	claims, err := t.identify(q.ctx, q.viewer)
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

func (t Tokens) identify(ctx context.Context, viewer Viewer) (token.Claims, error) {
	request := viewer.Request
	if viewer.Session != "" {
		if t.Sessions == nil {
			return token.Claims{}, token.ErrMalformed
		}
		claims, err := t.Sessions.Open(viewer.Session, request.Now)
		if err != nil {
			return token.Claims{}, err
		}
		if err := claims.Check(request); err != nil {
			return token.Claims{}, err
		}
		return claims, nil
	}
	only, err := token.Pick(viewer.Tokens, viewer.Found)
	switch {
	case err != nil:
		return token.Claims{}, err
	case only.Verifier == nil && t.Verifier == nil:
		return token.Claims{}, token.ErrMissing // only sessions are taken here
	case only.Verifier == nil:
		return t.Verifier.Verify(ctx, only.Raw, request)
	default:
		return only.Verifier.Verify(ctx, only.Raw, request)
	}
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
