package cat

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// What an answer of catif may be: enough to send a viewer to where tokens come from, and nothing that steers caches, proxies or
// pages.
const (
	maxAnswers      = 16
	maxAnswerFields = 8
	maxFieldBytes   = 1024
)

var (
	answerRedirects = []int64{302, 303, 307, 308}
	answerErrors    = []int64{400, 401, 402, 403, 404, 409, 410, 429, 451}
	answerFields    = []string{"location", "retry-after"}
)

// readAnswers reads catif (CTA-5007-B, 4.9.1): claim label → [status, ?fields, ?kid]. An answer that cannot be given as it stands
// is passed over, and the refusal has the site's own answer: catif demands nothing. What it would take to give them all is the
// minting of tokens for other places, which kid and maps of claims ask for.
func readAnswers(v any, allowed []string) (map[int64]*token.Answer, error) {
	m, ok := v.(map[any]any)
	if !ok || len(m) > maxAnswers {
		return nil, errors.New("not a map of up to 16 answers")
	}
	answers := make(map[int64]*token.Answer)
	for label, value := range m {
		number, ok := label.(int64)
		if !ok {
			return nil, errors.New("an answer to what is no claim")
		}
		if answer := readAnswer(value, allowed); answer != nil {
			answers[number] = answer
		}
	}
	return answers, nil
}

// readAnswer returns nil for an answer that cannot be given.
func readAnswer(v any, allowed []string) *token.Answer {
	parts, ok := v.([]any)
	for len(parts) > 0 && parts[len(parts)-1] == nil { // libraries write what is missing at the end
		parts = parts[:len(parts)-1]
	}
	if !ok || len(parts) == 0 || len(parts) > 2 {
		return nil
	}
	status, _ := parts[0].(int64)
	redirects := slices.Contains(answerRedirects, status)
	if !redirects && !slices.Contains(answerErrors, status) {
		return nil
	}
	answer := &token.Answer{Status: int(status)}
	if len(parts) == 2 {
		fields, ok := parts[1].(map[any]any)
		if !ok || len(fields) > maxAnswerFields {
			return nil
		}
		for name, value := range fields {
			field, ok := readAnswerField(name, value, allowed)
			if !ok {
				return nil
			}
			answer.Header = append(answer.Header, field)
		}
		slices.SortFunc(answer.Header, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	}
	if redirects && !slices.ContainsFunc(answer.Header, func(f [2]string) bool { return strings.EqualFold(f[0], "Location") }) {
		return nil
	}
	return answer
}

func readAnswerField(name, value any, allowed []string) (field [2]string, ok bool) {
	text, isText := name.(string)
	content, isValue := value.(string)
	lower := strings.ToLower(text)
	if !isText || !isValue || !isToken(text) || !isFieldValue(content, maxFieldBytes) {
		return field, false
	}
	isAllowed := slices.Contains(answerFields, lower) || slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, text) })
	if !isAllowed || lower == "location" && !isWebAddress(content) {
		return field, false
	}
	return [2]string{text, content}, true
}

// isWebAddress reports whether s is an absolute URL for a browser.
func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && !strings.ContainsAny(s, " \"<>\\")
}
