package probe

import (
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// longElement is how long an element of a path may be that is printed: longer ones hold signatures.
const longElement = 80

// public is a URL without what opens anything: credentials, query, seals, sessions, and elements that look like tokens.
func public(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return "…"
	}
	var b strings.Builder
	if u.Host != "" {
		b.WriteString(u.Scheme + "://" + u.Host)
	}
	elements := strings.Split(u.EscapedPath(), "/")
	endpoint := slices.Index(elements, ".drm")
	for i, element := range elements {
		switch {
		case strings.HasPrefix(element, "~"):
			elements[i] = "~…"
		case strings.ContainsAny(element, "=~") || len(element) > longElement || endpoint >= 0 && i > endpoint && !saysNothing(element):
			elements[i] = "…"
		}
	}
	b.WriteString(strings.Join(elements, "/"))
	if u.RawQuery != "" {
		b.WriteString("?…")
	}
	return visible(b.String())
}

// endpointWords are those of endpoints, behind .drm.
var endpointWords = []string{"clearkey", "widevine", "playready", "fairplay", "cert", "key", "config"}

// saysNothing reports whether an element behind .drm is no seal: one of the words, or a key ID.
func saysNothing(element string) bool {
	_, err := drm.ParseKID(element)
	return slices.Contains(endpointWords, element) || err == nil
}

// bare is a URL without the elements that this gateway puts into paths: seals, sessions and numbers. It is false if there are none.
func bare(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return "", false
	}
	elements, kept := strings.Split(u.EscapedPath(), "/"), []string(nil)
	for _, element := range elements {
		if !strings.HasPrefix(element, "~") {
			kept = append(kept, element)
		}
	}
	if len(kept) == len(elements) {
		return "", false
	}
	path := strings.Join(kept, "/")
	if u.Path, err = url.PathUnescape(path); err != nil {
		return "", false
	}
	u.RawPath = path
	return u.String(), true
}

// identity is what stays of the URL of a segment while seals and sessions change.
func identity(text string) string {
	if without, ok := bare(text); ok {
		text = without
	}
	text, _, _ = strings.Cut(text, "?")
	return text
}

// resolve makes a reference absolute, as players do.
func resolve(base, reference string) (string, error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", errURL
	}
	u, err := b.Parse(strings.TrimSpace(reference))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errURL
	}
	return u.String(), nil
}
