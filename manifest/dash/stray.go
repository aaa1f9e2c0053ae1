package dash

import (
	"encoding/xml"
	"errors"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// strayDescriptors are properties whose value or attributes lead to a resource that no seal covers.
var strayDescriptors = []string{
	"urn:dvb:dash:fontdownload:2014",
	"urn:mpeg:dash:chaining:2016",
	"urn:mpeg:dash:fallback:2016",
}

// isStray reports whether an element may have to go, wherever it stands.
func (p *parser) isStray(n *node) bool {
	switch n.local {
	case "ContentProtection":
		return p.signals == replaceSignals
	case "PatchLocation", "ContentSteering", "InitializationSet", "UTCTiming":
		return true
	case "EssentialProperty", "SupplementalProperty":
		return slices.Contains(strayDescriptors, n.trimmed("schemeIdUri")) || slices.ContainsFunc(n.attrs, isDVBURL)
	default:
		return false
	}
}

// removeStrays takes out the elements between two offsets that would lead a player around the gateway or to clear bytes.
func (r *rewriter) removeStrays(from, to int) {
	strays := r.doc.strays // in document order
	first, _ := slices.BinarySearchFunc(strays, from, func(n *node, offset int) int { return n.start - offset })
	for _, n := range strays[first:] {
		if n.start >= to {
			return
		}
		if n.gone(r.number) || n.is("UTCTiming") && !r.leadsToOrigin(n) {
			continue
		}
		r.remove(n)
	}
}

// leadsToOrigin reports whether a clock is to be read from a host of ours or of the media. Clocks elsewhere tell nobody
// anything and stay.
func (r *rewriter) leadsToOrigin(timing *node) bool {
	if !strings.HasPrefix(timing.trimmed("schemeIdUri"), "urn:mpeg:dash:utc:http-") {
		return false
	}
	return slices.ContainsFunc(strings.Fields(timing.trimmed("value")), func(url string) bool {
		_, err := r.Base.Resolve(url)
		return !errors.Is(err, address.ErrForeign)
	})
}

// isDVBURL finds dvb:url, whichever edition of the namespace it is in (ETSI TS 103 285, 7.2).
func isDVBURL(a xml.Attr) bool {
	return a.Name.Local == "url" && strings.HasPrefix(a.Name.Space, "urn:dvb:")
}
