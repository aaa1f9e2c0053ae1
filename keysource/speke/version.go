package speke

import "fmt"

// Version is a version of SPEKE.
type Version uint8

// The versions. CPIX is none of SPEKE: a CPIX 2.3 document, posted and answered.
const (
	V1 Version = iota + 1
	V20
	V21
	CPIX
)

// ParseVersion reads `1.0`, `2.0` or `2.1`.
func ParseVersion(text string) (Version, error) {
	for _, v := range []Version{V1, V20, V21} {
		if text == v.String() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("SPEKE version %q: want 1.0, 2.0 or 2.1", text)
}

// String returns the number of the version, or "cpix".
func (v Version) String() string {
	switch v {
	case V1:
		return "1.0"
	case V20:
		return "2.0"
	case V21:
		return "2.1"
	default:
		return "cpix"
	}
}

// cpixVersion is CPIX@version, which SPEKE 1 does not have.
func (v Version) cpixVersion() string {
	switch v {
	case V1:
		return ""
	case V21:
		return "2.4"
	default:
		return "2.3"
	}
}

// is2 reports whether v is a version 2 of SPEKE, with its fields of the header.
func (v Version) is2() bool { return v == V20 || v == V21 }

// Fields of the header, by canonical name.
const (
	headerVersion   = "X-Speke-Version"
	headerUserAgent = "X-Speke-User-Agent"
	header1Agent    = "Speke-User-Agent"
	headerType      = "Content-Type"

	typeXML   = "application/xml"
	userAgent = "caddy-drm"
)
