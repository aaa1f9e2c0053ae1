package drm

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// PlayReadyRecord is one record of a PlayReady Object.
type PlayReadyRecord struct {
	// Type is 1 for a header and 3 for an embedded license store.
	Type uint16
	// Value is a view into what was parsed.
	Value []byte
	// Offset is where Value begins.
	Offset int
}

// IsHeader reports whether the record holds a PlayReady header, for ParsePlayReadyHeader.
func (r PlayReadyRecord) IsHeader() bool { return r.Type == recordHeader }

// IsLicenseStore reports whether the record holds an embedded license store.
func (r PlayReadyRecord) IsLicenseStore() bool { return r.Type == recordLicenseStore }

// ParsePlayReadyObject reads the records of a PlayReady Object, which is the data of a pssh box of PlayReady and what mspr:pro and
// EXT-X-KEY carry. It returns a FormatError unless lengths and count fit b exactly.
func ParsePlayReadyObject(b []byte) ([]PlayReadyRecord, error) {
	const path = "PlayReady Object"
	if len(b) < 6 {
		return nil, formatErrorf(path, 0, "%d bytes are no object", len(b))
	}
	if length := binary.LittleEndian.Uint32(b); uint64(length) != uint64(len(b)) {
		return nil, formatErrorf(path+"/length", 0, "%d, of %d bytes", length, len(b))
	}
	count, at := int(binary.LittleEndian.Uint16(b[4:])), 6
	if count > (len(b)-at)/4 {
		return nil, formatErrorf(path+"/record_count", 4, "%d records do not fit", count)
	}
	records := make([]PlayReadyRecord, 0, count)
	for range count {
		if len(b)-at < 4 {
			return nil, formatErrorf(path+"/record", at, "the object ends here")
		}
		kind, length := binary.LittleEndian.Uint16(b[at:]), int(binary.LittleEndian.Uint16(b[at+2:]))
		if at += 4; length > len(b)-at {
			return nil, formatErrorf(path+"/record", at-2, "a record of %d bytes, of which %d are there", length, len(b)-at)
		}
		records = append(records, PlayReadyRecord{Type: kind, Value: b[at : at+length], Offset: at})
		at += length
	}
	if at != len(b) {
		return nil, formatErrorf(path, at, "%d bytes behind the last record", len(b)-at)
	}
	return records, nil
}

// wrmHeader is the XML of all versions.
type wrmHeader struct {
	XMLName xml.Name `xml:"http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader WRMHEADER"`
	Version string   `xml:"version,attr"`
	Data    struct {
		ProtectInfo struct {
			Algorithm string   `xml:"ALGID"`
			KID       []wrmKID `xml:"KID"`
			KIDs      []wrmKID `xml:"KIDS>KID"`
		} `xml:"PROTECTINFO"`
		KID            string `xml:"KID"`
		Checksum       string `xml:"CHECKSUM"`
		LicenseURL     string `xml:"LA_URL"`
		LicensePageURL string `xml:"LUI_URL"`
		ServiceID      string `xml:"DS_ID"`
	} `xml:"DATA"`
}

type wrmKID struct {
	Algorithm string `xml:"ALGID,attr"`
	Checksum  string `xml:"CHECKSUM,attr"`
	Value     string `xml:"VALUE,attr"`
}

// ParsePlayReadyHeader reads the value of a record that is a header: WRMHEADER in UTF-16, little-endian, with or without byte order mark.
// Elements that it does not know, such as CUSTOMATTRIBUTES, are skipped; a header without key IDs is one without Keys, and one without
// ALGID has no Scheme. It returns a FormatError for anything else.
func ParsePlayReadyHeader(b []byte) (PlayReadyHeader, error) {
	const path = "WRMHEADER"
	text, err := decodeUTF16(b)
	if err != nil {
		return PlayReadyHeader{}, &FormatError{Path: path, Offset: len(b), Err: err}
	}
	var raw wrmHeader
	decoder := xml.NewDecoder(strings.NewReader(text))
	decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // what it says is UTF-16 is UTF-8 by now
	if err := decoder.Decode(&raw); err != nil {
		return PlayReadyHeader{}, formatErrorf(path, 2*int(decoder.InputOffset()), "parsing XML: %w", err)
	}
	h, err := raw.header()
	if err != nil {
		return PlayReadyHeader{}, &FormatError{Path: path, Err: err}
	}
	return h, nil
}

// maxPlayReadyKeys bounds the key IDs of one header; no title has that many keys.
const maxPlayReadyKeys = 256

func (w *wrmHeader) header() (PlayReadyHeader, error) {
	data := &w.Data
	h := PlayReadyHeader{
		LicenseURL: strings.TrimSpace(data.LicenseURL), LicensePageURL: strings.TrimSpace(data.LicensePageURL), ServiceID: strings.TrimSpace(data.ServiceID),
	}
	keys := data.ProtectInfo.KIDs
	switch w.Version {
	case "4.0.0.0":
		h.Version, keys = PlayReady40, nil
		if data.KID != "" {
			keys = []wrmKID{{Algorithm: data.ProtectInfo.Algorithm, Checksum: data.Checksum, Value: data.KID}}
		}
	case "4.1.0.0":
		h.Version, keys = PlayReady41, data.ProtectInfo.KID
	case "4.2.0.0":
		h.Version = PlayReady42
	case "4.3.0.0":
		h.Version = PlayReady43
	default:
		return PlayReadyHeader{}, errors.New("the version is none of 4.0.0.0, 4.1.0.0, 4.2.0.0 and 4.3.0.0")
	}
	if len(keys) > maxPlayReadyKeys {
		return PlayReadyHeader{}, fmt.Errorf("%d key IDs: want at most %d", len(keys), maxPlayReadyKeys)
	}
	for i, raw := range keys {
		key, scheme, err := raw.key()
		if err != nil {
			return PlayReadyHeader{}, err
		}
		if i > 0 && scheme != h.Scheme {
			return PlayReadyHeader{}, errors.New("key IDs of several algorithms in one header")
		}
		h.Scheme = scheme
		h.Keys = append(h.Keys, key)
	}
	if _, err := h.version(); err != nil {
		return PlayReadyHeader{}, err
	}
	return h, nil
}

func (w wrmKID) key() (key PlayReadyKey, scheme ProtectionScheme, err error) {
	guid, err := base64.StdEncoding.DecodeString(strings.TrimSpace(w.Value))
	if err != nil || len(guid) != len(KID{}) {
		return key, 0, errors.New("a KID is not the base64 of 16 bytes")
	}
	key.KID = playReadyGUID(KID(guid)) // the same way back
	if w.Checksum != "" {
		if key.Checksum, err = base64.StdEncoding.DecodeString(strings.TrimSpace(w.Checksum)); err != nil || len(key.Checksum) != 8 {
			return PlayReadyKey{}, 0, errors.New("a CHECKSUM is not the base64 of 8 bytes")
		}
	}
	switch strings.TrimSpace(w.Algorithm) {
	case "":
		return key, 0, nil
	case "AESCTR":
		return key, SchemeCenc, nil
	case "AESCBC":
		return key, SchemeCbcs, nil
	default:
		return PlayReadyKey{}, 0, errors.New("an ALGID is neither AESCTR nor AESCBC")
	}
}

func decodeUTF16(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", errors.New("an odd number of bytes is no UTF-16")
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(b[i:]))
	}
	if len(units) > 0 && units[0] == 0xfeff {
		units = units[1:]
	}
	return string(utf16.Decode(units)), nil
}
