package dash

import (
	"errors"
	"fmt"
)

// Errors of Rewrite that a caller can tell apart, besides those of package address. They arrive inside a *SyntaxError,
// ErrOptions also without one; none holds text of the document, where signed URLs may stand.
var (
	// ErrMalformed is returned for what is no XML document, or one that is not UTF-8.
	ErrMalformed = errors.New("not well-formed XML in UTF-8")
	// ErrForbidden is returned for a DOCTYPE, an entity declaration or a processing instruction.
	ErrForbidden = errors.New("DOCTYPE and processing instructions are not accepted")
	// ErrLimit is returned for a document that is larger, deeper or has more elements than Rewrite accepts.
	ErrLimit = errors.New("document exceeds a limit")
	// ErrNamespace is returned when the root is no MPD, and for DASH elements outside the namespace of DASH.
	ErrNamespace = errors.New("not in namespace urn:mpeg:dash:schema:mpd:2011")
	// ErrStructure is returned for elements where DASH has none, and for attributes that are missing or unreadable.
	ErrStructure = errors.New("not the structure of an MPD")
	// ErrXlink is returned for any xlink:href: remote elements are never fetched.
	ErrXlink = errors.New("remote elements (xlink:href) are not accepted")
	// ErrAlreadyProtected is returned when the MPD signals protection: its segments are not clear.
	ErrAlreadyProtected = errors.New("the content is protected already (ContentProtection)")
	// ErrMixedProtection is returned, with Options.PassProtected, when the MPD signals protection for tracks that are clear:
	// beside the signals that they need, those would be of another key.
	ErrMixedProtection = errors.New("ContentProtection stands over tracks that are clear")
	// ErrUnsupported is returned for ways to address segments that cannot be sealed yet.
	ErrUnsupported = errors.New("unsupported addressing")
	// ErrClear is returned when the protector leaves an audio or video AdaptationSet clear.
	ErrClear = errors.New("audio or video would be left clear")
	// ErrNoVideo is returned when the protector drops every video Representation of an MPD that has some.
	ErrNoVideo = errors.New("no video is left")
	// ErrNothingSealed is returned for a static MPD without any Representation that could be sealed.
	ErrNothingSealed = errors.New("nothing to protect in a static MPD")
	// ErrLeftOut is what a Protector returns for thumbnails that cannot be had through the gateway.
	ErrLeftOut = errors.New("left out of the MPD")
	// ErrOptions is returned when the options or the protector's answer contradict themselves.
	ErrOptions = errors.New("options of the MPD rewriter")
)

// SyntaxError says where in an MPD something cannot be accepted.
type SyntaxError struct {
	// Line counts from 1.
	Line int
	// Path names the element, such as MPD/Period[0]/AdaptationSet[1]; indexes count from 0 among elements of that name.
	// It is empty where the document could not be read as XML.
	Path string
	Err  error
}

// Error returns line, path and reason. It holds no text of the document.
func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d: %s: %v", e.Line, e.Path, e.Err)
}

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }
