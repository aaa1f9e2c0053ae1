package dash

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// document is an MPD as bytes and as a light tree over them.
type document struct {
	mpd  []byte
	root *node
	// strays are elements that removeStrays looks at, wherever they stand.
	strays []*node
	// prefixes tells how the prefixes of ours are bound in the document.
	prefixes map[string]*prefixUse
}

// node is an element. Only the children of elements that hold addresses are kept.
type node struct {
	parent     *node
	children   []*node
	items      []*node // of a SegmentList its SegmentURLs, of its SegmentTimeline the S, of an EventStream the Events: there may be very many
	prefix     string  // as written
	local, ns  string
	attrs      []xml.Attr // Name.Space is a namespace, not a prefix
	start      int        // of the start tag
	startEnd   int        // behind the start tag
	endStart   int        // of the end tag; startEnd if there is none
	end        int        // behind the element
	selfClosed bool
	dropped    int             // number of the last layer in which it was taken out
	text       strings.Builder // content of BaseURL and Location, comments left out
}

// is reports whether n is the DASH element of that name.
func (n *node) is(local string) bool { return n.local == local && n.ns == namespaceMPD }

// attr returns the value of an attribute without namespace.
func (n *node) attr(name string) (string, bool) {
	for _, a := range n.attrs {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// trimmed returns the value of an attribute without the white space that XML schema types collapse.
func (n *node) trimmed(name string) string {
	value, _ := n.attr(name)
	return strings.TrimSpace(value)
}

// child returns the first child of that name, or nil.
func (n *node) child(local string) *node {
	for _, c := range n.children {
		if c.is(local) {
			return c
		}
	}
	return nil
}

// qualified returns the name of a DASH element as it has to be written next to n.
func (n *node) qualified(local string) string {
	if n.prefix == "" {
		return local
	}
	return n.prefix + ":" + local
}

// gone reports whether n or an element around it is taken out in a layer.
func (n *node) gone(layer int) bool {
	for ; n != nil; n = n.parent {
		if n.dropped == layer {
			return true
		}
	}
	return false
}

// path names n for an error.
func (n *node) path() string {
	const longest = 32 // names are the document's own text
	name := n.local
	if len(name) > longest {
		name = name[:longest]
	}
	if n.parent == nil {
		return name
	}
	index := 0
	for _, c := range slices.Concat(n.parent.children, n.parent.items) {
		if c == n {
			break
		}
		if c.local == n.local {
			index++
		}
	}
	return fmt.Sprintf("%s/%s[%d]", n.parent.path(), name, index)
}

func (d *document) errorAt(n *node, err error) error {
	return &SyntaxError{Line: d.line(n.start), Path: n.path(), Err: err}
}

func (d *document) errorf(n *node, format string, args ...any) error {
	return d.errorAt(n, fmt.Errorf(format, args...))
}

func (d *document) line(offset int) int {
	return 1 + bytes.Count(d.mpd[:min(offset, len(d.mpd))], []byte("\n"))
}

// indentStart returns where the white space in front of offset begins, if it follows markup.
func (d *document) indentStart(offset int) int {
	start := offset
	for start > 0 && isSpace(d.mpd[start-1]) {
		start--
	}
	if start == 0 || d.mpd[start-1] != '>' {
		return offset
	}
	return start
}

// indentAfter returns the white space between offset and the next tag, if that opens an element.
func (d *document) indentAfter(offset int) string {
	end := offset
	for end < len(d.mpd) && isSpace(d.mpd[end]) {
		end++
	}
	if end+1 >= len(d.mpd) || d.mpd[end] != '<' || d.mpd[end+1] == '/' {
		return ""
	}
	return string(d.mpd[offset:end])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// attributeSpan is where an attribute stands: start is the white space in front of it, value the first byte of its value,
// end is behind the closing quote.
type attributeSpan struct{ start, value, end int }

// attribute finds an attribute in a start tag. The tag was read by an XML parser before, so its form is known.
func (d *document) attribute(n *node, name string) (attributeSpan, bool) {
	i := n.start + 1
	for i < n.startEnd && !isSpace(d.mpd[i]) && d.mpd[i] != '>' && d.mpd[i] != '/' {
		i++
	}
	for i < n.startEnd {
		span := attributeSpan{start: i}
		for isSpace(d.mpd[i]) {
			i++
		}
		equals := bytes.IndexByte(d.mpd[i:n.startEnd], '=')
		if d.mpd[i] == '>' || d.mpd[i] == '/' || equals < 0 {
			return attributeSpan{}, false
		}
		found := string(bytes.TrimSpace(d.mpd[i:i+equals])) == name
		i += equals + 1
		for i < n.startEnd && isSpace(d.mpd[i]) {
			i++
		}
		span.value = i + 1
		length := bytes.IndexByte(d.mpd[span.value:n.startEnd], d.mpd[i])
		if length < 0 {
			return attributeSpan{}, false
		}
		span.end = span.value + length + 1
		if found {
			return span, true
		}
		i = span.end
	}
	return attributeSpan{}, false
}
