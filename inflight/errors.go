package inflight

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy is returned when the budget had no room in time. Asking again later helps.
	ErrBusy = errors.New("no memory left for another segment")
	// ErrStuck is ErrBusy at once: everybody who holds a grant waits for more, so that nobody would ever release any. Who can do
	// with less may give the grant back, ask for that, and wait for it.
	ErrStuck = fmt.Errorf("%w: all that is granted waits for more", ErrBusy)
	// ErrTooLarge is returned for more than the whole budget. It never fits.
	ErrTooLarge = errors.New("segment is larger than the memory for all segments")
	// ErrSpool is returned when a body cannot be spooled and nothing of it was written: it can still be sent from memory.
	ErrSpool = errors.New("no room to spool a segment")
)

var (
	errReleased  = errors.New("the grant was released")
	errSpoolFull = errors.New("all of it is in use")
	errSize      = errors.New("body has not the size that was announced")
)
