package cat

import (
	"errors"
	"math"
	"strings"
	"time"
)

// maxUnixSeconds is 9999-12-31T23:59:59Z; a later instant is a mistake in units.
const maxUnixSeconds = 253402300799

// readDate reads seconds since 1970, whole or with a fraction (RFC 8392, 2: a NumericDate without its tag).
func readDate(v any) (time.Time, error) {
	switch v := v.(type) {
	case int64:
		if 0 <= v && v <= maxUnixSeconds {
			return time.Unix(v, 0), nil
		}
	case float64:
		if 0 <= v && v <= maxUnixSeconds {
			whole, fraction := math.Modf(v)
			return time.Unix(int64(whole), int64(fraction*1e9)), nil
		}
	}
	return time.Time{}, errors.New("not a number of seconds since 1970")
}

// readTextOrTexts reads a text or an array of them.
func readTextOrTexts(v any) ([]string, error) {
	if text, ok := v.(string); ok {
		v = []any{text}
	}
	return readTexts(v)
}

// readTexts reads an array of one to 50 texts that are not empty: nobody knows whether an empty one means everything or nothing.
func readTexts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxListed {
		return nil, errors.New("not a list of one to 50")
	}
	texts := make([]string, len(list))
	for i, item := range list {
		if texts[i], ok = item.(string); !ok || texts[i] == "" {
			return nil, errors.New("a list with something other than texts")
		}
	}
	return texts, nil
}

// readByteTexts is readTexts for byte strings.
func readByteTexts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxListed {
		return nil, errors.New("not a list of one to 50")
	}
	texts := make([]string, len(list))
	for i, item := range list {
		b, ok := item.([]byte)
		if !ok || len(b) == 0 || len(b) > 255 {
			return nil, errors.New("a list with something other than protocols")
		}
		texts[i] = string(b)
	}
	return texts, nil
}

func readHeaders(v any) ([]headerMatch, error) {
	m, ok := v.(map[any]any)
	if !ok || len(m) == 0 || len(m) > maxMatches {
		return nil, errors.New("not a map of fields")
	}
	var headers []headerMatch
	seen := make(map[string]bool)
	for name, value := range m {
		text, ok := name.(string)
		if !ok || !isToken(text) || seen[strings.ToLower(text)] {
			return nil, errors.New("the name of a field that is none, or stands twice")
		}
		seen[strings.ToLower(text)] = true
		all, err := readMatches(value, nil)
		if err != nil {
			return nil, err
		}
		headers = append(headers, headerMatch{text, all})
	}
	return headers, nil
}

// readPlaces reads codes of countries and of their subdivisions (ISO 3166-1 alpha-2, ISO 3166-2) into upper case.
func readPlaces(v any) ([]string, error) {
	places, err := readTextOrTexts(v)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		country, subdivision, more := strings.Cut(place, "-")
		if len(country) != 2 || !isAlphanumeric(country, true) || more && (len(subdivision) < 1 || len(subdivision) > 3 || !isAlphanumeric(subdivision, false)) {
			return nil, errors.New("neither a country nor a subdivision of one")
		}
		places[i] = strings.ToUpper(place)
	}
	return places, nil
}

// areCountries reports whether the claim names plain countries alone. EU is a code, but no country, and stands for a set
// elsewhere; here it is what it says, and matches nobody.
func areCountries(places []string) bool {
	for _, place := range places {
		if len(place) != 2 || place == "EU" {
			return false
		}
	}
	return true
}

func isAlphanumeric(s string, lettersOnly bool) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9' && !lettersOnly:
		default:
			return false
		}
	}
	return true
}

// isToken reports whether s may name a header field or a cookie (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlphanumeric(s[i:i+1], false) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// isFieldValue reports whether s is printable ASCII of up to max bytes.
func isFieldValue(s string, max int) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return len(s) <= max
}
