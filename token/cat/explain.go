package cat

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Explain says in words what a token claims, one claim a line. Nothing is verified, and the MAC or signature is not shown.
func Explain(raw string) (string, error) {
	e, err := openEnvelope(raw)
	if err != nil {
		return "", err
	}
	value, err := decodeStrict(e.payload)
	if err != nil {
		return "", malformed(err)
	}
	claims, ok := value.(map[any]any)
	if !ok {
		return "", malformed(errors.New("claims that are not a map"))
	}
	var b strings.Builder
	b.WriteString("Common Access Token, not verified\n")
	line(&b, "algorithm", e.algorithm.String())
	if e.hasKID {
		line(&b, "kid", plain([]byte(e.kid)))
	}
	for _, label := range sortedLabels(claims) {
		line(&b, claimName(label), explainClaim(label, claims[label]))
	}
	for label, value := range claims {
		if _, ok := label.(int64); !ok {
			line(&b, "claim "+plain(label), plain(value)+"; not understood, so the token is refused")
		}
	}
	return b.String(), nil
}

func line(b *strings.Builder, name, text string) { _, _ = fmt.Fprintf(b, "%-14s %s\n", name, text) }

func sortedLabels(m map[any]any) []int64 {
	var labels []int64
	for label := range m {
		if number, ok := label.(int64); ok {
			labels = append(labels, number)
		}
	}
	slices.Sort(labels)
	return labels
}

func explainClaim(label int64, v any) string {
	switch label {
	case Expires, NotBefore, IssuedAt:
		if at, err := readDate(v); err == nil {
			return at.UTC().Format(time.RFC3339)
		}
	case Replay:
		if rule, ok := v.(int64); ok && 0 <= rule && int(rule) < len(replayWords) {
			return replayWords[rule]
		}
	case NetworkIP:
		if n, err := readNetworks(v, true); err == nil {
			return explainNetworks(n)
		}
	case URI:
		return explainMatchMaps(v, func(key any) string {
			if part, ok := key.(int64); ok && 0 <= part && int(part) < len(partNames) {
				return partNames[part]
			}
			return "part " + plain(key)
		})
	case Header:
		return explainMatchMaps(v, plain)
	case Renewal:
		return explainRenewal(v)
	}
	if !slices.Contains(known, label) {
		return plain(v) + "; not understood, so the token is refused unless the claim is to be ignored"
	}
	return plain(v)
}

var replayWords = [...]string{
	replayPermitted: "may be used again", replayProhibited: "good for one use", replayDetected: "reuse is to be detected",
}

func explainNetworks(n *networks) string {
	var words []string
	for _, prefix := range n.prefixes {
		if prefix.IsSingleIP() {
			words = append(words, prefix.Addr().String())
		} else {
			words = append(words, prefix.String())
		}
	}
	for _, asn := range n.asns {
		words = append(words, "AS"+strconv.FormatUint(uint64(asn), 10))
	}
	return "from " + strings.Join(words, ", ")
}

func explainMatchMaps(v any, name func(any) string) string {
	parts, ok := v.(map[any]any)
	if !ok {
		return plain(v)
	}
	var words []string
	for key, value := range parts {
		all, ok := value.(map[any]any)
		if !ok {
			words = append(words, name(key)+": "+plain(value))
			continue
		}
		for _, kind := range sortedLabels(all) {
			how, known := matchNames[kind]
			if !known {
				how = "match " + strconv.FormatInt(kind, 10)
			}
			words = append(words, name(key)+" "+how+" "+plain(all[kind]))
		}
	}
	slices.Sort(words) // maps have no order
	return strings.Join(words, "; ")
}

var renewNames = [...]string{
	renewType: "type", renewExpAdd: "seconds added", renewDeadline: "deadline in seconds", renewCookieName: "cookie", renewHeaderName: "field",
	renewCookieParams: "cookie attributes", renewHeaderParams: "field parameters", renewStatus: "redirect status",
}

var renewTypes = [...]string{"automatic", "cookie", "header", "redirect"}

func explainRenewal(v any) string {
	m, ok := v.(map[any]any)
	if !ok {
		return plain(v)
	}
	var words []string
	for _, key := range sortedLabels(m) {
		name, text := "key "+strconv.FormatInt(key, 10), plain(m[key])
		if 0 <= key && int(key) < len(renewNames) {
			name = renewNames[key]
		}
		if way, ok := m[key].(int64); ok && key == renewType && 0 <= way && int(way) < len(renewTypes) {
			text = renewTypes[way]
		}
		words = append(words, name+": "+text)
	}
	return strings.Join(words, "; ")
}

// plain writes a value on one line, in the manner of RFC 8949's diagnostic notation.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.QuoteToASCII(v)
	case []byte:
		if len(v) > 0 && isFieldValue(string(v), maxTokenBytes) {
			return strconv.QuoteToASCII(string(v))
		}
		return "h'" + hex.EncodeToString(v) + "'"
	case []any:
		words := make([]string, len(v))
		for i, item := range v {
			words[i] = plain(item)
		}
		return "[" + strings.Join(words, ", ") + "]"
	case map[any]any:
		var words []string
		for key, value := range v {
			words = append(words, plain(key)+": "+plain(value))
		}
		slices.Sort(words)
		return "{" + strings.Join(words, ", ") + "}"
	case cbor.Tag:
		if prefix, err := readPrefix(v); err == nil {
			return prefix.String()
		}
		return fmt.Sprintf("%d(%s)", v.Number, plain(v.Content))
	case nil:
		return "null"
	default:
		return fmt.Sprint(v)
	}
}
