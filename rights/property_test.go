package rights

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The base of drawn instants; all lie within 20 ns of it, so that boundaries meet.
var base = time.Date(2026, 11, 27, 20, 15, 0, 0, time.UTC)

func drawInstant(t *rapid.T, name string) time.Time {
	return base.Add(time.Duration(rapid.IntRange(-10, 10).Draw(t, name))).In(time.FixedZone("", 3600*rapid.IntRange(-12, 14).Draw(t, "zone")))
}

// drawTitle writes a title with some windows.
func drawTitle(t *rapid.T, path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- path: %q\n  id: %q\n  windows:\n", path, "id"+path)
	for range rapid.IntRange(1, 5).Draw(t, "windows") {
		model := rapid.SampledFrom([]string{"free", "subscription, plans: [a]", "subscription, plans: [b, c]", "rental"}).Draw(t, "model")
		places := rapid.SampledFrom([]string{"world", "AT", "[AT, DE]", "eu, excluded: AT"}).Draw(t, "territories")
		start, end := drawInstant(t, "start"), drawInstant(t, "end")
		span := ""
		if rapid.Bool().Draw(t, "has start") {
			span += ", start: " + FormatTime(start)
		}
		if rapid.Bool().Draw(t, "has end") && (span == "" || end.After(start)) {
			span += ", end: " + FormatTime(end)
		}
		fmt.Fprintf(&b, "  - {model: %s, territories: %s%s}\n", model, places, span)
	}
	return b.String()
}

func drawQuery(t *rapid.T, outer testing.TB) Query {
	q := Query{Now: drawInstant(t, "now"), Path: "/live/x"}
	q.Country = country(outer, rapid.SampledFrom([]string{"", "AT", "DE", "US"}).Draw(t, "country"))
	q.Plans = rapid.SampledFrom([][]string{nil, {"a"}, {"c", "z"}}).Draw(t, "plans")
	q.Purchases = rapid.SampledFrom([][]string{nil, {"id/live/"}}).Draw(t, "purchases")
	return q
}

// admitted is the definition, word by word: some window is for the country, is open and asks for nothing that is missing, and no
// blackout is on.
func admitted(c *Catalog, q Query) bool {
	open := false
	for _, w := range c.Titles()[0].Windows {
		has := w.Model == ModelFree || w.Model == ModelRental && len(q.Purchases) > 0 ||
			slices.ContainsFunc(w.Plans, func(plan string) bool { return slices.Contains(q.Plans, plan) })
		if w.Territories.Contains(q.Country) && !q.Now.Before(w.Start) && (w.End.IsZero() || q.Now.Before(w.End)) && has {
			open = true
		}
	}
	for _, b := range c.Blackouts() {
		if (!q.Country.IsKnown() || b.Territories.Contains(q.Country)) && !q.Now.Before(b.From) && (b.To.IsZero() || q.Now.Before(b.To)) {
			return false
		}
	}
	return open
}

// What is decided is what the definition says, it holds until Until and not a nanosecond longer, and nothing opens before Opens.
func TestDecisionsHoldUntilTheyEnd(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := "titles:\n" + drawTitle(r, "/live/")
		if rapid.Bool().Draw(r, "blackout") {
			from := drawInstant(r, "from")
			text += fmt.Sprintf("blackouts: [{path: /live/, territories: AT, from: %s, to: %s}]\n", FormatTime(from), FormatTime(from.Add(3)))
		}
		c := mustParse(t, text)
		q := drawQuery(r, t)
		out := c.Decide(q)
		if out.Verdict.Admits() != admitted(c, q) {
			r.Fatalf("%s at %s for %+v\n%s", out.Verdict, FormatTime(q.Now), q, text)
		}
		if out.Verdict.Admits() {
			checkUntil(r, c, q, out, text)
		} else if out.Verdict == NotStarted {
			for now := q.Now; now.Before(out.Opens); now = now.Add(1) {
				if admitted(c, askedAt(q, now)) {
					r.Fatalf("open at %s, before %s\n%s", FormatTime(now), FormatTime(out.Opens), text)
				}
			}
		}
	})
}

func askedAt(q Query, now time.Time) Query {
	q.Now = now
	return q
}

func checkUntil(r *rapid.T, c *Catalog, q Query, out Outcome, from string) {
	for now := q.Now; now.Before(base.Add(25)); now = now.Add(1) {
		before := out.Until.IsZero() || now.Before(out.Until)
		if before != admitted(c, askedAt(q, now)) && (before || now.Equal(out.Until)) {
			r.Fatalf("admitted until %s, at %s: %t\n%s", text(out.Until), FormatTime(now), !before, from)
		}
	}
	if !out.WindowEnd.IsZero() && out.WindowEnd.Before(out.Until) {
		r.Fatalf("until %s, after the window's end %s", text(out.Until), text(out.WindowEnd))
	}
}

// The look-up is the definition: the longest pattern, and among those the one that sorts first with the asterisk last.
func TestLookupIsItsDefinition(t *testing.T) {
	element := rapid.SampledFrom([]string{"a", "b", "*"})
	rapid.Check(t, func(r *rapid.T) {
		patterns := make(map[string]bool)
		for range rapid.IntRange(1, 12).Draw(r, "patterns") {
			patterns["/"+path.Join(rapid.SliceOfN(element, 1, 4).Draw(r, "pattern")...)] = true
		}
		var b strings.Builder
		b.WriteString("defaults: {territories: world, model: free}\ntitles:\n")
		var sorted []string
		for p := range patterns {
			sorted = append(sorted, p)
			fmt.Fprintf(&b, "- path: %q\n", p)
		}
		slices.SortFunc(sorted, func(p, q string) int {
			if d := strings.Count(q, "/") - strings.Count(p, "/"); d != 0 {
				return d
			}
			return strings.Compare(strings.ReplaceAll(p, "*", "~"), strings.ReplaceAll(q, "*", "~"))
		})
		asked := "/" + path.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 5).Draw(r, "asked")...)
		want := ""
		for _, p := range sorted {
			parts := strings.SplitN(asked, "/", strings.Count(p, "/")+2)
			if n := strings.Count(p, "/") + 1; len(parts) >= n {
				if ok, _ := path.Match(p, strings.Join(parts[:n], "/")); ok {
					want = p
					break
				}
			}
		}
		got := ""
		if title := mustParse(t, b.String()).Lookup(asked); title != nil {
			got = title.Paths[0]
		}
		if got != want {
			r.Fatalf("%s among %v is of %q, want %q", asked, sorted, got, want)
		}
	})
}
