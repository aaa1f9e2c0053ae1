package address

import (
	"strconv"
	"strings"
)

// Elements of ours in a URL path.
const (
	// EndpointElement is the reserved element below which our own endpoints live, at any depth.
	EndpointElement = ".drm"

	sealPrefix    = "~"
	sessionPrefix = "~s."
	numberPrefix  = "~n."
)

// Address is a request path taken apart.
type Address struct {
	// Path is the clean path; for an endpoint the directory below which it was asked for.
	Path Path
	// Seal is the text of the seal, or empty.
	Seal string
	// Session is the text of the session, or empty.
	Session string
	// Number is the number of a segment in a single file, from 1, or 0.
	Number uint64
	// Endpoint holds the elements after ".drm", or nil.
	Endpoint []string
	// Depth is the number of elements of the clean path in front of the first element of ours, 0 if there is none.
	Depth int
}

// InPlace reports whether the elements of ours stand where manifests put them: in or below the directory asset, or right
// in front of the last element. Elsewhere they would hide the beginning of the clean path from whoever matches paths in
// front of the gateway.
func (a Address) InPlace(asset Path) bool {
	if a.Seal == "" && a.Session == "" || a.Endpoint != nil {
		return true // an endpoint's elements stand behind ".drm", which stands behind the clean path
	}
	return a.Path.Under(asset) && a.Depth >= strings.Count(string(asset), "/")-1 || a.Depth == strings.Count(string(a.Path), "/")-1
}

// Parse takes the elements of ours out of the escaped path of a request. A path may hold one seal and one session, both
// anywhere in front of the last element, and a number between the seal and the last element; more of any, or one that is
// empty, is refused with ErrPath like any other path that has a second spelling.
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
		case strings.HasPrefix(element, numberPrefix):
			if !a.takeNumber(element[len(numberPrefix):]) || i != len(elements)-2 {
				return Address{}, ErrPath
			}
		case element == EndpointElement:
			return a.endpoint(kept, elements[i+1:])
		case !a.take(element, len(kept)):
			return Address{}, ErrPath
		}
	}
	a.Path = Path("/" + strings.Join(kept, "/"))
	if len(a.Path) > maxPath {
		return Address{}, ErrPath
	}
	return a, nil
}

// take notes an element of ours behind depth elements of the clean path. It reports whether there may be one more of its
// kind.
func (a *Address) take(element string, depth int) bool {
	if a.Seal == "" && a.Session == "" {
		a.Depth = depth
	}
	into, text := &a.Seal, element[len(sealPrefix):]
	if strings.HasPrefix(element, sessionPrefix) {
		into, text = &a.Session, element[len(sessionPrefix):]
	}
	if *into != "" || text == "" {
		return false
	}
	*into = text
	return true
}

// takeNumber notes the number of a segment, in its one spelling, behind a seal.
func (a *Address) takeNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || a.Number != 0 || a.Seal == "" || strconv.FormatUint(n, 10) != text {
		return false
	}
	a.Number = n
	return true
}

// endpoint finishes an address below ".drm". A session may stand right behind that element, and nothing of ours in front
// of it.
func (a Address) endpoint(dir, rest []string) (Address, error) {
	if a.Seal != "" || a.Session != "" {
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

// NumberElement is the path element that carries the number of a segment in a single file: a template of DASH has
// "$Number$" in place of number.
func NumberElement(number string) string { return numberPrefix + number }

// SessionElement returns the path element that carries a session.
func SessionElement(session string) string { return sessionPrefix + session }
