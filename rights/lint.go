package rights

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity tells what has to be changed from what should be looked at.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is something in a catalog that is most likely not meant.
type Finding struct {
	Severity Severity `json:"severity"`
	Mistake
}

// String is Error with the severity.
func (f Finding) String() string { return string(f.Severity) + ": " + f.Error() }

// Lint looks for what the grammar allows and nobody means, at an instant: windows that contradict each other, gaps, what is over, and
// paths that no request reaches.
func (c *Catalog) Lint(now time.Time) []Finding {
	l := &linter{now: now}
	for i, t := range c.titles {
		l.title(t, fmt.Sprintf("titles[%d]", i))
		for _, path := range t.Paths {
			if isManifest(path) {
				l.add(SeverityWarning, t.line, fmt.Sprintf("titles[%d]", i), "%q is a manifest: its segments and licenses are judged by their own "+
					"paths; want the directory", path)
			}
			if by := c.shadow(path); by != nil {
				l.add(SeverityError, t.line, fmt.Sprintf("titles[%d]", i), "%q is never reached: whatever lies below belongs to %q of line %d",
					path, by.Name(), by.line)
			}
		}
	}
	for i, b := range c.blackouts {
		where := fmt.Sprintf("blackouts[%d]", i)
		if !b.To.IsZero() && !now.Before(b.To) {
			l.add(SeverityWarning, b.line, where, "is over since %s", FormatTime(b.To))
		}
		for _, path := range b.Paths {
			if !c.hasTitleFor(path) {
				l.add(SeverityWarning, b.line, where, "no title has the path %q, nor one below it", path)
			}
		}
	}
	return l.findings
}

// isManifest tells by the extension.
func isManifest(path string) bool {
	path = strings.ToLower(path)
	return strings.HasSuffix(path, ".mpd") || strings.HasSuffix(path, ".m3u8") || strings.HasSuffix(path, ".m3u")
}

type linter struct {
	now      time.Time
	findings []Finding
}

func (l *linter) add(severity Severity, line int, where, format string, args ...any) {
	l.findings = append(l.findings, Finding{severity, Mistake{Line: line, Where: where, Text: fmt.Sprintf(format, args...)}})
}

func (l *linter) title(t *Title, where string) {
	over := 0
	for i := range t.Windows {
		w := &t.Windows[i]
		at := fmt.Sprintf("%s.windows[%d]", where, i)
		if isOver := !w.End.IsZero() && !l.now.Before(w.End); isOver {
			if over++; len(t.Windows) > 1 {
				l.add(SeverityWarning, w.line, at, "is over since %s", FormatTime(w.End))
			}
		}
		for j := range i {
			l.pair(&t.Windows[j], w, at)
		}
	}
	if over == len(t.Windows) {
		l.add(SeverityWarning, t.line, where, "%q is over: no window is open or to come", t.Name())
	}
	l.gaps(t, where)
}

// pair compares two windows of a title that some viewer may have both of.
func (l *linter) pair(a, b *Window, where string) {
	if !spansOverlap(a, b) || !a.Territories.overlaps(b.Territories) {
		return
	}
	openA, openB := !a.Model.NeedsToken(), !b.Model.NeedsToken()
	switch {
	case openA != openB:
		l.add(SeverityError, b.line, where, "contradicts the window of line %d: at the same time and place one is %s and the other %s, and so everybody may watch",
			a.line, a.Model, b.Model)
	case a.Model == b.Model && (a.Model != ModelSubscription || sharesWord(a.Plans, b.Plans)):
		l.add(SeverityWarning, b.line, where, "overlaps the window of line %d, with the same offer", a.line)
	case openA && openB:
		l.add(SeverityError, b.line, where, "contradicts the window of line %d: at the same time and place one is %s and the other %s", a.line, a.Model, b.Model)
	}
}

func sharesWord(a, b []string) bool {
	return slices.ContainsFunc(a, func(word string) bool { return slices.Contains(b, word) })
}

func spansOverlap(a, b *Window) bool {
	return (a.End.IsZero() || b.Start.Before(a.End)) && (b.End.IsZero() || a.Start.Before(b.End))
}

// gaps reports times between the first start and the last end at which no window is open anywhere.
func (l *linter) gaps(t *Title, where string) {
	order := make([]int, len(t.Windows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return t.Windows[i].Start.Compare(t.Windows[j].Start) })
	end := t.Windows[order[0]].End
	for _, i := range order[1:] {
		next := &t.Windows[i]
		if end.IsZero() {
			return
		}
		if next.Start.After(end) && (next.End.IsZero() || next.End.After(l.now)) {
			l.add(SeverityWarning, next.line, fmt.Sprintf("%s.windows[%d]", where, i), "a gap: no window is open from %s to %s",
				FormatTime(end), FormatTime(next.Start))
		}
		if next.End.IsZero() || next.End.After(end) {
			end = next.End
		}
	}
}

// shadow returns a title whose pattern takes everything below path, if there is one: a pattern with one element more, which is an
// asterisk, and no element that path does not have.
func (c *Catalog) shadow(path string) *Title {
	branches := []*branch[*Title]{&c.byPath.root}
	for element := range elements(path) {
		var next []*branch[*Title]
		for _, b := range branches {
			if literal := b.literal[element]; literal != nil && element != "*" {
				next = append(next, literal)
			}
			if b.star != nil {
				next = append(next, b.star)
			}
		}
		branches = next
	}
	for _, b := range branches {
		if b.star != nil && len(b.star.values) > 0 {
			return b.star.values[0]
		}
	}
	return nil
}

// hasTitleFor reports whether some request below path would find a title.
func (c *Catalog) hasTitleFor(path string) bool {
	branches := []*branch[*Title]{&c.byPath.root}
	for element := range elements(path) {
		var next []*branch[*Title]
		for _, b := range branches {
			if len(b.values) > 0 {
				return true
			}
			if b.star != nil {
				next = append(next, b.star)
			}
			if element == "*" {
				for _, literal := range b.literal {
					next = append(next, literal)
				}
			} else if literal := b.literal[element]; literal != nil {
				next = append(next, literal)
			}
		}
		branches = next
	}
	return len(branches) > 0 // there are no branches without a title at or below them
}
