package mpegts

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// What follows reads segments as a player does, and shares no code with the package: packets, PES packets, the decoder's side of
// SAMPLE-AES.

// readStream is an elementary stream as a player finds it.
type readStream struct {
	streamType  byte
	descriptors []byte
	pes         []readPES
	packets     int
	counters    []byte // continuity counter of every packet with payload
	stray       bool   // a packet without payload has another counter than the one before
	last        []byte // packet with payload
	lastPayload []byte
	adaptation  []byte // fields without stuffing, of all packets, one behind the other
}

// passes reports whether the stream is neither audio nor video.
func (st *readStream) passes() bool {
	for d := st.descriptors; st.streamType == 6 && len(d) > 0; d = d[2+d[1]:] {
		if d[0] == 0x6A || d[0] == 0x7A { // AC-3 and E-AC-3 of DVB
			return false
		}
	}
	return bytes.IndexByte([]byte{5, 6, 0x15, 0x86}, st.streamType) >= 0
}

type readPES struct{ header, data []byte }

func (st *readStream) es() []byte {
	var b []byte
	for _, p := range st.pes {
		b = append(b, p.data...)
	}
	return b
}

// readSegment is a transport stream taken apart.
type readSegment struct {
	streams map[uint16]*readStream
	pcrPID  uint16
}

func mpegCRC(b []byte) uint32 {
	crc := uint32(0xFFFFFFFF)
	for _, x := range b {
		for bit := 7; bit >= 0; bit-- {
			high := crc>>31 ^ uint32(x>>bit&1)
			crc <<= 1
			if high != 0 {
				crc ^= 0x04C11DB7
			}
		}
	}
	return crc
}

// usedAdaptation returns what is in an adaptation field besides stuffing, without its length.
func usedAdaptation(field []byte) []byte {
	if len(field) == 0 || field[0] == 0 {
		return nil
	}
	end := 1
	for bit, size := range map[byte]int{0x10: 6, 0x08: 6, 0x04: 1} {
		if field[0]&bit != 0 {
			end += size
		}
	}
	for _, bit := range []byte{2, 1} { // private data, extension
		if field[0]&bit != 0 {
			end += 1 + int(field[end])
		}
	}
	return field[:end]
}

func readTS(b []byte) (*readSegment, error) {
	s := &readSegment{streams: map[uint16]*readStream{}}
	pmtPID := uint16(0xFFFF)
	for _, pass := range []func(pid uint16, p, field, payload []byte) error{
		func(pid uint16, _, _, payload []byte) error { // tables, wherever they stand
			switch {
			case len(payload) == 0:
			case pid == 0:
				for list := payload[9 : 1+3+int(payload[3])-4]; len(list) > 0; list = list[4:] {
					if list[0] != 0 || list[1] != 0 {
						pmtPID = binary.BigEndian.Uint16(list[2:]) & 0x1FFF
					}
				}
			case pid == pmtPID:
				return s.readPMT(payload[1:])
			}
			return nil
		},
		func(pid uint16, p, field, payload []byte) error {
			st := s.streams[pid]
			if st == nil || len(payload) > 0 && st.last != nil && p[3]&15 == st.last[3]&15 && bytes.Equal(payload, st.lastPayload) {
				return nil // of no stream, or sent twice
			}
			if len(payload) > 0 {
				st.last, st.lastPayload = p, payload
			}
			st.adaptation = append(st.adaptation, usedAdaptation(field)...)
			return st.add(p[1]&0x40 != 0, p[3], payload)
		},
	} {
		if err := readPackets(b, pass); err != nil {
			return nil, err
		}
	}
	for pid, st := range s.streams {
		for i := range st.pes {
			p := &st.pes[i]
			if st.passes() {
				continue
			} else if len(p.data) < 9 || len(p.data) < 9+int(p.data[8]) {
				return nil, fmt.Errorf("pid %d: PES packet %d ends in its header", pid, i)
			}
			p.header, p.data = p.data[:9+int(p.data[8])], p.data[9+int(p.data[8]):]
			if want := binary.BigEndian.Uint16(p.header[4:]); want != 0 && int(want) != len(p.header)-6+len(p.data) {
				return nil, fmt.Errorf("pid %d: PES packet %d says %d bytes, has %d", pid, i, want, len(p.header)-6+len(p.data))
			}
		}
	}
	return s, nil
}

// readPackets takes packets apart.
func readPackets(b []byte, packet func(pid uint16, p, field, payload []byte) error) error {
	for ; len(b) > 0; b = b[188:] {
		if len(b) < 188 || b[0] != 0x47 {
			return errors.New("lost sync")
		}
		payload := b[4:188]
		var field []byte
		if b[3]&0x20 != 0 {
			if int(payload[0]) > 183 {
				return errors.New("adaptation field too long")
			}
			field, payload = payload[1:1+payload[0]], payload[1+payload[0]:]
		}
		if (b[3]&0x10 != 0) != (len(payload) > 0) {
			return errors.New("bytes that nothing speaks of, or a payload that is not there")
		}
		pid := binary.BigEndian.Uint16(b[1:]) & 0x1FFF
		if err := packet(pid, b[:188], field, payload); err != nil {
			return fmt.Errorf("pid %d: %w", pid, err)
		}
	}
	return nil
}

func (s *readSegment) readPMT(b []byte) error {
	size := 3 + int(b[1]&15)<<8 + int(b[2])
	if mpegCRC(b[:size]) != 0 {
		return errors.New("checksum of the PMT")
	}
	s.pcrPID = binary.BigEndian.Uint16(b[8:]) & 0x1FFF
	list := b[12+binary.BigEndian.Uint16(b[10:])&0xFFF : size-4]
	for len(list) > 0 {
		pid, n := binary.BigEndian.Uint16(list[1:])&0x1FFF, int(binary.BigEndian.Uint16(list[3:])&0xFFF)
		if s.streams[pid] == nil {
			s.streams[pid] = &readStream{streamType: list[0], descriptors: list[5 : 5+n]}
		}
		list = list[5+n:]
	}
	return nil
}

func (st *readStream) add(start bool, control byte, payload []byte) error {
	st.packets++
	if control&0x10 == 0 {
		st.stray = st.stray || len(st.counters) > 0 && control&15 != st.counters[len(st.counters)-1]
		return nil
	}
	st.counters = append(st.counters, control&15)
	if start || st.passes() && len(st.pes) == 0 {
		st.pes = append(st.pes, readPES{data: bytes.Clone(payload)})
		return nil
	}
	if len(st.pes) == 0 {
		return errors.New("no PES packet")
	}
	last := &st.pes[len(st.pes)-1]
	last.data = append(last.data, payload...)
	return nil
}

// splitNALs returns the NAL units of a byte stream, without the zeros behind them.
func splitNALs(es []byte) [][]byte {
	var nals [][]byte
	for _, part := range bytes.Split(es, []byte{0, 0, 1})[1:] {
		nals = append(nals, bytes.TrimRight(part, "\x00"))
	}
	return nals
}

func unescape(nal []byte) []byte {
	var out []byte
	zeros := 0
	for _, x := range nal {
		if zeros >= 2 && x == 3 {
			zeros = 0
			continue
		}
		zeros++
		if x != 0 {
			zeros = 0
		}
		out = append(out, x)
	}
	return out
}

// decryptNAL is the decoder's side of SAMPLE-AES for video.
func decryptNAL(nal []byte, key, iv []byte) []byte {
	if kind := nal[0] & 31; kind != 1 && kind != 5 || len(nal) <= 48 {
		return nal
	}
	nal = unescape(nal)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	mode := cipher.NewCBCDecrypter(block, iv)
	for rest := nal[32:]; len(rest) > 0; {
		if len(rest) > 16 {
			mode.CryptBlocks(rest[:16], rest[:16])
			rest = rest[16:]
		}
		rest = rest[min(144, len(rest)):]
	}
	return nal
}

// frameSizes are those of the frames of an audio stream, by header size and total size.
func audioFrames(es []byte) (headers, sizes []int, err error) {
	for len(es) > 0 {
		var header, size int
		switch {
		case len(es) < 6:
			return nil, nil, errors.New("rest of a frame")
		case es[0] == 0xFF && es[1]&0xF6 == 0xF0:
			header, size = 9-2*int(es[1]&1), int(binary.BigEndian.Uint32(es[2:])>>5&0x1FFF)
		case es[0] == 0x0B && es[5]>>3 > 10:
			size = 2 * (int(binary.BigEndian.Uint16(es[2:])&0x7FF) + 1)
		case es[0] == 0x0B:
			rate := []int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}[es[4]&63/2]
			size = []int{rate * 4, (rate*320/147 + int(es[4]&1)) * 2, rate * 6}[es[4]>>6]
		default:
			return nil, nil, errors.New("no frame")
		}
		if size == 0 || size > len(es) {
			return nil, nil, errors.New("frame size")
		}
		headers, sizes = append(headers, header), append(sizes, size)
		es = es[size:]
	}
	return headers, sizes, nil
}

// decryptAudio is the decoder's side of SAMPLE-AES for audio.
func decryptAudio(es, key, iv []byte) ([]byte, error) {
	es = bytes.Clone(es)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	headers, sizes, err := audioFrames(es)
	if err != nil {
		return nil, err
	}
	rest := es
	for i, size := range sizes {
		if n := (size - headers[i] - 16) / 16 * 16; n > 0 {
			run := rest[headers[i]+16 : headers[i]+16+n]
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(run, run)
		}
		rest = rest[size:]
	}
	return es, nil
}
