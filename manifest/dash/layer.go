package dash

// layer is the edits of one rendering of an element. Elements that are written more than once, each time with other edits, are
// rendered in a layer each; what is taken out in one of them stands in the next.
type layer struct {
	edits []edit
	// number is unique among the layers of a document and not zero.
	number int
	// timed holds what was written about the times of an element that several Representations share.
	timed map[timedAttribute]string
}

// copyOf returns an element as the edits that write makes would leave it. They touch nothing outside of n.
func (r *rewriter) copyOf(n *node, write func() error) (string, error) {
	if err := r.checkWritten(n, n.end-n.start); err != nil {
		return "", err
	}
	outer := r.layer
	r.layers++
	r.layer = layer{number: r.layers}
	err := write()
	if err == nil {
		r.removeStrays(n.start, n.end)
	}
	inner := r.layer
	r.layer = outer
	if err != nil {
		return "", err
	}
	text, err := spliceRange(r.doc.mpd, n.start, n.end, inner.edits)
	if err != nil {
		return "", err
	}
	r.written += len(text)
	return string(text), r.checkWritten(n, 0)
}

// indentOf returns the white space in front of an element, which goes between copies of it.
func (d *document) indentOf(n *node) string { return string(d.mpd[d.indentStart(n.start):n.start]) }
