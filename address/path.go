package address

import (
	"errors"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPath bounds a clean path, in bytes. Longer ones are refused before anything else looks at them.
	maxPath = 2048
	// maxEscaped bounds its escaped form, in which a byte takes up to three.
	maxEscaped = 3 * maxPath
	// maxElements is the room for elements of ours in the path of a request: a seal, a session and an endpoint's name.
	maxElements = MaxSeal + 1100
)

// Path is a clean path: absolute, percent-decoded, without empty, dot or reserved elements. A directory ends in a slash.
//
// Two different Paths never name the same resource by the rules of a URL, so that scope, key and origin agree on what
// is asked for. The zero value is no path.
type Path string

// ErrPath is returned for a path that is not in its one canonical form.
var ErrPath = errors.New("path is not canonical")

// ParsePath reads the escaped path of a URL. It refuses, with ErrPath, whatever has a second spelling for somebody on
// the way to the file: empty and dot elements; encoded slashes, backslashes, and percent signs that would decode twice;
// path parameters (";"); elements that end in a dot or a space, which some file systems drop; control characters, text
// that is not UTF-8, a query or a fragment; and elements that are reserved for us, which begin with "~" or are ".drm".
//
// Letter case is kept, since URLs and most file systems tell it apart: "/A" and "/a" are two Paths.
func ParsePath(escaped string) (Path, error) {
	p, err := decodePath(escaped, maxEscaped)
	if err != nil || len(p) > maxPath {
		return "", ErrPath
	}
	for element := range strings.SplitSeq(p[1:], "/") {
		if reserved(element) {
			return "", ErrPath
		}
	}
	return Path(p), nil
}

// IsCanonical reports whether an escaped path has nothing of what ParsePath refuses but reserved elements. Letters may be escaped: two spellings
// of that kind are one path once they are decoded, for everybody on the way.
func IsCanonical(escaped string) bool {
	_, err := decodePath(escaped, maxEscaped)
	return err == nil
}

// decodePath checks everything but the reserved elements and the length of what it returns.
func decodePath(escaped string, limit int) (string, error) {
	if len(escaped) == 0 || len(escaped) > limit || escaped[0] != '/' || strings.ContainsAny(escaped, "?#") {
		return "", ErrPath
	}
	p, err := url.PathUnescape(escaped)
	if err != nil || unsafePath(p) || len(p) != len(escaped) && escapesSlash(escaped) {
		return "", ErrPath
	}
	for rest := p[1:]; ; {
		element, after, more := strings.Cut(rest, "/")
		if element == "" && more || strings.HasSuffix(element, ".") || strings.HasSuffix(element, " ") {
			return "", ErrPath
		}
		if !more {
			return p, nil
		}
		rest = after
	}
}

// escapesSlash reports whether escaped holds a slash that would make one element of what an origin may read as two.
func escapesSlash(escaped string) bool {
	return strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%2F")
}

// unsafePath reports whether a decoded path holds a control character, what servers take for a slash or for the end of a
// name, what can be decoded once more, or what is no text.
func unsafePath(p string) bool {
	ascii := true
	for i := range len(p) {
		switch c := p[i]; {
		case c < 0x20 || c == 0x7f || c == '\\' || c == ';':
			return true
		case c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]):
			return true
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return !ascii && (!utf8.ValidString(p) || strings.ContainsFunc(p, breaksText))
}

// breaksText finds control characters, C1 included, and what Unicode takes for the end of a line.
func breaksText(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func reserved(element string) bool {
	return strings.HasPrefix(element, sealPrefix) || element == EndpointElement
}

// IsDir reports whether p is a directory.
func (p Path) IsDir() bool { return strings.HasSuffix(string(p), "/") }

// Dir returns the directory that holds p, with its trailing slash; a directory is its own Dir.
func (p Path) Dir() Path { return p[:strings.LastIndexByte(string(p), '/')+1] }

// Base returns the last element of p, empty for a directory.
func (p Path) Base() string { return string(p[strings.LastIndexByte(string(p), '/')+1:]) }

// Ext returns the lower-case extension of p, with its dot.
func (p Path) Ext() string {
	base := p.Base()
	if dot := strings.LastIndexByte(base, '.'); dot >= 0 {
		return strings.ToLower(base[dot:])
	}
	return ""
}

// Under reports whether p lies in the directory dir. The comparison is by whole elements, since dir ends in a slash.
func (p Path) Under(dir Path) bool { return dir.IsDir() && strings.HasPrefix(string(p), string(dir)) }

// Escaped returns p as it stands in a URL.
func (p Path) Escaped() string { return escapePath(string(p)) }

func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }
