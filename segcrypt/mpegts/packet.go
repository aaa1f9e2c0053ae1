package mpegts

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/caddy-drm/caddy-drm/segcrypt"
)

const (
	packetSize = 188
	headerSize = 4
	syncByte   = 0x47
	maxPayload = packetSize - headerSize
	nullPID    = 0x1FFF
)

var (
	errSync        = errors.New("no packet begins here")
	errTransport   = errors.New("the packet is marked as damaged")
	errAdaptation  = errors.New("an adaptation field has a length out of range")
	errLength      = errors.New("the segment does not consist of whole packets")
	errNoProgram   = errors.New("no program association or program map table")
	errPSI         = errors.New("a program table has a value out of range")
	errPSISize     = errors.New("a program table that does not fit into one packet is not supported")
	errPSIChecksum = errors.New("the checksum of a program table is wrong")
	errPSIChanges  = errors.New("the program changes in the middle of the segment")
	errPrograms    = errors.New("more than one program")
	errNothing     = errors.New("no stream that could be protected")
)

// packet is one transport stream packet (13818-1, 2.4.3.2), a slice of the segment.
type packet struct {
	b       []byte
	payload int // offset of the payload, packetSize if there is none
}

// parsePacket reads header and adaptation field of the packet at the start of b, which holds at least one.
func parsePacket(b []byte) (packet, error) {
	p := packet{b: b[:packetSize:packetSize], payload: headerSize}
	switch {
	case b[0] != syncByte:
		return packet{}, errSync
	case b[1]&0x80 != 0:
		return packet{}, errTransport
	case b[3]&0xC0 != 0: // transport_scrambling_control
		return packet{}, segcrypt.ErrAlreadyProtected
	}
	switch b[3] >> 4 & 3 { // adaptation_field_control
	case 0: // reserved
		return packet{}, errAdaptation
	case 2:
		if b[4] != maxPayload-1 {
			return packet{}, errAdaptation
		}
		p.payload = packetSize
	case 3:
		if b[4] > maxPayload-2 { // there is a byte of payload, at least
			return packet{}, errAdaptation
		}
		p.payload += 1 + int(b[4])
	}
	if p.adaptationSize() > p.payload-headerSize {
		return packet{}, errAdaptation
	}
	return p, nil
}

func (p packet) pid() uint16      { return uint16(p.b[1]&0x1F)<<8 | uint16(p.b[2]) }
func (p packet) starts() bool     { return p.b[1]&0x40 != 0 } // payload_unit_start_indicator
func (p packet) continuity() byte { return p.b[3] & 15 }
func (p packet) hasPayload() bool { return p.payload < packetSize }
func (p packet) space() int       { return packetSize - p.payload }

// adaptationSize returns the size of the adaptation field without its stuffing, with the byte of its length; 0 if there is no
// field, or nothing in it but stuffing. It may be more than the field has room for: parsePacket refuses that.
//
//	length 8 | flags 8 | [PCR 48] [OPCR 48] [splice countdown 8] [length 8, private data] [length 8, extension] | stuffing
func (p packet) adaptationSize() int {
	if p.b[3]&0x20 == 0 || p.b[4] == 0 || p.b[5] == 0 {
		return 0
	}
	flags, size := p.b[5], 2
	if flags&0x10 != 0 {
		size += 6
	}
	if flags&0x08 != 0 {
		size += 6
	}
	if flags&0x04 != 0 {
		size++
	}
	for _, flag := range [...]byte{0x02, 0x01} {
		if flags&flag != 0 {
			if headerSize+size >= packetSize {
				return packetSize
			}
			size += 1 + int(p.b[headerSize+size])
		}
	}
	return size
}

// repeats reports whether p is the packet before it sent once more, as 13818-1, 2.4.3.3, allows.
func (p packet) repeats(before packet) bool {
	return before.b != nil && p.continuity() == before.continuity() && bytes.Equal(p.b[p.payload:], before.b[before.payload:])
}

// formatError says where in the segment a rule is broken.
func formatError(path string, offset int, err error) error {
	return &segcrypt.FormatError{Path: path, Offset: int64(offset), Err: err}
}

func pidPath(pid uint16) string { return fmt.Sprintf("pid %d", pid) }
