package address

import (
	"net/url"
	"strings"
)

// SessionToQuery moves the session among elements, if there is one, into the query: the parameter name gets its text. A
// parameter of that name which the reference brought along goes, so that there is never a second one. Without a name
// nothing changes.
func SessionToQuery(name string, elements []string, rawQuery string) (rest []string, query string) {
	if name == "" {
		return elements, rawQuery
	}
	session := ""
	rest = make([]string, 0, len(elements))
	for _, element := range elements {
		if text, ok := strings.CutPrefix(element, sessionPrefix); ok {
			session = text
			continue
		}
		rest = append(rest, element)
	}
	query = WithoutParameter(rawQuery, name)
	if session == "" {
		return rest, query
	}
	if query != "" {
		query += "&"
	}
	return rest, query + name + "=" + session
}

// WithoutParameter takes the parameters of that name out of a query as it is written, and leaves the others byte for byte
// as they are.
func WithoutParameter(rawQuery, name string) string {
	if !strings.Contains(rawQuery, name) && !strings.ContainsAny(rawQuery, "%+") {
		return rawQuery
	}
	var kept []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(key); key != name && (err != nil || decoded != name) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}
