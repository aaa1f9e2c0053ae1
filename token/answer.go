package token

import (
	"context"
	"errors"
	"time"
)

// Answer is what an authentic token asks to be answered with if one of its own demands fails. Whoever made it has bounded
// it to what a refusal may say.
type Answer struct {
	// Status is a redirect, or an error of the client.
	Status int
	// Header are fields in the order in which they are to be set, each a name and a value.
	Header [][2]string
}

// AnsweredError is a refusal to which the token itself names the answer. It wraps one of this package's sentinels.
type AnsweredError struct {
	Err    error
	Answer *Answer
}

// Error implements error.
func (e *AnsweredError) Error() string { return e.Err.Error() }

// Unwrap returns the refusal.
func (e *AnsweredError) Unwrap() error { return e.Err }

// Answerer is implemented by Conditions that know how a refusal is to be answered.
type Answerer interface {
	// AnswerTo returns the answer to a refusal, and nil if the token has none for it.
	AnswerTo(refusal error) *Answer
}

// Answered returns refusal, as an *AnsweredError if the token has an answer to it.
func (c Claims) Answered(refusal error) error {
	if refusal == nil || c.Conditions == nil {
		return refusal
	}
	if answerer, ok := c.Conditions.(Answerer); ok {
		if answer := answerer.AnswerTo(refusal); answer != nil {
			return &AnsweredError{Err: refusal, Answer: answer}
		}
	}
	return refusal
}

// AnswerOf returns the answer that a refusal carries, or nil.
func AnswerOf(refusal error) *Answer {
	var answered *AnsweredError
	if errors.As(refusal, &answered) {
		return answered.Answer
	}
	return nil
}

// Way is how a renewed token reaches the viewer.
type Way uint8

// The ways. The zero value is the one by which the token came.
const (
	WayAsItCame Way = iota
	WayCookie
	WayHeader
	WayRedirect
)

// Renewed is a token that follows another one.
type Renewed struct {
	Token string
	Way   Way
	// CookieName and HeaderName are what the token is sent as; empty: as the site's tokens come.
	CookieName, HeaderName string
	// CookieAttributes follow the cookie, and HeaderParameters the token in the header, each `name` or `name=value`.
	CookieAttributes, HeaderParameters []string
	// Status is that of a redirect.
	Status int
}

// Renewal issues the token that follows a good one. It is immutable and safe for concurrent use.
type Renewal interface {
	// Renew returns the token that follows if it is due at now, and false if it is not.
	Renew(now time.Time) (Renewed, bool, error)
}

// Replay remembers which tokens have been used.
type Replay interface {
	// Seen reports whether id was given to it before, and remembers it until then at least. An error means that it cannot tell,
	// or cannot remember: the token must be refused.
	Seen(ctx context.Context, id [16]byte, until time.Time) (bool, error)
	// Known reports the same and remembers nothing.
	Known(ctx context.Context, id [16]byte) (bool, error)
}
