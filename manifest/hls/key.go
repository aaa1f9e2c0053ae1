package hls

import (
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/drm"
)

// KeyFormats is a set of KEYFORMAT values that a playlist announces. Players accept disjoint ones, so that a playlist
// cannot always serve all of them; which set it is travels in the seal of child playlists.
type KeyFormats uint8

// The key formats of ClearKey playback.
const (
	// FormatIdentity is a URI that returns the 16 key bytes.
	FormatIdentity KeyFormats = 1 << iota
	// FormatClearKey is a URI that names a W3C ClearKey license.
	FormatClearKey
)

// The spelling of each format in KEYFORMAT.
const (
	KeyFormatIdentity = "identity"
	KeyFormatClearKey = "org.w3.clearkey"
)

// keyFormatNames are in the order of their bits.
var keyFormatNames = [...]string{KeyFormatIdentity, KeyFormatClearKey}

// ParseKeyFormats reads a comma-separated list of KEYFORMAT values, such as String writes. An empty list, an unknown name
// and a name that stands twice are errors.
func ParseKeyFormats(s string) (KeyFormats, error) {
	var set KeyFormats
	for name := range strings.SplitSeq(s, ",") {
		var format KeyFormats
		for i, known := range keyFormatNames {
			if name == known {
				format = 1 << i
			}
		}
		if format == 0 || set.Has(format) {
			return 0, fmt.Errorf("key formats %q: want a list of %s, each once", s, strings.Join(keyFormatNames[:], ", "))
		}
		set |= format
	}
	return set, nil
}

// Has reports whether all formats of other are in f.
func (f KeyFormats) Has(other KeyFormats) bool { return f&other == other }

// Valid reports whether f holds at least one format and no unknown one.
func (f KeyFormats) Valid() bool { return f != 0 && f>>len(keyFormatNames) == 0 }

// String returns the KEYFORMAT values in f, separated by commas; empty for the empty set.
func (f KeyFormats) String() string {
	var names []string
	for i, name := range keyFormatNames {
		if f.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Key is one EXT-X-KEY line (8216bis, 4.4.4.4).
type Key struct {
	// Method is AES-128, SAMPLE-AES, SAMPLE-AES-CTR or another METHOD, but not NONE.
	Method string
	// URI is written as it is.
	URI string
	// IV is written if HasIV is set. Without it, the IV of AES-128 is the media sequence number.
	IV    [16]byte
	HasIV bool
	// KeyFormat is the KEYFORMAT; empty leaves the attribute out, which means identity.
	KeyFormat string
	// KeyFormatVersions is the KEYFORMATVERSIONS, such as "1"; empty leaves the attribute out.
	KeyFormatVersions string
	// KID is written as KEYID, which is not in 8216bis but read by players; the zero KID leaves it out.
	KID drm.KID
}

// appendLine appends the line, EXT-X-KEY or EXT-X-SESSION-KEY, without its end. It returns errKey for a field that could end its attribute or line, and
// for text that a player would expand as a variable.
func (k Key) appendLine(dst []byte, tag string) ([]byte, error) {
	if !k.valid() {
		return nil, errKey
	}
	dst = append(append(append(dst, '#'), tag...), ":METHOD="...)
	dst = append(dst, k.Method...)
	dst = appendQuoted(dst, `,URI="`, k.URI)
	if k.HasIV {
		dst = appendHex(dst, ",IV=0x", k.IV)
	}
	if !k.KID.IsZero() {
		dst = appendHex(dst, ",KEYID=0x", k.KID)
	}
	if k.KeyFormat != "" {
		dst = appendQuoted(dst, `,KEYFORMAT="`, k.KeyFormat)
	}
	if k.KeyFormatVersions != "" {
		dst = appendQuoted(dst, `,KEYFORMATVERSIONS="`, k.KeyFormatVersions)
	}
	return dst, nil
}

// Lines returns the key as the lines that media playlists and multivariant playlists announce it with, EXT-X-KEY and EXT-X-SESSION-KEY, for
// who writes playlists elsewhere. It fails for what no line could say.
func (k Key) Lines() (media, multivariant []byte, err error) {
	if media, err = k.appendLine(nil, tagKey); err != nil {
		return nil, nil, err
	}
	multivariant, err = k.appendLine(nil, tagSessionKey)
	return media, multivariant, err
}

// KeyURI returns the URI of the first EXT-X-KEY or EXT-X-SESSION-KEY among tags with that KEYFORMAT; empty if there is none.
func KeyURI(tags []byte, keyFormat string) string {
	for line := range strings.Lines(string(tags)) {
		name, list, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if name != "#"+tagKey && name != "#"+tagSessionKey {
			continue
		}
		attributes, err := parseAttributes(nil, list)
		if err != nil {
			continue
		}
		format, _ := find(attributes, "KEYFORMAT")
		if uri, ok := find(attributes, "URI"); ok && uri.quoted && format.quoted && list[format.start:format.end] == keyFormat {
			return list[uri.start:uri.end]
		}
	}
	return ""
}

func (k Key) valid() bool {
	if k.Method == "" || k.Method == methodNone || k.URI == "" {
		return false
	}
	if strings.ContainsFunc(k.Method, func(r rune) bool { return !isNameRune(r) }) {
		return false
	}
	for _, s := range [...]string{k.URI, k.KeyFormat, k.KeyFormatVersions} {
		if !plainText(s) || strings.Contains(s, "{$") {
			return false
		}
	}
	return true
}

// MethodAES128 is the METHOD of segments that are encrypted whole.
const MethodAES128 = "AES-128"

const methodNone = "NONE"

// format returns the KEYFORMAT that holds when the attribute is left out.
func (k Key) format() string {
	if k.KeyFormat == "" {
		return KeyFormatIdentity
	}
	return k.KeyFormat
}

// sameFormat reports whether other would take the place of k in a player.
func (k Key) sameFormat(other Key) bool { return k.format() == other.format() }

// version returns the EXT-X-VERSION that the attributes of k need (8216bis, 8), 0 if they need none.
func (k Key) version() uint64 {
	switch {
	case k.Method != MethodAES128, k.KeyFormat != "", k.KeyFormatVersions != "":
		return 5
	case k.HasIV:
		return 2
	default:
		return 0
	}
}

func appendQuoted(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, '"')
}

// appendHex appends a hexadecimal-sequence, which has capital letters (8216bis, 4.2).
func appendHex(dst []byte, name string, value [16]byte) []byte {
	const digits = "0123456789ABCDEF"
	dst = append(dst, name...)
	for _, b := range value {
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}
