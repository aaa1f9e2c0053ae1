package address

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
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
// the rest of their path is a clean path. Each origin is a scheme, a host and a path that ends in a slash.
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
	u, err := b.resolve(ref)
	if err != nil {
		return Target{}, err
	}
	p, err := ParsePath(u.EscapedPath())
	if err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return Target{Path: p, RawQuery: u.RawQuery}, nil
}

// Join returns the base that a BaseURL makes of b. Its query is dropped, as players drop it.
func (b Base) Join(ref string) (Base, error) {
	u, err := b.resolve(ref)
	if err != nil {
		return Base{}, err
	}
	if _, err := ParsePath(u.EscapedPath()); err != nil {
		return Base{}, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return Base{url: url.URL{Path: u.Path}, origins: b.origins}, nil
}

// Path returns the clean path of the base.
func (b Base) Path() Path { return Path(b.url.Path) }

func (b Base) resolve(ref string) (*url.URL, error) {
	if len(ref) > maxReference || strings.ContainsFunc(ref, unsafeInReference) {
		return nil, ErrReference
	}
	u, err := url.Parse(ref)
	if err != nil || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, ErrReference
	}
	if u.Scheme == "" && u.Host == "" {
		return b.url.ResolveReference(u), nil
	}
	for _, origin := range b.origins {
		if rest, ok := below(origin, u); ok {
			return rest, nil
		}
	}
	return nil, ErrForeign
}

// unsafeInReference finds what no URL holds unescaped and what could end an attribute, a line or a header.
func unsafeInReference(r rune) bool {
	return r <= 0x20 || r == 0x7f || strings.ContainsRune("\\\"'<>`{}|^", r)
}

// below maps an absolute URL under origin to the path of this site.
func below(origin, u *url.URL) (*url.URL, bool) {
	if u.Scheme != "" && u.Scheme != origin.Scheme || !strings.EqualFold(u.Host, origin.Host) {
		return nil, false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), origin.EscapedPath())
	if !ok {
		return nil, false
	}
	local, err := url.Parse("/" + rest)
	if err != nil || local.Host != "" {
		return nil, false
	}
	// Dot elements are folded here as a browser folds them, and never above the origin's own directory.
	local = (&url.URL{Path: "/"}).ResolveReference(local)
	local.RawQuery = u.RawQuery
	return local, true
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
