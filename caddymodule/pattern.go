package caddymodule

import (
	"errors"
	"path"
	"strings"

	"github.com/caddy-drm/caddy-drm/address"
)

// pathPattern is a path in which an asterisk stands for characters of one element, like path.Match. It matches whatever
// lies at or below it.
type pathPattern []string

var errPattern = errors.New(`want an absolute path such as /vod/*, in which "*" stands for one element`)

func parsePathPattern(text string) (pathPattern, error) {
	trimmed := strings.TrimSuffix(strings.TrimPrefix(text, "/"), "/")
	if !strings.HasPrefix(text, "/") || trimmed == "" {
		return nil, errPattern
	}
	pattern := strings.Split(trimmed, "/")
	for _, element := range pattern {
		if _, err := path.Match(element, ""); err != nil || element == "" || element == "." || element == ".." {
			return nil, errPattern
		}
	}
	return pattern, nil
}

func parsePathPatterns(texts []string) ([]pathPattern, error) {
	patterns := make([]pathPattern, 0, len(texts))
	for _, text := range texts {
		pattern, err := parsePathPattern(text)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

// directory returns the directory that the pattern makes of the path p: as many of its elements as the pattern has.
func (pattern pathPattern) directory(p address.Path) (address.Path, bool) {
	elements := strings.Split(string(p)[1:], "/")
	if len(elements) <= len(pattern) {
		return "", false
	}
	for i, element := range pattern {
		if ok, err := path.Match(element, elements[i]); err != nil || !ok || elements[i] == "" {
			return "", false
		}
	}
	return address.Path("/" + strings.Join(elements[:len(pattern)], "/") + "/"), true
}

// matches reports whether p lies at or below what the pattern names.
func (pattern pathPattern) matches(p address.Path) bool {
	_, below := pattern.directory(p)
	if below {
		return true
	}
	_, at := pattern.directory(p + "/")
	return at
}

// literal returns the clean path below which lies what the pattern matches and nothing else. It is empty where there is none, as for
// /vod/*/audio: what that begins with holds all titles.
func (pattern pathPattern) literal() string {
	var b strings.Builder
	for i, element := range pattern {
		if strings.ContainsAny(element, `*?[\`) {
			if strings.Trim(strings.Join(pattern[i:], ""), "*") != "" {
				return ""
			}
			break
		}
		b.WriteString("/" + element)
	}
	return b.String()
}
