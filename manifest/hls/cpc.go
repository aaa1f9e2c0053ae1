package hls

import (
	"slices"
	"strings"
)

// AllowedCPC is an entry of ALLOWED-CPC (8216bis, 4.4.6.2): the content protection configurations of one key format that may
// play a variant.
type AllowedCPC struct {
	KeyFormat string
	Labels    []string // at least one, of capital letters, digits and "-"
}

func (c AllowedCPC) valid() bool {
	badFormat := func(r rune) bool { return r == '"' || r == ',' || !plainRune(r) }
	if c.KeyFormat == "" || strings.ContainsFunc(c.KeyFormat, badFormat) || strings.Contains(c.KeyFormat, "{$") || len(c.Labels) == 0 {
		return false
	}
	badLabel := func(r rune) bool { return r != '-' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }
	return !slices.ContainsFunc(c.Labels, func(s string) bool { return s == "" || strings.ContainsFunc(s, badLabel) })
}

// parseAllowedCPC reads the value of ALLOWED-CPC. A key format may hold colons, a label does not.
func parseAllowedCPC(s string) ([]AllowedCPC, bool) {
	var entries []AllowedCPC
	for text := range strings.SplitSeq(s, ",") {
		text = strings.Trim(text, " \t")
		colon := strings.LastIndexByte(text, ':')
		if colon < 0 {
			return nil, false
		}
		entry := AllowedCPC{KeyFormat: text[:colon], Labels: strings.Split(text[colon+1:], "/")}
		if !entry.valid() || slices.ContainsFunc(entries, func(e AllowedCPC) bool { return e.KeyFormat == entry.KeyFormat }) {
			return nil, false
		}
		entries = append(entries, entry)
	}
	return entries, true
}

// restrictCPC returns what both lists allow. A key format without an entry may be played by all its configurations. It returns
// false when no configuration of a key format is left: an entry without labels cannot be written.
func restrictCPC(theirs, ours []AllowedCPC) (both []AllowedCPC, ok bool) {
	both = slices.Clone(theirs)
	for _, entry := range ours {
		i := slices.IndexFunc(both, func(e AllowedCPC) bool { return e.KeyFormat == entry.KeyFormat })
		if i < 0 {
			both = append(both, entry)
			continue
		}
		lacks := func(label string) bool { return !slices.Contains(entry.Labels, label) }
		if both[i].Labels = slices.DeleteFunc(slices.Clone(both[i].Labels), lacks); len(both[i].Labels) == 0 {
			return nil, false
		}
	}
	return both, true
}

func formatAllowedCPC(entries []AllowedCPC) string {
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e.KeyFormat + ":" + strings.Join(e.Labels, "/"))
	}
	return b.String()
}
