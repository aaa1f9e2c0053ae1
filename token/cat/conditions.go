package cat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// ConditionsKind is the first byte of what Conditions of this package write; see ParseConditions.
const ConditionsKind = 'C'

// maxCarriedBytes bounds what a session carries of a token: its URL has room for some hundred bytes.
const maxCarriedBytes = 448

// maxListed bounds methods and protocols (CTA-5007-B, 4.6.11 and 4.6.12), and the other lists alike.
const maxListed = 50

// conditions implements token.Conditions and token.Answerer.
type conditions struct {
	networks *networks
	uri      []uriPart
	methods  []string
	alpn     []string
	headers  []headerMatch
	places   []string // ISO 3166-1 and 3166-2 codes in upper case

	answers map[int64]*token.Answer
	carried []byte // deterministic CBOR: a map of those demands that children must meet, too
}

type headerMatch struct {
	name string
	matches
}

// demandError names the claim that was not met, and nothing of its value.
type demandError struct {
	label int64
	err   error
}

func (e *demandError) Error() string { return e.err.Error() + " (" + claimName(e.label) + ")" }
func (e *demandError) Unwrap() error { return e.err }

var (
	errURI            = &demandError{URI, token.ErrScope}
	errNetwork        = &demandError{NetworkIP, token.ErrAddress}
	errMethod         = &demandError{Method, token.ErrRequest}
	errALPN           = &demandError{ALPN, token.ErrRequest}
	errHeader         = &demandError{Header, token.ErrRequest}
	errCountry        = &demandError{GeoISO3166, token.ErrCountry}
	errCountryUnknown = &demandError{GeoISO3166, token.ErrCountryUnknown}
)

// Check implements token.Conditions.
func (c *conditions) Check(req token.Request) error {
	for i := range c.uri {
		if !c.uri[i].holds(&req) {
			return errURI
		}
	}
	switch {
	case c.networks != nil && !c.networks.contain(req.Addr, req.ASN):
		return errNetwork
	case c.methods != nil && !slices.Contains(c.methods, req.Method):
		return errMethod
	case c.alpn != nil && (req.ALPN == "" || !slices.Contains(c.alpn, req.ALPN)):
		return errALPN
	}
	for i := range c.headers {
		if !c.headers[i].holdsIn(&req) {
			return errHeader
		}
	}
	return c.checkPlace(&req)
}

// holdsIn takes several fields of one name for one field with a list (RFC 9110, 5.3).
func (h *headerMatch) holdsIn(req *token.Request) bool {
	if req.Header == nil {
		return false
	}
	switch values := req.Header(h.name); len(values) {
	case 0:
		return false
	case 1:
		return h.hold(values[0])
	default:
		return h.hold(strings.Join(values, ", "))
	}
}

func (c *conditions) checkPlace(req *token.Request) error {
	switch {
	case c.places == nil:
		return nil
	case req.Country == "":
		return errCountryUnknown
	}
	unknown := false
	for _, place := range c.places {
		if place == req.Country || place == req.Subdivision {
			return nil
		}
		country, _, isSubdivision := strings.Cut(place, "-")
		unknown = unknown || isSubdivision && country == req.Country && req.Subdivision == ""
	}
	if unknown {
		return errCountryUnknown
	}
	return errCountry
}

// AppendBinary implements token.Conditions: it appends what child addresses of a manifest have to meet.
func (c *conditions) AppendBinary(dst []byte) ([]byte, error) {
	return append(append(dst, ConditionsKind), c.carried...), nil
}

// ParseConditions reads what AppendBinary of this package's conditions wrote.
func ParseConditions(b []byte) (token.Conditions, error) {
	if len(b) < 2 || b[0] != ConditionsKind || len(b) > 1+maxCarriedBytes {
		return nil, errors.New("not the conditions of a Common Access Token")
	}
	v, err := decodeStrict(b[1:])
	if err != nil {
		return nil, fmt.Errorf("parsing conditions: %w", err)
	}
	m, ok := v.(map[any]any)
	if !ok {
		return nil, errors.New("parsing conditions: not a map")
	}
	for label := range m {
		if number, ok := label.(int64); !ok || !slices.Contains(demandLabels, number) {
			return nil, errors.New("parsing conditions: an unknown demand")
		}
	}
	c, pinned, err := readDemands(m, readOptions{exactAddresses: true})
	if err != nil {
		return nil, fmt.Errorf("parsing conditions: %w", err)
	}
	if pinned {
		return nil, errors.New("parsing conditions: a demand on one file")
	}
	c.carried = slices.Clone(b[1:])
	return c, nil
}

// demandLabels are the claims that become conditions.
var demandLabels = []int64{NetworkIP, URI, Method, ALPN, Header, GeoISO3166}

type readOptions struct{ exactAddresses bool }

// readDemands reads the claims of demandLabels. pinned says that catu names one file.
func readDemands(m map[any]any, o readOptions) (c *conditions, pinned bool, err error) {
	c = new(conditions)
	for _, label := range demandLabels {
		value, found := m[label]
		if !found {
			continue
		}
		switch label {
		case NetworkIP:
			c.networks, err = readNetworks(value, o.exactAddresses)
		case URI:
			c.uri, pinned, err = readURI(value)
		case Method:
			c.methods, err = readTexts(value)
		case ALPN:
			c.alpn, err = readByteTexts(value)
		case Header:
			c.headers, err = readHeaders(value)
		case GeoISO3166:
			c.places, err = readPlaces(value)
		}
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", claimName(label), err)
		}
	}
	return c, pinned, nil
}

// carry settles what a session carries of the demands in m.
func (c *conditions) carry(m map[any]any) error {
	carried := make(map[any]any)
	for _, label := range demandLabels {
		if value, found := m[label]; found {
			carried[label] = value
		}
	}
	if c.uri != nil {
		parts := make(map[any]any)
		all, _ := m[URI].(map[any]any)
		for _, part := range c.uri {
			if isCarried(part.part, part.matches) {
				parts[part.part] = all[part.part]
			}
		}
		carried[URI] = parts
		if len(parts) == 0 {
			delete(carried, URI)
		}
	}
	if c.places == nil { // they are Claims.Countries
		delete(carried, GeoISO3166)
	}
	var err error
	if c.carried, err = encoder.Marshal(carried); err != nil {
		return fmt.Errorf("encoding demands: %w", err)
	}
	if len(c.carried) > maxCarriedBytes {
		return fmt.Errorf("%w: demands of over %d bytes", token.ErrUnsupported, maxCarriedBytes)
	}
	return nil
}

// isEmpty reports whether there is nothing to judge and nothing to answer.
func (c *conditions) isEmpty() bool {
	return c.networks == nil && c.uri == nil && c.methods == nil && c.alpn == nil && c.headers == nil && c.places == nil && c.answers == nil
}

// AnswerTo implements token.Answerer.
func (c *conditions) AnswerTo(refusal error) *token.Answer {
	if c.answers == nil {
		return nil
	}
	var demand *demandError
	if errors.As(refusal, &demand) {
		return c.answers[demand.label]
	}
	for _, row := range refusedClaims {
		if errors.Is(refusal, row.err) {
			return c.answers[row.label]
		}
	}
	return nil
}

// refusedClaims are the claims behind refusals that come from elsewhere.
var refusedClaims = []struct {
	err   error
	label int64
}{
	{token.ErrExpired, Expires}, {token.ErrNotYetValid, NotBefore}, {token.ErrIssuer, Issuer}, {token.ErrAudience, Audience},
	{token.ErrReplayed, Replay}, {token.ErrCountry, GeoISO3166}, {token.ErrCountryUnknown, GeoISO3166}, {token.ErrScope, URI},
}
