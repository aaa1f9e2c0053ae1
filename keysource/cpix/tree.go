package cpix

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document. A title with keys for six classes, five systems and a hundred crypto periods stays below a tenth of them.
const (
	// MaxSize bounds a document, in bytes.
	MaxSize = 4 << 20
	// maxDepth is twice the depth of the deepest path that CPIX and XML signatures have.
	maxDepth      = 24
	maxElements   = 50_000
	maxAttributes = 64
)

// Namespaces.
const (
	nsCPIX  = "urn:dashif:org:cpix"
	nsPSKC  = "urn:ietf:params:xml:ns:keyprov:pskc"
	nsEnc   = "http://www.w3.org/2001/04/xmlenc#"
	nsDSig  = "http://www.w3.org/2000/09/xmldsig#"
	nsSPEKE = "urn:aws:amazon:com:speke"
)

// node is one element.
type node struct {
	space, name string
	attributes  []xml.Attr
	children    []*node
	text        string // its own, without that of children
	parent      *node
	offset      int64
}

// readTree reads one document of UTF-8 into memory. encoding/xml expands no entities but the five of XML, and never opens a file
// or a connection; document types are refused all the same, since another reader of the document might.
func readTree(data []byte) (*node, error) {
	if len(data) > MaxSize {
		return nil, &FormatError{Err: fmt.Errorf("more than %d bytes", MaxSize)}
	}
	if !utf8.Valid(data) {
		return nil, &FormatError{Err: errors.New("not UTF-8")}
	}
	r := &treeReader{dec: xml.NewDecoder(bytes.NewReader(data))}
	r.dec.Entity = map[string]string{}
	for {
		offset := r.dec.InputOffset()
		token, err := r.dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, r.errorf(offset, "not well-formed XML") // the decoder's words can quote the document
		}
		if err := r.take(token, offset); err != nil {
			return nil, err
		}
	}
	if r.root == nil || r.at != nil {
		return nil, r.errorf(r.dec.InputOffset(), "the document is incomplete")
	}
	return r.root, nil
}

type treeReader struct {
	dec      *xml.Decoder
	root, at *node
	text     [][]byte // of the open elements
	depth    int
	elements int
}

func (r *treeReader) errorf(offset int64, format string, args ...any) error {
	path := ""
	if r.at != nil {
		path = r.at.path()
	}
	return &FormatError{Path: path, Offset: offset, Err: fmt.Errorf(format, args...)}
}

func (r *treeReader) take(token xml.Token, offset int64) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.open(t, offset)
	case xml.EndElement:
		return r.close(offset)
	case xml.CharData:
		if r.at == nil {
			if len(bytes.TrimSpace(t)) > 0 {
				return r.errorf(offset, "text outside of the root element")
			}
			return nil
		}
		r.text[r.depth-1] = append(r.text[r.depth-1], t...)
	case xml.Directive:
		return r.errorf(offset, "document types are not accepted")
	case xml.ProcInst:
		if t.Target != "xml" || r.root != nil || offset != 0 {
			return r.errorf(offset, "processing instructions are not accepted")
		}
	}
	return nil
}

func (r *treeReader) open(t xml.StartElement, offset int64) error {
	if r.at == nil && r.root != nil {
		return r.errorf(offset, "a second root element")
	}
	if r.depth++; r.depth > maxDepth {
		return r.errorf(offset, "nested deeper than %d elements", maxDepth)
	}
	if r.elements++; r.elements > maxElements {
		return r.errorf(offset, "more than %d elements", maxElements)
	}
	if len(t.Attr) > maxAttributes {
		return r.errorf(offset, "more than %d attributes", maxAttributes)
	}
	n := &node{space: t.Name.Space, name: t.Name.Local, attributes: t.Copy().Attr, parent: r.at, offset: offset}
	for i, a := range n.attributes { // encoding/xml lets one stand twice
		for _, b := range n.attributes[:i] {
			if a.Name == b.Name {
				return r.errorf(offset, "an attribute of a child stands twice")
			}
		}
	}
	if r.at == nil {
		r.root = n
	} else {
		r.at.children = append(r.at.children, n)
	}
	r.at = n
	if len(r.text) < r.depth {
		r.text = append(r.text, nil)
	}
	r.text[r.depth-1] = r.text[r.depth-1][:0]
	return nil
}

func (r *treeReader) close(offset int64) error {
	n := r.at
	n.text = string(r.text[r.depth-1])
	if len(n.children) > 0 && strings.TrimSpace(n.text) != "" {
		return r.errorf(offset, "text between elements")
	}
	r.depth--
	r.at = n.parent
	return nil
}

// path names n from the root. Names of elements come from the document, so that only plain ones are repeated.
func (n *node) path() string {
	name := n.name
	if len(name) > 40 || strings.ContainsFunc(name, func(c rune) bool { return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') && (c < '0' || c > '9') }) {
		name = "(an element)"
	}
	if n.parent == nil {
		return name
	}
	position := 1
	for _, sibling := range n.parent.children {
		if sibling == n {
			break
		}
		if sibling.is(n.space, n.name) {
			position++
		}
	}
	if position > 1 {
		name += "[" + strconv.Itoa(position) + "]"
	}
	return n.parent.path() + "/" + name
}

// errorf returns an error at n.
func (n *node) errorf(format string, args ...any) error {
	return &FormatError{Path: n.path(), Offset: n.offset, Err: fmt.Errorf(format, args...)}
}

func (n *node) is(space, name string) bool { return n.space == space && n.name == name }

// child returns the one child of that name, or nil. Two of them are an error: readers could take different ones.
func (n *node) child(space, name string) (*node, error) {
	var found *node
	for _, c := range n.children {
		if c.is(space, name) {
			if found != nil {
				return nil, c.errorf("stands twice")
			}
			found = c
		}
	}
	return found, nil
}

// descend follows names of one child each, or returns nil where one is missing.
func (n *node) descend(names ...xml.Name) (*node, error) {
	for _, name := range names {
		next, err := n.child(name.Space, name.Local)
		if next == nil || err != nil {
			return nil, err
		}
		n = next
	}
	return n, nil
}

// list returns the children of the one list of that name: elements of the namespace of CPIX named item.
func (n *node) list(name, item string) ([]*node, error) {
	l, err := n.child(nsCPIX, name)
	if l == nil || err != nil {
		return nil, err
	}
	var items []*node
	for _, c := range l.children {
		if c.is(nsCPIX, item) {
			items = append(items, c)
		}
	}
	return items, nil
}

// attribute returns the value of an attribute without namespace.
func (n *node) attribute(name string) (string, bool) {
	for _, a := range n.attributes {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

// bytes reads the text of n as base64, in which xs:base64Binary allows white space.
func (n *node) bytes() ([]byte, error) {
	if len(n.children) > 0 {
		return nil, n.errorf("want base64 and no elements")
	}
	b, err := parseBase64(n.text)
	if err != nil {
		return nil, n.errorf("not base64")
	}
	return b, nil
}

func parseBase64(text string) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(text), ""))
}
