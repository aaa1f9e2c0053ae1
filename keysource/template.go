package keysource

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// templateWords are what a Template may hold between braces.
var templateWords = []string{"tenant", "group", "asset", "scheme", "period", "generation"}

// Template is text in which {tenant}, {group}, {asset}, {scheme}, {period} and {generation} stand for those of a title.
type Template struct {
	text  string
	words []string // that it holds
}

// ParseTemplate reads a template. Braces around anything else are an error.
func ParseTemplate(text string) (Template, error) {
	t := Template{text: text}
	rest := text
	for {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		word, behind, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(templateWords, word) {
			return Template{}, fmt.Errorf("braces are for {%s}", strings.Join(templateWords, "}, {"))
		}
		t.words = append(t.words, word)
		rest = behind
	}
	return t, nil
}

// Names reports whether the template holds that word.
func (t Template) Names(word string) bool { return slices.Contains(t.words, word) }

// Expand returns the text for a title. escape is applied to what is put in; nil leaves it as it is.
func (t Template) Expand(title Title, escape func(string) string) string {
	if escape == nil {
		escape = func(s string) string { return s }
	}
	return strings.NewReplacer(
		"{tenant}", escape(title.Tenant), "{group}", escape(title.Group), "{asset}", escape(title.Asset), "{scheme}", escape(title.Scheme.String()),
		"{period}", strconv.FormatUint(uint64(title.Period), 10), "{generation}", strconv.FormatUint(uint64(title.Generation), 10),
	).Replace(t.text)
}

// ExpandURL returns the text for a title as a URL, in which what is put in stays one element of the path or one value of the query.
func (t Template) ExpandURL(title Title) string {
	return t.Expand(title, func(s string) string {
		s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20") // which a path would read as a plus
		if s == "." || s == ".." {
			return strings.ReplaceAll(s, ".", "%2E")
		}
		return s
	})
}

// Told reports whether a key server that knows a title by this template alone can tell it from the titles that must not share its keys.
// One that is not told the scheme serves that scheme only; one that is not told generation or period serves the first of them, so that
// a key that leaked or ran out never serves on.
func (t Template) Told(title Title, scheme fmt.Stringer) bool {
	return (t.Names("scheme") || title.Scheme.String() == scheme.String()) &&
		(t.Names("generation") || title.Generation == 0) && (t.Names("period") || title.Period == 0)
}
