package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// readObject parses b into its members by exact name; struct decoding would match names without regard to case.
func readObject(b []byte) (map[string]json.RawMessage, error) {
	if err := checkJSONObject(b); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, errors.New("not valid JSON")
	}
	return members, nil
}

// readString returns a member that is a string, or nothing if there is none; null is no string.
func readString(members map[string]json.RawMessage, name string) (string, error) {
	raw, found := members[name]
	if !found {
		return "", nil
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return "", fmt.Errorf("%w: %q is not a string", ErrMalformed, name)
	}
	return *value, nil
}

// readStrings returns a member that is a string or an array of strings. Empty strings and an empty array are errors: in a
// claim that restricts, nobody knows whether they mean everything or nothing.
func readStrings(members map[string]json.RawMessage, name string) (list []string, found bool, err error) {
	raw, found := members[name]
	if !found {
		return nil, false, nil
	}
	if raw[0] != '[' {
		s, err := readString(members, name)
		if err == nil && s == "" {
			err = fmt.Errorf("%w: %q is empty", ErrMalformed, name)
		}
		if err != nil {
			return nil, true, err
		}
		return []string{s}, true, nil
	}
	var values []*string
	if err := json.Unmarshal(raw, &values); err != nil || len(values) == 0 {
		return nil, true, fmt.Errorf("%w: %q is not a list of strings", ErrMalformed, name)
	}
	for _, value := range values {
		if value == nil || *value == "" {
			return nil, true, fmt.Errorf("%w: %q has an empty element", ErrMalformed, name)
		}
		list = append(list, *value)
	}
	return list, true, nil
}

// claimReader reads claims one after the other and keeps the first error.
type claimReader struct {
	members map[string]json.RawMessage
	err     error
}

func (r *claimReader) text(name string) string {
	s, err := readString(r.members, name)
	r.keep(err)
	return s
}

func (r *claimReader) list(name string) []string {
	list, _, err := readStrings(r.members, name)
	r.keep(err)
	return list
}

// count reads a whole number of one or more; 0 if there is none.
func (r *claimReader) count(name string) int {
	raw, found := r.members[name]
	if !found {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, 31)
	if err != nil || n == 0 {
		r.keep(fmt.Errorf("%w: %q is not a whole number above zero", ErrMalformed, name))
	}
	return int(n)
}

// date reads a NumericDate: seconds since 1970, possibly with a fraction (JWT, 2).
func (r *claimReader) date(name string) (at time.Time, found bool) {
	raw, found := r.members[name]
	if !found {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || raw[0] < '0' || raw[0] > '9' || seconds > maxUnixSeconds {
		r.keep(fmt.Errorf("%w: %q is not a number of seconds", ErrMalformed, name))
		return time.Time{}, true
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

func (r *claimReader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}
