package drm

import (
	"encoding/binary"
	"math"
)

// WidevineInit is what a pssh box of Widevine says: WidevinePsshData, a message of Protocol Buffers.
type WidevineInit struct {
	// KIDs are the keys that a license is asked for.
	KIDs []KID
	// Provider names the customer of the license service.
	Provider string
	// ContentID is what the license service knows the title by.
	ContentID []byte
	// Policy names a policy of the license service.
	Policy string
	// Scheme is the scheme of Common Encryption; zero, or one that is none, is not written.
	Scheme ProtectionScheme
	// OtherScheme is the four-character code of a scheme that this package has no value for, such as cens. It is read and never
	// written.
	OtherScheme string
	// Rotates says that CryptoPeriodIndex counts: the period of the keys, which may be 0.
	Rotates           bool
	CryptoPeriodIndex uint32
	// CryptoPeriodSeconds is the length of a crypto period; zero is not written.
	CryptoPeriodSeconds uint32
}

// Fields of WidevinePsshData. What is not here is skipped: deprecated fields, entitlement, groups.
const (
	widevineKeyIDs              = 2
	widevineProvider            = 3
	widevineContentID           = 4
	widevinePolicy              = 6
	widevineCryptoPeriodIndex   = 7
	widevineProtectionScheme    = 9
	widevineCryptoPeriodSeconds = 10
)

// Wire types of Protocol Buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// AppendWidevinePssh appends a pssh box of version 0 with the message of init, fields in the order of their numbers.
func AppendWidevinePssh(dst []byte, init WidevineInit) []byte {
	return AppendPssh(dst, Pssh{System: SystemWidevine, Data: AppendWidevineInit(nil, init)})
}

// AppendWidevineInit appends the message alone.
func AppendWidevineInit(dst []byte, init WidevineInit) []byte {
	for _, kid := range init.KIDs {
		dst = appendWireBytes(dst, widevineKeyIDs, kid[:])
	}
	if init.Provider != "" {
		dst = appendWireBytes(dst, widevineProvider, []byte(init.Provider))
	}
	if len(init.ContentID) > 0 {
		dst = appendWireBytes(dst, widevineContentID, init.ContentID)
	}
	if init.Policy != "" {
		dst = appendWireBytes(dst, widevinePolicy, []byte(init.Policy))
	}
	if init.Rotates {
		dst = appendWireVarint(dst, widevineCryptoPeriodIndex, init.CryptoPeriodIndex)
	}
	if init.Scheme.Common() {
		code := init.Scheme.FourCC()
		dst = appendWireVarint(dst, widevineProtectionScheme, binary.BigEndian.Uint32(code[:]))
	}
	if init.CryptoPeriodSeconds > 0 {
		dst = appendWireVarint(dst, widevineCryptoPeriodSeconds, init.CryptoPeriodSeconds)
	}
	return dst
}

func appendWireBytes(dst []byte, field uint64, b []byte) []byte {
	dst = binary.AppendUvarint(dst, field<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendWireVarint(dst []byte, field uint64, value uint32) []byte {
	dst = binary.AppendUvarint(dst, field<<3|wireVarint)
	return binary.AppendUvarint(dst, uint64(value))
}

// ParseWidevineInit reads the message, which is the data of a pssh box of Widevine. Of a field that stands twice and may not, the last
// counts, as Protocol Buffers have it. Fields that WidevineInit has no place for are skipped.
//
// It returns a FormatError for what is no message, for key IDs that are not 16 bytes and for numbers over 32 bits.
func ParseWidevineInit(b []byte) (WidevineInit, error) {
	var init WidevineInit
	for at := 0; at < len(b); {
		f, err := parseWireField(b, at)
		if err != nil {
			return WidevineInit{}, err
		}
		if err := init.set(f); err != nil {
			return WidevineInit{}, err
		}
		at = f.end
	}
	return init, nil
}

// set takes one field of the message.
func (init *WidevineInit) set(f wireField) error {
	switch {
	case f.isBytes(widevineKeyIDs):
		if len(f.bytes) != len(KID{}) {
			return formatErrorf("WidevinePsshData/key_ids", f.start, "a key ID of %d bytes", len(f.bytes))
		}
		init.KIDs = append(init.KIDs, KID(f.bytes))
	case f.isBytes(widevineProvider):
		init.Provider = string(f.bytes)
	case f.isBytes(widevineContentID):
		init.ContentID = f.bytes
	case f.isBytes(widevinePolicy):
		init.Policy = string(f.bytes)
	case f.wire == wireVarint && isWidevineNumber(f.number):
		if f.value > math.MaxUint32 {
			return formatErrorf("WidevinePsshData", f.start, "field %d is over 32 bits", f.number)
		}
		init.setNumber(f.number, uint32(f.value))
	}
	return nil
}

func isWidevineNumber(field uint64) bool {
	return field == widevineCryptoPeriodIndex || field == widevineProtectionScheme || field == widevineCryptoPeriodSeconds
}

func (init *WidevineInit) setNumber(field uint64, value uint32) {
	switch field {
	case widevineCryptoPeriodIndex:
		init.Rotates, init.CryptoPeriodIndex = true, value
	case widevineCryptoPeriodSeconds:
		init.CryptoPeriodSeconds = value
	case widevineProtectionScheme:
		code := string(binary.BigEndian.AppendUint32(nil, value))
		init.Scheme, init.OtherScheme = 0, code
		for _, scheme := range Schemes {
			if scheme.String() == code {
				init.Scheme, init.OtherScheme = scheme, ""
			}
		}
	}
}

// wireField is one field of a message: value of a number, or bytes.
type wireField struct {
	number, wire uint64
	value        uint64
	bytes        []byte
	start, end   int // in the message
}

func (f wireField) isBytes(number uint64) bool { return f.number == number && f.wire == wireBytes }

// parseWireField reads the field at byte start of b.
func parseWireField(b []byte, start int) (wireField, error) {
	const path = "WidevinePsshData"
	f := wireField{start: start}
	tag, n := binary.Uvarint(b[start:])
	if n <= 0 {
		return f, formatErrorf(path, start, "a broken tag")
	}
	f.number, f.wire, f.end = tag>>3, tag&7, start+n
	if f.number == 0 || f.number >= 1<<29 {
		return f, formatErrorf(path, start, "a field numbered %d", f.number)
	}
	rest := b[f.end:]
	switch f.wire {
	case wireVarint:
		if f.value, n = binary.Uvarint(rest); n <= 0 {
			return f, formatErrorf(path, f.end, "a broken number")
		}
		f.end += n
		return f, nil
	case wireBytes:
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return f, formatErrorf(path, f.end, "field %d is longer than the message", f.number)
		}
		f.bytes = rest[n : n+int(length)]
		f.end += n + int(length)
		return f, nil
	case wire32, wire64:
		size := 4
		if f.wire == wire64 {
			size = 8
		}
		if len(rest) < size {
			return f, formatErrorf(path, f.end, "field %d is longer than the message", f.number)
		}
		f.end += size
		return f, nil
	default:
		return f, formatErrorf(path, start, "wire type %d", f.wire)
	}
}
