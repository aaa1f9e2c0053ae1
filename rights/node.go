package rights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// nodeKind is what a value of a file is.
type nodeKind uint8

const (
	nodeScalar nodeKind = iota // text, number or truth: what it is, its reader decides
	nodeNull
	nodeList
	nodeMap
)

// node is a value of a JSON or YAML file with its line. One tree for both, so that both are judged by the same rules.
type node struct {
	kind  nodeKind
	text  string // of a scalar
	line  int
	keys  []node // of a map, one for each item
	items []node // of a list or a map
}

// maxDepth bounds nesting; a catalog needs five.
const maxDepth = 16

var (
	errNotUTF8   = errors.New("want UTF-8")
	errTooDeep   = fmt.Errorf("nested more than %d deep", maxDepth)
	errTwice     = errors.New("want one document, and nothing behind it")
	errEmptyFile = errors.New("the file is empty")
)

// parseTree reads JSON if the first character is that of an object or a list, and YAML otherwise.
func parseTree(b []byte) (node, error) {
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case !utf8.Valid(b): // JSON decoders replace what is not
		return node{}, Mistakes{{Text: errNotUTF8.Error()}}
	case len(trimmed) == 0:
		return node{}, Mistakes{{Text: errEmptyFile.Error()}}
	case trimmed[0] == '{' || trimmed[0] == '[':
		return parseJSON(b[len(b)-len(trimmed):], 1+bytes.Count(b[:len(b)-len(trimmed)], []byte("\n")))
	default:
		return parseYAML(b)
	}
}

// jsonReader keeps count of the lines that a decoder has passed.
type jsonReader struct {
	*json.Decoder
	text []byte
	at   int64
	line int
}

func parseJSON(b []byte, firstLine int) (node, error) {
	r := &jsonReader{Decoder: json.NewDecoder(bytes.NewReader(b)), text: b, line: firstLine}
	r.UseNumber()
	n, err := r.value(0)
	if err == nil {
		if _, more := r.Token(); !errors.Is(more, io.EOF) {
			err = errTwice
		}
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return node{}, Mistakes{{Line: r.line, Text: "reading JSON: " + err.Error()}}
	}
	return n, nil
}

// next returns the next token and its line.
func (r *jsonReader) next() (json.Token, error) {
	token, err := r.Token()
	if end := r.InputOffset(); end > r.at { // a token holds no line break
		r.line += bytes.Count(r.text[r.at:end], []byte("\n"))
		r.at = end
	}
	return token, err
}

func (r *jsonReader) value(depth int) (node, error) {
	token, err := r.next()
	if err != nil {
		return node{}, err
	}
	return r.valueOf(token, depth)
}

func (r *jsonReader) valueOf(token json.Token, depth int) (node, error) {
	n := node{line: r.line}
	switch token := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return node{}, errTooDeep
		}
		if token == '{' {
			n.kind = nodeMap
		} else {
			n.kind = nodeList
		}
		for r.More() {
			if n.kind == nodeMap {
				key, err := r.value(depth) // the decoder takes only text for it
				if err != nil {
					return node{}, err
				}
				n.keys = append(n.keys, key)
			}
			item, err := r.value(depth + 1)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, item)
		}
		_, err := r.next() // the end
		return n, err
	case string:
		n.text = token
	case json.Number:
		n.text = token.String()
	case bool:
		n.text = fmt.Sprint(token)
	default:
		n.kind = nodeNull
	}
	return n, nil
}

func parseYAML(b []byte) (node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return node{}, Mistakes{{Text: errEmptyFile.Error()}}
	} else if err != nil {
		return node{}, Mistakes{{Text: "reading YAML: " + err.Error()}} // the library names the line
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return node{}, Mistakes{{Text: errTwice.Error()}}
	}
	if len(document.Content) != 1 {
		return node{}, Mistakes{{Text: errEmptyFile.Error()}}
	}
	return fromYAML(document.Content[0], 0)
}

// fromYAML takes of YAML what JSON has, too. Aliases, which can make gigabytes of a few lines, and tags of others are refused.
func fromYAML(from *yaml.Node, depth int) (node, error) {
	n := node{line: from.Line}
	mistake := func(text string) (node, error) { return node{}, Mistakes{{Line: from.Line, Text: text}} }
	switch {
	case depth > maxDepth:
		return mistake(errTooDeep.Error())
	case from.Kind == yaml.AliasNode:
		return mistake("aliases (*name) are not understood: write the values out")
	case from.Kind == yaml.ScalarNode:
		n.text = from.Value
		switch from.ShortTag() {
		case "!!null":
			n.kind = nodeNull
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
		default:
			return mistake("the tag " + from.ShortTag() + " is not understood")
		}
		return n, nil
	case from.Kind == yaml.SequenceNode && from.ShortTag() == "!!seq":
		n.kind = nodeList
	case from.Kind == yaml.MappingNode && from.ShortTag() == "!!map":
		n.kind = nodeMap
	default:
		return mistake("the tag " + from.ShortTag() + " is not understood")
	}
	for i, child := range from.Content {
		item, err := fromYAML(child, depth+1)
		if err != nil {
			return node{}, err
		}
		if n.kind == nodeMap && i%2 == 0 {
			if item.kind != nodeScalar {
				return node{}, Mistakes{{Line: item.line, Text: "want a word in front of the colon"}}
			}
			n.keys = append(n.keys, item)
			continue
		}
		n.items = append(n.items, item)
	}
	return n, nil
}
