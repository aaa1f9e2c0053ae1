package hls

import (
	"errors"
	"strconv"
)

// Errors that callers tell apart.
var (
	// ErrNotPlaylist is returned for text that does not begin with #EXTM3U, or that holds no tag of a multivariant or a
	// media playlist.
	ErrNotPlaylist = errors.New("not an HLS playlist")
	// ErrAlreadyProtected is returned for a playlist with keys of its own: its media is not clear.
	ErrAlreadyProtected = errors.New("playlist is already protected")
	// ErrMixedProtection is returned, with Options.PassProtected, for a playlist of which some is protected already and some is
	// not: keys of the origin and of ours would switch each other off.
	ErrMixedProtection = errors.New("playlist is protected already in part")
	// ErrNoVariants is returned for a multivariant playlist whose variants the Protector has all dropped.
	ErrNoVariants = errors.New("no variant of the playlist is left")
	// ErrUnsupported is returned for what is correct HLS and cannot be carried over to protected media.
	ErrUnsupported = errors.New("unsupported")
	// ErrTooLarge is returned for a playlist beyond the limits of this package.
	ErrTooLarge = errors.New("playlist is too large")
)

var (
	errAttributes      = errors.New("attribute list is malformed")
	errByteRange       = errors.New("byte range is malformed")
	errByteRangeOffset = errors.New("byte range without an offset does not continue the one before")
	errCharacter       = errors.New("character that no playlist may hold")
	errCPC             = errors.New("list of content protection configurations is malformed")
	errClock           = errors.New("time is out of range")
	errDate            = errors.New("date is malformed")
	errDuration        = errors.New("segment duration is malformed")
	errElement         = errors.New("path element for a reference is missing or not plain")
	errInsideTag       = errors.New("tag inside another tag")
	errKey             = errors.New("key cannot be written as EXT-X-KEY")
	errMissing         = errors.New("required attribute is missing or not quoted")
	errMixed           = errors.New("tags of a multivariant and of a media playlist stand together")
	errNoInf           = errors.New("no EXTINF stands in front")
	errNoURI           = errors.New("no URI line follows")
	errOrder           = errors.New("stands behind a segment that it would number")
	errRotation        = errors.New("crypto period below a second")
	errSequence        = errors.New("sequence number or count is malformed")
	errTwice           = errors.New("stands twice")
	errValue           = errors.New("value holds what a player might follow")
	errVariable        = errors.New("variable reference is malformed or not defined")
	errVariableName    = errors.New("variable definition is malformed")
	errVersion         = errors.New("version is not a number")
)

// SyntaxError says where a playlist cannot be rewritten, and why. It is the fault of the playlist; what a Protector
// returns is wrapped in other errors. Its text never holds a URL.
type SyntaxError struct {
	Line int    // counted from 1
	Tag  string // without "#"; empty for a URI line
	Err  error
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return "playlist " + position(e.Line, e.Tag) + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *SyntaxError) Unwrap() error { return e.Err }

func position(number int, tag string) string {
	text := "line " + strconv.Itoa(number)
	if tag != "" {
		text += ": " + tag
	}
	return text
}
