package hls

import (
	"fmt"
	"strings"
)

// variables are those that EXT-X-DEFINE lines have defined so far (8216bis, 4.4.2.3).
type variables struct {
	values map[string]string
	// imported holds the names that a media playlist takes from its multivariant playlist, whose values nobody knows
	// here: each playlist is served without the other.
	imported map[string]bool
	query    func(name string) (string, bool)
	bytes    int // of all names and values
	expanded int // bytes that expand has made so far
}

// define reads the attributes of one EXT-X-DEFINE.
func (v *variables) define(list string, attributes []attribute, kind Kind) error {
	name, source, err := definition(list, attributes)
	if err != nil {
		return err
	}
	if _, twice := v.values[name]; twice || v.imported[name] {
		return errVariableName
	}
	value := ""
	switch source {
	case "IMPORT":
		if kind != KindMedia {
			return errVariableName
		}
		if v.imported == nil {
			v.imported = make(map[string]bool)
		}
		v.imported[name] = true
		return v.account(name, "")
	case "QUERYPARAM":
		found := false
		if v.query != nil {
			value, found = v.query(name)
		}
		// The viewer wrote this value. It must not end an attribute, a line, or begin a reference of its own.
		if !found || !plainText(value) || strings.Contains(value, "{$") {
			return errVariable
		}
	default:
		a, ok := find(attributes, "VALUE")
		if !ok || !a.quoted {
			return errVariableName
		}
		if value, err = v.expand(list[a.start:a.end]); err != nil {
			return err
		}
	}
	if v.values == nil {
		v.values = make(map[string]string)
	}
	v.values[name] = value
	return v.account(name, value)
}

// account bounds the memory that definitions take: a short one can stand for a long value.
func (v *variables) account(name, value string) error {
	v.bytes += len(name) + len(value)
	if v.bytes > maxVariableBytes {
		return fmt.Errorf("%w: over %d bytes of variables", ErrTooLarge, maxVariableBytes)
	}
	return nil
}

// definition returns the name that is defined, and the attribute that holds it.
func definition(list string, attributes []attribute) (name, source string, err error) {
	for _, candidate := range [...]string{"NAME", "IMPORT", "QUERYPARAM"} {
		a, ok := find(attributes, candidate)
		if !ok {
			continue
		}
		name = list[a.start:a.end]
		if source != "" || !a.quoted || !isVariableName(name) {
			return "", "", errVariableName
		}
		source = candidate
	}
	if source == "" {
		return "", "", errVariableName
	}
	return name, source, nil
}

func isVariableName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !isNameRune(r) })
}

// expand replaces each {$name} in s. The result is at most a line long.
func (v *variables) expand(s string) (string, error) {
	if !strings.Contains(s, "{$") {
		return s, nil
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "{$")
		b.WriteString(before)
		if !ok {
			v.expanded += b.Len()
			return b.String(), nil
		}
		name, rest, ok := strings.Cut(after, "}")
		if !ok || !isVariableName(name) {
			return "", errVariable
		}
		value, ok := v.values[name]
		if !ok && v.imported[name] {
			return "", fmt.Errorf("%w: variable of the multivariant playlist", ErrUnsupported)
		}
		if !ok {
			return "", errVariable
		}
		if b.Len()+len(value)+len(rest) > maxLineBytes {
			return "", fmt.Errorf("%w: expanded line over %d bytes", ErrTooLarge, maxLineBytes)
		}
		b.WriteString(value)
		s = rest
	}
}
