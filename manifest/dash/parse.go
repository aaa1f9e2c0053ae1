package dash

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits of a document. The largest live manifests in use stay below 2 MB.
const (
	maxDocument   = 16 << 20
	maxDepth      = 64
	maxElements   = 200_000
	maxAttributes = 100 // per element; they are compared with each other
	maxNamespaces = 100 // in force at one place; each name is looked up among them
	// maxRepresentations bounds the questions to the protector, maxWritten the bytes that a short document could make us
	// write, since each Representation may inherit long templates.
	maxRepresentations = 20_000
	maxWritten         = 64 << 20
)

// Namespaces (23009-1, Annex B; 23001-7, 11.2; DASH-IF IOP 5 part 6).
const (
	namespaceMPD       = "urn:mpeg:dash:schema:mpd:2011"
	namespaceCenc      = "urn:mpeg:cenc:2013"
	namespaceDashif    = "https://dashif.org/CPS"
	namespacePlayReady = "urn:microsoft:playready"
	namespaceXlink     = "http://www.w3.org/1999/xlink"
	namespaceXML       = "http://www.w3.org/XML/1998/namespace"
)

var errElements = fmt.Errorf("%w: more than %d elements", ErrLimit, maxElements)

// parser builds a document from raw tokens: the decoder's own resolution of namespaces would lose the prefixes.
type parser struct {
	doc      *document
	scope    []binding
	open     []*node
	elements int
	// representations counts up to its limit.
	representations int
	inEvent         int // depth of the Event that holds us, or 0: its content is none of ours
	signals         signals
}

// signals says what becomes of the ContentProtection of a document.
type signals uint8

const (
	refuseSignals  signals = iota
	passSignals            // they stay over tracks that pass, and stand where those can be told
	replaceSignals         // all go
)

// binding is a prefix in force from a depth on.
type binding struct {
	prefix, uri string
	depth       int
}

// parse reads an MPD and refuses what no manifest needs. It is the only place that sees hostile bytes first.
func parse(mpd []byte, signals signals) (*document, error) {
	p := &parser{signals: signals, doc: &document{mpd: mpd, prefixes: newPrefixUses()}}
	if len(mpd) > maxDocument {
		return nil, p.fail(0, fmt.Errorf("%w: more than %d bytes", ErrLimit, maxDocument))
	}
	if bytes.HasPrefix(mpd, []byte{0xFE, 0xFF}) || bytes.HasPrefix(mpd, []byte{0xFF, 0xFE}) {
		return nil, p.fail(0, ErrMalformed)
	}
	text := bytes.TrimPrefix(mpd, []byte("\xEF\xBB\xBF"))
	first := len(mpd) - len(text)
	skipped := first
	reader := &byteReader{b: text}
	decoder := xml.NewDecoder(reader)
	for {
		start := skipped + int(decoder.InputOffset())
		token, err := decoder.RawToken()
		end := skipped + int(decoder.InputOffset())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// The decoder's message may quote the document.
			return nil, p.fail(end, ErrMalformed)
		}
		if err := p.token(token, start, end, first); err != nil {
			return nil, err
		}
		if n := p.timelineOpened(token); n != nil {
			at := reader.at
			if p.elements += reader.skipTimeline(n.prefix); p.elements > maxElements {
				return nil, p.fail(end, errElements)
			}
			skipped += reader.at - at
		}
	}
	if p.doc.root == nil || len(p.open) > 0 {
		return nil, p.fail(len(mpd), ErrMalformed)
	}
	return p.doc, nil
}

// timelineOpened returns the SegmentTimeline whose start tag was just read, or nil. That of a SegmentList is written anew, so
// it has to be read.
func (p *parser) timelineOpened(token xml.Token) *node {
	if _, ok := token.(xml.StartElement); !ok {
		return nil
	}
	if n := p.open[len(p.open)-1]; n.is("SegmentTimeline") && !n.selfClosed && !n.parent.is("SegmentList") {
		return n
	}
	return nil
}

// fail reports an error where no element can be named.
func (p *parser) fail(offset int, err error) error {
	return &SyntaxError{Line: p.doc.line(offset), Err: err}
}

func (p *parser) token(token xml.Token, start, end, first int) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.startElement(t, start, end)
	case xml.EndElement:
		return p.endElement(t, start, end)
	case xml.CharData:
		if len(p.open) == 0 {
			if len(bytes.TrimSpace(t)) > 0 || bytes.Contains(p.doc.mpd[start:end], []byte("<![")) {
				return p.fail(start, ErrMalformed)
			}
		} else if n := p.open[len(p.open)-1]; n.is("BaseURL") || n.is("Location") {
			n.text.Write(t)
		}
	case xml.ProcInst:
		if t.Target != "xml" || start != first {
			return p.fail(start, ErrForbidden)
		}
	case xml.Directive:
		return p.fail(start, ErrForbidden)
	}
	return nil
}

func (p *parser) startElement(t xml.StartElement, start, end int) error {
	p.elements++
	switch {
	case p.elements > maxElements:
		return p.fail(start, errElements)
	case len(p.open) >= maxDepth:
		return p.fail(start, fmt.Errorf("%w: deeper than %d elements", ErrLimit, maxDepth))
	case len(t.Attr) > maxAttributes:
		return p.fail(start, fmt.Errorf("%w: more than %d attributes", ErrLimit, maxAttributes))
	case len(p.open) == 0 && p.doc.root != nil:
		return p.fail(start, ErrMalformed)
	}
	n := &node{prefix: t.Name.Space, local: t.Name.Local, attrs: t.Attr, start: start, startEnd: end, endStart: end, end: end}
	n.selfClosed = p.doc.mpd[end-2] == '/'
	if len(p.open) > 0 {
		n.parent = p.open[len(p.open)-1]
	}
	p.open = append(p.open, n)
	if err := p.resolveNames(n); err != nil {
		return p.fail(start, err)
	}
	p.keep(n)
	if err := p.check(n); err != nil {
		return p.doc.errorAt(n, err)
	}
	if p.inEvent == 0 && n.is("Event") {
		p.inEvent = len(p.open)
	}
	return nil
}

func (p *parser) endElement(t xml.EndElement, start, end int) error {
	if len(p.open) == 0 {
		return p.fail(start, ErrMalformed)
	}
	n := p.open[len(p.open)-1]
	if n.prefix != t.Name.Space || n.local != t.Name.Local {
		return p.fail(start, ErrMalformed)
	}
	n.endStart, n.end = start, end
	if p.inEvent == len(p.open) {
		p.inEvent = 0
	}
	for len(p.scope) > 0 && p.scope[len(p.scope)-1].depth == len(p.open) {
		p.scope = p.scope[:len(p.scope)-1]
	}
	p.open = p.open[:len(p.open)-1]
	return nil
}

// resolveNames finds the namespaces of an element and its attributes (Namespaces in XML 1.0), and equal attributes.
func (p *parser) resolveNames(n *node) error {
	for _, a := range n.attrs {
		prefix, declares := a.Name.Local, a.Name.Space == "xmlns"
		if a.Name.Space == "" && a.Name.Local == "xmlns" {
			prefix, declares = "", true
		}
		if !declares {
			continue
		}
		if prefix != "" && a.Value == "" || prefix == "xml" || prefix == "xmlns" {
			return ErrMalformed
		}
		if len(p.scope) >= maxNamespaces {
			return fmt.Errorf("%w: more than %d namespaces", ErrLimit, maxNamespaces)
		}
		p.scope = append(p.scope, binding{prefix: prefix, uri: a.Value, depth: len(p.open)})
		p.noteBinding(prefix, a.Value)
	}
	uri, ok := p.lookup(n.prefix)
	if !ok || strings.Contains(n.local, ":") {
		return ErrMalformed
	}
	n.ns = uri
	for i, a := range n.attrs {
		if a.Name.Space != "" && a.Name.Space != "xmlns" {
			if uri, ok = p.lookup(a.Name.Space); !ok {
				return ErrMalformed
			}
			n.attrs[i].Name.Space = uri
		}
		if strings.Contains(a.Name.Local, ":") {
			return ErrMalformed
		}
		for _, earlier := range n.attrs[:i] {
			if earlier.Name == n.attrs[i].Name {
				return fmt.Errorf("%w: an attribute stands twice", ErrMalformed)
			}
		}
	}
	return nil
}

func (p *parser) lookup(prefix string) (string, bool) {
	if prefix == "xml" {
		return namespaceXML, true
	}
	for _, b := range slices.Backward(p.scope) {
		if b.prefix == prefix {
			return b.uri, true
		}
	}
	return "", prefix == ""
}

// keep adds n to the tree if it stands where addresses are, and to the strays if it has to go wherever it stands.
func (p *parser) keep(n *node) {
	if n.parent == nil {
		p.doc.root = n
		return
	}
	if n.parent.ns == namespaceMPD {
		n.parent.adopt(n)
	}
	if n.ns == namespaceMPD && p.inEvent == 0 && p.isStray(n) {
		p.doc.strays = append(p.doc.strays, n)
	}
}

// adopt keeps the children of n that have a part in addresses.
func (n *node) adopt(child *node) {
	switch n.local {
	case "MPD", "Period", "AdaptationSet", "Representation":
		n.children = append(n.children, child)
	case "SegmentTemplate", "SegmentBase", "SegmentList":
		// Children are searched once per Representation, so others would cost more than they weigh.
		switch {
		case child.is("Initialization"), child.is("SegmentTimeline"):
			n.children = append(n.children, child)
		case child.is("SegmentURL"):
			n.items = append(n.items, child)
		}
	case "EventStream":
		if child.is("Event") {
			n.items = append(n.items, child)
		}
	case "SegmentTimeline":
		if child.is("S") && n.parent.is("SegmentList") {
			n.items = append(n.items, child)
		}
	}
}
