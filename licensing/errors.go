package licensing

import "errors"

var (
	// ErrMalformed is returned for bytes that are no license request.
	ErrMalformed = errors.New("malformed license request")
	// ErrUnsupportedType is returned for a sound request of a license type that does not exist, or that the title's group does not give.
	ErrUnsupportedType = errors.New("unsupported license type")
	// ErrNoKeys is returned when none of the keys asked for may be given.
	ErrNoKeys = errors.New("no requested key may be licensed")
)
