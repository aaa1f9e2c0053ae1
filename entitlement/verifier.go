package entitlement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// Scope is what a Verifier has to know of a request beyond a token.Request. The Verifier notes in it what it asked, and the answer that
// the claims rest on.
type Scope struct {
	Tenant, Asset, Protocol string

	Question Question
	Answer   Answer
}

type scopeKey struct{}

// WithScope returns a context that carries s to a Verifier.
func WithScope(ctx context.Context, s *Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// Verifier lets a backend decide about access tokens. It is a token.Verifier.
type Verifier struct {
	// Inner verifies tokens before the backend is asked; nil for tokens that only the backend understands.
	Inner token.Verifier
	Cache *Cache
	// Counts returns how many playbacks there are; nil if nobody counts.
	Counts func(asset string) (ofAsset, all int)
}

// maxOpaqueToken bounds a token that only the backend understands.
const maxOpaqueToken = 8 << 10

// Verify implements token.Verifier.
func (v *Verifier) Verify(ctx context.Context, raw string, req token.Request) (token.Claims, error) {
	claims, q, err := v.prepare(ctx, raw, req)
	if err != nil {
		return token.Claims{}, err
	}
	answer, _, err := v.Cache.Ask(ctx, q, req.Now)
	if err != nil {
		return token.Claims{}, err
	}
	if scope, ok := ctx.Value(scopeKey{}).(*Scope); ok {
		scope.Question, scope.Answer = q, answer
	}
	return v.merge(claims, answer, req)
}

var errNotAsked = errors.New("the backend counts those who ask, and was not asked")

// Explain is Verify for an operator: the backend is told that nothing is to be counted, or not asked if it would count.
func (v *Verifier) Explain(ctx context.Context, raw string, req token.Request) (token.Claims, error) {
	claims, q, err := v.prepare(ctx, raw, req)
	if err != nil {
		return token.Claims{}, err
	}
	if known, found := v.Cache.known(q.key()); found && req.Now.Before(known.until) {
		return v.merge(claims, known.answer, req)
	}
	if !v.Cache.backend.Explains() {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrEntitlementUnknown, errNotAsked)
	}
	q.Event = Check
	answer, err := v.Cache.askNow(q)
	if err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", token.ErrEntitlementUnknown, err)
	}
	return v.merge(claims, answer, req)
}

// prepare verifies what can be verified here and makes the question.
func (v *Verifier) prepare(ctx context.Context, raw string, req token.Request) (claims token.Claims, q Question, err error) {
	switch {
	case raw == "":
		return claims, q, token.ErrMissing
	case v.Inner != nil:
		claims, err = v.Inner.Verify(ctx, raw, req)
	case len(raw) > maxOpaqueToken:
		err = token.ErrMalformed
	}
	if err != nil {
		return token.Claims{}, q, err
	}
	q = About(ctx, claims, req)
	q.Event, q.Token = Start, raw
	if v.Counts != nil {
		q.AssetClients, q.Clients = v.Counts(q.Asset)
	}
	return claims, q, nil
}

// About returns the question about a viewer with these claims, as far as the request tells.
func About(ctx context.Context, claims token.Claims, req token.Request) Question {
	q := Question{
		Event: Update, Path: req.Path, Host: req.Host, Subject: claims.Subject, Device: claims.Device, TokenID: claims.IDDigest(),
		Addr: req.Addr, Country: req.Country, ASN: req.ASN, UserAgent: field(req, "User-Agent"), Referer: field(req, "Referer"),
	}
	if scope, ok := ctx.Value(scopeKey{}).(*Scope); ok {
		q.Tenant, q.Asset, q.Protocol = scope.Tenant, scope.Asset, scope.Protocol
	}
	return q
}

// maxField bounds a field of the viewer's request that is passed on.
const maxField = 1 << 10

func field(req token.Request, name string) string {
	if req.Header == nil {
		return ""
	}
	values := req.Header(name)
	if len(values) == 0 {
		return ""
	}
	return values[0][:min(len(values[0]), maxField)]
}

// merge returns what token and answer allow together: where both restrict, both count. Without a token of its own the answer is all
// that there is, and holds as long as it says.
func (v *Verifier) merge(claims token.Claims, answer Answer, req token.Request) (token.Claims, error) {
	if !answer.Allowed {
		return token.Claims{}, token.ErrNotEntitled
	}
	a := answer.Claims
	if v.Inner == nil {
		claims.Expires = req.Now.Add(answer.holds())
		if !a.Expires.IsZero() {
			claims.Expires = a.Expires
		}
	} else if !a.Expires.IsZero() && a.Expires.Before(claims.Expires) {
		claims.Expires = a.Expires
	}
	for _, text := range []struct {
		mine *string
		said string
	}{{&claims.Subject, a.Subject}, {&claims.HomeCountry, a.HomeCountry}, {&claims.Device, a.Device}, {&claims.Level, a.Level}} {
		if *text.mine == "" {
			*text.mine = text.said
		}
	}
	if a.Plans != nil {
		claims.Plans = a.Plans
	}
	if a.Purchases != nil {
		claims.Purchases = a.Purchases
	}
	if a.MaxStreams > 0 && (claims.MaxStreams == 0 || a.MaxStreams < claims.MaxStreams) {
		claims.MaxStreams = a.MaxStreams
	}
	var ok bool
	if claims.Countries, ok = both(claims.Countries, a.Countries, func(x, y string) bool { return x == y }); !ok {
		return token.Claims{}, token.ErrNotEntitled
	}
	if claims.Scope, ok = both(claims.Scope, a.Scope, covers); !ok {
		return token.Claims{}, token.ErrScope
	}
	if err := claims.Check(req); err != nil {
		return token.Claims{}, err
	}
	return claims, nil
}

// both returns what two lists allow of which an empty one allows everything: of two entries of which one covers the other, the
// narrower. ok is false if there is nothing left.
func both(a, b []string, covers func(wide, narrow string) bool) (common []string, ok bool) {
	switch {
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	for _, x := range a {
		for _, y := range b {
			switch {
			case covers(x, y):
				common = append(common, y)
			case covers(y, x):
				common = append(common, x)
			}
		}
	}
	slices.Sort(common)
	return slices.Compact(common), len(common) > 0
}

// covers compares clean path prefixes by whole elements.
func covers(wide, narrow string) bool {
	wide = strings.TrimSuffix(wide, "/")
	rest, found := strings.CutPrefix(narrow, wide)
	return found && (rest == "" || rest[0] == '/')
}

// Interface guard
var _ token.Verifier = (*Verifier)(nil)
