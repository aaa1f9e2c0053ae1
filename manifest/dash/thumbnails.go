package dash

import (
	"errors"
	"fmt"
	"slices"
)

// isThumbnails reports whether a set holds images addressed as segments: nothing in them could be encrypted.
func isThumbnails(set *node, outer place) bool {
	_, segmented := effective(outer.templates, "media")
	segmented = segmented || len(outer.lists) > 0 || hasSegments(set)
	image := isImage(set)
	for _, n := range set.children {
		if n.is("Representation") {
			image = image || isImage(n)
			segmented = segmented || hasSegments(n)
		}
	}
	return image && segmented
}

// readThumbnails reads a set of thumbnails, which has no tracks if it has to be taken out: whatever is wrong with it, the title plays
// without.
func (r *rewriter) readThumbnails(set *node, outer place) *setPlan {
	s, err := r.readTracks(set, outer)
	if err != nil || slices.ContainsFunc(s.tracks, func(t *track) bool { return !r.keepsThumbnails(t) }) {
		s = &setPlan{node: set}
	}
	s.thumbnails, s.segmented = true, false
	return s
}

// keepsThumbnails reports whether the URLs of a track can be sealed: by a template, and no initialization segment beside it. In a Period that
// is divided they are not kept: each is a picture of many segments of media, and most parts would begin in the middle of one.
func (r *rewriter) keepsThumbnails(t *track) bool {
	return t.by == byTemplate && t.init.template.IsZero() && isImageType(t.MIMEType) && !r.Rotation.cuts() && r.clearLeads == nil
}

// sealThumbnails seals a set of thumbnails, or takes it out.
func (r *rewriter) sealThumbnails(s *setPlan) error {
	if len(s.tracks) == 0 {
		r.remove(s.node)
		return nil
	}
	elements := make([][]string, len(s.tracks))
	for i, t := range s.tracks {
		var err error
		switch elements[i], err = r.Protector.Thumbnails(r.ctx, t.Media); {
		case errors.Is(err, ErrLeftOut):
			r.remove(s.node)
			return nil
		case err != nil:
			return fmt.Errorf("protecting %s: %w", t.node.path(), err)
		}
		if err := checkElements(elements[i], true); err != nil {
			return r.doc.errorAt(t.node, err)
		}
	}
	r.cleanSet(s)
	for i, t := range s.tracks {
		r.sealTemplate(t, elements[i])
		if err := r.checkWritten(t.node, 0); err != nil {
			return err
		}
	}
	return nil
}
