package cpix

import (
	"strings"
	"unicode/utf8"
)

// What a key server says ends up in manifests, so that it must not be able to say more there than it should.

// isFragment reports whether b is a sequence of whole elements.
func isFragment(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	_, err := readTree([]byte("<x>" + string(b) + "</x>"))
	return err == nil && !strings.Contains(string(b), "<?")
}

// isTags reports whether every line of b is an EXT-X tag, or empty.
func isTags(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line != "" && !strings.HasPrefix(line, "#EXT-X-") || strings.ContainsFunc(line, isControl) {
			return false
		}
	}
	return true
}

// isURIText reports whether b can stand in a quoted string of HLS.
func isURIText(b []byte) bool {
	return utf8.Valid(b) && !strings.ContainsFunc(string(b), func(c rune) bool { return c == '"' || isControl(c) })
}

func isControl(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
