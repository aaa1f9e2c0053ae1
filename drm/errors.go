package drm

import "fmt"

// FormatError says where signaling that was handed to a parser stops making sense.
type FormatError struct {
	Path   string // what was being read, from the outside in, such as "pssh/KID_count"
	Offset int    // of the bytes that Err is about, from the start of the input
	Err    error
}

// Error returns the path, the offset and what is wrong.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s at byte %d: %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

func formatErrorf(path string, offset int, format string, args ...any) error {
	return &FormatError{Path: path, Offset: offset, Err: fmt.Errorf(format, args...)}
}
