package drm

import (
	"crypto/aes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// PlayReadyHeader is what a PlayReady header, WRMHEADER, says: "PlayReady Header Specification", Microsoft.
type PlayReadyHeader struct {
	// Version is that of the header. Zero chooses the oldest that can say what has to be said, for the sake of old clients.
	Version PlayReadyVersion
	// Scheme is SchemeCenc, which headers call AESCTR, or SchemeCbcs, AESCBC. Of a parsed header it may be zero: one without ALGID.
	Scheme ProtectionScheme
	// Keys are the keys that a license is asked for, at least one.
	Keys []PlayReadyKey
	// LicenseURL (LA_URL) is asked for a license without a word, LicensePageURL (LUI_URL) is a page for the viewer. Both are absolute,
	// and not escaped for XML.
	LicenseURL, LicensePageURL string
	// ServiceID (DS_ID) is the base64 of the GUID of the domain service.
	ServiceID string
}

// PlayReadyKey is a key in a PlayReady header.
type PlayReadyKey struct {
	KID KID
	// Checksum lets a client see that it was given another key of the same name. Nil: none, as always with cbcs.
	Checksum []byte
}

// NewPlayReadyKey returns the name of key and its checksum, which headers of cbcs leave out.
func NewPlayReadyKey(key ContentKey) PlayReadyKey {
	return PlayReadyKey{KID: key.KID(), Checksum: playReadyChecksum(key)}
}

// playReadyChecksum is the key checksum of AESCTR: the first 8 bytes of the key ID, in the order of a GUID, encrypted under the key.
// They say no more of the key than any block of AES does.
func playReadyChecksum(key ContentKey) []byte {
	secret := key.Secret()
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err) // of 16 bytes
	}
	guid := playReadyGUID(key.KID())
	var sum [aes.BlockSize]byte
	block.Encrypt(sum[:], guid[:])
	return sum[:8]
}

// playReadyGUID turns a KID into a GUID as Microsoft lays it out, and back: its first three numbers are little-endian.
func playReadyGUID(kid KID) [16]byte {
	return [16]byte{kid[3], kid[2], kid[1], kid[0], kid[5], kid[4], kid[7], kid[6], kid[8], kid[9], kid[10], kid[11], kid[12], kid[13], kid[14], kid[15]}
}

// maxPlayReadyBytes is how large a PlayReady Object should be at most, by its specification.
const maxPlayReadyBytes = 15 << 10

// Types of records.
const (
	recordHeader       = 1
	recordLicenseStore = 3
)

// ErrPlayReadyVersion is returned for a header of a version that cannot say what it has to say.
var ErrPlayReadyVersion = errors.New("a PlayReady header 4.0 or 4.1 holds one key ID, one with cbcs has to be 4.3")

// version returns the version of the header that will be written.
func (h PlayReadyHeader) version() (PlayReadyVersion, error) {
	switch several := len(h.Keys) > 1; {
	case h.Version == 0 && h.Scheme == SchemeCbcs:
		return PlayReady43, nil
	case h.Version == 0 && several:
		return PlayReady42, nil
	case h.Version == 0:
		return PlayReady40, nil
	case h.Version > PlayReady43, h.Scheme == SchemeCbcs && h.Version < PlayReady43, several && h.Version < PlayReady42:
		return 0, ErrPlayReadyVersion
	default:
		return h.Version, nil
	}
}

// AppendPlayReadyPssh appends a pssh box of version 0 with the PlayReady Object of h.
func AppendPlayReadyPssh(dst []byte, h PlayReadyHeader) ([]byte, error) {
	object, err := AppendPlayReadyObject(nil, h)
	if err != nil {
		return nil, err
	}
	return AppendPssh(dst, Pssh{System: SystemPlayReady, Data: object}), nil
}

// AppendPlayReadyObject appends a PlayReady Object with one record, the header h. It returns ErrPlayReadyVersion if the version of h
// cannot say what h says, and an error for a header without keys, with a scheme that PlayReady does not know, with characters that XML
// has no place for, or over 15 KiB.
//
//	length(4) record_count=1(2) type=1(2) length(2) WRMHEADER in UTF-16, all little-endian
func AppendPlayReadyObject(dst []byte, h PlayReadyHeader) ([]byte, error) {
	text, err := h.xml()
	if err != nil {
		return nil, fmt.Errorf("writing a PlayReady header: %w", err)
	}
	const front = 4 + 2 + 2 + 2
	value := utf16.Encode([]rune(text))
	size := front + 2*len(value)
	if size > maxPlayReadyBytes {
		return nil, fmt.Errorf("writing a PlayReady header: %d bytes: want at most %d", size, maxPlayReadyBytes)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(size))
	dst = binary.LittleEndian.AppendUint16(dst, 1)
	dst = binary.LittleEndian.AppendUint16(dst, recordHeader)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(2*len(value)))
	for _, unit := range value {
		dst = binary.LittleEndian.AppendUint16(dst, unit)
	}
	return dst, nil
}

// xml writes the header in canonical XML: attributes in the order of the alphabet behind the namespace, no element closed in its own
// tag, no space between elements.
func (h PlayReadyHeader) xml() (string, error) {
	version, err := h.version()
	switch {
	case err != nil:
		return "", err
	case len(h.Keys) == 0:
		return "", errors.New("no key ID")
	case !h.Scheme.Common():
		return "", fmt.Errorf("scheme %s: want cenc or cbcs", h.Scheme)
	}
	var b strings.Builder
	b.WriteString(`<WRMHEADER xmlns="` + playReadyNamespace + `" version="` + version.String() + `.0.0"><DATA><PROTECTINFO>`)
	switch version {
	case PlayReady40:
		b.WriteString("<KEYLEN>16</KEYLEN><ALGID>" + playReadyAlgorithm(h.Scheme) + "</ALGID></PROTECTINFO>")
		b.WriteString("<KID>" + h.Keys[0].value() + "</KID>")
		if sum := h.Keys[0].Checksum; sum != nil {
			b.WriteString("<CHECKSUM>" + base64.StdEncoding.EncodeToString(sum) + "</CHECKSUM>")
		}
	case PlayReady41:
		h.Keys[0].write(&b, h.Scheme)
		b.WriteString("</PROTECTINFO>")
	default:
		b.WriteString("<KIDS>")
		for _, key := range h.Keys {
			key.write(&b, h.Scheme)
		}
		b.WriteString("</KIDS></PROTECTINFO>")
	}
	for _, element := range [...]struct{ name, text string }{{"LA_URL", h.LicenseURL}, {"LUI_URL", h.LicensePageURL}, {"DS_ID", h.ServiceID}} {
		if err := writeElement(&b, element.name, element.text); err != nil {
			return "", err
		}
	}
	b.WriteString("</DATA></WRMHEADER>")
	return b.String(), nil
}

const playReadyNamespace = "http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader"

// playReadyAlgorithm is the ALGID of a scheme.
func playReadyAlgorithm(scheme ProtectionScheme) string {
	if scheme == SchemeCbcs {
		return "AESCBC"
	}
	return "AESCTR"
}

func (k PlayReadyKey) value() string {
	guid := playReadyGUID(k.KID)
	return base64.StdEncoding.EncodeToString(guid[:])
}

// write writes the element of versions since 4.1. With AESCBC a checksum must not be there (3.3.1 of the specification).
func (k PlayReadyKey) write(b *strings.Builder, scheme ProtectionScheme) {
	b.WriteString(`<KID ALGID="` + playReadyAlgorithm(scheme) + `"`)
	if k.Checksum != nil && scheme == SchemeCenc {
		b.WriteString(` CHECKSUM="` + base64.StdEncoding.EncodeToString(k.Checksum) + `"`)
	}
	b.WriteString(` VALUE="` + k.value() + `"></KID>`)
}

// writeElement writes an element with text, escaped once, and nothing if there is no text: these elements must not be empty.
func writeElement(b *strings.Builder, name, text string) error {
	if text == "" {
		return nil
	}
	for _, r := range text {
		if r < ' ' || r == 0xfffe || r == 0xffff || r == '\ufffd' {
			return fmt.Errorf("%s holds a character that XML cannot", name)
		}
	}
	b.WriteString("<" + name + ">" + xmlText.Replace(text) + "</" + name + ">")
	return nil
}

// xmlText escapes text as canonical XML does.
var xmlText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
