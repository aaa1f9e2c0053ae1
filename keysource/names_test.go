package keysource

import (
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
)

// TestNamesAreRemembered: what is known of a title's names answers for a moment, and is no more than a hint.
func TestNamesAreRemembered(t *testing.T) {
	clock := newTestClock()
	c := newTestCache(t, &struct{ Source }{newTestSource(t)}, clock, CacheOptions{})
	title, other := testTitle(), testTitle()
	other.Asset = "/b/"
	own, foreign := drm.KID{1}, drm.KID{2}
	if !c.MayHold(title, []drm.KID{foreign}) {
		t.Error("a title of which nothing is known holds no key")
	}
	c.LearnNames(title, []drm.KID{own})
	c.LearnNames(other, nil)
	if !c.MayHold(title, []drm.KID{foreign, own}) || c.MayHold(title, []drm.KID{foreign}) || !c.MayHold(other, []drm.KID{own}) {
		t.Error("what was learned does not count, or that there is nothing does")
	}
	clock.advance(namesFor)
	if !c.MayHold(title, []drm.KID{foreign}) {
		t.Error("a key that the source has got in between stays unknown")
	}
}

// TestNamesAreBounded: made-up titles take no more memory than the bound, and what is over goes first.
func TestNamesAreBounded(t *testing.T) {
	now := time.Unix(1700000000, 0)
	n := names{now: func() time.Time { return now }, known: make(map[Title]titleNames)}
	title := testTitle()
	for period := range uint32(maxNamedTitles) {
		title.Period = period
		n.learn(title, nil)
	}
	now = now.Add(namesFor - 1)
	title.Period = maxNamedTitles
	n.learn(title, nil)
	if len(n.known) != maxNamedTitles || n.mayHold(title, []drm.KID{{}}) {
		t.Errorf("%d titles are known", len(n.known))
	}
	now = now.Add(1)
	title.Period++
	n.learn(title, nil)
	if len(n.known) != 2 {
		t.Errorf("%d titles are known, and all but two are over", len(n.known))
	}
}
