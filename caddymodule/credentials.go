package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-drm/caddy-drm/address"
	"github.com/caddy-drm/caddy-drm/token"
)

// One request has one credential. Kinds that name the places of theirs find it there; the others share the places of token.from, and
// their form tells them apart. What stands in any of these places counts: two different credentials are refused, whatever they
// are worth, so a bad one is never rescued by a good one and no verifier is tried after another.

// minBarePathToken is how long a first path element must be to be taken for a token without a name in front of it.
const minBarePathToken = 40

// foundKind is a kind of token that finds its own credential. Its answers are cached.
type foundKind struct {
	finder token.Finder
	cached *token.Cached
	// verifier is cached or, with an entitlement backend, what asks it behind that.
	verifier token.Verifier
}

// addFound puts a cache in front of a kind that finds its own.
func (c *TokenConfig) addFound(finder token.Finder) error {
	cached, err := token.NewCached(finder, token.CacheConfig{MaxTokens: 1 << 14})
	if err != nil {
		return err
	}
	c.found = append(c.found, foundKind{finder: finder, cached: cached, verifier: cached})
	return nil
}

// compilePlaces settles who looks where, once the verifiers are known. hasForms says whether one takes tokens from From. Its
// errors begin with the name of the setting.
func (c *TokenConfig) compilePlaces(hasForms bool) error {
	if !hasForms && len(c.From) > 0 {
		return errors.New("from: none of the kinds of token looks there; theirs name their own places")
	}
	taken := make(map[token.Place]bool)
	take := func(place token.Place) error {
		if place.In == token.InHeader {
			place.Name = http.CanonicalHeaderKey(place.Name)
		}
		if taken[place] {
			return fmt.Errorf("from: two kinds of token look for theirs in the %s %q: name another place", place.In, place.Name)
		}
		taken[place] = true
		switch place.In {
		case token.InQuery:
			c.queries = append(c.queries, place.Name)
		case token.InPath:
			c.elements = append(c.elements, place.Name)
		}
		return nil
	}
	for _, place := range c.From {
		known := isOneOf(place.In, tokenInQuery, tokenInHeader, tokenInCookie, tokenInPath)
		if !known || place.Name == "" && place.In != tokenInPath || strings.ContainsAny(place.Name, "/=%&") {
			return fmt.Errorf("from: want query, header or cookie and a name, or path, not %q", place.In)
		}
		if err := take(token.Place{In: place.In, Name: place.Name}); err != nil {
			return err
		}
	}
	for _, kind := range c.found {
		for _, place := range kind.finder.Places() {
			if err := take(place); err != nil {
				return err
			}
		}
	}
	return nil
}

// credentials returns what the request carries: tokens from the places of From, and what kinds of token found.
func (q *request) credentials() (tokens []string, found []token.Credential, err error) {
	query, err := q.query()
	if err != nil {
		return nil, nil, err
	}
	if q.Token.verifier != nil {
		for _, place := range q.Token.From {
			at, err := q.tokensAt(place, query)
			if err != nil {
				return nil, nil, err
			}
			tokens = append(tokens, at...)
		}
	}
	if len(q.Token.found) == 0 {
		return tokens, nil, nil
	}
	carrier := token.Carrier{
		RawQuery: q.r.URL.RawQuery, Query: query, Header: q.r.Header.Values, Cookie: q.cookies, Element: q.element,
	}
	for _, kind := range q.Token.found {
		raws, err := kind.finder.Find(carrier)
		if errors.Is(err, token.ErrAmbiguous) {
			return nil, nil, errTokenTwice
		}
		if err != nil {
			return nil, nil, err
		}
		for _, raw := range raws {
			found = append(found, token.Credential{Raw: raw, Verifier: kind.verifier})
		}
	}
	return tokens, found, nil
}

func (q *request) query() (url.Values, error) {
	if q.r.URL.RawQuery == "" {
		return nil, nil //nolint:nilnil // no parameters
	}
	query, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return nil, errQuery
	}
	return query, nil
}

func (q *request) cookies(name string) []string {
	var values []string
	for _, cookie := range q.r.CookiesNamed(name) {
		values = append(values, cookie.Value)
	}
	return values
}

// tokensAt returns the token at a place. A place that holds two is refused.
func (q *request) tokensAt(place TokenPlace, query url.Values) ([]string, error) {
	var at []string
	switch place.In {
	case tokenInQuery:
		at = query[place.Name]
	case tokenInHeader:
		at = headerTokens(q.r.Header, place.Name)
	case tokenInCookie:
		at = q.cookies(place.Name)
	case tokenInPath:
		if raw, ok := elementValue(q.element, place.Name); ok {
			at = []string{raw}
		}
	}
	if len(at) > 1 {
		return nil, errTokenTwice
	}
	return at, nil
}

// elementValue returns what an element of the path holds for a name; without a name, what looks like a token.
func elementValue(element, name string) (string, bool) {
	if name != "" {
		return strings.CutPrefix(element, name+"=")
	}
	bare := len(element) >= minBarePathToken && !strings.ContainsFunc(element, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.'
	})
	return element, bare
}

// takeElement takes a credential out of the beginning of the path, before anything else looks at it: tenant, asset, placeholders and
// the handlers behind us know the path without it. It returns the request as it came if there is none.
func (h *Handler) takeElement(r *http.Request) (rest *http.Request, element string) {
	if h.Token == nil || len(h.Token.elements) == 0 {
		return r, ""
	}
	escaped := r.URL.EscapedPath()
	element, below, more := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	if !more || !slices.ContainsFunc(h.Token.elements, func(name string) bool { _, ok := elementValue(element, name); return ok }) {
		return r, ""
	}
	ctx := r.Context()
	if original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		prefix, ok := prefixOf(original.URL, r.URL)
		if !ok {
			return r, "" // classify refuses it
		}
		original.URL = withPath(original.URL, prefix+"/"+below)
		original.RequestURI = original.URL.RequestURI()
		ctx = context.WithValue(ctx, caddyhttp.OriginalRequestCtxKey, original)
	}
	rest = r.WithContext(ctx)
	rest.URL = withPath(r.URL, "/"+below)
	rest.RequestURI = rest.URL.RequestURI()
	return rest, element
}

// withPath returns u with another path, given as it is escaped.
func withPath(u *url.URL, escaped string) *url.URL {
	changed := *u
	if decoded, err := url.PathUnescape(escaped); err == nil {
		changed.Path, changed.RawPath = decoded, escaped
	} else {
		changed.Path, changed.RawPath = escaped, "" // classify refuses it
	}
	return &changed
}

// checkElement lets a credential in the path open manifests and sidecars by their own addresses and nothing else: what is behind a
// seal or a session is never named with it.
func (q *request) checkElement() error {
	if q.element != "" && (q.addr.Session != "" || q.addr.Seal != "" || q.addr.Endpoint != nil) {
		return errNotOurs
	}
	return nil
}

// leaveElement exchanges a credential in the path for a session: the answer leads to the same resource without the credential. So no
// child address repeats it, and whoever matches paths in front of us sees the clean path of all that is served.
func (q *request) leaveElement() error {
	session, err := q.sessionElements()
	if err != nil {
		return err
	}
	location := publicPrefix(q.r) + q.addr.Path.Dir().Escaped()
	for _, element := range session {
		location += element + "/"
	}
	location += address.Path("/" + q.addr.Path.Base()).Escaped()[1:]
	if query := q.queryWithoutTokens(); query != "" {
		location += "?" + query
	}
	header := q.w.Header()
	header.Set("Location", location)
	header.Set("Cache-Control", cacheNoStore)
	countServed(q.kind, 0)
	q.w.WriteHeader(http.StatusFound)
	return nil
}
