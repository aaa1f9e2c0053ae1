package keysource

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknownKey is returned when the source is sound but holds no key for what was asked.
	ErrUnknownKey = errors.New("no content key for this title")
	// ErrUnavailable is returned when the source cannot answer now; asking again later may help.
	ErrUnavailable = errors.New("key source unavailable")
	// ErrSecret is returned by ParseSecret for text that is too short or too plain to protect anything.
	ErrSecret = errors.New("unusable deployment secret")
)

var (
	errClosed = fmt.Errorf("%w: the cache is closed", ErrUnavailable)
	errBusy   = fmt.Errorf("%w: too many questions are waiting", ErrUnavailable)
)
