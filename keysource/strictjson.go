package keysource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxJSONDepth is more than any key list needs: list, entry, pssh list, pssh.
	maxJSONDepth = 8
	// maxJSONValues is more than the largest list holds, and keeps a file of tiny values from growing many times over in
	// memory.
	maxJSONValues = 1 << 19
)

// jsonMember is one member of an object, in the order of the file.
type jsonMember struct {
	name  string
	value any // []jsonMember, []any, string, json.Number, bool or nil
}

// readStrictJSON reads one JSON value. Unlike encoding/json it refuses a member named twice, also in other letters, since the
// reader of a review and the program could take different ones; invalid UTF-8; and bytes behind the value. Errors name path
// and line and quote nothing of a value.
func readStrictJSON(data []byte) (any, error) {
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF")) // a reader may pass a byte order mark over (RFC 8259, 8.1)
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	r := &strictReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	v, err := r.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, r.errorf("", "bytes behind the JSON value")
	}
	return v, nil
}

type strictReader struct {
	data   []byte
	dec    *json.Decoder
	values int
}

func (r *strictReader) errorf(path, problem string) error {
	line := 1 + bytes.Count(r.data[:min(r.dec.InputOffset(), int64(len(r.data)))], []byte("\n"))
	if path == "" {
		return fmt.Errorf("line %d: %s", line, problem)
	}
	return fmt.Errorf("line %d: %s: %s", line, path, problem)
}

func (r *strictReader) value(path string, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, r.errorf(path, "nested too deep")
	}
	if r.values++; r.values > maxJSONValues {
		return nil, r.errorf(path, "too many values")
	}
	t, err := r.dec.Token()
	if err != nil {
		// The decoder's own words can quote the file.
		return nil, r.errorf(path, "not JSON")
	}
	switch t {
	case json.Delim('{'):
		return r.object(path, depth)
	case json.Delim('['):
		return r.array(path, depth)
	}
	return t, nil
}

func (r *strictReader) object(path string, depth int) ([]jsonMember, error) {
	members := []jsonMember{}
	seen := make(map[string]bool)
	for r.dec.More() {
		t, err := r.dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, r.errorf(path, "not JSON")
		}
		memberPath := joinPath(path, name)
		folded := strings.ToLower(name)
		if seen[folded] {
			return nil, r.errorf(memberPath, "named twice")
		}
		seen[folded] = true
		v, err := r.value(memberPath, depth+1)
		if err != nil {
			return nil, err
		}
		members = append(members, jsonMember{name, v})
	}
	if _, err := r.dec.Token(); err != nil {
		return nil, r.errorf(path, "not JSON")
	}
	return members, nil
}

func (r *strictReader) array(path string, depth int) ([]any, error) {
	elements := []any{}
	for r.dec.More() {
		v, err := r.value(path+"["+strconv.Itoa(len(elements))+"]", depth+1)
		if err != nil {
			return nil, err
		}
		elements = append(elements, v)
	}
	if _, err := r.dec.Token(); err != nil {
		return nil, r.errorf(path, "not JSON")
	}
	return elements, nil
}

// joinPath appends a member's name to a path, if it looks like a name: a key may have slipped into its place.
func joinPath(path, name string) string {
	const longestName = 16
	plain := name != "" && len(name) <= longestName
	for _, c := range name {
		plain = plain && (c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
	}
	if !plain {
		name = "(a member)"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
