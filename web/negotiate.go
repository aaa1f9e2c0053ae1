package web

import (
	"strconv"
	"strings"
)

// acceptsGzip reports whether the field lines of Accept-Encoding allow gzip (RFC 9110, 12.5.3). No line at all would
// allow anything, but such clients are scripts that rarely inflate: they get the file as it is.
func acceptsGzip(lines []string) bool {
	wildcard := false
	for _, element := range listElements(lines) {
		coding, parameters, _ := strings.Cut(element, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return quality(parameters) > 0
		case "*":
			wildcard = quality(parameters) > 0
		}
	}
	return wildcard
}

// quality reads the weight out of parameters; without one, or with one that is not a number, it is 1.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			return q
		}
	}
	return 1
}

// matchesTag reports whether the field lines of If-None-Match name tag, by the weak comparison that it demands (RFC
// 9110, 13.1.2): caches on the way may have weakened ours.
func matchesTag(lines []string, tag string) bool {
	for _, element := range listElements(lines) {
		if element == "*" || strings.TrimPrefix(element, "W/") == tag {
			return true
		}
	}
	return false
}

// listElements splits comma-separated field lines. No value that is compared here holds a comma.
func listElements(lines []string) []string {
	var elements []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.TrimSpace(element); element != "" {
				elements = append(elements, element)
			}
		}
	}
	return elements
}
