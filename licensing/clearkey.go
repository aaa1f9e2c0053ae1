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

// typeTemporary is the only session type that the Clear Key server grants: Clear Key has no way to protect a stored license.
const typeTemporary = "temporary"

// ClearKeyRequest is what a player asks the Clear Key server for.
type ClearKeyRequest struct {
	// KIDs are the keys asked for: at least one, each once, in the order of the request.
	KIDs []drm.KID
}

// ParseClearKeyRequest reads the license request of EME, the UTF-8 JSON object
//
//	{"kids":["<base64url, 22 characters>", …],"type":"temporary"}
//
// A missing type means temporary, since old browsers leave it out; a KID named twice counts once; members that are not
// defined are skipped. It returns ErrUnsupportedType for another type, and ErrMalformed with the reason for anything else: a
// body above MaxClearKeyRequestSize, more than MaxClearKeyKIDs KIDs or none, padding or the standard base64 alphabet, a
// member given twice, bytes behind the object.
//
// Source: EME, Clear Key, "License Request Format".
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
	kidTexts, licenseType, err := readClearKeyMembers(body)
	if err != nil {
		return ClearKeyRequest{}, err
	}
	if licenseType != typeTemporary {
		return ClearKeyRequest{}, ErrUnsupportedType
	}
	kids, err := parseKIDs(kidTexts)
	if err != nil {
		return ClearKeyRequest{}, err
	}
	return ClearKeyRequest{KIDs: kids}, nil
}

// readClearKeyMembers walks the object by hand: encoding/json would let a later member of the same name, in any case of
// letters, replace an earlier one, and two readers of one request could then see different KIDs.
func readClearKeyMembers(body []byte) (kids []string, licenseType string, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, "", malformed("not a JSON object")
	}
	licenseType = typeTemporary
	seen := make(map[string]bool, 2)
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, "", malformed("not JSON at byte %d", dec.InputOffset())
		}
		if seen[name] {
			return nil, "", malformed("member named twice at byte %d", dec.InputOffset())
		}
		seen[name] = true
		if err := readClearKeyMember(dec, name, &kids, &licenseType); err != nil {
			return nil, "", err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, "", malformed("not JSON at byte %d", dec.InputOffset())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, "", malformed("bytes behind the object at byte %d", dec.InputOffset())
	}
	return kids, licenseType, nil
}

func readClearKeyMember(dec *json.Decoder, name string, kids *[]string, licenseType *string) error {
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
			*kids = append(*kids, *s)
		}
	case "type":
		if err := json.Unmarshal(raw, licenseType); err != nil || isNull {
			return malformed("type is not a string")
		}
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
