package dash

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/caddy-drm/caddy-drm/address"
)

// track is a Representation on its way from what the MPD says to what it will say.
type track struct {
	Representation
	node   *node
	place  place
	chosen *node // its own BaseURL, or nil
	by     addressing
	// init and media are the references of a SegmentTemplate.
	init, media reference
	// override is set when a BaseURL cannot carry the seal: the templates are written for this Representation alone.
	override bool
	// initTarget is the address of Init for a SegmentBase or a SegmentList.
	initTarget address.Target
	// timing and spans are for Rotation: when the segments are played, and which of them are in each part of the Period.
	timing *timing
	spans  []span
}

// addressing is how the segments of a Representation are named.
type addressing uint8

const (
	byFile     addressing = iota // there are none: a BaseURL names the resource
	byTemplate                   // SegmentTemplate
	byIndex                      // SegmentBase: ranges of one file, listed in its segment index
	byList                       // SegmentList
)

// readTrack resolves one Representation. here is the place of its AdaptationSet.
func (r *rewriter) readTrack(n, set *node, here place) (*track, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, fmt.Errorf("rewriting MPD: %w", err)
	}
	where, chosen, err := r.resolvePlace(n, here)
	if err != nil {
		return nil, err
	}
	t := &track{node: n, place: where, chosen: chosen}
	if err := r.readAttributes(t, set); err != nil {
		return nil, err
	}
	if t.by, err = r.addressingOf(t); err != nil {
		return nil, err
	}
	switch t.by {
	case byTemplate:
		err = r.readTemplate(t)
	case byIndex:
		err = r.readIndex(t)
	case byList:
		err = r.readList(t)
	case byFile:
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// readAttributes reads what a Representation says about itself.
func (r *rewriter) readAttributes(t *track, set *node) (err error) {
	n := t.node
	// Not trimmed: players put it into templates as it is.
	if t.ID, _ = n.attr("id"); t.ID == "" {
		return r.doc.errorf(n, "%w: Representation without id", ErrStructure)
	}
	if strings.ContainsFunc(t.ID, unicode.IsControl) { // it becomes part of URLs
		return r.doc.errorf(n, "%w: Representation with a control character in its id", ErrStructure)
	}
	t.MIMEType, t.Codecs = inherited(n, set, "mimeType"), inherited(n, set, "codecs")
	t.ContentType = set.trimmed("contentType")
	if t.ContentType == "" {
		t.ContentType, _, _ = strings.Cut(t.MIMEType, "/")
	}
	for name, field := range map[string]*uint32{"width": &t.Width, "height": &t.Height, "bandwidth": &t.Bandwidth} {
		if *field, err = parseUint32(inherited(n, set, name)); err != nil {
			return r.doc.errorf(n, "%w: @%s is not an unsigned integer", ErrStructure, name)
		}
	}
	return nil
}

// addressingOf finds out which element names the segments of t. Two kinds of it are refused, at whatever levels they stand:
// players disagree on which counts.
func (r *rewriter) addressingOf(t *track) (addressing, error) {
	kinds := 0
	for _, elements := range [][]*node{t.place.templates, t.place.bases, t.place.lists} {
		kinds += min(1, len(elements))
	}
	_, media := effective(t.place.templates, "media")
	_, index := effective(t.place.bases, "indexRange")
	switch {
	case kinds > 1:
		return 0, r.doc.errorf(t.node, "%w: two of SegmentTemplate, SegmentBase and SegmentList", ErrStructure)
	case media:
		return byTemplate, nil
	case index:
		return byIndex, nil
	case len(t.place.lists) > 0:
		return byList, nil
	case t.node.child("SegmentTemplate") != nil:
		return 0, r.doc.errorf(t.node, "%w: SegmentTemplate without @media", ErrStructure)
	case effectiveChild(t.place.bases, "Initialization") != nil:
		return 0, r.doc.errorf(t.node, "%w: SegmentBase without @indexRange", ErrUnsupported)
	}
	return byFile, nil
}

// readTemplate resolves the templates of t.
func (r *rewriter) readTemplate(t *track) error {
	bandwidth, _ := t.node.attr("bandwidth")
	values := address.TemplateValues{RepresentationID: t.ID, Bandwidth: bandwidth}
	mediaText, _ := effective(t.place.templates, "media")
	initText, hasInit := effective(t.place.templates, "initialization")
	if element := effectiveChild(t.place.templates, "Initialization"); element != nil {
		if initText = element.trimmed("sourceURL"); hasInit || initText == "" || strings.Contains(initText, "$") {
			return r.doc.errorf(element, "%w: Initialization besides @initialization, or without a usable @sourceURL", ErrUnsupported)
		}
		hasInit, t.override = true, true
	}
	_, timed := effective(t.place.templates, "duration")
	timed = timed || effectiveChild(t.place.templates, "SegmentTimeline") != nil
	switch _, indexed := effective(t.place.templates, "index"); {
	case !hasInit && !isImageType(t.MIMEType):
		return r.doc.errorf(t.node, "%w: no initialization segment", ErrUnsupported)
	case indexed && !timed:
		return r.doc.errorf(t.node, "%w: SegmentTemplate@index without SegmentTimeline or @duration", ErrUnsupported)
	}
	var err error
	if t.media, err = resolveReference(t.place.base, mediaText, values); err != nil {
		return r.doc.errorf(t.node, "resolving @media: %w", err)
	}
	t.Media = t.media.template
	// Above the manifest's own directory a seal would hide elements of the path in front of the gateway.
	t.override = t.override || !t.media.plain || !t.place.base.Path().Under(r.Base.Path().Dir())
	if !hasInit {
		return nil
	}
	if t.init, err = resolveReference(t.place.base, initText, values); err != nil {
		return r.doc.errorf(t.node, "resolving @initialization: %w", err)
	}
	if t.init.template.HasNumber() || t.init.template.HasTime() {
		return r.doc.errorf(t.node, "resolving @initialization: %w: an identifier of media segments", address.ErrTemplate)
	}
	t.Init = Resource{Path: address.Path(t.init.template.String())}
	t.override = t.override || !t.init.plain
	return nil
}

// effective returns the attribute of the innermost of elements that has it (5.3.9.1).
func effective(elements []*node, name string) (string, bool) {
	for i := len(elements) - 1; i >= 0; i-- {
		if value, ok := elements[i].attr(name); ok {
			return value, true
		}
	}
	return "", false
}

// effectiveChild is effective for a child that stands once.
func effectiveChild(elements []*node, name string) *node {
	for i := len(elements) - 1; i >= 0; i-- {
		if c := elements[i].child(name); c != nil {
			return c
		}
	}
	return nil
}

func inherited(n, set *node, name string) string {
	if value := n.trimmed(name); value != "" {
		return value
	}
	return set.trimmed(name)
}

// parseUint32 reads xs:unsignedInt; an attribute that is not there counts as zero.
func parseUint32(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err
}
