package segcache

import (
	"errors"
	"fmt"
)

// PanicError is what all who wait get when the function that makes an entry panics. The goroutine is the cache's own, so the
// server would not catch it.
type PanicError struct {
	// Value is what was panicked with, nil if the function ended its goroutine instead of returning. It may hold anything and is
	// not part of the text.
	Value any
	// Stack is the stack of the goroutine, as runtime/debug formats it.
	Stack []byte
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "making the segment ended without a result"
	}
	return "making the segment panicked"
}

// Format keeps every verb from reaching the fields.
func (e *PanicError) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, e.Error()) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

var (
	errNoEntry  = errors.New("making the segment gave neither a segment nor an error")
	errNegative = errors.New("the size of the segment cache is negative")
)
