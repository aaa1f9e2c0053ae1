package mpegts

import "slices"

// output is how far a stream has been written.
type output struct {
	packet    int    // index in pes
	left      int    // packets of the clear PES packet that are still to come
	remaining int    // bytes of the protected PES packet that are still to be written
	reserve   int    // of these, for the packets that even out the continuity counter
	header    []byte // of the PES packet, what is left of it
	pos       int    // in es
	edits     []edit
	shift     int // packets added less packets left out
	last      packet
}

// counterPeriod is after how many packets a continuity counter has the same value again.
const counterPeriod = 16

// layOut settles the sizes of the PES packets, and returns by how many bytes the segment may grow.
func (st *stream) layOut() int {
	edits, added := st.edits, 0
	for i := range st.pes {
		p := &st.pes[i]
		size := p.to - p.from
		for len(edits) > 0 && int(edits[0].pos) < p.to {
			e := edits[0]
			if e.drop == 0 {
				size++
				edits = edits[1:]
				continue
			}
			end := int(e.pos + e.drop)
			size -= min(end, p.to) - max(int(e.pos), p.from)
			if end > p.to {
				break // it goes on in the next one
			}
			edits = edits[1:]
		}
		header := st.headers[p.header:p.end]
		p.size = len(header) + size
		if header[4]|header[5] != 0 {
			length := p.size - pesLengthEnd
			if length > 0xFFFF {
				length = 0 // up to the next one, which video may say
			}
			header[4], header[5] = byte(length>>8), byte(length)
		}
		added += packetsOf(p.size - p.room - p.lastRoom)
	}
	st.out = output{packet: -1, edits: st.edits}
	return (added + counterPeriod + 2) * packetSize
}

// packetsFor returns how many packets with payload the last PES packet of the stream takes if it has a size.
func (st *stream) packetsFor(size int) int {
	n := 0
	for ; n < len(st.rooms) && size > 0; n++ {
		if n < len(st.rooms)-1 {
			size -= int(st.rooms[n])
		} else {
			size -= st.pes[len(st.pes)-1].lastRoom
		}
	}
	return n + packetsOf(size)
}

// packetsOf returns how many packets without adaptation field a number of bytes takes, none if it is negative.
func packetsOf(size int) int { return (max(size, 0) + maxPayload - 1) / maxPayload }

// evenOut returns for how many packets of one byte the last PES packet has to leave bytes, so that the number of packets added
// to the stream is a multiple of 16; 0 if it is too short for that. The PES header is not among these bytes.
func (st *stream) evenOut() int {
	p := &st.pes[len(st.pes)-1]
	for reserve := range max(0, min(counterPeriod+2, p.size-(p.end-p.header))) {
		if (st.out.shift+st.packetsFor(p.size-reserve)-len(st.rooms)+reserve)%counterPeriod == 0 {
			return reserve
		}
	}
	return 0
}

// write appends the protected segment to dst.
func (s *segment) write(dst, in []byte) ([]byte, error) {
	pmt, err := s.protectPMT()
	if err != nil {
		return nil, err
	}
	size := len(in)
	for i := range s.streams {
		size += s.streams[i].layOut()
	}
	dst = slices.Grow(dst, size)
	for offset := 0; offset < len(in); offset += packetSize {
		p, err := parsePacket(in[offset:])
		if err != nil {
			return nil, formatError("packet", offset, err)
		}
		switch r := s.routes[p.pid()]; {
		case r == routeDrop:
		case r == routePMT && p.hasPayload():
			dst = appendPMT(dst, p, pmt)
			if dst == nil {
				return nil, formatError("pmt", offset, errPSISize)
			}
		case r < routeStream:
			dst = append(dst, p.b...)
		default:
			dst = s.streams[r-routeStream].writePacket(dst, p)
		}
	}
	return dst, nil
}

// appendPMT writes the section in place of that of p, nil if it does not fit in there.
func appendPMT(dst []byte, p packet, pmt []byte) []byte {
	head := p.head()
	if len(head.bytes())+1+len(pmt) > packetSize {
		return nil
	}
	end := len(dst) + packetSize
	dst = append(dst, head.bytes()...)
	dst = append(dst, 0) // pointer_field
	dst = append(dst, pmt...)
	for len(dst) < end {
		dst = append(dst, 0xFF)
	}
	return dst
}

// writePacket appends what stands in the protected segment in place of p.
func (st *stream) writePacket(dst []byte, p packet) []byte {
	o := &st.out
	if !p.hasPayload() {
		dst = append(dst, p.b...)
		dst[len(dst)-packetSize+3] = o.control(p)
		return dst
	}
	if p.repeats(o.last) {
		return dst
	}
	o.last = p
	if p.starts() {
		st.startPES()
	}
	o.left--
	last := o.left == 0
	available := o.remaining - o.reserve
	if n := p.space(); available == n || available > n && !last {
		dst = append(dst, p.b[:p.payload]...)
		dst[len(dst)-p.payload+3] = o.control(p)
		dst = st.appendPayload(dst, n)
	} else {
		dst = st.rebuild(dst, p, available)
	}
	if last {
		dst = st.writeExtra(dst, p)
	}
	return dst
}

func (st *stream) startPES() {
	o := &st.out
	o.packet++
	p := &st.pes[o.packet]
	o.left, o.remaining, o.reserve = p.packets, p.size, 0
	o.header = st.headers[p.header:p.end]
	if o.packet == len(st.pes)-1 {
		o.reserve = st.evenOut()
	}
}

// rebuild appends p with other stuffing, so that it takes the bytes that are available, or as many as it can.
func (st *stream) rebuild(dst []byte, p packet, available int) []byte {
	o, head := &st.out, p.head()
	if available == 0 {
		o.shift-- // the counter stands still in packets without payload
		if len(head.bytes()) == headerSize {
			return dst
		}
	}
	head.b[3] = head.b[3]&0x30 | o.control(p)&15
	n := min(available, packetSize-len(head.bytes()))
	dst = head.append(dst, n)
	return st.appendPayload(dst, n)
}

// writeExtra appends the packets that a PES packet takes beyond those it had.
func (st *stream) writeExtra(dst []byte, p packet) []byte {
	o := &st.out
	for o.remaining > 0 {
		n := 1
		if o.remaining > o.reserve {
			n = min(o.remaining-o.reserve, maxPayload)
		} else {
			o.reserve--
		}
		o.shift++
		h := head{size: headerSize}
		h.b = [packetSize]byte{syncByte, p.b[1] &^ 0x40, p.b[2], 0x10 | (p.continuity()+byte(o.shift))&15}
		dst = h.append(dst, n)
		dst = st.appendPayload(dst, n)
	}
	return dst
}

// control returns the byte of p with the continuity counter, moved on by the packets that were added.
func (o *output) control(p packet) byte {
	return p.b[3]&0xF0 | (p.continuity()+byte(o.shift))&15
}

// appendPayload appends the next n bytes of the PES packet.
func (st *stream) appendPayload(dst []byte, n int) []byte {
	o := &st.out
	o.remaining -= n
	if h := min(n, len(o.header)); h > 0 {
		dst = append(dst, o.header[:h]...)
		o.header, n = o.header[h:], n-h
	}
	for n > 0 {
		run := len(st.es) - o.pos
		if len(o.edits) > 0 {
			run = int(o.edits[0].pos) - o.pos
		}
		if run == 0 {
			e := o.edits[0]
			o.edits = o.edits[1:]
			if e.drop == 0 {
				dst = append(dst, 3) // emulation_prevention_three_byte
				n--
			}
			o.pos += int(e.drop)
			continue
		}
		run = min(run, n)
		dst = append(dst, st.es[o.pos:o.pos+run]...)
		o.pos, n = o.pos+run, n-run
	}
	return dst
}

// head is the start of a packet: header and adaptation field, without stuffing.
type head struct {
	b    [packetSize]byte
	size int
}

func (p packet) head() head {
	h := head{size: headerSize + p.adaptationSize()}
	copy(h.b[:h.size], p.b)
	if h.size == headerSize {
		h.b[3] = h.b[3]&0x0F | 0x10
	} else {
		h.b[4] = byte(h.size - headerSize - 1)
	}
	return h
}

func (h *head) bytes() []byte { return h.b[:h.size] }

// append writes the head with as much stuffing as leaves room for n bytes of payload (13818-1, 2.4.3.5).
func (h *head) append(dst []byte, n int) []byte {
	stuffing := packetSize - h.size - n
	if stuffing > 0 {
		if h.size == headerSize { // there is no adaptation field yet
			h.b[4] = 0
			h.size++
			if stuffing--; stuffing > 0 {
				h.b[5] = 0 // flags
				h.size++
				stuffing--
			}
		}
		h.b[4] = byte(h.size + stuffing - headerSize - 1)
		for i := h.size; i < h.size+stuffing; i++ {
			h.b[i] = 0xFF
		}
		h.size += stuffing
	}
	h.b[3] &^= 0x30
	if h.size > headerSize {
		h.b[3] |= 0x20
	}
	if n > 0 {
		h.b[3] |= 0x10
	}
	return append(dst, h.bytes()...)
}
