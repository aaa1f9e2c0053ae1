package address

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrTemplate is returned for a DASH template that cannot be sealed.
var ErrTemplate = errors.New("segment template cannot be sealed")

// Template is the clean path of a DASH SegmentTemplate, in which $Number$ and $Time$ still stand for digits
// (ISO/IEC 23009-1, 5.3.9.4.4). $RepresentationID$ and $Bandwidth$ are already filled in.
//
// A template without identifiers is the path of a single resource.
type Template struct {
	text  string // as sealed: a decoded path with $Number%05d$ and $Time$ in it
	parts []templatePart
}

// templatePart is a literal, or an identifier when name is not empty.
type templatePart struct {
	literal string
	name    string // Number or Time
	width   int    // least number of digits
}

const maxTemplateWidth = 20

// TemplateValues fills the identifiers of a template that are fixed for one Representation.
type TemplateValues struct {
	RepresentationID string
	Bandwidth        string
}

// ResolveTemplate resolves a @media or @initialization template against b. It returns ErrTemplate for an identifier that
// no segment URL of ours can carry ($SubNumber$, "$$", an unknown one), and otherwise what Resolve returns.
func (b Base) ResolveTemplate(ref string, values TemplateValues) (Template, Target, error) {
	// From here on a "$" in the resolved path is one of a marker.
	if strings.Contains(b.url.Path, "$") || strings.Contains(ref, "%24") {
		return Template{}, Target{}, fmt.Errorf("%w: $ that is no identifier", ErrTemplate)
	}
	masked, tokens, err := maskIdentifiers(ref, values)
	if err != nil {
		return Template{}, Target{}, err
	}
	target, err := b.Resolve(masked)
	if err != nil {
		return Template{}, Target{}, err
	}
	text, err := unmask(target.Path, tokens)
	if err != nil {
		return Template{}, Target{}, err
	}
	t, err := ParseTemplate(text)
	if err != nil {
		return Template{}, Target{}, err
	}
	if len(tokens) > 0 {
		target.Path = ""
	}
	return t, target, nil
}

// marker stands for the i-th identifier while a reference is resolved: no character of it is special in a path.
func marker(i int) string { return "$" + strconv.Itoa(i) + "$" }

// unmask puts the identifiers back. All markers must stand in p, in their order: one is lost when it stood in the query
// or in front of "../".
func unmask(p Path, tokens []string) (string, error) {
	pieces := strings.Split(string(p), "$")
	if len(pieces) != 2*len(tokens)+1 {
		return "", fmt.Errorf("%w: identifier outside of the resolved path", ErrTemplate)
	}
	for i, token := range tokens {
		if pieces[2*i+1] != strconv.Itoa(i) {
			return "", fmt.Errorf("%w: identifier outside of the resolved path", ErrTemplate)
		}
		pieces[2*i+1] = strings.Trim(token, "$")
	}
	return strings.Join(pieces, "$"), nil
}

func maskIdentifiers(ref string, values TemplateValues) (masked string, tokens []string, err error) {
	pieces := strings.Split(ref, "$")
	if len(pieces)%2 == 0 {
		return "", nil, fmt.Errorf("%w: unpaired $", ErrTemplate)
	}
	var b strings.Builder
	for i, piece := range pieces {
		name, _, _ := strings.Cut(piece, "%")
		switch {
		case i%2 == 0:
			b.WriteString(piece)
		case piece == "RepresentationID":
			// A player fills in the id as it is written. With one of these characters it would ask for another path than
			// the one that is sealed.
			if id := values.RepresentationID; id == "" || strings.ContainsAny(id, "$%?#") {
				return "", nil, fmt.Errorf("%w: no usable Representation id", ErrTemplate)
			}
			b.WriteString(escapePath("/" + values.RepresentationID)[1:])
		case name == "Bandwidth":
			digits, err := formatBandwidth(piece, values.Bandwidth)
			if err != nil {
				return "", nil, err
			}
			b.WriteString(digits)
		default:
			b.WriteString(marker(len(tokens)))
			tokens = append(tokens, "$"+piece+"$")
		}
	}
	return b.String(), tokens, nil
}

// formatBandwidth returns the digits that stand for $Bandwidth$ or $Bandwidth%0[width]d$.
func formatBandwidth(piece, bandwidth string) (string, error) {
	part, err := parseIdentifier(piece)
	if err != nil {
		return "", err
	}
	value, err := strconv.ParseUint(bandwidth, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: bandwidth is not a number", ErrTemplate)
	}
	return fmt.Sprintf("%0*d", part.width, value), nil
}

// ParseTemplate reads the text that String returns: a decoded clean path with $Number$, $Time$ or either with a width,
// as in $Number%05d$. It returns ErrTemplate for other identifiers, for two that no character but digits keeps apart, and
// for what would not be a Path once its identifiers are filled in.
func ParseTemplate(text string) (Template, error) {
	if len(text) > maxPath {
		return Template{}, fmt.Errorf("%w: too long", ErrTemplate)
	}
	t, err := compileTemplate(text)
	if err != nil {
		return Template{}, err
	}
	var sample strings.Builder
	for _, part := range t.parts {
		if part.name == "" {
			sample.WriteString(part.literal)
		} else {
			sample.WriteString("00") // two digits, so that a literal in front cannot begin an escape
		}
	}
	if _, err := ParsePath(escapePath(sample.String())); err != nil {
		return Template{}, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	return t, nil
}

// compileTemplate takes text apart. It does not check that the literals make a Path.
func compileTemplate(text string) (Template, error) {
	identifiers := strings.Count(text, "$")
	if identifiers%2 != 0 {
		return Template{}, fmt.Errorf("%w: unpaired $", ErrTemplate)
	}
	t := Template{text: text, parts: make([]templatePart, 0, identifiers+1)}
	for i := 0; ; i++ {
		piece, rest, more := strings.Cut(text, "$")
		text = rest
		if i%2 == 0 {
			// Digits alone do not show where the one identifier ends and the next begins.
			if i > 0 && more && strings.Trim(piece, "0123456789") == "" {
				return Template{}, fmt.Errorf("%w: adjacent identifiers", ErrTemplate)
			}
			t.parts = append(t.parts, templatePart{literal: piece})
		} else {
			part, err := parseIdentifier(piece)
			if err == nil && part.name == "Bandwidth" {
				err = fmt.Errorf("%w: Bandwidth is not filled in", ErrTemplate)
			}
			if err != nil {
				return Template{}, err
			}
			t.parts = append(t.parts, part)
		}
		if !more {
			return t, nil
		}
	}
}

func parseIdentifier(piece string) (templatePart, error) {
	name, format, hasFormat := strings.Cut(piece, "%")
	if name != "Number" && name != "Time" && name != "Bandwidth" {
		return templatePart{}, fmt.Errorf("%w: identifier other than Number and Time", ErrTemplate)
	}
	part := templatePart{name: name, width: 1}
	if !hasFormat {
		return part, nil
	}
	digits, ok := strings.CutSuffix(format, "d")
	width, err := strconv.Atoi(digits)
	if !ok || err != nil || digits[0] != '0' || width < 1 || width > maxTemplateWidth {
		return templatePart{}, fmt.Errorf("%w: format tag of %s", ErrTemplate, name)
	}
	part.width = width
	return part, nil
}

// String returns the sealed text of t.
func (t Template) String() string { return t.text }

// escaped returns t as it stands in a URL, its identifiers untouched.
func (t Template) escaped() string {
	var b strings.Builder
	for i, piece := range strings.Split(t.text, "$") {
		if i%2 == 0 {
			b.WriteString(escapePath("/" + piece)[1:])
		} else {
			b.WriteString("$" + piece + "$")
		}
	}
	return b.String()
}

// IsZero reports whether t is no template.
func (t Template) IsZero() bool { return len(t.parts) == 0 }

// HasTime reports whether segments are addressed by their media time.
func (t Template) HasTime() bool { return t.has("Time") }

// HasNumber reports whether segments are addressed by their number.
func (t Template) HasNumber() bool { return t.has("Number") }

func (t Template) has(name string) bool {
	for _, part := range t.parts {
		if part.name == name {
			return true
		}
	}
	return false
}

// Position is what a segment's URL says about its place: its number, its media time in ticks of the timescale, or both.
type Position struct {
	Number, Time       uint64
	HasNumber, HasTime bool
}

// Match reports whether p is a URL that t generates, and the values in it. Digits must be spelled as the template
// spells them, so that no segment has two names.
func (t Template) Match(p Path) (Position, bool) {
	rest, pos := string(p), Position{}
	for i, part := range t.parts {
		if part.name == "" {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, part.literal); !ok {
				return Position{}, false
			}
			continue
		}
		digits := rest[:t.digits(rest, i)]
		value, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || !part.spells(digits) || !pos.set(part.name, value) {
			return Position{}, false
		}
		rest = rest[len(digits):]
	}
	if len(t.parts) == 0 || rest != "" {
		return Position{}, false
	}
	return pos, true
}

// spells reports whether digits is what the identifier writes for their value: padded with zeros up to the width, and
// not beyond it.
func (part templatePart) spells(digits string) bool {
	return len(digits) == part.width || len(digits) > part.width && digits[0] != '0'
}

// digits returns how many leading digits of rest belong to the identifier at part i: all of them, less those with which
// the literal behind it begins.
func (t Template) digits(rest string, i int) int {
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if i+1 < len(t.parts) {
		literal := t.parts[i+1].literal
		for k := 0; k < len(literal) && literal[k] >= '0' && literal[k] <= '9' && n > 0; k++ {
			n--
		}
	}
	return n
}

// set notes the value of an identifier; one that stands twice must have the same value twice.
func (p *Position) set(name string, value uint64) bool {
	if name == "Number" {
		if p.HasNumber && p.Number != value {
			return false
		}
		p.Number, p.HasNumber = value, true
		return true
	}
	if p.HasTime && p.Time != value {
		return false
	}
	p.Time, p.HasTime = value, true
	return true
}
