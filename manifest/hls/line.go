package hls

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits. They bound memory and time for a hostile origin, and lie far above what any player copes with.
const (
	maxPlaylistBytes = 16 << 20
	maxLineBytes     = 64 << 10
	maxReferences    = 100_000 // URI lines and tags with a reference
	maxTracks        = 1_000   // distinct init segments, each of which the caller may have to fetch
	maxVariableBytes = 1 << 20 // names and values, which may be made of one another
	maxOutputBytes   = 64 << 20
)

const header = "#EXTM3U"

// line is one line of a playlist: body and end together are its bytes.
type line struct {
	number int
	body   string // without trailing blanks
	end    string // trailing blanks, then LF, CRLF or, on the last line, nothing
	tag    string // the name of a tag, from "EXT" to the colon
	value  string // what follows the colon
}

// isURI reports whether l is a URI line (8216bis, 4.1): not blank and without a leading "#".
func (l line) isURI() bool { return l.body != "" && l.body[0] != '#' }

// hidesTag reports whether a tag begins inside l. Some players look for tags anywhere in a line, comments included.
func (l line) hidesTag() bool {
	return l.body != "" && l.body[0] == '#' && strings.Contains(l.body[1:], "#EXT")
}

// lines takes a playlist apart, in order.
type lines struct {
	rest   string
	number int
}

// next returns the next line and false behind the last one. A line of any length is returned whole: the length was
// checked before.
func (s *lines) next() (line, bool) {
	if s.rest == "" {
		return line{}, false
	}
	s.number++
	text := s.rest
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i+1]
	}
	s.rest = s.rest[len(text):]
	l := line{number: s.number, body: strings.TrimRight(text, " \t\r\n")}
	l.end = text[len(l.body):]
	if strings.HasPrefix(l.body, "#EXT") {
		name, value, _ := strings.Cut(l.body[1:], ":")
		l.tag, l.value = name, value
	}
	return l, true
}

// checkText refuses what no playlist may hold, before anything else looks at it: too much of it, a byte order mark, text
// that is not UTF-8, control characters, and line breaks that only some players see (8216bis, 4.1).
func checkText(text string) error {
	if len(text) > maxPlaylistBytes {
		return fmt.Errorf("%w: over %d bytes", ErrTooLarge, maxPlaylistBytes)
	}
	if rest, ok := strings.CutPrefix(text, "\ufeff"); ok && strings.HasPrefix(rest, header) {
		return &SyntaxError{Line: 1, Err: errCharacter}
	}
	if first, _ := (&lines{rest: text}).next(); first.body != header {
		return ErrNotPlaylist
	}
	number, start := 1, 0
	for i := 0; i < len(text); i++ {
		if i-start > maxLineBytes {
			return &SyntaxError{Line: number, Err: fmt.Errorf("%w: line over %d bytes", ErrTooLarge, maxLineBytes)}
		}
		switch c := text[i]; {
		case c == '\n':
			number, start = number+1, i+1
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n', c == '\t', c >= 0x20 && c < 0x7f:
		case c < 0x80:
			return &SyntaxError{Line: number, Err: errCharacter}
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size <= 1 || !plainRune(r) {
				return &SyntaxError{Line: number, Err: errCharacter}
			}
			i += size - 1
		}
	}
	return nil
}

// plainRune reports whether r is no control character and no line break. U+2028 and U+2029 end a line for JavaScript.
func plainRune(r rune) bool {
	return r >= 0x20 && (r < 0x7f || r >= 0xa0) && r != '\u2028' && r != '\u2029'
}

// plainText reports whether s may stand in a quoted string and in a URI line.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r == '"' || !plainRune(r) })
}
