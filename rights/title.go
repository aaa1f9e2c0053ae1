package rights

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Model is the business model of an offer.
type Model uint8

// The models. The zero Model is none, and admits nobody.
const (
	ModelNone Model = iota
	// ModelFree and ModelAds admit everybody; ads are for players and for whoever serves them to know.
	ModelFree
	ModelAds
	// ModelSubscription admits who has one of the offer's plans.
	ModelSubscription
	// ModelRental and ModelPurchase admit who has the title among the purchases. How long a rental lasts, the token says.
	ModelRental
	ModelPurchase
)

var modelNames = [...]string{"none", "free", "ads", "subscription", "rental", "purchase"}

// String returns the word of catalogs.
func (m Model) String() string { return modelNames[m] }

// parseModel reports whether word is a model.
func parseModel(word string) (Model, bool) {
	i := slices.Index(modelNames[1:], word)
	return Model(i + 1), i >= 0
}

// NeedsToken reports whether only a token can say that a viewer has what the model asks for.
func (m Model) NeedsToken() bool {
	return m == ModelSubscription || m == ModelRental || m == ModelPurchase
}

// Window is a span of time in which a title may be shown, to whom and where.
type Window struct {
	// Start is the first instant, End the first one after; zero: without bound.
	Start, End time.Time
	// Territories are where.
	Territories *Territories
	// Model and Plans are to whom.
	Model Model
	Plans []string

	line int
}

// String says the window in words, for explanations.
func (w *Window) String() string {
	var b strings.Builder
	b.WriteString(w.Model.String())
	if len(w.Plans) > 0 {
		b.WriteString(" (" + strings.Join(w.Plans, ", ") + ")")
	}
	b.WriteString(" in " + w.Territories.String() + ", " + describeSpan(w.Start, w.End))
	return b.String()
}

func describeSpan(start, end time.Time) string {
	switch {
	case start.IsZero() && end.IsZero():
		return "always"
	case start.IsZero():
		return "until " + FormatTime(end)
	case end.IsZero():
		return "from " + FormatTime(start)
	default:
		return FormatTime(start) + " to " + FormatTime(end)
	}
}

// FormatTime writes an instant as catalogs and refusals have it: RFC 3339 in the zone that it was given in.
func FormatTime(t time.Time) string { return t.Format(time.RFC3339Nano) }

// contains reports whether now lies in [Start, End).
func (w *Window) contains(now time.Time) bool {
	return !now.Before(w.Start) && (w.End.IsZero() || now.Before(w.End))
}

// License is what accompanies a title: under which license it was made public, and who is to be named.
type License struct {
	// URL is the license's, Source where the work was found, both absolute and http or https; either may be empty.
	URL, Source string
	// Attribution is the text that names the authors.
	Attribution string
}

// IsZero reports whether nothing is said.
func (l License) IsZero() bool { return l == License{} }

// Title is one entry of a Catalog. It is not changed after parsing.
type Title struct {
	// ID is what purchases and rentals in tokens name. It may be empty if the title is neither sold nor rented.
	ID string
	// Paths are the clean paths of the title: files, or directories with all below them. An element may be an asterisk.
	Paths []string
	// Group names what the title belongs to, in the operator's words.
	Group string
	// MaxStreams is how many streams one viewer may watch at once; 0: the title says nothing.
	MaxStreams int
	License    License
	// Windows are one or more. Where several are open at the same time, a viewer needs what one of them asks for.
	Windows []Window

	line int
}

// Name is the title's ID or, without one, its first path.
func (t *Title) Name() string {
	if t.ID != "" {
		return t.ID
	}
	return t.Paths[0]
}

// Line is where the title stands in its file, from 1; 0 if it was not read from one.
func (t *Title) Line() int { return t.line }

// Blackout closes paths for a program that may not be shown.
type Blackout struct {
	// Paths are closed, with all below them, whatever titles lie there.
	Paths []string
	// From is the first instant, To the first one after; zero: without bound.
	From, To time.Time
	// Territories are where.
	Territories *Territories

	line int
}

// String says the blackout in words.
func (b *Blackout) String() string {
	return fmt.Sprintf("blackout in %s, %s", b.Territories, describeSpan(b.From, b.To))
}
