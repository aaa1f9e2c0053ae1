package token

import (
	"context"
	"strings"
)

// Single returns the one token among the places where a request may carry it: header, query (every value), cookie. Empty
// strings are places without a token; the same token in several places counts once.
//
// Two different tokens are ErrAmbiguous, whatever they are worth: were the first good one taken, a bad one would be rescued
// by it, and which one counts would depend on who looks. No token is ErrMissing.
func Single(raws ...string) (string, error) {
	only := ""
	for _, raw := range raws {
		switch {
		case raw == "" || raw == only:
		case only == "":
			only = raw
		default:
			return "", ErrAmbiguous
		}
	}
	if only == "" {
		return "", ErrMissing
	}
	return only, nil
}

// ByForm hands a token to the verifier for its form: Prefix for signed prefixes, JWT for everything else. Tokens are never
// tried on one verifier after another. A nil field means that the form is not accepted.
type ByForm struct {
	JWT    Verifier
	Prefix Verifier
}

// Verify implements Verifier.
func (f ByForm) Verify(ctx context.Context, raw string, req Request) (Claims, error) {
	v := f.JWT
	if strings.HasPrefix(raw, prefixVersion+".") {
		v = f.Prefix
	}
	switch {
	case raw == "":
		return Claims{}, ErrMissing
	case v == nil:
		return Claims{}, ErrMalformed
	}
	return v.Verify(ctx, raw, req)
}

// Identity implements Identified. It is empty, so that nothing is cached, if one of the two has none.
func (f ByForm) Identity() string {
	jwt, prefix := identityOf(f.JWT), identityOf(f.Prefix)
	if (f.JWT != nil && jwt == "") || (f.Prefix != nil && prefix == "") {
		return ""
	}
	return "form|" + jwt + "|" + prefix
}
