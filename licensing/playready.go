package licensing

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Content type and action of what a PlayReady license server is sent (SOAP 1.1).
const (
	PlayReadyContentType = "text/xml; charset=utf-8"
	playReadyActions     = "http://schemas.microsoft.com/DRM/2007/03/protocols/"
)

// maxXMLDepth bounds the nesting of SOAP messages; theirs is below 20.
const maxXMLDepth = 64

// PlayReadyAction returns the value of the header field SOAPAction for a challenge of PlayReady, quotation marks included.
func PlayReadyAction(c Challenge) string {
	if c.Purpose == PurposeAcknowledgment {
		return `"` + playReadyActions + `AcknowledgeLicense"`
	}
	return `"` + playReadyActions + `AcquireLicense"`
}

// ParsePlayReadyChallenge reads what a PlayReady decryption module wants a license server to be sent: a SOAP message, or one that is still
// wrapped in the PlayReadyKeyMessage of EME, which a player should have unwrapped: UTF-16 XML with the message in base64. The header fields
// that the wrapping names are not taken over: they follow from what the message is.
//
// Every element KID in the message counts as a key that it names, wherever it stands, so that none that the license server reads is
// overlooked here. It returns ErrMalformed for anything that is neither a request for a license nor the acknowledgment of one.
func ParsePlayReadyChallenge(body []byte) (Challenge, error) {
	soap, err := unwrapPlayReady(body)
	if err != nil {
		return Challenge{}, malformed("PlayReady: %v", err)
	}
	c := Challenge{Body: soap}
	action, err := c.readSOAP(soap)
	if err != nil {
		return Challenge{}, malformed("PlayReady: %v", err)
	}
	switch action {
	case "AcquireLicense":
		c.Unread = len(c.KIDs) == 0
	case "AcknowledgeLicense":
		c.Purpose = PurposeAcknowledgment
	default:
		return Challenge{}, malformed("PlayReady: neither AcquireLicense nor AcknowledgeLicense")
	}
	return c, nil
}

// unwrapPlayReady returns the SOAP message in a PlayReadyKeyMessage, or what is none as it is.
func unwrapPlayReady(body []byte) ([]byte, error) {
	text := body
	isWide := len(body) >= 2 && (body[0] == '<' && body[1] == 0 || body[0] == 0xff && body[1] == 0xfe)
	if isWide {
		var err error
		if text, err = utf8From16(body); err != nil {
			return nil, err
		}
	}
	var challenge strings.Builder
	found, wrapped := 0, false
	err := walkXML(text, isWide, func(path []string, token xml.Token) error {
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 1 && t.Name.Local != "PlayReadyKeyMessage" {
				return io.EOF // a message as it is
			}
			wrapped = true
			if t.Name.Local == "Challenge" {
				found++
			}
		case xml.CharData:
			if len(path) > 0 && path[len(path)-1] == "Challenge" {
				challenge.Write(t)
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, io.EOF):
		return text, nil
	case err != nil:
		return nil, err
	case !wrapped || found != 1:
		return nil, errors.New("want one Challenge in a PlayReadyKeyMessage")
	}
	soap, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(challenge.String()), ""))
	if err != nil {
		return nil, errors.New("the Challenge is no base64")
	}
	if len(soap) >= 2 && (soap[1] == 0 || soap[0] == 0xff) { // some modules write it as they write the wrapping
		return utf8From16(soap)
	}
	return soap, nil
}

func utf8From16(b []byte) ([]byte, error) {
	if len(b)%2 != 0 {
		return nil, errors.New("an odd number of bytes is no UTF-16")
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	if len(units) > 0 && units[0] == 0xfeff {
		units = units[1:]
	}
	return []byte(string(utf16.Decode(units))), nil
}

// readSOAP notes the keys that a message names, and returns the element in its body.
func (c *Challenge) readSOAP(soap []byte) (action string, err error) {
	var value strings.Builder
	err = walkXML(soap, false, func(path []string, token xml.Token) error {
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case len(path) == 1 && t.Name.Local != "Envelope":
				return errors.New("no SOAP envelope")
			case len(path) == 3 && path[1] == "Body":
				if action != "" {
					return errors.New("more than one request in the body")
				}
				action = t.Name.Local
			}
			if t.Name.Local == "KID" {
				value.Reset()
				for _, attr := range t.Attr {
					if attr.Name.Local == "VALUE" {
						value.WriteString(attr.Value)
					}
				}
			}
		case xml.CharData:
			if path[len(path)-1] == "KID" {
				value.Write(t)
			}
		case xml.EndElement:
			if t.Name.Local == "KID" {
				return c.namePlayReady(value.String())
			}
		}
		return nil
	})
	return action, err
}

// namePlayReady notes a KID, which is the base64 of a GUID: its first three fields are little-endian.
func (c *Challenge) namePlayReady(text string) error {
	guid, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(guid) != len(drm.KID{}) {
		return errors.New("a KID is not the base64 of 16 bytes")
	}
	kid := drm.KID(guid)
	binary.BigEndian.PutUint32(kid[:], binary.LittleEndian.Uint32(guid))
	binary.BigEndian.PutUint16(kid[4:], binary.LittleEndian.Uint16(guid[4:]))
	binary.BigEndian.PutUint16(kid[6:], binary.LittleEndian.Uint16(guid[6:]))
	return c.name(kid)
}

// walkXML visits the tokens of a document in UTF-8 with the local names of the elements around them, their own included. It refuses what
// could say something else to another reader, document types and other encodings, and a document without an element. wasWide is set for
// one that was in UTF-16 and may still say so.
func walkXML(text []byte, wasWide bool, visit func(path []string, token xml.Token) error) error {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	if wasWide {
		decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	}
	var path []string
	elements := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && elements {
			return nil
		}
		if err != nil {
			return errors.New("no XML")
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("a document type")
		case xml.StartElement:
			elements = true
			if path = append(path, t.Name.Local); len(path) > maxXMLDepth {
				return errors.New("elements too deep")
			}
		case xml.CharData:
			if len(path) == 0 {
				continue
			}
		}
		if err := visit(path, token); err != nil {
			return err
		}
		if _, ok := token.(xml.EndElement); ok {
			path = path[:len(path)-1]
		}
	}
}
