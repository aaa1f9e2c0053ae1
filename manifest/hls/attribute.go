package hls

import "strings"

// maxAttributes bounds one attribute list: names are compared pair by pair.
const maxAttributes = 128

// attribute is one entry of an attribute list; start and end are the place of its value in the list, quotes excluded, from
// and to that of the whole entry, its leading blanks included and its comma not.
type attribute struct {
	name       string
	start, end int
	from, to   int
	quoted     bool
}

// parseAttributes appends the attributes of list to dst (8216bis, 4.2). Blanks around a name and a comma at the very end
// are passed over, as players do. What players would read in different ways is refused: a name that stands twice, and
// anything between a quoted string and its comma.
func parseAttributes(dst []attribute, list string) ([]attribute, error) {
	from := 0
	for pos := skipBlanks(list, 0); pos < len(list); pos = skipBlanks(list, from) {
		a, next, ok := parseAttribute(list, pos)
		if !ok || len(dst) == maxAttributes {
			return nil, errAttributes
		}
		if _, twice := find(dst, a.name); twice {
			return nil, errAttributes
		}
		a.from = from
		dst, from = append(dst, a), next
	}
	return dst, nil
}

// parseAttribute reads the attribute at pos and returns the place behind its comma.
func parseAttribute(list string, pos int) (a attribute, next int, ok bool) {
	equals := strings.IndexByte(list[pos:], '=')
	if equals <= 0 {
		return attribute{}, 0, false
	}
	a.name = strings.TrimRight(list[pos:pos+equals], " \t")
	if strings.ContainsFunc(a.name, func(r rune) bool { return !isNameRune(r) && r != '.' }) {
		return attribute{}, 0, false
	}
	a.start = pos + equals + 1
	var after int
	if strings.HasPrefix(list[a.start:], `"`) {
		a.quoted = true
		a.start++
		length := strings.IndexByte(list[a.start:], '"')
		if length < 0 {
			return attribute{}, 0, false
		}
		a.end = a.start + length
		after = a.end + 1
	} else {
		length := strings.IndexByte(list[a.start:]+",", ',')
		a.end = a.start + length
		after = a.end
		if length == 0 || strings.ContainsRune(list[a.start:a.end], '"') {
			return attribute{}, 0, false
		}
	}
	if after < len(list) && list[after] != ',' {
		return attribute{}, 0, false
	}
	a.to = after
	return a, after + 1, true
}

func skipBlanks(s string, pos int) int {
	for pos < len(s) && (s[pos] == ' ' || s[pos] == '\t') {
		pos++
	}
	return pos
}

// isNameRune reports whether r may stand in the name of a variable (8216bis, 4.4.2.3).
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// find returns the attribute with the given name.
func find(attributes []attribute, name string) (attribute, bool) {
	for _, a := range attributes {
		if a.name == name {
			return a, true
		}
	}
	return attribute{}, false
}
