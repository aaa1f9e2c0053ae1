package rights

import (
	"errors"
	"fmt"
	"strings"
)

var errNowhere = errors.New("no country is left")

// maxMistakes bounds what is collected of one file: a thousandth mistake helps nobody.
const maxMistakes = 100

// Mistake is one thing in a file that is not understood or cannot be.
type Mistake struct {
	// Line is from 1; 0 if it is not known.
	Line int `json:"line,omitempty"`
	// Where is the path of the value in the file, such as titles[3].windows[0].start; empty for the file itself.
	Where string `json:"where,omitempty"`
	// Text says what is wrong and what was expected.
	Text string `json:"text"`
}

// Error implements error.
func (m Mistake) Error() string {
	text := m.Text
	if m.Where != "" {
		text = m.Where + ": " + text
	}
	if m.Line > 0 {
		text = fmt.Sprintf("line %d: %s", m.Line, text)
	}
	return text
}

// Mistakes are all that was found in one file, at most a hundred.
type Mistakes []Mistake

// Error names the first few.
func (m Mistakes) Error() string {
	const shown = 5
	var b strings.Builder
	for i, mistake := range m {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(m)-shown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(mistake.Error())
	}
	return b.String()
}
