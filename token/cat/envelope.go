package cat

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-drm/caddy-drm/token"
)

// envelope is a token taken apart: nothing in it is authentic yet.
type envelope struct {
	algorithm Algorithm
	mac       bool // COSE_Mac0, and not COSE_Sign1
	untagged  bool // which of the two it is, only its algorithm says
	kid       string
	hasKID    bool

	protected, payload, seal []byte
}

// decodeText reads base64url, with or without its padding, in its one spelling (CTA-5007-B, 4.3).
func decodeText(raw string) ([]byte, error) {
	bare := strings.TrimRight(raw, "=")
	if padding := len(raw) - len(bare); padding > 0 && (padding > 2 || len(raw)%4 != 0) {
		return nil, errors.New("not base64url")
	}
	if len(bare) > maxTokenChars {
		return nil, fmt.Errorf("over %d bytes", maxTokenBytes)
	}
	if strings.ContainsAny(bare, "\r\n") { // which the decoder passes over
		return nil, errors.New("not base64url")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(bare)
	if err != nil {
		return nil, errors.New("not canonical base64url")
	}
	return b, nil
}

// openEnvelope takes a token apart. The tag 61 may stand in front of the tag of the message, which may be missing where 61 is
// (RFC 8392, 6; RFC 9052, 2).
func openEnvelope(raw string) (*envelope, error) {
	b, err := decodeText(raw)
	if err != nil {
		return nil, malformed(err)
	}
	e := new(envelope)
	isCWT := len(b) > 2 && b[0] == 0xd8 && b[1] == tagCWT
	if isCWT {
		b = b[2:]
	}
	switch {
	case len(b) > 0 && b[0] == 0xc0|tagMac0:
		e.mac, b = true, b[1:]
	case len(b) > 0 && b[0] == 0xc0|tagSign1:
		b = b[1:]
	case isCWT:
		return nil, malformed(errors.New("tag 61 without the tag of a message"))
	default:
		e.untagged = true
	}
	v, err := decodeStrict(b)
	if err != nil {
		return nil, malformed(err)
	}
	parts, _ := v.([]any)
	if len(parts) != 4 {
		return nil, malformed(errors.New("not the four parts of a message"))
	}
	var isBytes [4]bool
	e.protected, isBytes[0] = parts[0].([]byte)
	unprotected, isMap := parts[1].(map[any]any)
	e.payload, isBytes[2] = parts[2].([]byte)
	e.seal, isBytes[3] = parts[3].([]byte)
	if _, isText := parts[2].(string); isText {
		return nil, malformed(errors.New("the claims are a text, and not bytes that hold CBOR"))
	}
	if !isBytes[0] || !isMap || !isBytes[2] || !isBytes[3] {
		return nil, malformed(errors.New("a part of the message has another type"))
	}
	if err := e.readHeaders(unprotected); err != nil {
		return nil, malformed(err)
	}
	return e, nil
}

// readHeaders accepts alg from the protected header alone. Headers that it does not know change nothing: whatever had to be
// understood would stand in crit, which is refused.
func (e *envelope) readHeaders(unprotected map[any]any) error {
	v, err := decodeStrict(e.protected)
	if err != nil {
		return fmt.Errorf("protected header: %w", err)
	}
	protected, ok := v.(map[any]any)
	if !ok {
		return errors.New("protected header: not a map")
	}
	for label := range protected {
		if _, twice := unprotected[label]; twice {
			return errors.New("a header that stands twice")
		}
	}
	for _, headers := range []map[any]any{protected, unprotected} {
		if _, found := headers[headerCrit]; found {
			return errors.New("header crit is not accepted")
		}
		kid, found := headers[headerKID]
		if !found {
			continue
		}
		text, ok := kid.([]byte)
		if !ok || len(text) > maxKIDBytes {
			return errors.New("header kid: not a short byte string")
		}
		e.kid, e.hasKID = string(text), true
	}
	alg, ok := protected[headerAlg].(int64)
	if !ok {
		return errors.New("no algorithm in the protected header")
	}
	if _, found := unprotected[headerAlg]; found {
		return errors.New("an algorithm in the unprotected header")
	}
	e.algorithm = Algorithm(alg)
	if e.untagged {
		e.mac = e.algorithm == HS256
	}
	if e.mac != (e.algorithm == HS256) {
		return errors.New("an algorithm for another kind of message")
	}
	return nil
}

// message is what the seal is over (RFC 9052, 4.4 and 6.3).
func (e *envelope) message() []byte {
	context := "Signature1"
	if e.mac {
		context = "MAC0"
	}
	b := make([]byte, 0, len(e.protected)+len(e.payload)+32)
	b = append(b, 0x84, 0x60|byte(len(context)))
	b = append(b, context...)
	b = appendBytes(b, e.protected)
	b = append(b, 0x40) // nothing external
	return appendBytes(b, e.payload)
}

// appendBytes appends a byte string of up to 64 KiB.
func appendBytes(b, content []byte) []byte {
	switch n := len(content); {
	case n < 24:
		b = append(b, 0x40|byte(n))
	case n < 1<<8:
		b = append(b, 0x58, byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0x59), uint16(n))
	}
	return append(b, content...)
}

// text returns the token of an envelope whose message is sealed, with both tags.
func (e *envelope) text(unprotected map[any]any) (string, error) {
	tag := byte(0xc0 | tagSign1)
	if e.mac {
		tag = 0xc0 | tagMac0
	}
	headers, err := encoder.Marshal(unprotected)
	if err != nil {
		return "", fmt.Errorf("encoding headers: %w", err)
	}
	b := appendBytes([]byte{0xd8, tagCWT, tag, 0x84}, e.protected)
	b = appendBytes(append(b, headers...), e.payload)
	b = appendBytes(b, e.seal)
	if len(b) > maxTokenBytes {
		return "", fmt.Errorf("a token of %d bytes: want at most %d", len(b), maxTokenBytes)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func malformed(err error) error { return fmt.Errorf("%w: %w", token.ErrMalformed, err) }
