package token

import (
	"context"
	"slices"
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

// ByForm hands a token to the verifier for its form: Prefix for signed prefixes, CAT for Common Access Tokens, JWT for
// everything else. Tokens are never tried on one verifier after another. A nil field means that the form is not accepted.
type ByForm struct {
	JWT    Verifier
	Prefix Verifier
	CAT    Verifier
}

// catForms are the first characters of a Common Access Token, which is one CBOR data item in base64url: the tags 61, 17 and
// 18, and an untagged array of four that begins with a byte string. A JWT begins with `{`, and has dots.
var catForms = []string{"2D", "0Y", "0o", "hE", "hF"}

func isCATForm(raw string) bool {
	return len(raw) > 2 && slices.Contains(catForms, raw[:2]) && !strings.Contains(raw, ".")
}

// Verify implements Verifier.
func (f ByForm) Verify(ctx context.Context, raw string, req Request) (Claims, error) {
	v := f.JWT
	switch {
	case strings.HasPrefix(raw, prefixVersion+"."):
		v = f.Prefix
	case isCATForm(raw):
		v = f.CAT
	}
	switch {
	case raw == "":
		return Claims{}, ErrMissing
	case v == nil:
		return Claims{}, ErrMalformed
	}
	return v.Verify(ctx, raw, req)
}

// Identity implements Identified. It is empty, so that nothing is cached, if one of them has none.
func (f ByForm) Identity() string {
	jwt, prefix, cat := identityOf(f.JWT), identityOf(f.Prefix), identityOf(f.CAT)
	if (f.JWT != nil && jwt == "") || (f.Prefix != nil && prefix == "") || (f.CAT != nil && cat == "") {
		return ""
	}
	return "form|" + jwt + "|" + prefix + "|" + cat
}

// changing is Identity for a cache that is f's alone: it changes when that does, and costs nothing where there is one form.
func (f ByForm) changing() string {
	switch {
	case f.Prefix == nil && f.CAT == nil:
		return identityOf(f.JWT)
	case f.JWT == nil && f.CAT == nil:
		return identityOf(f.Prefix)
	case f.JWT == nil && f.Prefix == nil:
		return identityOf(f.CAT)
	default:
		return f.Identity()
	}
}
