package player

import (
	"context"

	"github.com/chromedp/chromedp"
)

// Tab opens a tab with storage and cookies of its own, for pages that are not the harness's. It closes with the returned
// function.
func (b *Browser) Tab() (context.Context, context.CancelFunc) {
	return chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
}

// ParsePicture reads a screenshot whose top left is the video at 640×360, as Session.Read does.
func ParsePicture(screenshot []byte) (Picture, error) { return parsePicture(screenshot) }
