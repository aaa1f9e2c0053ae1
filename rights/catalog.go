package rights

import (
	"strings"
	"time"

	"github.com/caddy-drm/caddy-drm/geo"
)

// Catalog is what is said of all titles. It is immutable and safe for concurrent use.
type Catalog struct {
	titles    []*Title
	blackouts []*Blackout
	byPath    index[*Title]
	blackout  index[*Blackout]
}

// Titles returns the titles in the order of their file. They must not be changed.
func (c *Catalog) Titles() []*Title { return c.titles }

// Blackouts returns the blackouts in the order of their file. They must not be changed.
func (c *Catalog) Blackouts() []*Blackout { return c.blackouts }

// Lookup returns the title of a clean path, or nil. Of all titles whose path is the one asked for or a directory above it, the one
// with the most elements counts; among those, the one with a name instead of an asterisk where they differ first. It allocates
// nothing.
func (c *Catalog) Lookup(cleanPath string) *Title {
	titles, _ := c.byPath.root.deepest(strings.TrimPrefix(cleanPath, "/"), 0)
	if len(titles) == 0 {
		return nil
	}
	return titles[0]
}

// Verdict is the outcome of a question.
type Verdict uint8

// The verdicts. Only Allowed admits; the zero Verdict does not.
const (
	Undecided Verdict = iota
	Allowed
	Unlisted         // no title has the path
	WrongTerritory   // no window is for the viewer's country
	NotStarted       // the window's start lies ahead
	Ended            // the window is over
	PlanMissing      // open, for subscribers of other plans
	NotPurchased     // open, for who has bought or rented the title
	BlackedOut       // a live program that may not be shown where the viewer is
	numberOfVerdicts = iota
)

// Admits reports whether v lets the viewer watch.
func (v Verdict) Admits() bool { return v == Allowed }

// String returns words for logs and explanations.
func (v Verdict) String() string {
	return [numberOfVerdicts]string{
		"undecided", "allowed", "no title of the catalog has the path", "no window is for the viewer's country", "the window has not begun",
		"the window is over", "none of the plans that the window asks for", "neither bought nor rented", "blacked out where the viewer is",
	}[v]
}

// Query is one question: who wants what, when.
type Query struct {
	Now time.Time
	// Path is the clean path of what is asked for.
	Path string
	// Country is where the viewer is.
	Country geo.Country
	// Plans and Purchases are what the viewer's token says.
	Plans, Purchases []string
	// AllowUnlisted admits to paths that no title has; blackouts hold for them nonetheless.
	AllowUnlisted bool
	// Anyone asks whether anybody may watch now, for what all viewers are given alike: territories, plans and purchases do not count,
	// nor do blackouts of a part of the world.
	Anyone bool
}

// Outcome is the answer.
type Outcome struct {
	Verdict Verdict
	// Title is the entry that decided, and Window the one of its windows that admitted or was the reason to refuse; nil if there is none.
	Title  *Title
	Window *Window
	// Blackout is the one that refused.
	Blackout *Blackout
	// Until is when an admission ends: with the last window that follows without a gap, or when a blackout begins. WindowEnd is
	// the same without regard to blackouts, which interrupt and do not end. Zero: it does not end.
	Until, WindowEnd time.Time
	// Opens is when to come back, if that is known: the start of the next window, or the end of the blackout.
	Opens time.Time
}

// Decide answers a query. It allocates nothing.
func (c *Catalog) Decide(q Query) Outcome {
	var out Outcome
	switch title := c.Lookup(q.Path); {
	case title != nil:
		out = title.decide(&q)
	case q.AllowUnlisted:
		out.Verdict = Allowed
	default:
		out.Verdict = Unlisted
	}
	if out.Verdict == Allowed && len(c.blackouts) > 0 {
		c.blackOut(&q, &out)
	}
	return out
}

// decide judges the windows that are for the viewer's country: who cannot watch anywhere is not told about times, and who is too
// early is not asked for a plan.
func (t *Title) decide(q *Query) Outcome {
	out := Outcome{Title: t, Verdict: WrongTerritory}
	for i := range t.Windows {
		w := &t.Windows[i]
		if !q.Anyone && !w.Territories.Contains(q.Country) {
			continue
		}
		verdict := w.judge(t, q)
		switch {
		case verdict == Allowed:
			out.Verdict, out.Window = Allowed, w
		case out.Verdict == Allowed, rank(verdict) < rank(out.Verdict):
			continue
		case verdict == NotStarted && (out.Verdict != NotStarted || w.Start.Before(out.Opens)):
			out.Verdict, out.Window, out.Opens = NotStarted, w, w.Start
		case rank(verdict) > rank(out.Verdict):
			out.Verdict, out.Window = verdict, w
		}
		if verdict == Allowed {
			break
		}
	}
	if out.Verdict == Allowed {
		out.Opens = time.Time{}
		out.WindowEnd = t.endOf(out.Window, q)
		out.Until = out.WindowEnd
	} else if out.Verdict != NotStarted {
		out.Opens = time.Time{}
	}
	return out
}

// rank orders the refusals of several windows: the one that tells the viewer most about how to get in counts, and among equals the
// first in the file.
func rank(v Verdict) int {
	switch v {
	case PlanMissing, NotPurchased:
		return 3
	case NotStarted:
		return 2
	case Ended:
		return 1
	default:
		return 0
	}
}

// judge decides one window for a viewer in one of its territories.
func (w *Window) judge(t *Title, q *Query) Verdict {
	switch {
	case q.Now.Before(w.Start):
		return NotStarted
	case !w.contains(q.Now):
		return Ended
	default:
		return w.admits(t, q)
	}
}

// admits decides the offer of a window alone.
func (w *Window) admits(t *Title, q *Query) Verdict {
	if q.Anyone {
		return Allowed
	}
	switch w.Model {
	case ModelFree, ModelAds:
		return Allowed
	case ModelSubscription:
		for _, plan := range w.Plans {
			if contains(q.Plans, plan) {
				return Allowed
			}
		}
		return PlanMissing
	case ModelRental, ModelPurchase:
		if t.ID != "" && contains(q.Purchases, t.ID) {
			return Allowed
		}
		return NotPurchased
	default:
		return Undecided
	}
}

// contains is slices.Contains without the generic call in the way of inlining.
func contains(list []string, word string) bool {
	for _, s := range list {
		if s == word {
			return true
		}
	}
	return false
}

// endOf returns when the viewer's admission by w ends, with all windows that go on where another ends.
func (t *Title) endOf(w *Window, q *Query) time.Time {
	end := w.End
	for longer := true; longer && !end.IsZero(); {
		longer = false
		for i := range t.Windows {
			next := &t.Windows[i]
			if next.Start.After(end) || !next.End.IsZero() && !next.End.After(end) || !q.Anyone && !next.Territories.Contains(q.Country) ||
				next.admits(t, q) != Allowed {
				continue
			}
			end, longer = next.End, true
			if end.IsZero() {
				break
			}
		}
	}
	return end
}

// blackOut applies the blackouts of the path to an admission: every one counts, wherever above the path it stands.
func (c *Catalog) blackOut(q *Query, out *Outcome) {
	c.blackout.root.all(strings.TrimPrefix(q.Path, "/"), func(b *Blackout) {
		switch {
		case !b.Territories.mayContain(q.Country), q.Anyone && !b.Territories.IsWorld(), !b.To.IsZero() && !q.Now.Before(b.To):
		case q.Now.Before(b.From):
			if out.Until.IsZero() || b.From.Before(out.Until) {
				out.Until = b.From
			}
		case out.Blackout == nil || !out.Opens.IsZero() && (b.To.IsZero() || b.To.After(out.Opens)):
			out.Verdict, out.Blackout, out.Opens = BlackedOut, b, b.To
		}
	})
	if out.Verdict == BlackedOut {
		out.Until, out.WindowEnd = time.Time{}, time.Time{}
	}
}
