package dash

import "strings"

func hasSegments(n *node) bool {
	return n.child("SegmentTemplate") != nil || n.child("SegmentList") != nil
}

func isImage(n *node) bool {
	return n.trimmed("contentType") == "image" || isImageType(n.trimmed("mimeType"))
}

func isImageType(mimeType string) bool { return strings.HasPrefix(strings.ToLower(mimeType), "image/") }

// isSidecarType reports whether a resource of that type is played without segments.
func isSidecarType(mimeType string) bool {
	mimeType = strings.ToLower(mimeType)
	return strings.HasPrefix(mimeType, "text/") || isImageType(mimeType) || mimeType == "application/ttml+xml" ||
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
