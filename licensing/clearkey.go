package licensing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/caddy-drm/caddy-drm/drm"
)

const (
	// MaxClearKeyRequestSize bounds a Clear Key license request, in bytes. Browsers send some 30 bytes per KID.
	MaxClearKeyRequestSize = 64 << 10
	// MaxClearKeyKIDs bounds the KIDs of one request. A player asks for the tracks of one or two periods.
	MaxClearKeyKIDs = 64
)

// SessionType is the type of a session of EME: how long what its license opens stays on the device.
type SessionType string

// The session types of Clear Key.
const (
	SessionTemporary  SessionType = "temporary"
	SessionPersistent SessionType = "persistent-license"
)

// ClearKeyRequest is what a player sends the Clear Key server: a license request, or a license release.
type ClearKeyRequest struct {
	// KIDs are the keys that it names: at least one, each once, in the order of the message.
	KIDs []drm.KID
	// Type is that of the session; empty if the message does not say.
	Type SessionType
}

// ParseClearKeyRequest reads a message of EME, the UTF-8 JSON object
//
//	{"kids":["<base64url, 22 characters>", …],"type":"temporary"}
//
// A KID named twice counts once; members that are not defined are skipped. It returns ErrUnsupportedType for a type that Clear Key does
// not have, and ErrMalformed with the reason for anything else: a body above MaxClearKeyRequestSize, more than MaxClearKeyKIDs KIDs or
// none, padding or the standard base64 alphabet, a member given twice, bytes behind the object.
//
// Source: EME, Clear Key, "License Request Format" and "License Release Format".
func ParseClearKeyRequest(body []byte) (ClearKeyRequest, error) {
	if len(body) > MaxClearKeyRequestSize {
		return ClearKeyRequest{}, malformed("more than %d bytes", MaxClearKeyRequestSize)
	}
	if req, found := readPlainRequest(body); found {
		return req, nil
	}
	if !utf8.Valid(body) {
		return ClearKeyRequest{}, malformed("not UTF-8")
	}
	members, err := readClearKeyMembers(body)
	if err != nil {
		return ClearKeyRequest{}, err
	}
	if members.hasType && members.sessionType != SessionTemporary && members.sessionType != SessionPersistent {
		return ClearKeyRequest{}, ErrUnsupportedType
	}
	kids, err := parseKIDs(members.kids)
	if err != nil {
		return ClearKeyRequest{}, err
	}
	return ClearKeyRequest{KIDs: kids, Type: members.sessionType}, nil
}

// Purpose says what the message is for. A license release, the initialization data "keyids" and the license request of an old browser are
// the same on the wire: key IDs, and no type. Only persistent licenses can be released, so what tells them apart is whether there are any
// (persistent) for the title: where there are none, the message is a request for a temporary license; where there are, it is a release, and
// a release is never given keys. A player that wants keys there has to name the type, as EME demands.
func (r ClearKeyRequest) Purpose(persistent bool) Purpose {
	if r.Type == "" && persistent {
		return PurposeRelease
	}
	return PurposeLicense
}

// clearKeyMembers are those members of a message that are defined.
type clearKeyMembers struct {
	kids        []string
	sessionType SessionType
	hasType     bool
}

// readClearKeyMembers walks the object by hand: encoding/json would let a later member of the same name, in any case of
// letters, replace an earlier one, and two readers of one request could then see different KIDs.
func readClearKeyMembers(body []byte) (members clearKeyMembers, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return clearKeyMembers{}, malformed("not a JSON object")
	}
	seen := make(map[string]bool, 2)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return clearKeyMembers{}, malformed("not JSON at byte %d", dec.InputOffset())
		}
		if seen[name] {
			return clearKeyMembers{}, malformed("member named twice at byte %d", dec.InputOffset())
		}
		seen[name] = true
		if err := members.read(dec, name); err != nil {
			return clearKeyMembers{}, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return clearKeyMembers{}, malformed("not JSON at byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return clearKeyMembers{}, malformed("bytes behind the object at byte %d", dec.InputOffset())
	}
	return members, nil
}

// read takes the value of the member that the decoder stands in front of.
func (m *clearKeyMembers) read(dec *json.Decoder, name string) error {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return malformed("not JSON at byte %d", dec.InputOffset())
	}
	// null would leave the target as it is, which for a type means granting what was not asked for.
	isNull := bytes.Equal(raw, []byte("null"))
	switch name {
	case "kids":
		var list []*string
		if err := json.Unmarshal(raw, &list); err != nil || isNull {
			return malformed("kids is not a list of strings")
		}
		for i, s := range list {
			if s == nil {
				return malformed("kids[%d] is null", i)
			}
			m.kids = append(m.kids, *s)
		}
	case "type":
		if err := json.Unmarshal(raw, &m.sessionType); err != nil || isNull {
			return malformed("type is not a string")
		}
		m.hasType = true
	}
	return nil
}

func parseKIDs(texts []string) ([]drm.KID, error) {
	if len(texts) == 0 {
		return nil, malformed("no kids")
	}
	kids := make([]drm.KID, 0, min(len(texts), MaxClearKeyKIDs))
	seen := make(map[drm.KID]bool, cap(kids))
	for i, s := range texts {
		kid, err := drm.ParseKIDBase64URL(s)
		if err != nil {
			return nil, malformed("kids[%d] is not 16 bytes of base64url without padding", i)
		}
		if seen[kid] {
			continue
		}
		if len(kids) == MaxClearKeyKIDs {
			return nil, malformed("more than %d kids", MaxClearKeyKIDs)
		}
		seen[kid] = true
		kids = append(kids, kid)
	}
	return kids, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
