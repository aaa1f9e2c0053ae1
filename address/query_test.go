package address

import (
	"strings"
	"testing"
)

func TestSessionToQuery(t *testing.T) {
	for name, test := range map[string]struct {
		elements, query         string
		wantElements, wantQuery string
	}{
		"a session":                        {"~s.abc ~seal", "", "~seal", "s=abc"},
		"behind another parameter":         {"~s.abc ~seal", "a=%2F&b", "~seal", "a=%2F&b&s=abc"},
		"in place of one that was there":   {"~s.abc ~seal", "s=old&a=1", "~seal", "a=1&s=abc"},
		"one that was there, escaped":      {"~s.abc ~seal", "a=1&%73=old", "~seal", "a=1&s=abc"},
		"two that were there":              {"~s.abc ~seal", "s&s=old", "~seal", "s=abc"},
		"no session takes none along":      {"~seal", "s=old&a=1", "~seal", "a=1"},
		"a longer name is another":         {"~seal", "ss=1&xs=2", "~seal", "ss=1&xs=2"},
		"identifiers of a template stay":   {"~s.abc ~seal", "n=$Number%05d$", "~seal", "n=$Number%05d$&s=abc"},
		"what is no escape stays as it is": {"~seal", "%zz=1", "~seal", "%zz=1"},
	} {
		elements, query := SessionToQuery("s", strings.Fields(test.elements), test.query)
		if got := strings.Join(elements, " "); got != test.wantElements || query != test.wantQuery {
			t.Errorf("%s: %q, %q; want %q, %q", name, got, query, test.wantElements, test.wantQuery)
		}
	}
	if elements, query := SessionToQuery("", []string{"~s.abc", "~seal"}, "s=1"); len(elements) != 2 || query != "s=1" {
		t.Errorf("without a name: %q, %q", elements, query)
	}
}
