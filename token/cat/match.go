package cat

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Limits of matches. A regular expression runs in linear time whatever it is; what is bounded is the work to compile it.
const (
	maxMatchBytes   = 1024
	maxPatternBytes = 256
	maxPatternSteps = 2000
	maxMatches      = 32
)

// matcher is one match of a match map: it holds for a text, or it does not.
type matcher struct {
	kind     int64
	text     string
	digest   [32]byte
	pattern  *regexp.Regexp
	captures []capture
}

// capture is what a group of a pattern must be; nil in the token stands for anything.
type capture struct {
	text string
	any  bool
}

// matches is a match map: all of them must hold (CTA-5007-B, 4.6.10).
type matches []matcher

func (all matches) hold(text string) bool {
	for i := range all {
		if !all[i].holds(text) {
			return false
		}
	}
	return true
}

func (m *matcher) holds(text string) bool {
	switch m.kind {
	case MatchExact:
		return text == m.text
	case MatchPrefix:
		return strings.HasPrefix(text, m.text)
	case MatchSuffix:
		return strings.HasSuffix(text, m.text)
	case MatchContains:
		return strings.Contains(text, m.text)
	case MatchRegex:
		return m.matchesPattern(text)
	case MatchSHA256:
		return sha256.Sum256([]byte(text)) == m.digest
	case MatchSHA512256:
		return sha512.Sum512_256([]byte(text)) == m.digest
	default:
		return false
	}
}

// matchesPattern has the pattern cover the whole text. A line break would make another beginning for it, so a text with one
// never matches.
func (m *matcher) matchesPattern(text string) bool {
	if strings.ContainsAny(text, "\r\n") {
		return false
	}
	if len(m.captures) == 0 {
		return m.pattern.MatchString(text)
	}
	at := m.pattern.FindStringSubmatchIndex(text)
	if at == nil {
		return false
	}
	for i, want := range m.captures {
		from, to := at[2*(i+2)], at[2*(i+2)+1] // group 1 is the whole pattern
		if !want.any && (from < 0 || text[from:to] != want.text) {
			return false
		}
	}
	return true
}

// readMatches reads a match map. normalize brings a literal into the form of the texts that it is compared with; nil: it is left.
func readMatches(v any, normalize func(string) (string, error)) (matches, error) {
	m, ok := v.(map[any]any)
	if !ok || len(m) == 0 {
		return nil, errors.New("not a map of matches")
	}
	var all matches
	for _, kind := range []int64{MatchExact, MatchPrefix, MatchSuffix, MatchContains, MatchRegex, MatchSHA256, MatchSHA512256} {
		value, found := m[kind]
		if !found {
			continue
		}
		one, err := readMatch(kind, value, normalize)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) != len(m) {
		return nil, errors.New("an unknown way to match")
	}
	return all, nil
}

func readMatch(kind int64, value any, normalize func(string) (string, error)) (matcher, error) {
	m := matcher{kind: kind}
	switch kind {
	case MatchRegex:
		return readPattern(value)
	case MatchSHA256, MatchSHA512256:
		digest, ok := value.([]byte)
		if !ok || len(digest) != len(m.digest) {
			return matcher{}, errors.New("a digest that has not 32 bytes")
		}
		copy(m.digest[:], digest)
		return m, nil
	}
	text, ok := value.(string)
	if !ok || len(text) > maxMatchBytes {
		return matcher{}, errors.New("a match that is not a short text")
	}
	m.text = text
	if normalize == nil {
		return m, nil
	}
	var err error
	m.text, err = normalize(text)
	return m, err
}

// readPattern reads a POSIX extended regular expression: a text, or an array of it and of what its groups must be.
func readPattern(value any) (matcher, error) {
	parts, ok := value.([]any)
	if !ok {
		parts = []any{value}
	}
	if len(parts) == 0 {
		return matcher{}, errors.New("no regular expression")
	}
	text, ok := parts[0].(string)
	if !ok || len(text) > maxPatternBytes {
		return matcher{}, errors.New("a regular expression that is not a short text")
	}
	parsed, err := syntax.Parse(text, syntax.POSIX)
	if err != nil {
		return matcher{}, errors.New("not a POSIX extended regular expression")
	}
	if stepsOf(parsed) > maxPatternSteps {
		return matcher{}, fmt.Errorf("a regular expression of over %d steps", maxPatternSteps)
	}
	if parsed.MaxCap() < len(parts)-1 {
		return matcher{}, errors.New("more captures than groups in the regular expression")
	}
	m := matcher{kind: MatchRegex, text: text}
	// On its own it has been found well-formed, so its parentheses are balanced.
	if m.pattern, err = regexp.CompilePOSIX("^(" + text + ")$"); err != nil {
		return matcher{}, errors.New("not a POSIX extended regular expression")
	}
	for _, part := range parts[1:] {
		want, ok := part.(string)
		if !ok && part != nil {
			return matcher{}, errors.New("a capture that is neither text nor null")
		}
		m.captures = append(m.captures, capture{text: want, any: part == nil})
	}
	return m, nil
}

// stepsOf estimates how many instructions an expression compiles to, repetitions written out. It stops counting above what fits.
func stepsOf(re *syntax.Regexp) int {
	steps := 1
	if re.Op == syntax.OpLiteral || re.Op == syntax.OpCharClass {
		steps += len(re.Rune)
	}
	for _, sub := range re.Sub {
		steps += stepsOf(sub)
	}
	if re.Op == syntax.OpRepeat {
		steps *= max(re.Min, re.Max, 1)
	}
	return min(steps, math.MaxInt32/1024)
}
