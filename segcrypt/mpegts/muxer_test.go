package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// muxStream is a stream for mux: what becomes one PES packet each, and how.
type muxStream struct {
	streamType  byte
	descriptors []byte
	pes         [][]byte
	sized       bool // PES_packet_length is given
	stuffing    int  // in every packet, besides what the last one needs
	clock       bool // PCR in the first packet of each PES packet
	clocks      bool // PCR in every packet
	headerData  []byte
	patch       func(packet []byte) // changes the first packet
}

const muxPMT, muxFirst = 0x100, 0x101

func psiPacket(pid uint16, sec []byte) []byte {
	p := []byte{0x47, 0x40 | byte(pid>>8), byte(pid), 0x10, 0}
	binary.BigEndian.PutUint16(sec[1:], 0xB000|uint16(len(sec)-3+4))
	p = append(p, sec...)
	p = binary.BigEndian.AppendUint32(p, mpegCRC(sec))
	return append(p, bytes.Repeat([]byte{0xFF}, 188-len(p))...)
}

func patPacket() []byte {
	return psiPacket(0, []byte{0, 0, 0, 0, 1, 0xC1, 0, 0, 0, 1, 0xE0 | muxPMT>>8, muxPMT & 0xFF})
}

func pmtPacket(streams []muxStream) []byte {
	sec := []byte{2, 0, 0, 0, 1, 0xC1, 0, 0, 0xE0 | muxFirst>>8, muxFirst & 0xFF, 0xF0, 0}
	for i, st := range streams {
		sec = append(sec, st.streamType, 0xE0|muxFirst>>8, byte(muxFirst&0xFF+i), 0xF0, byte(len(st.descriptors)))
		sec = append(sec, st.descriptors...)
	}
	return psiPacket(muxPMT, sec)
}

// mux writes PAT, PMT, and PES packets of the streams in turn, whose packets alternate.
func mux(streams ...muxStream) []byte {
	out := slices.Concat(patPacket(), pmtPacket(streams))
	queues := make([][][]byte, len(streams))
	for i := range streams {
		queues[i] = streams[i].packets(uint16(muxFirst + i))
	}
	for more := true; more; {
		more = false
		for i := range queues {
			if len(queues[i]) > 0 {
				out, queues[i], more = append(out, queues[i][0]...), queues[i][1:], true
			}
		}
	}
	return out
}

func (st *muxStream) packets(pid uint16) [][]byte {
	var out [][]byte
	for _, data := range st.pes {
		header := append([]byte{0, 0, 1, 0xE0, 0, 0, 0x80, 0, byte(len(st.headerData))}, st.headerData...)
		if st.sized {
			binary.BigEndian.PutUint16(header[4:], uint16(len(header)-6+len(data)))
		}
		rest := slices.Concat(header, data)
		for first := true; len(rest) > 0; first = false {
			field := []byte{} // flags and all, without the length
			if st.clock && first || st.clocks {
				field = []byte{0x10, 1, 2, 3, 4, 5, 6}
			}
			if st.stuffing > 0 {
				if len(field) == 0 {
					field = []byte{0}
				}
				field = append(field, bytes.Repeat([]byte{0xFF}, st.stuffing)...)
			}
			room := 184
			if len(field) > 0 {
				room = 183 - len(field)
			}
			n := min(room, len(rest))
			p := []byte{0x47, byte(pid >> 8), byte(pid), 0x10 | byte(len(out)&15)}
			if first {
				p[1] |= 0x40
			}
			if gap := room - n; gap > 0 || len(field) > 0 {
				p[3] |= 0x20
				if len(field) == 0 {
					if gap--; gap > 0 {
						field, gap = []byte{0}, gap-1
					}
				}
				field = append(field, bytes.Repeat([]byte{0xFF}, gap)...)
				p = append(append(p, byte(len(field))), field...)
			}
			out = append(out, append(p, rest[:n]...))
			rest = rest[n:]
		}
	}
	if st.patch != nil {
		st.patch(out[0])
	}
	return out
}

// testSlice returns a NAL unit of a slice that is full of what has to be escaped, and properly so.
func testSlice(rnd *rand.Rand, size int) []byte {
	nal := []byte{0x65}
	for len(nal) < size-1 {
		nal = append(nal, []byte{0, 0, 3, byte(rnd.IntN(4)), byte(rnd.IntN(256)), 0, 0, 3}[:1+rnd.IntN(8)]...)
	}
	escaped := []byte{}
	zeros := 0
	for _, x := range append(nal[:size-1], 0x80) {
		if zeros >= 2 && x <= 3 {
			escaped, zeros = append(escaped, 3), 0
		}
		zeros++
		if x != 0 {
			zeros = 0
		}
		escaped = append(escaped, x)
	}
	return escaped
}

// accessUnit returns slices of the sizes with start codes and, sometimes, zeros behind them.
func accessUnit(rnd *rand.Rand, sizes ...int) []byte {
	unit := []byte{0, 0, 0, 1, 9, 0xF0}
	for _, size := range sizes {
		unit = append(append(unit, [][]byte{{0, 0, 1}, {0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}}[rnd.IntN(3)]...), testSlice(rnd, size)...)
	}
	return append(unit, make([]byte, rnd.IntN(3))...)
}

// TestGrowth protects streams that grow by a lot, in every shape of packets.
func TestGrowth(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		video := muxStream{streamType: 0x1B, sized: rnd.IntN(2) == 0, clock: rnd.IntN(2) == 0, headerData: make([]byte, rnd.IntN(11))}
		if rnd.IntN(2) == 0 {
			video.stuffing = rnd.IntN(150)
		}
		var es []byte
		for range 1 + rnd.IntN(5) {
			unit := accessUnit(rnd, 2+rnd.IntN(100), 40+rnd.IntN(20), 2+rnd.IntN(2000))
			es = append(es, unit...)
			video.pes = append(video.pes, unit)
		}
		if rnd.IntN(3) == 0 { // cut without regard to NAL units
			video.pes = nil
			for rest := es; len(rest) > 0; {
				n := min(len(rest), 1+rnd.IntN(700))
				video.pes, rest = append(video.pes, rest[:n]), rest[n:]
			}
		}
		seg := mux(video, muxStream{streamType: 0x15, pes: [][]byte{make([]byte, 1000), make([]byte, 50)}})
		if err := checkProtected(seg, mustProtect(t, seg)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestPESLength: a length that no longer fits into its field becomes zero, which video may say.
func TestPESLength(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	unit := accessUnit(rnd, 64000)
	for len(unit) > 65535-3-100 {
		unit = accessUnit(rnd, 64000-len(unit)+64000)
	}
	unit = slices.Concat([]byte{0, 0, 1, 6}, bytes.Repeat([]byte{7}, 65535-3-len(unit)-4), unit)
	seg := mux(muxStream{streamType: 0x1B, sized: true, pes: [][]byte{unit}})
	protected := mustProtect(t, seg)
	if err := checkProtected(seg, protected); err != nil {
		t.Fatal(err)
	}
	if h := mustRead(t, protected).streams[muxFirst].pes[0].header; h[4] != 0 || h[5] != 0 {
		t.Errorf("length %x", h[4:6])
	}
}

// TestNALSizes goes over the limits of the pattern: up to 48 bytes nothing is encrypted, and never the last 16.
func TestNALSizes(t *testing.T) {
	for _, test := range []struct{ size, blocks int }{
		{47, 0}, {48, 0}, {49, 1}, {50, 1}, {64, 1}, {192, 1}, {193, 1}, {207, 1}, {208, 1}, {209, 2}, {224, 2}, {352, 2}, {368, 2}, {369, 3},
	} {
		t.Run(fmt.Sprint(test.size), func(t *testing.T) {
			nal := bytes.Repeat([]byte{0x41}, test.size)
			seg := mux(muxStream{streamType: 0x1B, pes: [][]byte{slices.Concat([]byte{0, 0, 1}, nal)}})
			protected := mustProtect(t, seg)
			if err := checkProtected(seg, protected); err != nil {
				t.Fatal(err)
			}
			got := unescape(splitNALs(mustRead(t, protected).streams[muxFirst].es())[0])
			blocks := 0
			for at := 0; at < len(nal); at += 16 {
				end := min(at+16, len(nal))
				if !bytes.Equal(got[at:end], nal[at:end]) {
					blocks++
					if (at-32)%160 != 0 {
						t.Errorf("bytes %d to %d are encrypted", at, end)
					}
				}
			}
			if blocks != test.blocks {
				t.Errorf("%d blocks are encrypted, want %d", blocks, test.blocks)
			}
		})
	}
}

// TestZeros: of zeros behind an encrypted slice one is kept if a start code follows. Packets that have nothing left to carry go, unless
// they have a clock.
func TestZeros(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	slice, short := testSlice(rnd, 1000), bytes.Repeat([]byte{0x41}, 20)
	start, zeros := []byte{0, 0, 1}, make([]byte, 900)
	for name, test := range map[string]struct {
		pes  [][]byte
		want int // zeros that are left, of those behind NAL units
	}{
		"at the end":           {[][]byte{slices.Concat(start, slice, zeros)}, 0},
		"in front of another":  {[][]byte{slices.Concat(start, slice, zeros, start, short)}, 1},
		"zero_byte":            {[][]byte{slices.Concat(start, slice, zeros[:1], start, short)}, 1},
		"three-byte code":      {[][]byte{slices.Concat(start, slice, start, short)}, 0},
		"behind a clear one":   {[][]byte{slices.Concat(start, short, zeros[:7], start, slice)}, 7},
		"over PES packets":     {[][]byte{slices.Concat(start, slice, zeros[:500]), slices.Concat(zeros[:333], start, slice)}, 1},
		"a PES packet of them": {[][]byte{slices.Concat(start, slice), zeros, slices.Concat(start, slice)}, 1},
	} {
		for _, clocks := range []bool{false, true} {
			t.Run(fmt.Sprint(name, clocks), func(t *testing.T) {
				seg := mux(muxStream{streamType: 0x1B, pes: test.pes, clocks: clocks, sized: clocks})
				protected := mustProtect(t, seg)
				if err := checkProtected(seg, protected); err != nil {
					t.Fatal(err)
				}
				left := 0
				for _, part := range bytes.Split(mustRead(t, protected).streams[muxFirst].es(), start)[1:] {
					left += len(part) - len(bytes.TrimRight(part, "\x00"))
				}
				if left != test.want {
					t.Errorf("%d zeros are left, want %d", left, test.want)
				}
			})
		}
	}
}

// TestShortSlices: decoders do not unescape what they do not decrypt, so it must not be escaped.
func TestShortSlices(t *testing.T) {
	short := slices.Concat([]byte{0x41}, bytes.Repeat([]byte{0, 0, 3, 1}, 11), []byte{7, 8, 9})
	seg := mux(videoStream(short, testSlice(rand.New(rand.NewPCG(7, 7)), 500)))
	got := splitNALs(mustRead(t, mustProtect(t, seg)).streams[muxFirst].es())[0]
	if len(short) != minProtectedNAL || !bytes.Equal(got, short) {
		t.Errorf("%d bytes became %d", len(short), len(got))
	}
}
