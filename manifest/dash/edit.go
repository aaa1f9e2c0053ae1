package dash

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// edit replaces the bytes [start, end) of the document by text.
type edit struct {
	start, end int
	text       string
}

// splice applies edits, in whatever order they came; those at the same place keep theirs. Edits that overlap would be a
// bug of this package: they are refused rather than guessed at.
func splice(mpd []byte, edits []edit) ([]byte, error) { return spliceRange(mpd, 0, len(mpd), edits) }

// spliceRange is splice for the bytes [from, to), where all edits are.
func spliceRange(mpd []byte, from, to int, edits []edit) ([]byte, error) {
	slices.SortStableFunc(edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	size := to - from
	for _, e := range edits {
		size += len(e.text) - (e.end - e.start)
	}
	out := make([]byte, 0, max(0, size))
	at := from
	for _, e := range edits {
		if e.start < at || e.end < e.start || e.end > to {
			return nil, fmt.Errorf("%w: edits overlap at byte %d", ErrOptions, e.start)
		}
		out = append(out, mpd[at:e.start]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, mpd[at:to]...), nil
}

func (r *rewriter) replace(start, end int, text string) {
	r.written += len(text)
	r.edits = append(r.edits, edit{start: start, end: end, text: text})
}

// remove takes an element out, together with the white space in front of it.
func (r *rewriter) remove(n *node) {
	if n.dropped == r.number {
		return
	}
	n.dropped = r.number
	r.replace(r.doc.indentStart(n.start), n.end, "")
}

// replaceElement puts markup in the place of an element.
func (r *rewriter) replaceElement(n *node, markup string) {
	n.dropped = r.number
	r.replace(n.start, n.end, markup)
}

// setText replaces the content of an element.
func (r *rewriter) setText(n *node, text string) {
	if n.selfClosed {
		r.openSelfClosed(n, escapeXML(text))
		return
	}
	r.replace(n.startEnd, n.endStart, escapeXML(text))
}

// openSelfClosed gives content to an element that has none. markup is not escaped.
func (r *rewriter) openSelfClosed(n *node, markup string) {
	r.replace(n.startEnd-len("/>"), n.startEnd, ">"+markup+"</"+n.qualified(n.local)+">")
}

// insertFirst puts markup behind the children whose local names lead the sequence, each piece on a line of its own if the
// document is laid out so.
func (r *rewriter) insertFirst(parent *node, leading []string, markup ...string) {
	at := parent.startEnd
	for _, child := range parent.children {
		if child.ns != namespaceMPD || !slices.Contains(leading, child.local) {
			break
		}
		at = child.end
	}
	if parent.selfClosed {
		r.openSelfClosed(parent, strings.Join(markup, ""))
		return
	}
	indent := r.doc.indentAfter(at)
	var b strings.Builder
	for _, piece := range markup {
		b.WriteString(indent + piece)
	}
	r.replace(at, at, b.String())
}

// insertBefore puts markup in front of the first child whose local name is one of following, or behind all children.
func (r *rewriter) insertBefore(parent *node, following []string, markup string) {
	if parent.selfClosed {
		r.openSelfClosed(parent, markup)
		return
	}
	for _, child := range parent.children {
		if child.ns == namespaceMPD && slices.Contains(following, child.local) {
			indent := r.doc.mpd[r.doc.indentStart(child.start):child.start]
			r.replace(child.start, child.start, markup+string(indent))
			return
		}
	}
	if len(parent.children) == 0 {
		r.replace(parent.startEnd, parent.startEnd, markup)
		return
	}
	last := parent.children[len(parent.children)-1]
	indent := r.doc.mpd[r.doc.indentStart(last.start):last.start]
	r.replace(last.end, last.end, string(indent)+markup)
}

// setAttribute gives an attribute without namespace a value.
func (r *rewriter) setAttribute(n *node, name, value string) {
	if span, ok := r.doc.attribute(n, name); ok {
		r.replace(span.value, span.end-1, escapeXML(value))
		return
	}
	at := n.start + len("<") + len(n.qualified(n.local))
	r.replace(at, at, " "+name+`="`+escapeXML(value)+`"`)
}

// removeAttribute takes an attribute without namespace out, with the white space in front of it.
func (r *rewriter) removeAttribute(n *node, name string) {
	if span, ok := r.doc.attribute(n, name); ok {
		r.replace(span.start, span.end, "")
	}
}

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;",
	"\t", "&#9;", "\n", "&#10;", "\r", "&#13;")

// escapeXML returns s as it may stand in text and between either kind of quotes.
func escapeXML(s string) string { return xmlEscaper.Replace(s) }
