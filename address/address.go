package address

import "strings"

// Elements of ours in a URL path.
const (
	// EndpointElement is the reserved element below which our own endpoints live, at any depth.
	EndpointElement = ".drm"

	sealPrefix    = "~"
	sessionPrefix = "~s."
)

// Address is a request path taken apart.
type Address struct {
	// Path is the clean path; for an endpoint the directory below which it was asked for.
	Path Path
	// Seal is the text of the seal, or empty.
	Seal string
	// Session is the text of the session, or empty.
	Session string
	// Endpoint holds the elements after ".drm", or nil.
	Endpoint []string
}

// Parse takes the elements of ours out of the escaped path of a request. A path may hold one seal and one session, both
// anywhere in front of the last element; more of either, or one that is empty, is refused with ErrPath like any other
// path that has a second spelling.
func Parse(escaped string) (Address, error) {
	decoded, err := decodePath(escaped, maxEscaped+maxElements)
	if err != nil {
		return Address{}, err
	}
	var a Address
	elements := strings.Split(decoded[1:], "/")
	kept := elements[:0:len(elements)]
	for i, element := range elements {
		last := i == len(elements)-1
		switch {
		case !strings.HasPrefix(element, sealPrefix) && element != EndpointElement:
			kept = append(kept, element)
		case last:
			return Address{}, ErrPath
		case element == EndpointElement:
			return a.endpoint(kept, elements[i+1:])
		case strings.HasPrefix(element, sessionPrefix):
			if a.Session != "" || len(element) == len(sessionPrefix) {
				return Address{}, ErrPath
			}
			a.Session = element[len(sessionPrefix):]
		default:
			if a.Seal != "" || len(element) == len(sealPrefix) {
				return Address{}, ErrPath
			}
			a.Seal = element[len(sealPrefix):]
		}
	}
	a.Path = Path("/" + strings.Join(kept, "/"))
	if len(a.Path) > maxPath {
		return Address{}, ErrPath
	}
	return a, nil
}

// endpoint finishes an address below ".drm". A session may stand in front of or behind that element; a seal may not.
func (a Address) endpoint(dir, rest []string) (Address, error) {
	if a.Seal != "" {
		return Address{}, ErrPath
	}
	if strings.HasPrefix(rest[0], sessionPrefix) && a.Session == "" && len(rest) > 1 {
		a.Session, rest = rest[0][len(sessionPrefix):], rest[1:]
		if a.Session == "" {
			return Address{}, ErrPath
		}
	}
	for _, element := range rest {
		if element == "" || reserved(element) {
			return Address{}, ErrPath
		}
	}
	a.Path = "/"
	if len(dir) > 0 {
		a.Path = Path("/" + strings.Join(dir, "/") + "/")
	}
	if len(a.Path) > maxPath {
		return Address{}, ErrPath
	}
	a.Endpoint = rest
	return a, nil
}

// SealElement returns the path element that carries a seal.
func SealElement(seal string) string { return sealPrefix + seal }

// SessionElement returns the path element that carries a session.
func SessionElement(session string) string { return sessionPrefix + session }
