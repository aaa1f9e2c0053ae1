package segcrypt

import (
	"errors"
	"fmt"
)

var (
	// ErrAlreadyProtected is returned for input that carries encryption of its own. Nothing is encrypted twice.
	ErrAlreadyProtected = errors.New("the media is already protected")
	// ErrUnsupportedSampleEntry is returned for a codec whose clear parts are not known here; the error names it.
	ErrUnsupportedSampleEntry = errors.New("unsupported sample entry")
	// ErrUnsupportedFormat is returned for what is well formed and cannot be protected in this way: another container, or a stream type
	// without a form of SAMPLE-AES. The error names it.
	ErrUnsupportedFormat = errors.New("unsupported format")
	// ErrTrackMismatch is returned for a media segment of a track that the init segment does not have.
	ErrTrackMismatch = errors.New("the fragment belongs to another track")
	// ErrParameterSets is returned for a sample that depends on parameter sets, or on an AV1 frame, that neither the init
	// segment nor an earlier chunk gave.
	ErrParameterSets = errors.New("parameter sets from before the chunk are missing")
	// ErrProtection is returned by NewProtector for a Protection that cannot work.
	ErrProtection = errors.New("invalid protection")
)

// FormatError says where in the input a rule is broken. Its text holds box types, offsets and numbers, no media bytes.
type FormatError struct {
	Path   string // boxes from the outside in, such as "moof[2]/traf/trun"
	Offset int64  // of the innermost box, or of the bytes that Err is about, from the start of the input
	Err    error
}

// Error returns the path, the offset and what is wrong.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// formatErrorf builds a FormatError.
func formatErrorf(path string, offset int, format string, args ...any) error {
	return &FormatError{Path: path, Offset: int64(offset), Err: fmt.Errorf(format, args...)}
}

// atPath puts err at a place, unless it already names one that lies deeper.
func atPath(path string, offset int, err error) error {
	var fe *FormatError
	if errors.As(err, &fe) {
		return &FormatError{Path: path + "/" + fe.Path, Offset: fe.Offset, Err: fe.Err}
	}
	return &FormatError{Path: path, Offset: int64(offset), Err: err}
}
