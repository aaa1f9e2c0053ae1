package cpix

import (
	"errors"
	"fmt"
)

var (
	// ErrSignature is returned for a document that had to be signed by a trusted certificate and is not.
	ErrSignature = errors.New("the document is not signed by a certificate that is trusted")
	// ErrNoKey is returned by Select when the document has no key for what was asked.
	ErrNoKey = errors.New("no content key for this track and crypto period")
)

// FormatError says what is wrong with a document, and where. It quotes nothing of the document but the names of elements.
type FormatError struct {
	// Path names the element, from the root, with the position among its likes from 1: CPIX/ContentKeyList/ContentKey[2].
	Path string
	// Offset is where the element begins, in bytes from the start of the document.
	Offset int64
	Err    error
}

func (e *FormatError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("reading CPIX document: byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("reading CPIX document: %s (byte %d): %v", e.Path, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }
