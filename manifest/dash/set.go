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
	node        *node
	place       place
	chosen      *node // its own BaseURL, or nil
	segmented   bool  // addressed by a SegmentTemplate
	init, media reference
	// override is set when a BaseURL cannot carry the seal: the templates are written for this Representation alone.
	override bool
}

// rewriteSet protects one AdaptationSet, or takes it out if it holds thumbnails.
func (r *rewriter) rewriteSet(set *node, outer place, period int) error {
	if isThumbnails(set, outer) {
		r.remove(set)
		return nil
	}
	here, err := r.enter(set, outer)
	if err != nil {
		return err
	}
	r.removeAttribute(set, "initializationSetRef")
	r.removeAttribute(set, "initializationPrincipal")
	var tracks []*track
	segmented := 0
	for _, n := range set.children {
		if !n.is("Representation") {
			continue
		}
		t, err := r.readTrack(n, set, here)
		if err != nil {
			return err
		}
		if t.segmented {
			segmented++
		}
		tracks = append(tracks, t)
	}
	switch {
	case len(tracks) == 0:
		return nil
	case segmented == 0:
		return r.sealSidecars(tracks)
	case segmented < len(tracks):
		return r.doc.errorf(set, "%w: segments and single files in one AdaptationSet", ErrUnsupported)
	}
	return r.protectSet(set, tracks, period)
}

// protectSet asks the protector and writes its answer.
func (r *rewriter) protectSet(set *node, tracks []*track, period int) error {
	question := AdaptationSet{Period: period, ID: set.trimmed("id"), ContentType: set.trimmed("contentType")}
	for _, t := range tracks {
		question.Representations = append(question.Representations, t.Representation)
	}
	answer, err := r.Protector.AdaptationSet(r.ctx, question)
	if err != nil {
		return fmt.Errorf("protecting %s: %w", set.path(), err)
	}
	switch {
	case len(answer.Tracks) != len(tracks):
		return r.doc.errorf(set, "%w: not one answer per Representation", ErrOptions)
	case answer.Scheme == 0:
		for _, t := range tracks {
			if !mayStayClear(t.Representation) {
				return r.doc.errorAt(t.node, ErrClear)
			}
		}
	case !answer.Scheme.Valid() || answer.KID.IsZero():
		return r.doc.errorf(set, "%w: no scheme or no KID", ErrOptions)
	default:
		r.signal(set, answer)
	}
	for i, t := range tracks {
		if err := checkElements(answer.Tracks[i].Elements, true); err != nil {
			return r.doc.errorAt(t.node, err)
		}
		r.sealTrack(t, answer.Tracks[i].Elements)
		if r.written > maxWritten {
			return r.doc.errorf(t.node, "%w: sealed URLs of more than %d bytes", ErrLimit, maxWritten)
		}
	}
	return nil
}

// sealTrack makes every segment URL of t hold the elements.
func (r *rewriter) sealTrack(t *track, elements []string) {
	r.sealed++
	own := t.node.child("SegmentTemplate")
	if own != nil {
		r.cleanTemplate(own)
	}
	if !t.override {
		r.setBase(t, address.RelativeDir(r.From, t.place.base.Path().Dir(), elements...))
		return
	}
	r.clearBases(t.node, t.chosen)
	init := address.RelativeTemplate(r.From, t.init.template, t.init.query, elements...)
	media := address.RelativeTemplate(r.From, t.media.template, t.media.query, elements...)
	if own != nil {
		r.setAttribute(own, "initialization", init)
		r.setAttribute(own, "media", media)
		return
	}
	r.insertBefore(t.node, nil, fmt.Sprintf(`<%s initialization="%s" media="%s"/>`,
		t.node.qualified("SegmentTemplate"), escapeXML(init), escapeXML(media)))
}

// afterBaseURL lists the children of a Representation that stand behind BaseURL (5.3.5).
var afterBaseURL = []string{"BaseURL", "ExtendedBandwidth", "SubRepresentation", "SegmentBase", "SegmentList", "SegmentTemplate"}

// setBase gives t the one BaseURL that counts.
func (r *rewriter) setBase(t *track, url string) {
	for _, c := range t.node.children {
		if c.is("BaseURL") && c != t.chosen {
			r.remove(c)
		}
	}
	if t.chosen != nil {
		r.setText(t.chosen, url)
		return
	}
	name := t.node.qualified("BaseURL")
	r.insertBefore(t.node, afterBaseURL, "<"+name+">"+escapeXML(url)+"</"+name+">")
}

// sealSidecars seals Representations that are a single text or image resource, named by a BaseURL.
func (r *rewriter) sealSidecars(tracks []*track) error {
	for _, t := range tracks {
		if !isSidecarType(t.MIMEType) {
			return r.doc.errorf(t.node, "%w: a single file; SegmentTemplate is needed", ErrUnsupported)
		}
		target := t.place.target
		if target.Path == "" || target.Path.IsDir() {
			return r.doc.errorf(t.node, "%w: no BaseURL names a resource", ErrStructure)
		}
		elements, err := r.Protector.Sidecar(r.ctx, target, t.MIMEType)
		if err != nil {
			return fmt.Errorf("protecting %s: %w", t.node.path(), err)
		}
		if err := checkElements(elements, false); err != nil {
			return r.doc.errorAt(t.node, err)
		}
		r.sealed++
		r.setBase(t, address.Relative(r.From, target, elements...))
	}
	return nil
}

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
	// Not trimmed: players put it into templates as it is.
	if t.ID, _ = n.attr("id"); t.ID == "" {
		return nil, r.doc.errorf(n, "%w: Representation without id", ErrStructure)
	}
	if strings.ContainsFunc(t.ID, unicode.IsControl) { // it becomes part of URLs
		return nil, r.doc.errorf(n, "%w: Representation with a control character in its id", ErrStructure)
	}
	t.MIMEType, t.Codecs = inherited(n, set, "mimeType"), inherited(n, set, "codecs")
	t.ContentType = set.trimmed("contentType")
	if t.ContentType == "" {
		t.ContentType, _, _ = strings.Cut(t.MIMEType, "/")
	}
	for name, field := range map[string]*uint32{"width": &t.Width, "height": &t.Height, "bandwidth": &t.Bandwidth} {
		if *field, err = parseUint32(inherited(n, set, name)); err != nil {
			return nil, r.doc.errorf(n, "%w: @%s is not an unsigned integer", ErrStructure, name)
		}
	}
	if _, t.segmented = effective(where.templates, "media"); t.segmented {
		err = r.readSegments(t)
	}
	if err != nil {
		return nil, err
	}
	if !t.segmented && n.child("SegmentTemplate") != nil {
		return nil, r.doc.errorf(n, "%w: SegmentTemplate without @media", ErrStructure)
	}
	return t, nil
}

// readSegments resolves the templates of t.
func (r *rewriter) readSegments(t *track) error {
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
	case !hasInit:
		return r.doc.errorf(t.node, "%w: no initialization segment", ErrUnsupported)
	case indexed && !timed:
		return r.doc.errorf(t.node, "%w: SegmentTemplate@index without SegmentTimeline or @duration", ErrUnsupported)
	}
	var err error
	if t.media, err = resolveReference(t.place.base, mediaText, values); err != nil {
		return r.doc.errorf(t.node, "resolving @media: %w", err)
	}
	if t.init, err = resolveReference(t.place.base, initText, values); err != nil {
		return r.doc.errorf(t.node, "resolving @initialization: %w", err)
	}
	if t.init.template.HasNumber() || t.init.template.HasTime() {
		return r.doc.errorf(t.node, "resolving @initialization: %w: an identifier of media segments", address.ErrTemplate)
	}
	t.Init, t.Media = Resource{Path: address.Path(t.init.template.String())}, t.media.template
	// Above the manifest's own directory a seal would hide elements of the path in front of the gateway.
	t.override = t.override || !t.init.plain || !t.media.plain || !t.place.base.Path().Under(r.Base.Path().Dir())
	return nil
}

// effective returns the attribute of the innermost template that has it (5.3.9.1).
func effective(templates []*node, name string) (string, bool) {
	for i := len(templates) - 1; i >= 0; i-- {
		if value, ok := templates[i].attr(name); ok {
			return value, true
		}
	}
	return "", false
}

func effectiveChild(templates []*node, name string) *node {
	for i := len(templates) - 1; i >= 0; i-- {
		if c := templates[i].child(name); c != nil {
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

var (
	errElement = fmt.Errorf("%w: not a path element of ours", ErrOptions)
	errNoSeal  = fmt.Errorf("%w: no seal", ErrOptions)
)

// checkElements makes sure that nothing but our own elements gets into a URL.
func checkElements(elements []string, needSeal bool) error {
	seals := 0
	for _, e := range elements {
		if len(e) < 2 || e[0] != '~' || strings.ContainsFunc(e[1:], notInElement) {
			return errElement
		}
		if !strings.HasPrefix(e, address.SessionElement("")) {
			seals++
		}
	}
	if needSeal && seals == 0 {
		return errNoSeal
	}
	return nil
}

// notInElement finds what is not unreserved in a URL (RFC 3986, 2.3). A "$" would open an identifier.
func notInElement(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~", c))
}
