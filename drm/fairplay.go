package drm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// SKD are the values that a URI of FairPlay may be made of. There is nothing of a viewer among them: manifests are the same for all who
// watch, and so is the URI by which a player knows that it has the key already.
type SKD struct {
	KID   KID
	Asset string
	Group string
	IV    [KeySize]byte
}

// SKDTemplate is a template of the URIs that EXT-X-KEY names a FairPlay key by. The zero SKDTemplate is skd://{kid}.
type SKDTemplate struct{ text string }

const (
	skdScheme          = "skd://"
	defaultSKDTemplate = skdScheme + "{kid}"
	maxSKDTemplate     = 1024
)

// ErrSKDTemplate is returned by ParseSKDTemplate.
var ErrSKDTemplate = errors.New("a FairPlay URI starts with skd://, is made of the characters of URIs and of {kid}, {asset}, {group} and {iv}, and names the key by {kid} or {asset}")

// ParseSKDTemplate reads a template such as skd://{asset}/{kid}:{iv}. KID and IV are written as hexadecimal digits, asset and group with the
// escapes of a path. A template without {kid} serves titles that have one key which never changes: see NamesKey.
func ParseSKDTemplate(text string) (SKDTemplate, error) {
	t := SKDTemplate{text}
	if len(text) > maxSKDTemplate || !strings.HasPrefix(text, skdScheme) || !t.NamesKey() && !strings.Contains(text, "{asset}") {
		return SKDTemplate{}, ErrSKDTemplate
	}
	rest := strings.NewReplacer("{kid}", "", "{asset}", "", "{group}", "", "{iv}", "").Replace(text)
	for _, r := range rest {
		// Unreserved and reserved characters of RFC 3986 and the percent sign of escapes that are there already, but for the
		// apostrophe and the ampersand: none of these can end a quoted string of a playlist or has to be escaped in XML.
		if !strings.ContainsRune("-._~:/?#[]@!$()*+,;=%", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return SKDTemplate{}, ErrSKDTemplate
		}
	}
	return t, nil
}

// NamesKey reports whether the URI changes with the key, as it has to where keys rotate or tracks have keys of their own.
func (t SKDTemplate) NamesKey() bool { return strings.Contains(t.String(), "{kid}") }

// String returns the template.
func (t SKDTemplate) String() string {
	if t.text == "" {
		return defaultSKDTemplate
	}
	return t.text
}

// URI fills in the template. The same values make the same URI on every node, at any time.
func (t SKDTemplate) URI(v SKD) string {
	return strings.NewReplacer(
		"{kid}", v.KID.Hex(), "{asset}", escapePath(v.Asset), "{group}", escapePath(v.Group), "{iv}", hex.EncodeToString(v.IV[:]),
	).Replace(t.String())
}

// escapePath escapes all but the unreserved characters of RFC 3986 and the slash.
func escapePath(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
