package dash

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// located is a resource as an element names it.
type located struct {
	target address.Target
	bytes  address.Range
}

func (l located) resource() Resource { return Resource{Path: l.target.Path, Range: l.bytes} }

// locate resolves an element that names a resource by a URL, a byte range of it, or a byte range of what BaseURL names
// (5.3.9.2.2, 5.3.9.3.2).
func (r *rewriter) locate(t *track, n *node, urlName, rangeName string) (located, error) {
	found := located{target: t.place.target}
	var err error
	if text := n.trimmed(urlName); text != "" {
		if found.target, err = t.place.base.Resolve(text); err != nil {
			return located{}, r.doc.errorf(n, "resolving @%s: %w", urlName, err)
		}
	}
	if !namesFile(found.target) {
		return located{}, r.doc.errorf(n, "%w: neither @%s nor BaseURL names a file", ErrStructure, urlName)
	}
	if text, ok := n.attr(rangeName); ok {
		if found.bytes, err = parseRange(text); err != nil {
			return located{}, r.doc.errorf(n, "@%s: %w", rangeName, err)
		}
	}
	return found, nil
}

func namesFile(target address.Target) bool { return target.Path != "" && !target.Path.IsDir() }

// parseRange reads the one form of a byte range that says where it ends: "first-last".
func parseRange(text string) (address.Range, error) {
	firstText, lastText, ok := strings.Cut(strings.TrimSpace(text), "-")
	first, err := strconv.ParseUint(firstText, 10, 64)
	last, lastErr := strconv.ParseUint(lastText, 10, 64)
	if !ok || err != nil || lastErr != nil || last < first {
		return address.Range{}, fmt.Errorf("%w: %w", ErrStructure, address.ErrRange)
	}
	bytes, err := address.NewRange(first, last-first+1)
	if err != nil {
		return address.Range{}, fmt.Errorf("%w: %w", ErrStructure, err)
	}
	return bytes, nil
}

// placeSegments gives t the element that names its segments, in the place of its own element of that name if it has one, and
// no BaseURL that would add to it.
func (r *rewriter) placeSegments(t *track, replaces, markup string) {
	r.clearBases(t.node, t.chosen)
	if own := t.node.child(replaces); own != nil {
		r.replaceElement(own, markup)
		return
	}
	r.insertBefore(t.node, nil, markup)
}

// copyAttributes writes the attributes of that name that are in force.
func copyAttributes(b *strings.Builder, elements []*node, names ...string) {
	for _, name := range names {
		if value, ok := effective(elements, name); ok {
			writeAttribute(b, name, value)
		}
	}
}

func writeAttribute(b *strings.Builder, name, value string) {
	b.WriteString(" " + name + `="` + escapeXML(value) + `"`)
}

func writeNumber(b *strings.Builder, name string, value uint64) {
	writeAttribute(b, name, strconv.FormatUint(value, 10))
}
