package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/caddy-drm/caddy-drm/segcrypt"
	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

// Table ids and descriptor tags (13818-1, 2.4.4.4 and 2.6; EN 300 468 from 0x40 on).
const (
	patTable, pmtTable = 0x00, 0x02

	tagRegistration         = 0x05
	tagConditionalAccess    = 0x09
	tagPrivateDataIndicator = 0x0F
	tagVBIData              = 0x45
	tagVBITeletext          = 0x46
	tagTeletext             = 0x56
	tagSubtitling           = 0x59
	tagAC3                  = 0x6A
	tagEnhancedAC3          = 0x7A
)

const (
	sectionHeader = 8 // up to last_section_number
	crcSize       = 4
	patPID        = 0
	firstFreePID  = 0x10
)

// section returns the one section that the payload of p begins with and ends after.
func section(p packet, table byte) ([]byte, error) {
	b := p.b[p.payload:]
	if !p.starts() || b[0] != 0 { // another section would end in front of this one
		return nil, errPSISize
	}
	b = b[1:]
	if len(b) < sectionHeader+crcSize || b[0] != table || b[1]&0x80 == 0 || b[5]&1 == 0 || b[6] != 0 || b[7] != 0 {
		return nil, errPSI
	}
	size := 3 + int(b[1]&15)<<8 + int(b[2])
	if size > len(b) {
		return nil, errPSISize
	}
	if size < sectionHeader+crcSize || len(bytes.TrimLeft(b[size:], "\xff")) > 0 {
		return nil, errPSI
	}
	if crc32(b[:size]) != 0 {
		return nil, errPSIChecksum
	}
	return b[:size], nil
}

// parsePAT returns the PID of the one program's map table (13818-1, 2.4.4.3).
func parsePAT(pat []byte) (uint16, error) {
	entries := pat[sectionHeader : len(pat)-crcSize]
	if len(entries)%4 != 0 {
		return 0, errPSI
	}
	pmtPID := uint16(0)
	for ; len(entries) > 0; entries = entries[4:] {
		pid := binary.BigEndian.Uint16(entries[2:]) & 0x1FFF
		switch {
		case binary.BigEndian.Uint16(entries) == 0: // the network information table
			continue
		case pmtPID != 0:
			return 0, errPrograms
		case pid < firstFreePID || pid == nullPID:
			return 0, errPSI
		}
		pmtPID = pid
	}
	if pmtPID == 0 {
		return 0, errNoProgram
	}
	return pmtPID, nil
}

// kind is what is done with the packets of a stream.
type kind uint8

const (
	kindPass kind = iota + 1
	kindAVC
	kindAudio
)

// entry is one stream of the PMT.
type entry struct {
	streamType  byte
	pid         uint16
	descriptors []byte
	kind        kind
	codec       audioframe.Codec // of kindAudio
}

// programMap is the PMT (13818-1, 2.4.4.8).
type programMap struct {
	section []byte
	pcrPID  uint16
	info    int // length of the descriptors of the program
	entries []entry
}

// parsePMT reads the program map table and decides about each of its streams.
func parsePMT(pmt []byte) (programMap, error) {
	m := programMap{section: pmt}
	b := pmt[sectionHeader : len(pmt)-crcSize]
	if len(b) < 4 {
		return programMap{}, errPSI
	}
	m.pcrPID = binary.BigEndian.Uint16(b) & 0x1FFF
	m.info = int(binary.BigEndian.Uint16(b[2:]) & 0xFFF)
	b = b[4:]
	if m.info > len(b) {
		return programMap{}, errPSI
	}
	if err := checkDescriptors(b[:m.info]); err != nil {
		return programMap{}, err
	}
	for b = b[m.info:]; len(b) > 0; {
		if len(b) < 5 {
			return programMap{}, errPSI
		}
		e := entry{streamType: b[0], pid: binary.BigEndian.Uint16(b[1:]) & 0x1FFF}
		size := int(binary.BigEndian.Uint16(b[3:]) & 0xFFF)
		if b = b[5:]; size > len(b) || e.pid < firstFreePID || e.pid == nullPID {
			return programMap{}, errPSI
		}
		e.descriptors, b = b[:size:size], b[size:]
		if err := checkDescriptors(e.descriptors); err != nil {
			return programMap{}, fmt.Errorf("pid %d: %w", e.pid, err)
		}
		if err := e.classify(); err != nil {
			return programMap{}, err
		}
		m.entries = append(m.entries, e)
	}
	return m, nil
}

// checkDescriptors refuses descriptors that do not fill their room, and those of conditional access.
func checkDescriptors(b []byte) error {
	for len(b) > 0 {
		if len(b) < 2 || int(b[1]) > len(b)-2 {
			return errPSI
		}
		if b[0] == tagConditionalAccess {
			return segcrypt.ErrAlreadyProtected
		}
		b = b[2+int(b[1]):]
	}
	return nil
}

// descriptor returns the body of the first descriptor with a tag. The descriptors have been checked.
func (e *entry) descriptor(tag byte) ([]byte, bool) {
	for b := e.descriptors; len(b) > 0; b = b[2+int(b[1]):] {
		if b[0] == tag {
			return b[2 : 2+int(b[1])], true
		}
	}
	return nil, false
}

// registration returns the format_identifier of the stream, "" if it has none.
func (e *entry) registration() string {
	if b, ok := e.descriptor(tagRegistration); ok && len(b) >= 4 {
		return string(b[:4])
	}
	return ""
}

// Stream types, clear (13818-1, table 2-34; ATSC A/53 for Dolby; SCTE 35) and encrypted (SAMPLE-AES, 2.3.3).
const (
	typePrivateSections   = 0x05
	typePrivatePES        = 0x06
	typeAAC               = 0x0F
	typeMetadata          = 0x15
	typeAVC               = 0x1B
	typeAC3               = 0x81
	typeSpliceInformation = 0x86
	typeEAC3              = 0x87

	typeProtectedAC3  = 0xC1
	typeProtectedEAC3 = 0xC2
	typeProtectedAAC  = 0xCF
	typeProtectedAVC  = 0xDB
)

// classify decides what is done with the stream. Only types that hold neither audio nor video for certain may pass.
func (e *entry) classify() error {
	audio := func(c audioframe.Codec) error {
		e.kind, e.codec = kindAudio, c
		return nil
	}
	switch e.streamType {
	case typeAVC:
		e.kind = kindAVC
		return nil
	case typeAAC:
		return audio(audioframe.AAC)
	case typeAC3:
		return audio(audioframe.AC3)
	case typeEAC3:
		return audio(audioframe.EAC3)
	case typeProtectedAVC, typeProtectedAAC, typeProtectedAC3, typeProtectedEAC3:
		return fmt.Errorf("pid %d, stream type 0x%02x: %w", e.pid, e.streamType, segcrypt.ErrAlreadyProtected)
	case typePrivateSections, typeMetadata, typeSpliceInformation:
		e.kind = kindPass
		return nil
	case typePrivatePES: // as DVB uses it; descriptors say what for
		if _, ok := e.descriptor(tagAC3); ok {
			return audio(audioframe.AC3)
		}
		if _, ok := e.descriptor(tagEnhancedAC3); ok {
			return audio(audioframe.EAC3)
		}
		for _, tag := range [...]byte{tagVBIData, tagVBITeletext, tagTeletext, tagSubtitling} {
			if _, ok := e.descriptor(tag); ok {
				e.kind = kindPass
				return nil
			}
		}
		if e.registration() == "KLVA" { // SMPTE RP 217
			e.kind = kindPass
			return nil
		}
	}
	return fmt.Errorf("pid %d: stream type 0x%02x has no form of SAMPLE-AES: %w", e.pid, e.streamType, segcrypt.ErrUnsupportedFormat)
}
