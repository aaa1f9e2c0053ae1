package dash

import "strings"

// isThumbnails reports whether a set holds images addressed as segments: there is no initialization segment that could name
// a track, and nothing that could be encrypted.
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

func hasSegments(n *node) bool {
	return n.child("SegmentTemplate") != nil || n.child("SegmentList") != nil
}

func isImage(n *node) bool {
	return n.trimmed("contentType") == "image" || strings.HasPrefix(strings.ToLower(n.trimmed("mimeType")), "image/")
}

// isSidecarType reports whether a resource of that type is played without segments.
func isSidecarType(mimeType string) bool {
	mimeType = strings.ToLower(mimeType)
	return strings.HasPrefix(mimeType, "text/") || strings.HasPrefix(mimeType, "image/") || mimeType == "application/ttml+xml" ||
		mimeType == "application/x-subrip"
}

// mayStayClear reports whether a Representation says that it is text or data. One that says nothing may not.
func mayStayClear(rep Representation) bool {
	kind, _, _ := strings.Cut(strings.ToLower(rep.MIMEType), "/")
	for _, s := range []string{kind, strings.ToLower(rep.ContentType)} {
		switch s {
		case "text", "application", "image":
		default:
			return false
		}
	}
	return true
}
