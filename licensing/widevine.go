package licensing

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/drm"
)

// Numbers of the messages that a Widevine decryption module sends: SignedMessage, LicenseRequest and its ContentIdentification.
const (
	signedType    = 1
	signedMessage = 2

	typeLicenseRequest     = 1
	typeCertificateRequest = 4

	requestContent = 2
	requestType    = 3

	requestNew     = 1
	requestRenewal = 2
	requestRelease = 3

	contentPssh     = 1 // {pssh_data = 1, license_type = 2}
	contentWebM     = 2 // {header = 1, license_type = 2}
	contentExisting = 3 // {license_id = 1 {type = 4}}
	contentInitData = 4 // {type = 1, init_data = 2, license_type = 3}

	licenseStreaming = 1
	licenseOffline   = 2
)

var (
	errWire  = errors.New("no protocol buffer")
	errTwice = errors.New("a field stands twice that may not")
)

// ParseWidevineChallenge reads a message of a Widevine decryption module: what it is for, and the keys that its initialization data
// names. Renewals and releases name the license that they are about in place of keys; one that names neither counts as unread. The identity of the device is not looked at, and may be encrypted.
//
// It returns ErrMalformed for what is no such message, and for one whose meaning depends on who reads it: a reader of Protocol Buffers may
// merge fields that stand twice or keep the last, and the license server has to see the keys that were judged here.
func ParseWidevineChallenge(body []byte) (Challenge, error) {
	c := Challenge{Body: body}
	signed, err := onceEach(body)
	if err != nil {
		return Challenge{}, malformed("Widevine: %v", err)
	}
	switch signed[signedType].value {
	case typeCertificateRequest:
		if len(signed) > 1 { // a request for nothing says nothing else
			return Challenge{}, malformed("Widevine: a request for the certificate that holds more")
		}
		c.Purpose = PurposeCertificate
		return c, nil
	case typeLicenseRequest:
	default:
		return Challenge{}, malformed("Widevine: a message of type %d", signed[signedType].value)
	}
	request, err := onceEach(signed[signedMessage].bytes)
	if err != nil || len(request) == 0 {
		return Challenge{}, malformed("Widevine: LicenseRequest: %v", err)
	}
	switch request[requestType].value {
	case 0, requestNew:
	case requestRenewal:
		c.Purpose = PurposeRenewal
	case requestRelease:
		c.Purpose = PurposeRelease
	default:
		return Challenge{}, malformed("Widevine: a request of type %d", request[requestType].value)
	}
	if err := c.readWidevineContent(request[requestContent].bytes); err != nil {
		return Challenge{}, malformed("Widevine: %v", err)
	}
	if len(c.KIDs) == 0 && (c.Purpose == PurposeLicense || !c.ofLicense) {
		c.Unread = true
	}
	return c, nil
}

func (c *Challenge) readWidevineContent(b []byte) error {
	content, err := onceEach(b)
	if err != nil {
		return err
	}
	if len(content) > 1 {
		return errTwice
	}
	for number, field := range content {
		switch number {
		case contentPssh:
			return c.readWidevinePssh(field.bytes, 1, 2)
		case contentInitData:
			return c.readWidevinePssh(field.bytes, 2, 3)
		case contentWebM:
			fields, err := onceEach(field.bytes)
			if err != nil {
				return err
			}
			c.Persistent = fields[2].value == licenseOffline
			if header := fields[1].bytes; len(header) == len(drm.KID{}) {
				return c.name(drm.KID(header))
			}
			c.Unread = true
		case contentExisting: // no other keys than that license had
			c.ofLicense = true
			return c.readExisting(field.bytes)
		default:
			c.Unread = true
		}
	}
	return nil
}

// readExisting notes which license is named, and whether it says that it is one for streaming. What says neither may be renewed, what cannot be
// read may not: another reader may find the name of a license in it.
func (c *Challenge) readExisting(existing []byte) error {
	license, err := onceEach(existing)
	if err != nil {
		return err
	}
	id, err := onceEach(license[1].bytes)
	if err != nil {
		return err
	}
	c.Streams = id[idType].wire == wireVarint && id[idType].value == licenseStreaming
	c.LicenseID = nameOfLicense(license[1].bytes)
	return nil
}

// readWidevinePssh reads initialization data in the fields numbered data, with or without its box, and the kind of license.
func (c *Challenge) readWidevinePssh(b []byte, data, kind uint64) error {
	return eachField(b, func(f wireField) error {
		switch {
		case f.number == kind && f.wire == wireVarint:
			c.Persistent = c.Persistent || f.value == licenseOffline
		case f.number == data && f.wire == wireBytes:
			return c.nameInit(f.bytes)
		}
		return nil
	})
}

// nameInit notes the keys in initialization data. Data that names none, or content besides, leaves it to the server what is asked for.
func (c *Challenge) nameInit(b []byte) error {
	if len(b) < 8 || string(b[4:8]) != "pssh" {
		return c.nameWidevine(b)
	}
	boxes, err := drm.ParsePsshs(b)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if err := c.name(box.KIDs...); err != nil {
			return err
		}
		if box.System != drm.SystemWidevine {
			continue
		}
		if err := c.nameWidevine(box.Data); err != nil {
			return err
		}
	}
	return nil
}

func (c *Challenge) nameWidevine(data []byte) error {
	init, err := drm.ParseWidevineInit(data)
	if err != nil {
		return err
	}
	if len(init.KIDs) == 0 {
		c.Unread = true
	}
	if err := c.name(init.KIDs...); err != nil {
		return err
	}
	return eachField(data, func(f wireField) error {
		if f.number >= 64 || initFields&(1<<f.number) == 0 {
			c.Unread = true
		}
		return nil
	})
}

// initFields are the fields of WidevinePsshData that say no more than which keys are meant and how they are used: algorithm, key IDs,
// provider, track type, crypto period and its length, and the scheme. Others name content, a policy, or groups of keys.
const initFields = 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<7 | 1<<9 | 1<<10

// Wire types of Protocol Buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

type wireField struct {
	number, wire, value uint64
	bytes               []byte
}

// onceEach returns the fields of a message by their numbers, and refuses one in which a field stands twice.
func onceEach(b []byte) (map[uint64]wireField, error) {
	fields := make(map[uint64]wireField)
	err := eachField(b, func(f wireField) error {
		if _, twice := fields[f.number]; twice {
			return fmt.Errorf("%w: %d", errTwice, f.number)
		}
		fields[f.number] = f
		return nil
	})
	return fields, err
}

// eachField visits the fields of a message in their order.
func eachField(b []byte, visit func(wireField) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 {
			return errWire
		}
		f := wireField{number: tag >> 3, wire: tag & 7}
		b = b[n:]
		switch f.wire {
		case wireVarint:
			if f.value, n = binary.Uvarint(b); n <= 0 {
				return errWire
			}
			b = b[n:]
		case wireBytes:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return errWire
			}
			f.bytes, b = b[n:n+int(size)], b[n+int(size):]
		case wire32, wire64:
			size := 4
			if f.wire == wire64 {
				size = 8
			}
			if len(b) < size {
				return errWire
			}
			b = b[size:]
		default:
			return errWire
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}
