package dash

import (
	"fmt"
	"slices"
)

// places lists, for each element that a player takes addresses from, the elements that may hold it.
var places = map[string][]string{
	"Period":          {"MPD"},
	"AdaptationSet":   {"Period"},
	"Representation":  {"AdaptationSet"},
	"BaseURL":         {"MPD", "Period", "AdaptationSet", "Representation"},
	"Location":        {"MPD"},
	"SegmentBase":     {"Period", "AdaptationSet", "Representation"},
	"SegmentList":     {"Period", "AdaptationSet", "Representation"},
	"SegmentURL":      {"SegmentList"},
	"SegmentTemplate": {"Period", "AdaptationSet", "Representation"},
	"SegmentTimeline": {"SegmentTemplate", "SegmentList"},
	"Initialization":  {"SegmentTemplate", "SegmentBase", "SegmentList"},
}

// unsupported lists elements that cannot be sealed, and why.
var unsupported = map[string]string{
	"RepresentationIndex": "RepresentationIndex describes the clear segments",
	"BitstreamSwitching":  "BitstreamSwitching segments",
	"ImportedMPD":         "ImportedMPD",
}

// foreignRefused lists further elements that players act on, and that may not come in a namespace that we do not read.
var foreignRefused = []string{"ContentProtection", "PatchLocation", "ContentSteering"}

// check refuses elements that the rewriter could not account for, as soon as their start tag is read.
func (p *parser) check(n *node) error {
	for _, a := range n.attrs {
		if a.Name.Space == namespaceXlink && a.Name.Local == "href" {
			return ErrXlink
		}
	}
	if n.parent == nil {
		if !n.is("MPD") {
			return fmt.Errorf("%w: root element", ErrNamespace)
		}
		return nil
	}
	if p.inEvent > 0 {
		return nil
	}
	holders, known := places[n.local]
	reason, refused := unsupported[n.local]
	if n.ns != namespaceMPD {
		// Players that look at local names alone would follow such an element.
		if known || refused || slices.Contains(foreignRefused, n.local) {
			return ErrNamespace
		}
		return nil
	}
	switch {
	case n.local == "ContentProtection" && p.signals != replaceSignals && !(p.signals == passSignals && mayBeProtected(n)):
		return ErrAlreadyProtected
	case refused:
		return fmt.Errorf("%w: %s", ErrUnsupported, reason)
	case n.local == "Representation" && p.countRepresentation() > maxRepresentations:
		return fmt.Errorf("%w: more than %d Representations", ErrLimit, maxRepresentations)
	case n.local == "MPD" || known && (n.parent.ns != namespaceMPD || !slices.Contains(holders, n.parent.local)):
		return fmt.Errorf("%w: misplaced element", ErrStructure)
	}
	return checkElement(n)
}

// mayBeProtected reports whether a ContentProtection stands where the tracks can be found that it is about: on their
// AdaptationSet or themselves. Above them it is one that those refer to (5.8.4.1).
func mayBeProtected(n *node) bool {
	switch {
	case n.parent.is("AdaptationSet"), n.parent.is("Representation"):
		return true
	case n.parent.is("MPD"), n.parent.is("Period"):
		return n.trimmed("refId") != ""
	default:
		return false
	}
}

func (p *parser) countRepresentation() int {
	p.representations++
	return p.representations
}

// checkElement refuses elements of a kind that is known, by what they say.
func checkElement(n *node) error {
	switch n.local {
	case "SegmentTemplate":
		if _, ok := n.attr("bitstreamSwitching"); ok {
			return fmt.Errorf("%w: SegmentTemplate@bitstreamSwitching", ErrUnsupported)
		}
		return checkSingle(n)
	case "SegmentTimeline", "SegmentBase", "SegmentList":
		return checkSingle(n)
	case "BaseURL":
		if _, ok := n.attr("byteRange"); ok {
			return fmt.Errorf("%w: BaseURL@byteRange", ErrUnsupported)
		}
	case "Initialization":
		if _, ok := n.attr("range"); ok && n.parent.local == "SegmentTemplate" {
			return fmt.Errorf("%w: Initialization@range in a SegmentTemplate", ErrUnsupported)
		}
		return checkSingle(n)
	}
	return nil
}

// checkSingle refuses the second of two elements of which there is one: players disagree on which counts.
func checkSingle(n *node) error {
	if n.parent.child(n.local) != n {
		return fmt.Errorf("%w: a second element of its kind", ErrStructure)
	}
	return nil
}
