package dash

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

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
		if t.by != byFile {
			segmented++
		}
		tracks = append(tracks, t)
	}
	switch {
	case len(tracks) == 0:
		return nil
	case segmented == 0 && isSignaled(set):
		return r.doc.errorAt(set, ErrMixedProtection)
	case segmented == 0:
		return r.sealSidecars(tracks)
	case segmented < len(tracks):
		return r.doc.errorf(set, "%w: segments and files without SegmentBase@indexRange in one AdaptationSet", ErrUnsupported)
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
	case answer.Passes:
	case isSignaled(set):
		return r.doc.errorAt(set, ErrMixedProtection)
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
		if err := r.sealTrack(t, answer.Tracks[i]); err != nil {
			return err
		}
		if err := r.checkWritten(t.node, 0); err != nil {
			return err
		}
	}
	return nil
}

// isSignaled reports whether the origin signals protection for a set, or for one of its tracks.
func isSignaled(set *node) bool {
	return set.child("ContentProtection") != nil ||
		slices.ContainsFunc(set.children, func(n *node) bool { return n.child("ContentProtection") != nil })
}

// checkWritten bounds the bytes of all edits and of one that is being made.
func (r *rewriter) checkWritten(n *node, more int) error {
	if r.written+more > maxWritten {
		return r.doc.errorf(n, "%w: sealed URLs of more than %d bytes", ErrLimit, maxWritten)
	}
	return nil
}

// sealTrack makes every segment URL of t hold path elements of ours.
func (r *rewriter) sealTrack(t *track, answer TrackProtection) error {
	r.sealed++
	switch t.by {
	case byIndex:
		return r.sealIndex(t, answer)
	case byList:
		return r.sealList(t, answer)
	case byTemplate, byFile:
	}
	if err := checkElements(answer.Elements, true); err != nil {
		return r.doc.errorAt(t.node, err)
	}
	r.sealTemplate(t, answer.Elements)
	return nil
}

// sealTemplate seals the URLs of a SegmentTemplate: by a BaseURL where the templates reach only downwards from it. Players drop
// the query of such a BaseURL, and one of them keeps the BaseURL of the first MPD for good: a session in the query, and one that may change
// from MPD to MPD, take templates too.
func (r *rewriter) sealTemplate(t *track, elements []string) {
	own := t.node.child("SegmentTemplate")
	if own != nil {
		r.cleanTemplate(own)
	}
	if !t.override && (!carriesSession(elements) || r.SessionQuery == "" && !r.dynamic()) {
		r.setBase(t, address.RelativeDir(r.From, t.place.base.Path().Dir(), elements...))
		return
	}
	r.clearBases(t.node, t.chosen)
	init, media := r.relativeTemplate(t.init, elements), r.relativeTemplate(t.media, elements)
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
			return r.doc.errorf(t.node, "%w: a single file without SegmentBase@indexRange", ErrUnsupported)
		}
		for _, base := range t.place.bases {
			if base.parent != t.node && hasAny(base, []string{"timescale", "presentationTimeOffset"}) {
				return r.doc.errorf(t.node, "%w: a single file under the times of a SegmentBase above it", ErrUnsupported)
			}
		}
		target := t.place.target
		if !namesFile(target) {
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
		r.setBase(t, r.relative(target, elements))
	}
	return nil
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
