package rights

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-drm/caddy-drm/address"
)

// at is a place in a file; it becomes text only if something is wrong there.
type at struct {
	parent *at
	name   string
	index  int // of a list, if the name is empty
}

func (a *at) String() string {
	switch {
	case a == nil:
		return ""
	case a.name == "":
		return fmt.Sprintf("%s[%d]", a.parent, a.index)
	case a.parent == nil:
		return a.name
	default:
		return a.parent.String() + "." + a.name
	}
}

func (a *at) field(name string) *at { return &at{parent: a, name: name} }
func (a *at) item(i int) *at        { return &at{parent: a, index: i} }

// decoder reads values strictly, and goes on after a mistake to find the others.
type decoder struct {
	mistakes Mistakes
	// territories and plans are made once for all titles that say the same.
	territories map[string]*Territories
	plans       map[string][]string
}

// mistake notes what is wrong.
func (d *decoder) mistake(n node, where *at, format string, args ...any) {
	if len(d.mistakes) < maxMistakes {
		d.mistakes = append(d.mistakes, Mistake{Line: n.line, Where: where.String(), Text: fmt.Sprintf(format, args...)})
	}
}

// fieldReader reads the value of one field.
type fieldReader func(node, *at)

// fields reads a map. Unknown names, names that stand twice and null are mistakes.
func (d *decoder) fields(n node, where *at, known map[string]fieldReader) {
	if n.kind != nodeMap {
		d.mistake(n, where, "want %s: …", strings.Join(sortedNames(known), ", "))
		return
	}
	seen := make(map[string]bool, len(n.keys))
	for i, key := range n.keys {
		read, ok := known[key.text]
		switch {
		case !ok:
			d.mistake(key, where, "unknown field %.40q: want one of %s", key.text, strings.Join(sortedNames(known), ", "))
		case seen[key.text]:
			d.mistake(key, where.field(key.text), "stands twice")
		case n.items[i].kind == nodeNull:
			d.mistake(key, where.field(key.text), "is empty: leave the field out, or say what is meant")
		default:
			seen[key.text] = true
			read(n.items[i], where.field(key.text))
		}
	}
}

func sortedNames(known map[string]fieldReader) []string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list reads a list of one value or more.
func (d *decoder) list(n node, where *at, read fieldReader) {
	if n.kind != nodeList || len(n.items) == 0 {
		d.mistake(n, where, "want a list of one or more")
		return
	}
	for i, item := range n.items {
		read(item, where.item(i))
	}
}

// textOf reads text of up to max bytes that can stand in a log, a header or a table.
func (d *decoder) textOf(n node, where *at, max int) string {
	if n.kind != nodeScalar || n.text == "" || len(n.text) > max || !utf8.ValidString(n.text) || strings.ContainsFunc(n.text, isInvisible) {
		d.mistake(n, where, "want text of 1 to %d bytes, of letters, digits and signs, in one line", max)
		return ""
	}
	return n.text
}

// isInvisible reports what has no place in one line of text; joiners are part of words in some scripts.
func isInvisible(r rune) bool { return !unicode.IsGraphic(r) && r != '\u200c' && r != '\u200d' }

// words reads one word or a list of them.
func (d *decoder) words(n node, where *at, max int) (words []string) {
	if n.kind == nodeScalar {
		return []string{d.textOf(n, where, max)}
	}
	d.list(n, where, func(n node, where *at) {
		word := d.textOf(n, where, max)
		if word != "" && slices.Contains(words, word) {
			d.mistake(n, where, "stands twice")
		}
		words = append(words, word)
	})
	return words
}

// instant reads a time with its zone.
func (d *decoder) instant(n node, where *at) (t time.Time) {
	if n.kind != nodeScalar {
		d.mistake(n, where, wantTime)
		return time.Time{}
	}
	t, err := ParseTime(n.text)
	if err != nil {
		d.mistake(n, where, "%v", err)
	}
	return t
}

const wantTime = "want a time with its zone such as 2026-11-27T20:15:00+01:00 (RFC 3339)"

// ParseTime reads an instant: RFC 3339, where the zone is never left out.
func ParseTime(text string) (time.Time, error) {
	var t time.Time
	if err := t.UnmarshalText([]byte(text)); err != nil || t.Year() < 1970 || !hasRFC3339Form(text) {
		return time.Time{}, fmt.Errorf("%.40q: %s", text, wantTime)
	}
	return t, nil
}

// hasRFC3339Form checks what package time lets pass: an hour of one digit, a comma, a zone of more than a day.
func hasRFC3339Form(text string) bool {
	if text[len("2006-01-02T15")] != ':' || strings.Contains(text, ",") {
		return false
	}
	if strings.HasSuffix(text, "Z") {
		return true
	}
	zone := text[len(text)-len("00:00"):]
	return zone[:2] < "24" && zone[3:] < "60"
}

// number reads a whole number from 1 to max.
func (d *decoder) number(n node, where *at, max int) int {
	i, err := strconv.Atoi(n.text)
	if n.kind != nodeScalar || err != nil || i < 1 || i > max {
		d.mistake(n, where, "want a whole number from 1 to %d", max)
		return 0
	}
	return i
}

// link reads an absolute http or https URL and returns it in a form that can stand between angle brackets in a header.
func (d *decoder) link(n node, where *at) string {
	text := d.textOf(n, where, maxTextBytes)
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(u.String(), "<>\"\\^`{|} ") {
		d.mistake(n, where, "want an absolute http or https URL without credentials")
		return ""
	}
	for _, c := range []byte(u.String()) {
		if c >= 0x80 {
			d.mistake(n, where, "want a URL in ASCII: other characters percent-encoded, host names in the form xn--…")
			return ""
		}
	}
	return u.String()
}

// paths reads the paths of a title or a blackout.
func (d *decoder) paths(n node, where *at) (paths []string) {
	read := func(n node, where *at) {
		path := n.text
		if n.kind != nodeScalar || !isPattern(path) {
			d.mistake(n, where, `want a clean path such as /vod/film/, decoded, in which "*" stands for one whole element`)
			return
		}
		paths = append(paths, path)
	}
	if n.kind == nodeScalar {
		read(n, where)
		return paths
	}
	d.list(n, where, read)
	return paths
}

// maxElements bounds the elements of a path in a catalog.
const maxElements = 32

// isPattern reports whether requests can have the path: a pattern that no clean path fits would restrict nothing.
func isPattern(path string) bool {
	clean, err := address.ParsePath(address.Path(path).Escaped())
	if err != nil || string(clean) != path {
		return false
	}
	n := 0
	for element := range elements(path) {
		if n++; n > maxElements || element != "*" && strings.Contains(element, "*") {
			return false
		}
	}
	return true
}
