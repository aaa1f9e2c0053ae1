package address

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxReference bounds a reference in a manifest, in bytes.
const maxReference = 4096

// Errors of Resolve. They hold no part of the reference: a signed URL may stand there.
var (
	ErrReference = errors.New("not a reference that can be kept inside the gateway")
	ErrForeign   = errors.New("reference leads to another host")
)

// Base is the URL against which the references of a manifest are resolved: a clean path of this site.
type Base struct {
	url     url.URL
	origins []*url.URL
}

// NewBase returns the base of a manifest at the clean path p. Absolute URLs below one of origins are the site's own:
// the rest of their path is a clean path. Each origin is a scheme, a host and the path of a directory; one without
// scheme or host matches nothing.
func NewBase(p Path, origins []*url.URL) Base {
	return Base{url: url.URL{Path: string(p)}, origins: origins}
}

// Target is a resolved reference: a clean path of this site and the query that the reference carried, as it was written.
type Target struct {
	Path     Path
	RawQuery string
}

// Resolve resolves ref, as RFC 3986 says, against b. It returns ErrForeign for another host or scheme and ErrReference
// for what is not a canonical path of this site: the gateway neither fetches such a URL nor lets it pass.
func (b Base) Resolve(ref string) (Target, error) {
	escaped, rawQuery, err := b.resolve(ref)
	if err != nil {
		return Target{}, err
	}
	p, err := ParsePath(escaped)
	if err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return Target{Path: p, RawQuery: rawQuery}, nil
}

// Join returns the base that a BaseURL makes of b. Its query is dropped, as players drop it.
func (b Base) Join(ref string) (Base, error) {
	target, err := b.Resolve(ref)
	if err != nil {
		return Base{}, err
	}
	return NewBase(target.Path, b.origins), nil
}

// Path returns the clean path of the base.
func (b Base) Path() Path { return Path(b.url.Path) }

// resolve returns the escaped path and the query of ref, not yet checked for a canonical path.
func (b Base) resolve(ref string) (escaped, rawQuery string, err error) {
	path, query, hasQuery := strings.Cut(ref, "?")
	if len(ref) > maxReference || strings.ContainsFunc(path, unsafeInReference) || strings.ContainsFunc(query, unsafeInQuery) ||
		strings.Trim(path, " ") != path {
		return "", "", ErrReference
	}
	if strings.Contains(path, " ") { // as all players read it
		if path = strings.ReplaceAll(path, " ", "%20"); hasQuery {
			path += "?" + query
		}
		ref = path
	}
	u, err := url.Parse(ref)
	if err != nil || u.User != nil || u.Opaque != "" {
		return "", "", ErrReference
	}
	if u.Scheme != "" || u.Host != "" {
		return b.resolveAbsolute(u)
	}
	if strings.HasPrefix(ref, "//") { // an authority that is empty; players disagree on what it means
		return "", "", ErrReference
	}
	u = b.url.ResolveReference(u)
	return u.EscapedPath(), u.RawQuery, nil
}

// unsafeInReference finds what no URL holds unescaped, what could end an attribute, a line or a header, and fragments,
// which would come before the query that we may append. Spaces, which packagers take over from the names of files, and apostrophes
// are none of that: a path is written again with both escaped.
func unsafeInReference(r rune) bool {
	return strings.ContainsRune("\\\"<>`{}|^#", r) || breaksText(r) || r == utf8.RuneError
}

// unsafeInQuery is the same for a query, which leaves as it came.
func unsafeInQuery(r rune) bool { return r == ' ' || r == '\'' || unsafeInReference(r) }

// resolveAbsolute maps an absolute URL below one of the origins to the path of this site.
func (b Base) resolveAbsolute(u *url.URL) (escaped, rawQuery string, err error) {
	// Dot elements are folded first: a URL that climbs out of the origin's directory is not below it.
	folded := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: u.Path, RawPath: u.RawPath}).EscapedPath()
	for _, origin := range b.origins {
		if origin.Scheme == "" || origin.Host == "" || !strings.EqualFold(u.Host, origin.Host) ||
			u.Scheme != "" && u.Scheme != origin.Scheme {
			continue
		}
		dir := strings.TrimSuffix(origin.EscapedPath(), "/") + "/"
		if rest, ok := strings.CutPrefix(folded, dir); ok {
			return "/" + rest, u.RawQuery, nil
		}
	}
	return "", "", ErrForeign
}

// Relative expresses target as seen from a request: from is the escaped path that was requested, elements of ours
// included; insert are elements to put in front of the last element of target.
//
// The result is relative, so that it survives path prefixes that a proxy strips or adds in front of the gateway.
func Relative(from string, target Target, insert ...string) string {
	return relative(from, target.Path.Escaped(), target.RawQuery, insert)
}

// RelativeTemplate is Relative for a template, whose identifiers stay as they are.
func RelativeTemplate(from string, t Template, rawQuery string, insert ...string) string {
	return relative(from, t.escaped(), rawQuery, insert)
}

// RelativeDir is Relative for a directory: insert goes behind it. The result ends in a slash.
func RelativeDir(from string, dir Path, insert ...string) string {
	return relative(from, dir.Dir().Escaped(), "", insert)
}

func relative(from, to, rawQuery string, insert []string) string {
	have := directories(from)
	want := append(directories(to), insert...)
	common := 0
	for common < len(have) && common < len(want) && have[common] == want[common] {
		common++
	}
	var b strings.Builder
	b.WriteString(strings.Repeat("../", len(have)-common))
	for _, element := range want[common:] {
		b.WriteString(element)
		b.WriteByte('/')
	}
	b.WriteString(to[strings.LastIndexByte(to, '/')+1:])
	text := b.String()
	// A first element with a colon would be read as a scheme, and an empty reference as the manifest itself.
	if first, _, _ := strings.Cut(text, "/"); text == "" || strings.Contains(first, ":") {
		text = "./" + text
	}
	if rawQuery != "" {
		text += "?" + rawQuery
	}
	return text
}

// directories returns the directory elements of an escaped absolute path.
func directories(escaped string) []string {
	end := strings.LastIndexByte(escaped, '/')
	if end <= 0 {
		return nil
	}
	return strings.Split(escaped[1:end], "/")
}
