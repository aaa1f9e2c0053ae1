package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// The nesting that a header, a payload or a key set may have, and the members of any object in them.
const (
	maxJSONDepth   = 8
	maxJSONMembers = 128
)

// CheckJSONObject reports an error unless b is one JSON object without members named twice and without deep nesting.
func CheckJSONObject(b []byte) error { return checkJSONObject(b) }

// checkJSONObject reports whether b is one JSON object, in UTF-8, without duplicate member names at any level, without
// anything after it, and within the limits above.
//
// encoding/json keeps the last of two members of one name where others keep the first, so the party that signed and the party
// that verifies would read different tokens (JWS, 4; JWT, 4).
func checkJSONObject(b []byte) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	first, err := d.Token()
	if err != nil || first != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	if err := checkMembers(d, 1); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON object")
	}
	return nil
}

// checkMembers reads up to the end of the object whose opening brace was just read.
func checkMembers(d *json.Decoder, depth int) error {
	seen := make(map[string]struct{}, 8)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errors.New("not valid JSON")
		}
		member, isString := name.(string)
		if !isString {
			return errors.New("not valid JSON")
		}
		if _, duplicate := seen[member]; duplicate {
			return errors.New("duplicate member name")
		}
		if seen[member] = struct{}{}; len(seen) > maxJSONMembers {
			return errors.New("too many members")
		}
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	return closeDelim(d)
}

func checkValue(d *json.Decoder, depth int) error {
	value, err := d.Token()
	if err != nil {
		return errors.New("not valid JSON")
	}
	delim, isDelim := value.(json.Delim)
	switch {
	case !isDelim:
		return nil
	case depth >= maxJSONDepth:
		return errors.New("nested too deep")
	case delim == '{':
		return checkMembers(d, depth+1)
	}
	for d.More() {
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	return closeDelim(d)
}

func closeDelim(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("not valid JSON")
	}
	return nil
}
