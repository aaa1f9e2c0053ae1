package policy

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
	"github.com/caddy-drm/caddy-drm/token"
)

// Asset is what is asked for.
type Asset struct {
	// Name is the asset's, for explanations.
	Name string
	// Path is the clean path of the reference itself, not of the manifest that led to it: a free title's playlist must not open
	// a premium title's segments.
	Path string
}

// Viewer is who asks, as the server resolved it.
type Viewer struct {
	// Addr is the client's address by the server's own rules on proxies.
	Addr netip.Addr
	// Country is where Addr is; geo.CountryUnknown if it is not known, or if the look-up failed.
	Country geo.Country
	// Host is the requested host name, without a port.
	Host string
	// Tokens are all access tokens of the request, one per place that carries one. See token.Single.
	Tokens []string
	// Session is the session token, or empty. Where there is one it decides, and Tokens are not looked at.
	Session string
}

// Tokens is the demand for a token. The zero value demands none.
type Tokens struct {
	// Verifier checks access tokens. Nil: none are demanded, and those presented mean nothing.
	Verifier token.Verifier
	// Sessions opens session tokens. Nil: there are none, and one that is presented is invalid.
	Sessions *token.SessionKey
	// Optional admits requests without any token or session. One that is presented must be good nonetheless.
	Optional bool
}

// Policy is what holds for a group of assets. The zero Policy admits everybody. It is not changed by use and is safe for
// concurrent use.
type Policy struct {
	Tokens Tokens
	Geo    geo.Rule
	Limits Limits
}

// Decide judges one request: token, then geo, then limits. The first refusal is the decision, and only a request that the first
// two admit counts against a limit. ctx is handed to the token verifier.
func (p *Policy) Decide(ctx context.Context, now time.Time, asset Asset, viewer Viewer) Decision {
	d := Decision{Country: viewer.Country}
	if !(token.Claims{}).AllowsPath(asset.Path) {
		return d.refuse(ReasonPathInvalid, "path: not clean")
	}
	claims, refusal := p.Tokens.decide(ctx, now, asset, viewer)
	if refusal.Reason != "" {
		return d.refuse(refusal.Reason, refusal.Rule)
	}
	d.Claims = claims
	if reason, rule := decideCountry(p.Geo, claims, viewer.Country); reason != "" {
		return d.refuse(reason, rule)
	}
	if retryAfter, limited := p.Limits.exceeded(now, viewer.Addr, claims); limited {
		d.RetryAfter = retryAfter
		return d.refuse(ReasonRateLimited, "limit: requests by "+p.Limits.By.String())
	}
	d.Allowed, d.Reason, d.Rule = true, ReasonAllowed, "all rules passed"
	return d
}

func (d Decision) refuse(reason Reason, rule string) Decision {
	d.Allowed, d.Reason, d.Rule = false, reason, rule
	return d
}

// decide returns the claims that count, or a refusal. A session that the caller presents decides alone, because a player may keep
// sending the access token that it began with long after that has expired. A bad session is never rescued by a good token.
func (t Tokens) decide(ctx context.Context, now time.Time, asset Asset, viewer Viewer) (token.Claims, Decision) {
	if t.Verifier == nil && t.Sessions == nil {
		return token.Claims{}, Decision{}
	}
	request := token.Request{Now: now, Host: viewer.Host, Path: asset.Path}
	claims, err := t.identify(ctx, viewer, request)
	if errors.Is(err, token.ErrMissing) && t.Optional {
		return token.Claims{}, Decision{}
	}
	if err != nil {
		return token.Claims{}, Decision{Reason: reasonOf(err), Rule: "token: " + ruleOf(err)}
	}
	return claims, Decision{}
}

func (t Tokens) identify(ctx context.Context, viewer Viewer, request token.Request) (token.Claims, error) {
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
	raw, err := token.Single(viewer.Tokens...)
	if err != nil {
		return token.Claims{}, err
	}
	if t.Verifier == nil {
		return token.Claims{}, token.ErrMissing // only sessions are taken here
	}
	return t.Verifier.Verify(ctx, raw, request)
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

// decideCountry returns an empty reason if neither the rule nor the token excludes the country.
func decideCountry(rule geo.Rule, claims token.Claims, country geo.Country) (Reason, string) {
	switch verdict := rule.Decide(country); {
	case verdict == geo.Unknown:
		return ReasonCountryUnknown, "geo: " + verdict.String()
	case !verdict.Admits():
		return ReasonCountryDenied, "geo: " + country.String() + " is " + verdict.String()
	}
	switch {
	case len(claims.Countries) == 0:
		return "", ""
	case !country.IsKnown(): // the rule's leave for unknown addresses is not the token's
		return ReasonCountryUnknown, "token: it is for certain countries, and the viewer's is not known"
	case !isListed(claims.Countries, country):
		return ReasonCountryDenied, "token: it is not for " + country.String()
	}
	return "", ""
}

// isListed accepts EU in a token as the set of that name. A code that is no country never matches.
func isListed(countries []string, country geo.Country) bool {
	for _, code := range countries {
		if strings.EqualFold(code, "eu") {
			if geo.EU.Contains(country) {
				return true
			}
			continue
		}
		if c, err := geo.ParseCountry(code); err == nil && c == country {
			return true
		}
	}
	return false
}
