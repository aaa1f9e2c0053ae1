package policy

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// Binding is what sessions are bound to: what they were minted under has to be there on every request that presents them. The
// zero value binds to nothing.
type Binding struct {
	// AddressV4 and AddressV6 are how many leading bits of the viewer's address count, by its family; 0 leaves that family
	// unbound, but an address of the other family never fits.
	AddressV4, AddressV6 int
	// ASN binds to the number of the viewer's network. A number that is not known never fits.
	ASN bool
	// UserAgent binds to the field User-Agent.
	UserAgent bool
	// Key is for nothing but this digest.
	Key [32]byte
}

// Check reports what contradicts itself.
func (b Binding) Check() error {
	if b.AddressV4 < 0 || b.AddressV4 > 32 || b.AddressV6 < 0 || b.AddressV6 > 128 {
		return errors.New("want up to 32 bits of an IPv4 and up to 128 bits of an IPv6 address")
	}
	return nil
}

// IsZero reports whether sessions are bound to nothing.
func (b Binding) IsZero() bool { return !b.address() && !b.ASN && !b.UserAgent }

func (b Binding) address() bool { return b.AddressV4 > 0 || b.AddressV6 > 0 }

// Digest returns what a session carries as Claims.Binding: a keyed digest, from which nobody reads the address.
func (b Binding) Digest(req token.Request) (digest [8]byte) {
	if b.IsZero() {
		return digest
	}
	var message [32 + 1 + 17 + 4 + sha256.Size]byte
	at := copy(message[:], b.Key[:])
	if b.address() {
		message[at] |= 1
		masked := b.masked(req.Addr)
		copy(message[at+1:], masked[:])
	}
	at += 1 + 17
	if b.ASN {
		message[32] |= 2
		binary.BigEndian.PutUint32(message[at:], req.ASN)
	}
	at += 4
	if b.UserAgent {
		message[32] |= 4
		agent := sha256.Sum256([]byte(userAgent(req)))
		copy(message[at:], agent[:])
	}
	inner := sha256.Sum256(message[:])
	var outer [2 * sha256.Size]byte // a second round under the key: the first alone could be extended
	copy(outer[copy(outer[:], b.Key[:]):], inner[:])
	sum := sha256.Sum256(outer[:])
	copy(digest[:], sum[:])
	return digest
}

// masked returns the family of an address and its leading bits; zeros for an address that is not known.
func (b Binding) masked(addr netip.Addr) (masked [17]byte) {
	addr = addr.Unmap().WithZone("")
	bits := b.AddressV6
	if addr.Is4() {
		bits = b.AddressV4
	}
	prefix, err := addr.Prefix(bits)
	switch {
	case err != nil: // not known; Check refuses bits that do not fit
	case addr.Is4():
		leading := prefix.Addr().As4()
		masked[0] = 4
		copy(masked[1:], leading[:])
	default:
		leading := prefix.Addr().As16()
		masked[0] = 6
		copy(masked[1:], leading[:])
	}
	return masked
}

func userAgent(req token.Request) string {
	if req.Header == nil {
		return ""
	}
	return strings.Join(req.Header("User-Agent"), "\n")
}

// String says what is bound, for an explanation.
func (b Binding) String() string {
	var words []string
	if b.address() {
		words = append(words, "the address, /"+strconv.Itoa(b.AddressV4)+" of IPv4 and /"+strconv.Itoa(b.AddressV6)+" of IPv6")
	}
	if b.ASN {
		words = append(words, "the network's number")
	}
	if b.UserAgent {
		words = append(words, "the User-Agent")
	}
	return strings.Join(words, ", ")
}

// judgeBinding compares what a session was minted under with the request. An access token is bound by itself, if at all.
func (p *Policy) judgeBinding(q *question) {
	claims := &q.decision.Claims
	if p.Binding.IsZero() && claims.Binding == [8]byte{} {
		return
	}
	if q.explaining {
		q.input = "bound to " + p.Binding.String()
	}
	if !claims.Session {
		return
	}
	digest := p.Binding.Digest(q.viewer.Request)
	switch {
	case p.Binding.ASN && q.viewer.Request.ASN == 0:
		q.refuse(ReasonSessionBinding, "binding: the number of the viewer's network is not known")
	case subtle.ConstantTimeCompare(digest[:], claims.Binding[:]) != 1:
		q.refuse(ReasonSessionBinding, "binding: the session was handed out to another viewer")
	}
}
