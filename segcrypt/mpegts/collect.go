package mpegts

import (
	"bytes"
	"errors"
	"slices"

	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// route says what is done with the packets of a PID.
type route uint8

const (
	routeDrop   route = iota // belongs to nothing that a player would look at
	routePass                // leaves as it came
	routeClock               // leaves as it came if it carries a PCR and nothing else
	routePAT                 // leaves as it came if it is the PAT found first
	routePMT                 // is rewritten if it is the PMT found first
	routeStream              // and above: streams[route-routeStream] is protected
)

// segment is what is known of a segment on its way through the package.
type segment struct {
	pat       []byte
	program   programMap
	pmtOffset int
	routes    [nullPID + 1]route
	byEntry   []int // index in streams by that of the program's entries, for those that are protected
	streams   []stream
}

// stream is a protected elementary stream, PES headers apart.
type stream struct {
	entry   *entry
	es      []byte
	headers []byte // of all PES packets, one behind the other
	pes     []pesPacket
	slices  []slice
	edits   []edit
	rooms   []uint8 // payload of each packet of the last PES packet
	last    packet  // with payload
	missing int     // bytes of the PES header that is being read
	sized   bool    // whether missing counts up to the end of the header, and not of its fixed part only
	out     output
}

// pesPacket is where the parts of a PES packet are.
type pesPacket struct {
	offset      int // in the segment, of its first packet
	header, end int // in headers
	from, to    int // in es
	size        int // in the protected segment, with its header
	packets     int // with payload
	room        int // payload of all of these but the last
	lastRoom    int // payload of the last one once its stuffing is gone
}

// PES packets (13818-1, 2.4.3.6 and 2.4.3.7):
//
//	0x000001 24 | stream_id 8 | PES_packet_length 16 | '10' | scrambling 2 | flags 12 | PES_header_data_length 8 | header data
const (
	pesFixed     = 9
	pesLengthEnd = 6
	pesCRCFlag   = 0x02
)

var (
	errNoPES     = errors.New("the stream does not begin with a PES packet: it belongs to one of another segment")
	errPES       = errors.New("a PES header has a value out of range")
	errPESLength = errors.New("a PES packet is not as long as it says")
	errPESCRC    = errors.New("PES packets with checksums are not supported")
	errClock     = errors.New("the PID of the program's clock carries a stream that is not listed")
)

// findProgram reads the first PAT and the first PMT, and decides about all PIDs.
func (s *segment) findProgram(in []byte) error {
	pmtPID := uint16(patPID)
	for offset := 0; offset < len(in); offset += packetSize {
		p, err := parsePacket(in[offset:])
		if err != nil {
			return formatError("packet", offset, err)
		}
		if !p.hasPayload() || p.pid() != pmtPID {
			continue
		}
		if pmtPID == patPID {
			if s.pat, err = section(p, patTable); err == nil {
				pmtPID, err = parsePAT(s.pat)
			}
			if err != nil {
				return formatError("pat", offset, err)
			}
			continue
		}
		pmt, err := section(p, pmtTable)
		if err == nil {
			s.program, err = parsePMT(pmt)
		}
		if err == nil {
			err = s.setRoutes(pmtPID, len(in))
		}
		if err != nil {
			return formatError("pmt", offset, err)
		}
		s.pmtOffset = offset
		return nil
	}
	return formatError("segment", 0, errNoProgram)
}

// setRoutes decides about all PIDs. Room is made for one stream of video as long as the segment.
func (s *segment) setRoutes(pmtPID uint16, size int) error {
	clear(s.routes[:])
	s.routes[patPID], s.routes[pmtPID] = routePAT, routePMT
	s.byEntry, s.streams = s.byEntry[:0], s.streams[:0]
	for i := range s.program.entries {
		e := &s.program.entries[i]
		if s.routes[e.pid] != routeDrop {
			return errPSI // two meanings of one PID
		}
		s.byEntry = append(s.byEntry, len(s.streams))
		if e.kind == kindPass {
			s.routes[e.pid] = routePass
			continue
		}
		s.routes[e.pid] = routeStream + route(len(s.streams))
		st := s.addStream(e)
		if e.kind == kindAVC && len(s.streams) == 1 {
			st.es = slices.Grow(st.es, size)
		}
	}
	if len(s.streams) == 0 {
		return errNothing
	}
	if pcr := s.program.pcrPID; pcr != nullPID && s.routes[pcr] == routeDrop {
		s.routes[pcr] = routeClock
	}
	return nil
}

// addStream makes room for one more stream, in the buffers of a segment before if there are any.
func (s *segment) addStream(e *entry) *stream {
	if len(s.streams) < cap(s.streams) {
		s.streams = s.streams[:len(s.streams)+1]
	} else {
		s.streams = append(s.streams, stream{})
	}
	st := &s.streams[len(s.streams)-1]
	*st = stream{
		entry: e, es: st.es[:0], headers: st.headers[:0], pes: st.pes[:0], slices: st.slices[:0], edits: st.edits[:0], rooms: st.rooms[:0],
	}
	return st
}

// collect takes the protected streams out of their packets, and checks all others.
func (s *segment) collect(in []byte) error {
	for offset := 0; offset < len(in); offset += packetSize {
		p, err := parsePacket(in[offset:])
		if err != nil {
			return formatError("packet", offset, err)
		}
		if !p.hasPayload() {
			continue
		}
		switch r := s.routes[p.pid()]; r {
		case routeDrop, routePass:
		case routeClock:
			return formatError(pidPath(p.pid()), offset, errClock)
		case routePAT:
			err = sameSection(p, patTable, s.pat)
		case routePMT:
			err = sameSection(p, pmtTable, s.program.section)
		default:
			err = s.streams[r-routeStream].add(p, offset)
		}
		if err != nil {
			return formatError(pidPath(p.pid()), offset, err)
		}
	}
	for i := range s.streams {
		if err := s.streams[i].finishPES(); err != nil {
			return formatError(pidPath(s.streams[i].entry.pid), s.streams[i].pes[len(s.streams[i].pes)-1].offset, err)
		}
	}
	return nil
}

func sameSection(p packet, table byte, want []byte) error {
	got, err := section(p, table)
	if err == nil && !bytes.Equal(got, want) {
		err = errPSIChanges
	}
	return err
}

// add takes over the payload of a packet.
func (st *stream) add(p packet, offset int) error {
	if p.repeats(st.last) {
		return nil
	}
	if p.starts() {
		if err := st.finishPES(); err != nil {
			return err
		}
		st.pes = append(st.pes, pesPacket{offset: offset, header: len(st.headers), from: len(st.es)})
		st.missing, st.sized, st.rooms = pesFixed, false, st.rooms[:0]
	}
	st.last = p
	if len(st.pes) == 0 {
		return errNoPES
	}
	current := &st.pes[len(st.pes)-1]
	current.room += current.lastRoom
	current.packets++
	current.lastRoom = p.space()
	st.rooms = append(st.rooms, uint8(p.space()))
	payload := p.b[p.payload:]
	for st.missing > 0 && len(payload) > 0 {
		n := min(st.missing, len(payload))
		st.headers = append(st.headers, payload[:n]...)
		payload, st.missing = payload[n:], st.missing-n
		if st.missing == 0 && !st.sized {
			var err error
			if st.missing, err = checkPESHeader(st.headers[current.header:]); err != nil {
				return err
			}
			st.sized = true
		}
	}
	st.es = append(st.es, payload...)
	return nil
}

// checkPESHeader checks the fixed part of a PES header, and returns the number of bytes behind it.
func checkPESHeader(h []byte) (int, error) {
	if h[0] != 0 || h[1] != 0 || h[2] != 1 || !hasPESHeader(h[3]) || h[6]&0xC0 != 0x80 {
		return 0, errPES
	}
	if h[6]&0x30 != 0 { // PES_scrambling_control
		return 0, segcrypt.ErrAlreadyProtected
	}
	if h[7]&pesCRCFlag != 0 {
		return 0, errPESCRC
	}
	return int(h[8]), nil
}

// hasPESHeader reports whether PES packets with a stream_id carry media: audio, video, private_stream_1 and extended ids. Padding,
// maps, ECM and the like have no such header (13818-1, 2.4.3.7).
func hasPESHeader(streamID byte) bool {
	return streamID >= 0xC0 && streamID <= 0xEF || streamID == 0xBD || streamID == 0xFD
}

// finishPES ends the PES packet that is being read, if there is one.
func (st *stream) finishPES() error {
	if len(st.pes) == 0 {
		return nil
	}
	current := &st.pes[len(st.pes)-1]
	if st.missing > 0 {
		return errPESLength
	}
	current.end, current.to = len(st.headers), len(st.es)
	h := st.headers[current.header:current.end]
	// Zero means up to the next one, which only video should say.
	if length := int(h[4])<<8 | int(h[5]); length != 0 && length != len(h)-pesLengthEnd+current.to-current.from {
		return errPESLength
	}
	// What the last packet can hold without stuffing, the adaptation field apart.
	current.lastRoom = maxPayload - st.last.adaptationSize()
	return nil
}
