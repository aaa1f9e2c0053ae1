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
	masked, tokens, err := maskIdentifiers(ref, values)
	if err != nil {
		return Template{}, Target{}, err
	}
	target, err := b.Resolve(masked)
	if err != nil {
		return Template{}, Target{}, err
	}
	text := string(target.Path)
	for i, token := range tokens {
		text = strings.Replace(text, marker(i), token, 1)
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

// marker stands for the i-th identifier while a reference is resolved: no character of it is special in a path, and a
// "$" cannot come from anywhere else because "$$" is refused.
func marker(i int) string { return "$" + strconv.Itoa(i) + "$" }

func maskIdentifiers(ref string, values TemplateValues) (masked string, tokens []string, err error) {
	pieces := strings.Split(ref, "$")
	if len(pieces)%2 == 0 {
		return "", nil, fmt.Errorf("%w: unpaired $", ErrTemplate)
	}
	var b strings.Builder
	for i, piece := range pieces {
		switch {
		case i%2 == 0:
			b.WriteString(piece)
		case piece == "RepresentationID":
			if values.RepresentationID == "" || strings.Contains(values.RepresentationID, "$") {
				return "", nil, fmt.Errorf("%w: no usable Representation id", ErrTemplate)
			}
			b.WriteString(escapePath("/" + values.RepresentationID)[1:])
		case piece == "Bandwidth":
			b.WriteString(values.Bandwidth)
		default:
			b.WriteString(marker(len(tokens)))
			tokens = append(tokens, "$"+piece+"$")
		}
	}
	return b.String(), tokens, nil
}

// ParseTemplate reads the text that String returns.
func ParseTemplate(text string) (Template, error) {
	if _, err := ParsePath(escapePath(text)); err != nil {
		return Template{}, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	pieces := strings.Split(text, "$")
	if len(pieces)%2 == 0 {
		return Template{}, fmt.Errorf("%w: unpaired $", ErrTemplate)
	}
	t := Template{text: text}
	for i, piece := range pieces {
		if i%2 == 0 {
			if piece == "" && i > 0 && i < len(pieces)-1 {
				return Template{}, fmt.Errorf("%w: adjacent identifiers", ErrTemplate)
			}
			t.parts = append(t.parts, templatePart{literal: piece})
			continue
		}
		part, err := parseIdentifier(piece)
		if err != nil {
			return Template{}, err
		}
		t.parts = append(t.parts, part)
	}
	return t, nil
}

func parseIdentifier(piece string) (templatePart, error) {
	name, format, hasFormat := strings.Cut(piece, "%")
	if name != "Number" && name != "Time" {
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
	if len(t.parts) == 0 {
		return pos, false
	}
	for i, part := range t.parts {
		if part.name == "" {
			var ok bool
			if i == len(t.parts)-1 {
				return pos, rest == part.literal
			}
			if rest, ok = strings.CutPrefix(rest, part.literal); !ok {
				return Position{}, false
			}
			continue
		}
		digits := rest[:t.digits(rest, i)]
		value, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || fmt.Sprintf("%0*d", part.width, value) != digits || !pos.set(part.name, value) {
			return Position{}, false
		}
		rest = rest[len(digits):]
	}
	return pos, rest == ""
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
