package dash

import (
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// place is what an element inherits: the base for its references and what says how segments are addressed.
type place struct {
	base address.Base
	// target is what the innermost BaseURL names, query included: the resource itself where there are no segments.
	target address.Target
	// templates, bases and lists are the SegmentTemplates, SegmentBases and SegmentLists in force, outermost first (5.3.9.1).
	templates, bases, lists []*node
}

// timingAttributes are why a BaseURL above a Representation may have to stay (5.6).
var timingAttributes = []string{"availabilityTimeOffset", "availabilityTimeComplete", "timeShiftBufferDepth"}

// clean takes the addresses out of n, a level above Representation, where they end up. A player that ignores BaseURLs at some
// level then finds the same URLs as one that does not. chosen is the BaseURL of n that counts.
func (r *rewriter) clean(n, chosen *node) {
	r.clearBases(n, chosen)
	for _, name := range []string{"SegmentBase", "SegmentList"} {
		if c := n.child(name); c != nil {
			r.remove(c) // each Representation gets its own
		}
	}
	if template := n.child("SegmentTemplate"); template != nil {
		r.cleanTemplate(template)
		for _, name := range []string{"media", "initialization"} {
			if text, ok := template.attr(name); ok && !reachesDown(text) {
				r.removeAttribute(template, name)
			}
		}
	}
}

// resolvePlace resolves the BaseURLs of n and what it says about segments, without changing them. chosen is the BaseURL that
// counts: of several, which are alternatives (5.6.5), the first that leads to a path of this site.
func (r *rewriter) resolvePlace(n *node, outer place) (here place, chosen *node, err error) {
	here = outer
	var firstErr error
	for _, c := range n.children {
		if !c.is("BaseURL") || chosen != nil {
			continue
		}
		text := strings.TrimSpace(c.text.String())
		if text == "" { // the base above it, with its query (RFC 3986, 5.2.2)
			chosen = c
			continue
		}
		base, err := outer.base.Join(text)
		if err != nil {
			if firstErr == nil {
				firstErr = r.doc.errorAt(c, err)
			}
			continue
		}
		// Join accepted the reference, so Resolve does.
		target, err := outer.base.Resolve(text)
		if err != nil {
			return place{}, nil, r.doc.errorAt(c, err)
		}
		here.base, here.target, chosen = base, target, c
	}
	if chosen == nil && firstErr != nil {
		return place{}, nil, firstErr
	}
	here.templates = inForce(outer.templates, n.child("SegmentTemplate"))
	here.bases = inForce(outer.bases, n.child("SegmentBase"))
	here.lists = inForce(outer.lists, n.child("SegmentList"))
	return here, chosen, nil
}

// inForce returns outer and, if there is one, what comes inside of it.
func inForce(outer []*node, own *node) []*node {
	if own == nil {
		return outer
	}
	return append(outer[:len(outer):len(outer)], own)
}

// clearBases makes n add nothing to the base of a player. The chosen BaseURL stays where it says when segments become
// available; the others go.
func (r *rewriter) clearBases(n, chosen *node) {
	for _, c := range n.children {
		if !c.is("BaseURL") {
			continue
		}
		if c == chosen && hasAny(c, timingAttributes) {
			r.setText(c, "./")
		} else {
			r.remove(c)
		}
	}
}

func hasAny(n *node, names []string) bool {
	for _, name := range names {
		if _, ok := n.attr(name); ok {
			return true
		}
	}
	return false
}

// cleanTemplate takes out what never survives: @index, because it describes clear segments, and Initialization, because
// it is written as @initialization.
func (r *rewriter) cleanTemplate(template *node) {
	r.removeAttribute(template, "index")
	for _, c := range template.children {
		if c.is("Initialization") {
			r.remove(c)
		}
	}
}

// rewriteLocations keeps a Location only if it names another document in the directory of this one. Some players resolve
// every relative reference against Location, and without one they come back to the URL that they asked for, token
// included.
func (r *rewriter) rewriteLocations(mpd *node) {
	for _, c := range mpd.children {
		if !c.is("Location") {
			continue
		}
		target, err := r.Base.Resolve(strings.TrimSpace(c.text.String()))
		manifest := r.Base.Path()
		switch {
		case err != nil, target.Path.IsDir(), target.Path.Dir() != manifest.Dir():
			r.remove(c)
		case target.Path == manifest && target.RawQuery == "":
			r.remove(c)
		default:
			var insert []string
			if r.session != "" {
				insert = []string{address.SessionElement(r.session)}
			}
			r.setText(c, r.relative(target, insert))
		}
	}
}

// reference is a resolved @media or @initialization.
type reference struct {
	template address.Template
	query    string // as written, behind the "?"
	// plain is set when a BaseURL in front of the text as written reaches the same path.
	plain bool
}

// resolveReference resolves the text of a template against base.
func resolveReference(base address.Base, text string, values address.TemplateValues) (reference, error) {
	path, query, hasQuery := strings.Cut(text, "?")
	if path == "" {
		return reference{}, fmt.Errorf("%w: it is empty", address.ErrTemplate)
	}
	template, _, err := base.ResolveTemplate(path, values)
	if err != nil {
		return reference{}, err
	}
	if strings.HasSuffix(template.String(), "/") {
		return reference{}, fmt.Errorf("%w: it names a directory", address.ErrTemplate)
	}
	if hasQuery {
		if err := checkQuery(base, query, template); err != nil {
			return reference{}, err
		}
	}
	// Not every player escapes what has to be.
	plain := reachesDown(expand(path, values)) && plainID(path, values) && !strings.ContainsAny(path, " '")
	return reference{template: template, query: query, plain: plain}, nil
}

// checkQuery accepts a query whose characters are those of a URL and that tells segments apart only where the path does:
// a seal is for paths.
func checkQuery(base address.Base, query string, template address.Template) error {
	if _, err := base.Resolve("q?" + query); err != nil {
		return err
	}
	pieces := strings.Split(query, "$")
	if len(pieces)%2 == 0 {
		return fmt.Errorf("%w: unpaired $ in the query", address.ErrTemplate)
	}
	for i := 1; i < len(pieces); i += 2 {
		name, _, _ := strings.Cut(pieces[i], "%")
		switch {
		case pieces[i] == "RepresentationID" || name == "Bandwidth":
		case name == "Number" && template.HasNumber(), name == "Time" && template.HasTime():
		default:
			return fmt.Errorf("%w: identifier in the query only", address.ErrTemplate)
		}
	}
	return nil
}

func expand(path string, values address.TemplateValues) string {
	path = strings.ReplaceAll(path, "$RepresentationID$", values.RepresentationID)
	return strings.ReplaceAll(path, "$Bandwidth$", values.Bandwidth)
}

// reachesDown reports whether a reference, read behind a directory, stays below it: it is relative, not empty, and has no
// "..".
func reachesDown(text string) bool {
	path, _, _ := strings.Cut(text, "?")
	first, _, _ := strings.Cut(path, "/")
	if path == "" || path[0] == '/' || strings.ContainsAny(first, ":") || strings.ContainsAny(path, "\\") {
		return false
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == ".." {
			return false
		}
	}
	return true
}

// plainID reports whether a player that puts the Representation's id into path gets the URL that we resolved: players
// escape nothing.
func plainID(path string, values address.TemplateValues) bool {
	if !strings.Contains(path, "$RepresentationID$") {
		return true
	}
	return !strings.ContainsFunc(values.RepresentationID, func(c rune) bool {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("-._~", c):
			return false
		}
		return true
	})
}
