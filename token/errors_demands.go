package token

import "errors"

// The reasons for which an authentic token is refused that demands more of a request than a path and a time.
var (
	// ErrRequest means that the token is not for a request of this kind: its method, a header field, or the protocol.
	ErrRequest = errors.New("the token is not for such a request")
	// ErrAddress means that the token is not for the viewer's address or network.
	ErrAddress = errors.New("the token is not for this network")
	// ErrCountry means that the token is not for the place where the viewer is.
	ErrCountry = errors.New("the token is not for this country")
	// ErrCountryUnknown means that the token is for certain places, and that nobody knows where the viewer is.
	ErrCountryUnknown = errors.New("the token is for certain countries, and the viewer's is not known")
	// ErrReplayed means that the token was good for one use, and has been used.
	ErrReplayed = errors.New("the token has been used before")
	// ErrUnsupported means that the token demands what cannot be judged here. A demand that nobody understood is never read as
	// none.
	ErrUnsupported = errors.New("the token demands what cannot be judged here")
)
