package token

import "net/url"

// The places of a request where a credential may stand.
const (
	InQuery  = "query"
	InHeader = "header"
	InCookie = "cookie"
	InPath   = "path"
)

// Place is one place of a request: a query parameter, a field of the header, a cookie, or an element of the path that begins
// with Name and an equals sign.
type Place struct {
	In, Name string
}

// Carrier is what a Finder may look at.
type Carrier struct {
	// RawQuery is the query as it is spelled, and Query its parameters.
	RawQuery string
	Query    url.Values
	// Header and Cookie return all values of a field, or of a cookie. Nil: there are none.
	Header, Cookie func(name string) []string
	// Element is the path element of the Finder's place, with its name; empty if the request has none.
	Element string
}

// Values returns all that stands at a place, as it stands there. A path element is given without its name and equals sign.
func (c Carrier) Values(p Place) []string {
	switch {
	case p.In == InQuery:
		return c.Query[p.Name]
	case p.In == InHeader && c.Header != nil:
		return c.Header(p.Name)
	case p.In == InCookie && c.Cookie != nil:
		return c.Cookie(p.Name)
	case p.In == InPath && len(c.Element) > len(p.Name) && c.Element[:len(p.Name)+1] == p.Name+"=":
		return []string{c.Element[len(p.Name)+1:]}
	}
	return nil
}

// Finder is a Verifier whose credential is not one text in a place of the site's choice: it may be spread over several
// parameters, or stand where its kind of token demands.
type Finder interface {
	Verifier
	// Places lists every place that Find looks at. No other kind of token may look there, and what stands in the query is taken
	// out of it before the origin sees it.
	Places() []Place
	// Find returns the credentials of its kind in a request, each as the one text that Verify takes: the same text for the same
	// credential, wherever it stands. A place that holds two values is ErrAmbiguous.
	Find(c Carrier) ([]string, error)
}

// Credential is a credential that a Finder found, and the verifier that it is for.
type Credential struct {
	Raw      string
	Verifier Verifier
}

// Pick returns the one credential of a request: one of tokens, whose Verifier is nil because their form decides, or one of
// found. It is Single over all of them: the same credential in several places counts once; two different ones, of whatever kinds
// and worth, are ErrAmbiguous, and none is ErrMissing.
func Pick(tokens []string, found []Credential) (Credential, error) {
	raw, err := Single(tokens...)
	if err == ErrAmbiguous || len(found) == 0 { //nolint:errorlint // Single returns its sentinels bare
		return Credential{Raw: raw}, err
	}
	only := found[0]
	if raw != "" {
		return Credential{}, ErrAmbiguous
	}
	for _, other := range found[1:] {
		if other != only {
			return Credential{}, ErrAmbiguous
		}
	}
	return only, nil
}
