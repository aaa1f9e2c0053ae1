package player

import (
	"context"
	"errors"
)

// Begin opens a page and loads the URL, and returns without waiting for a picture: for what is not meant to play yet, or at all. That the
// player reports a fatal error meanwhile is none of Begin; Session.Result has it.
func (b *Browser) Begin(ctx context.Context, o Options) (*Session, error) {
	s, err := b.page(o)
	if err != nil {
		return nil, err
	}
	var failed *PlaybackError
	if err := s.load(ctx, "loading", "begin"); err != nil && !errors.As(err, &failed) {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Again ends the player and plays the same URL in the same page, as Browser.Play does in a new one. Fatal errors from before are
// warnings from then on.
func (s *Session) Again(ctx context.Context) error { return s.load(ctx, "starting again", "again") }
