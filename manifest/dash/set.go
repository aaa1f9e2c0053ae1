package dash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// setPlan is an AdaptationSet as it was read, and what is to become of it.
type setPlan struct {
	node   *node
	chosen *node // its own BaseURL, or nil
	tracks []*track
	// thumbnails is set for images in segments, segmented for all other segments. Thumbnails without tracks are taken out.
	thumbnails, segmented bool
	// answer and groups are for a segmented set, and for the part of the Period that is being written.
	answer Protection
	groups []group
}

// readSet reads one AdaptationSet.
func (r *rewriter) readSet(set *node, outer place) (*setPlan, error) {
	if isThumbnails(set, outer) {
		return r.readThumbnails(set, outer), nil
	}
	return r.readTracks(set, outer)
}

// readTracks reads the Representations of an AdaptationSet.
func (r *rewriter) readTracks(set *node, outer place) (*setPlan, error) {
	s := &setPlan{node: set}
	here, chosen, err := r.resolvePlace(set, outer)
	if err != nil {
		return nil, err
	}
	s.chosen = chosen
	segmented := 0
	for _, n := range set.children {
		if !n.is("Representation") {
			continue
		}
		t, err := r.readTrack(n, set, here)
		if err != nil {
			return nil, err
		}
		if t.by != byFile {
			segmented++
		}
		s.tracks = append(s.tracks, t)
	}
	s.segmented = segmented > 0
	if s.segmented && segmented < len(s.tracks) {
		return nil, r.doc.errorf(set, "%w: segments and files without SegmentBase@indexRange in one AdaptationSet", ErrUnsupported)
	}
	return s, nil
}

// ask asks the protector about one part of a segmented set.
func (r *rewriter) ask(s *setPlan, part *part) error {
	if r.asked += len(s.tracks); r.asked > maxRepresentations {
		return r.doc.errorf(s.node, "%w: more than %d Representations", ErrLimit, maxRepresentations)
	}
	question := AdaptationSet{
		Period: part.period, CryptoPeriod: part.cryptoPeriod, Generation: part.generation, ID: s.node.trimmed("id"), ContentType: s.node.trimmed("contentType"),
		Representations: make([]Representation, len(s.tracks)),
	}
	for i, t := range s.tracks {
		question.Representations[i] = t.Representation
	}
	answer, err := r.Protector.AdaptationSet(r.ctx, question)
	if err != nil {
		return fmt.Errorf("protecting %s: %w", s.node.path(), err)
	}
	if len(answer.Tracks) != len(s.tracks) {
		return r.doc.errorf(s.node, "%w: not one answer per Representation", ErrOptions)
	}
	s.answer = answer
	return nil
}

// decide checks the answer for a segmented set and forms its groups.
func (r *rewriter) decide(s *setPlan, part *part) error {
	if err := s.groupTracks(part); err != nil {
		return r.doc.errorAt(s.node, err)
	}
	switch answer := &s.answer; {
	case answer.Passes && r.ReplaceProtection:
		return r.doc.errorAt(s.node, ErrAlreadyProtected)
	case answer.Passes:
	case isSignaled(s.node) && !r.ReplaceProtection:
		return r.doc.errorAt(s.node, ErrMixedProtection)
	case answer.Scheme == 0:
		for i, t := range s.tracks {
			if !answer.Tracks[i].Drop && !mayStayClear(t.Representation) {
				return r.doc.errorAt(t.node, ErrClear)
			}
		}
	default:
		for _, g := range s.groups {
			if !answer.Scheme.Valid() || g.key.KID.IsZero() {
				return r.doc.errorf(s.node, "%w: no scheme or no KID", ErrOptions)
			}
			if err := checkSystems(g.key.Systems); err != nil {
				return r.doc.errorAt(s.node, err)
			}
		}
	}
	for i, t := range s.tracks {
		if t.ContentType == "video" {
			r.hadVideo, r.hasVideo = true, r.hasVideo || !s.answer.Tracks[i].Drop
		}
	}
	return nil
}

// writeSet writes one part of an AdaptationSet: as one set for each key, or not at all.
func (r *rewriter) writeSet(s *setPlan, part *part) error {
	switch {
	case s.thumbnails:
		return r.sealThumbnails(s)
	case s.segmented && len(s.groups) == 0:
		r.remove(s.node)
		return nil
	case len(s.tracks) == 0:
		r.cleanSet(s)
		return nil
	case !s.segmented && isSignaled(s.node) && !r.ReplaceProtection:
		return r.doc.errorAt(s.node, ErrMixedProtection)
	case !s.segmented:
		return r.sealSidecars(s, part)
	case len(s.groups) == 1:
		return r.writeGroup(s, &s.groups[0], part)
	}
	var b strings.Builder
	for i := range s.groups {
		text, err := r.copyOf(s.node, func() error { return r.writeGroup(s, &s.groups[i], part) })
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString(r.doc.indentOf(s.node))
		}
		b.WriteString(text)
	}
	r.replaceElement(s.node, b.String())
	return r.checkWritten(s.node, 0)
}

// cleanSet takes the addresses out of a set, and what leads to an InitializationSet.
func (r *rewriter) cleanSet(s *setPlan) {
	r.clean(s.node, s.chosen)
	r.removeAttribute(s.node, "initializationSetRef")
	r.removeAttribute(s.node, "initializationPrincipal")
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
func (r *rewriter) sealTrack(t *track, answer TrackProtection, part *part) error {
	r.sealed++
	switch t.by {
	case byIndex:
		return r.sealIndex(t, answer, part)
	case byList:
		return r.sealList(t, answer, part)
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
		r.setBase(t, address.RelativeDir(r.From, t.place.base.Path().Dir(), elements...), "")
		return
	}
	r.clearBases(t.node, t.chosen)
	attributes := []struct {
		name string
		reference
	}{{"initialization", t.init}, {"media", t.media}}
	if t.init.template.IsZero() {
		attributes = attributes[1:] // thumbnails
	}
	var b strings.Builder
	for _, a := range attributes {
		url := r.relativeTemplate(a.reference, elements)
		if own != nil {
			r.setAttribute(own, a.name, url)
		}
		fmt.Fprintf(&b, ` %s="%s"`, a.name, escapeXML(url))
	}
	if own == nil {
		r.insertBefore(t.node, nil, "<"+t.node.qualified("SegmentTemplate")+b.String()+"/>")
	}
}

// afterBaseURL lists the children of a Representation that stand behind BaseURL (5.3.5).
var afterBaseURL = []string{"BaseURL", "ExtendedBandwidth", "SubRepresentation", "SegmentBase", "SegmentList", "SegmentTemplate"}

// setBase gives t the one BaseURL that counts, and markup that stands behind it.
func (r *rewriter) setBase(t *track, url, markup string) {
	for _, c := range t.node.children {
		if c.is("BaseURL") && c != t.chosen {
			r.remove(c)
		}
	}
	if t.chosen != nil {
		r.setText(t.chosen, url)
		r.replace(t.chosen.end, t.chosen.end, markup)
		return
	}
	name := t.node.qualified("BaseURL")
	r.insertBefore(t.node, afterBaseURL, "<"+name+">"+escapeXML(url)+"</"+name+">"+markup)
}

// sealSidecars seals Representations that are a single text or image resource, named by a BaseURL.
func (r *rewriter) sealSidecars(s *setPlan, part *part) error {
	r.cleanSet(s)
	for _, t := range s.tracks {
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
		times, err := r.timeSidecar(t, part)
		if err != nil {
			return err
		}
		r.setBase(t, r.relative(target, elements), times)
	}
	return nil
}

// timeSidecar moves the times of a text or image resource, which begin with the Period, to those of a part. It returns what has to
// stand behind the BaseURL.
func (r *rewriter) timeSidecar(t *track, part *part) (string, error) {
	if part.start == 0 {
		return "", nil
	}
	const milliseconds = 1000
	offset, _, err := scaledTicks(t.place.bases, "presentationTimeOffset", milliseconds)
	if err != nil {
		return "", r.doc.errorf(t.node, "SegmentBase@presentationTimeOffset: %w", err)
	}
	offset += uint64(mulDivNear(part.start, milliseconds, nanosPerSecond))
	if own := t.node.child("SegmentBase"); own != nil {
		r.setAttribute(own, "timescale", strconv.Itoa(milliseconds))
		r.setAttribute(own, "presentationTimeOffset", strconv.FormatUint(offset, 10))
		return "", nil
	}
	return fmt.Sprintf(`<%s timescale="%d" presentationTimeOffset="%d"/>`, t.node.qualified("SegmentBase"), milliseconds, offset), nil
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
