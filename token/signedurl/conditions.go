package signedurl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/caddy-drm/caddy-drm/token"
)

// ConditionsTag is the first byte of what AppendBinary of the conditions of this package writes.
const ConditionsTag = 'U'

// Bounds of what a session has to carry.
const (
	maxPatterns     = 16
	maxPatternBytes = 384 // of all patterns together
	maxPrefixes     = 4
	maxBlocked      = 64
)

// What patterns are matched against.
const (
	overPath byte = iota // the decoded path that the viewer sees
	overURL              // the whole URL, without a port
)

var (
	errPattern        = fmt.Errorf("%w: none of its patterns matches", token.ErrScope)
	errClientAddress  = fmt.Errorf("%w: it is bound to another client address", token.ErrScope)
	errBlockedCountry = fmt.Errorf("%w: it is not for the viewer's country", token.ErrScope)
	errNoCountry      = fmt.Errorf("%w: it excludes countries, and the viewer's is not known", token.ErrScope)
)

// conditions implements token.Conditions.
type conditions struct {
	over     byte
	patterns []string       // one of them matches; none: no demand. An asterisk stands for any characters
	prefixes []netip.Prefix // the viewer's address lies in one; none: no demand
	blocked  []string       // countries where the token does not hold
}

// orNil keeps a token without further demands free of them.
func (c *conditions) orNil() token.Conditions {
	if len(c.patterns)+len(c.prefixes)+len(c.blocked) == 0 {
		return nil
	}
	return c
}

func (c *conditions) validate() error {
	total := 0
	for _, pattern := range c.patterns {
		if pattern == "" {
			return errors.New("an empty pattern")
		}
		total += len(pattern)
	}
	if c.over > overURL || len(c.patterns) > maxPatterns || total > maxPatternBytes || len(c.prefixes) > maxPrefixes || len(c.blocked) > maxBlocked {
		return errors.New("too many patterns, addresses or countries, or too long ones")
	}
	for _, country := range c.blocked {
		if len(country) != 2 || country[0] < 'A' || country[0] > 'Z' || country[1] < 'A' || country[1] > 'Z' {
			return errors.New("a country that is not a two-letter code")
		}
	}
	return nil
}

// Check implements token.Conditions.
func (c *conditions) Check(req token.Request) error {
	if len(c.patterns) > 0 && !c.matches(req) {
		return errPattern
	}
	if len(c.prefixes) > 0 {
		addr := req.Addr.Unmap().WithZone("")
		if !slices.ContainsFunc(c.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return errClientAddress
		}
	}
	switch {
	case len(c.blocked) == 0:
		return nil
	case req.Country == "":
		return errNoCountry
	case slices.Contains(c.blocked, req.Country):
		return errBlockedCountry
	}
	return nil
}

func (c *conditions) matches(req token.Request) bool {
	text := req.PublicPath
	if c.over == overURL {
		text = publicURL(req)
	}
	for _, pattern := range c.patterns {
		if matchWildcards(pattern, text, c.over == overURL) {
			return true
		}
	}
	return false
}

// AppendBinary implements token.Conditions:
//
//	'U' over(1) patterns(count 1, each len 2, bytes) prefixes(count 1, each bits 1, len 1, bytes) blocked(count 1, each 2)
func (c *conditions) AppendBinary(b []byte) ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	b = append(b, ConditionsTag, c.over, byte(len(c.patterns)))
	for _, pattern := range c.patterns {
		b = binary.BigEndian.AppendUint16(b, uint16(len(pattern)))
		b = append(b, pattern...)
	}
	b = append(b, byte(len(c.prefixes)))
	for _, prefix := range c.prefixes {
		addr := prefix.Addr().AsSlice()
		b = append(b, byte(prefix.Bits()), byte(len(addr)))
		b = append(b, addr...)
	}
	b = append(b, byte(len(c.blocked)))
	for _, country := range c.blocked {
		b = append(b, country...)
	}
	return b, nil
}

// ParseConditions reads what AppendBinary wrote.
func ParseConditions(b []byte) (token.Conditions, error) {
	r := token.NewReader(b)
	if r.Uint(1) != ConditionsTag {
		return nil, errors.New("conditions of another kind")
	}
	c := &conditions{over: byte(r.Uint(1))}
	for range r.Uint(1) {
		c.patterns = append(c.patterns, string(r.Take(r.Uint(2))))
	}
	for range r.Uint(1) {
		bits := r.Uint(1)
		addr, ok := netip.AddrFromSlice(r.Take(r.Uint(1)))
		prefix := netip.PrefixFrom(addr, bits)
		if !ok || !prefix.IsValid() || prefix != prefix.Masked() {
			return nil, errors.New("an address prefix that is none")
		}
		c.prefixes = append(c.prefixes, prefix)
	}
	for range r.Uint(1) {
		c.blocked = append(c.blocked, string(r.Take(2)))
	}
	if !r.Whole() || c.orNil() == nil {
		return nil, errors.New("conditions whose lengths do not add up")
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// matchWildcards reports whether pattern covers all of text. An asterisk stands for any characters, slashes included, and a question
// mark for exactly one where question is set. The work is bounded by the product of both lengths.
func matchWildcards(pattern, text string, question bool) bool {
	p, t := 0, 0
	star, resume := -1, 0 // behind the last asterisk, and where in text it was left
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, resume = p, t
		case p < len(pattern) && (pattern[p] == text[t] || question && pattern[p] == '?'):
			p, t = p+1, t+1
		case star >= 0:
			resume++
			p, t = star, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// publicURL is the URL that the viewer asked for, without a port and without what carried a credential.
func publicURL(req token.Request) string {
	u := req.Scheme + "://" + req.Host + escapedPath(req.PublicPath)
	if req.RawQuery != "" {
		u += "?" + req.RawQuery
	}
	return u
}

// clientPrefix is the condition on one address.
func clientPrefix(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}
