package cat

import (
	"errors"
	"math"
	"net/netip"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// Prefixes longer than these name a household or less. CTA-5007-B, 4.6.9, wants them in an encrypted claim alone.
const (
	maxOpenBitsIPv4 = 24
	maxOpenBitsIPv6 = 56
)

// networks is catnip: one of them must have the viewer's address.
type networks struct {
	prefixes []netip.Prefix
	asns     []uint32
}

func (n *networks) contain(addr netip.Addr, asn uint32) bool {
	if asn != 0 && slices.Contains(n.asns, asn) {
		return true
	}
	return addr.IsValid() && slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// readNetworks reads catnip. exact lets long prefixes and whole addresses stand in the open.
func readNetworks(v any, exact bool) (*networks, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("not a list of networks")
	}
	n := new(networks)
	for _, item := range list {
		switch item := item.(type) {
		case int64:
			if item <= 0 || item > math.MaxUint32 {
				return nil, errors.New("not the number of an autonomous system")
			}
			n.asns = append(n.asns, uint32(item))
		case cbor.Tag:
			prefix, err := readPrefix(item)
			if err != nil {
				return nil, err
			}
			if !exact && prefix.Bits() > openBits(prefix.Addr()) {
				return nil, errors.New("an address, or a prefix longer than /24 or /56, that is not encrypted")
			}
			n.prefixes = append(n.prefixes, prefix)
		default:
			return nil, errors.New("neither a network nor the number of one")
		}
	}
	return n, nil
}

func openBits(addr netip.Addr) int {
	if addr.Is4() {
		return maxOpenBitsIPv4
	}
	return maxOpenBitsIPv6
}

// readPrefix reads an address, or a prefix as its length and its bytes, of which zeros at the end may be left out (RFC 9164, 3).
// The form that has an address first describes an interface, which catnip has no use for.
func readPrefix(tag cbor.Tag) (netip.Prefix, error) {
	size := 4
	if tag.Number == tagIPv6 {
		size = 16
	}
	bits := int64(8 * size)
	content := tag.Content
	if pair, ok := content.([]any); ok {
		if len(pair) != 2 {
			return netip.Prefix{}, errors.New("a prefix of other than two parts")
		}
		if bits, ok = pair[0].(int64); !ok || bits < 0 || bits > int64(8*size) {
			return netip.Prefix{}, errors.New("a prefix whose length is none")
		}
		content = pair[1]
		if b, ok := content.([]byte); ok && len(b) < size {
			content = append(slices.Clone(b), make([]byte, size-len(b))...)
		}
	}
	b, ok := content.([]byte)
	if !ok || len(b) != size {
		return netip.Prefix{}, errors.New("an address of another length")
	}
	addr, _ := netip.AddrFromSlice(b) // 4 or 16 bytes
	prefix := netip.PrefixFrom(addr, int(bits))
	if prefix != prefix.Masked() {
		return netip.Prefix{}, errors.New("a prefix with bits behind its length")
	}
	if addr.Is4In6() {
		return netip.Prefix{}, errors.New("an IPv4 address in IPv6")
	}
	return prefix, nil
}

// Network returns a prefix as catnip wants it.
func Network(p netip.Prefix) any {
	p = p.Masked()
	number := uint64(tagIPv6)
	if p.Addr().Is4() {
		number = tagIPv4
	}
	b := p.Addr().AsSlice()
	if p.IsSingleIP() {
		return cbor.Tag{Number: number, Content: b}
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return cbor.Tag{Number: number, Content: []any{int64(p.Bits()), b}}
}
