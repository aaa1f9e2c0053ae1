package mpegts

import (
	"encoding/binary"

	"github.com/caddy-drm/caddy-drm/segcrypt/internal/audioframe"
)

// protectedForms are what a PMT says of encrypted streams (SAMPLE-AES, 2.3.3).
var protectedForms = map[audioframe.Codec]struct {
	streamType byte
	indicator  string // of the private_data_indicator_descriptor
}{
	0:               {typeProtectedAVC, "zavc"},
	audioframe.AAC:  {typeProtectedAAC, "aacd"},
	audioframe.AC3:  {typeProtectedAC3, "ac3d"},
	audioframe.EAC3: {typeProtectedEAC3, "ec3d"},
}

// protectPMT returns the section of the PMT that describes the streams as encrypted. Streams without a frame in the segment
// get no audio_setup_information: there is nothing to take it from, and nothing to decode.
func (s *segment) protectPMT() ([]byte, error) {
	m := &s.program
	out := make([]byte, 0, maxPayload)
	out = append(out, m.section[:sectionHeader+4+m.info]...)
	for i := range m.entries {
		e := &m.entries[i]
		if e.kind == kindPass {
			out = appendEntry(out, e.streamType, e.pid, e.descriptors)
			continue
		}
		form := protectedForms[e.codec]
		descriptors := e.keptDescriptors()
		descriptors = append(descriptors, tagPrivateDataIndicator, byte(len(form.indicator)))
		descriptors = append(descriptors, form.indicator...)
		if st := &s.streams[s.byEntry[i]]; e.kind == kindAudio && len(st.es) > 0 {
			setup, err := audioframe.Setup([]byte("apad"), e.codec, st.es)
			if err != nil {
				return nil, formatError(pidPath(e.pid), st.pes[0].offset, err)
			}
			descriptors = append(descriptors, tagRegistration, byte(len(setup)))
			descriptors = append(descriptors, setup...)
		}
		out = appendEntry(out, form.streamType, e.pid, descriptors)
	}
	if len(out)+crcSize > maxPayload-1 { // the pointer_field stands in front
		return nil, formatError("pmt", s.pmtOffset, errPSISize)
	}
	binary.BigEndian.PutUint16(out[1:], uint16(out[1]&0xF0)<<8|uint16(len(out)+crcSize-3))
	return binary.BigEndian.AppendUint32(out, crc32(out)), nil
}

func appendEntry(out []byte, streamType byte, pid uint16, descriptors []byte) []byte {
	out = append(out, streamType)
	out = binary.BigEndian.AppendUint16(out, 0xE000|pid)
	out = binary.BigEndian.AppendUint16(out, 0xF000|uint16(len(descriptors)))
	return append(out, descriptors...)
}

// keptDescriptors returns the descriptors of the clear stream that also hold for the encrypted one: all but a private data
// indicator, and a registration of audio, which name the clear form and which the protected form has of its own.
func (e *entry) keptDescriptors() []byte {
	var kept []byte
	for b := e.descriptors; len(b) > 0; {
		size := 2 + int(b[1])
		if b[0] != tagPrivateDataIndicator && (b[0] != tagRegistration || e.kind != kindAudio) {
			kept = append(kept, b[:size]...)
		}
		b = b[size:]
	}
	return kept
}

// crcTable is that of the polynomial 0x04C11DB7, most significant bit first (13818-1, Annex A).
var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			c = c<<1 ^ 0x04C11DB7*(c>>31)
		}
		t[i] = c
	}
	return t
}()

// crc32 returns the CRC_32 of a section. Over a section with its checksum it is zero.
func crc32(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^x]
	}
	return c
}
