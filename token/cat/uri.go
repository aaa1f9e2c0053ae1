package cat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// uriPart is what catu says of one part of the URI.
type uriPart struct {
	part int64
	matches
}

// readURI reads catu. The parts that a session carries come first; pinned says whether there are others, which only the
// address that the token is presented at can satisfy.
func readURI(v any) (parts []uriPart, pinned bool, err error) {
	m, ok := v.(map[any]any)
	if !ok || len(m) == 0 {
		return nil, false, errors.New("not a map of parts")
	}
	found := 0
	for part := PartScheme; part <= PartExtension; part++ {
		value, has := m[part]
		if !has {
			continue
		}
		found++
		all, err := readMatches(value, normalizers[part])
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", partNames[part], err)
		}
		parts = append(parts, uriPart{part, all})
		pinned = pinned || !isCarried(part, all)
	}
	if found != len(m) {
		return nil, false, errors.New("an unknown part")
	}
	return parts, pinned, nil
}

// isCarried reports whether a part holds for the child addresses of a manifest as it does for the manifest: the place where
// they lie, and not the name of one file.
func isCarried(part int64, all matches) bool {
	switch part {
	case PartScheme, PartHost, PartPort:
		return true
	case PartPath, PartParentPath:
		for _, m := range all {
			if m.kind != MatchPrefix {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// holds reports whether a part of the request's URI is as the token demands.
func (p *uriPart) holds(req *token.Request) bool {
	switch p.part {
	case PartScheme:
		return req.Scheme != "" && p.hold(req.Scheme)
	case PartHost:
		return req.Host != "" && p.hold(req.Host)
	case PartPort:
		return p.portHolds(req)
	case PartQuery:
		return p.hold(normalizeQuery(req.RawQuery))
	}
	if req.PublicPath == "" || req.PublicPath[0] != '/' {
		return false
	}
	path := escapePath(req.PublicPath)
	slash := strings.LastIndexByte(path, '/')
	switch name := path[slash+1:]; p.part {
	case PartPath:
		return p.hold(path)
	case PartParentPath:
		return p.hold(path[:slash])
	case PartFilename:
		return p.hold(name)
	case PartStem:
		return p.hold(name[:extensionAt(name)])
	case PartExtension:
		return p.hold(name[extensionAt(name):])
	default:
		return false
	}
}

// extensionAt returns where the last dot is, which the extension begins with, or the end.
func extensionAt(name string) int {
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return dot
	}
	return len(name)
}

// portHolds takes the default port of the scheme for none at all too: a URI may name it or leave it out (RFC 9110, 4.2.3).
func (p *uriPart) portHolds(req *token.Request) bool {
	if req.Port == 0 {
		return false
	}
	if p.hold(strconv.Itoa(int(req.Port))) {
		return true
	}
	isDefault := req.Scheme == "https" && req.Port == 443 || req.Scheme == "http" && req.Port == 80
	return isDefault && p.hold("")
}

// normalizers bring the literals of a token into the form of what a request is taken apart into. Regular expressions and digests
// are over that form: RFC 3986, 6.2.2 and 6.2.3.
var normalizers = [...]func(string) (string, error){
	PartScheme: lowerCase, PartHost: lowerCase, PartPort: nil, PartPath: normalizePath, PartQuery: normalizeQueryLiteral,
	PartParentPath: normalizePath, PartFilename: normalizePath, PartStem: normalizePath, PartExtension: normalizePath,
}

func lowerCase(s string) (string, error) { return strings.ToLower(s), nil }

// normalizePath brings a path, or a piece of one, to upper-case escapes of nothing but what must be escaped. What a clean path
// never has can only be there to be read in two ways, and is an error.
func normalizePath(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			value, ok := unescape(s[i:])
			if !ok {
				return "", errors.New("a broken escape")
			}
			if value == '/' {
				return "", errors.New("an escaped slash")
			}
			c, i = value, i+2
		}
		if c < 0x20 || c == 0x7f || c == '\\' {
			return "", errors.New("a character that no path has")
		}
		b = append(b, c)
	}
	path := string(b)
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", errors.New("a dot segment")
		}
	}
	return escapePath(path), nil
}

// escapePath returns the one escaped form of a decoded path. It allocates nothing if there is nothing to escape.
func escapePath(s string) string {
	first := strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 || !isPathByte(byte(r)) })
	if first < 0 {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if isPathByte(s[i]) {
			b = append(b, s[i])
		} else {
			b = append(b, '%', upperHex[s[i]>>4], upperHex[s[i]&15])
		}
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"

// isPathByte: pchar and the slash (RFC 3986, 3.3).
func isPathByte(c byte) bool { return isUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@/", c) >= 0 }

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func unescape(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	value, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(value), err == nil
}

func normalizeQueryLiteral(s string) (string, error) {
	return normalizeQuery(strings.TrimPrefix(s, "?")), nil
}

// normalizeQuery decodes the escapes of characters that need none and writes the others in upper case. The order of parameters and
// the sign + for a space stay: they may mean something.
func normalizeQuery(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		value, ok := unescape(s[i:])
		switch {
		case s[i] != '%' || !ok:
			b = append(b, s[i])
		case isUnreserved(value):
			b, i = append(b, value), i+2
		default:
			b, i = append(b, '%', upperHex[value>>4], upperHex[value&15]), i+2
		}
	}
	return string(b)
}
