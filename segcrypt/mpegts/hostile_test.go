package mpegts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/segcrypt"
)

// adts returns a frame of AAC with size bytes.
func adts(size int) []byte {
	b := make([]byte, size)
	copy(b, []byte{0xFF, 0xF1, 0x4C, 0x80 | byte(size>>11), byte(size >> 3), byte(size)<<5 | 0x1F, 0xFC})
	return b
}

func audioStream(pes ...[]byte) muxStream { return muxStream{streamType: 0x0F, sized: true, pes: pes} }

func videoStream(nals ...[]byte) muxStream {
	var unit []byte
	for _, nal := range nals {
		unit = append(append(unit, 0, 0, 0, 1), nal...)
	}
	return muxStream{streamType: 0x1B, pes: [][]byte{unit}}
}

func TestProtectSegmentRefuses(t *testing.T) {
	good := mux(videoStream(testSlice(rand.New(rand.NewPCG(1, 1)), 400)), audioStream(adts(200)))
	change := func(packet int, change func(p []byte)) []byte {
		b := bytes.Clone(good)
		change(b[packet*188:][:188])
		return b
	}
	changePMT := func(streams ...muxStream) []byte { return slices.Concat(patPacket(), pmtPacket(streams)) }
	private := func(descriptors ...byte) []byte {
		return changePMT(muxStream{streamType: 6, descriptors: descriptors})
	}
	resign := func(p []byte) { // after a change of a table's body
		n := 5 + 3 + int(p[6]&15)<<8 + int(p[7])
		crc := mpegCRC(p[5 : n-4])
		copy(p[n-4:], []byte{byte(crc >> 24), byte(crc >> 16), byte(crc >> 8), byte(crc)})
	}
	for name, test := range map[string]struct {
		seg  []byte
		want string // in the error
	}{
		"nothing":                   {nil, "whole packets"},
		"a page of HTML":            {[]byte(strings.Repeat("<html>", 94)[:564]), "no packet begins"},
		"cut":                       {good[:len(good)-1], "whole packets"},
		"lost sync":                 {change(3, func(p []byte) { p[0] = 0x48 }), "packet at byte 564: no packet begins"},
		"damaged packet":            {change(3, func(p []byte) { p[1] |= 0x80 }), "damaged"},
		"scrambled packet":          {change(2, func(p []byte) { p[3] |= 0x80 }), "already protected"},
		"adaptation field 183":      {change(2, func(p []byte) { p[3] |= 0x20; p[4] = 183 }), "adaptation"},
		"adaptation field 255":      {change(2, func(p []byte) { p[3] |= 0x20; p[4] = 255 }), "adaptation"},
		"adaptation control 0":      {change(2, func(p []byte) { p[3] &= 0x0F }), "adaptation"},
		"adaptation field alone":    {change(2, func(p []byte) { p[3] = p[3]&0x0F | 0x20; p[4] = 100 }), "adaptation"},
		"flags beyond the field":    {change(2, func(p []byte) { p[3] |= 0x20; p[4] = 5; p[5] = 0x10 }), "adaptation"},
		"private data too long":     {change(2, func(p []byte) { p[3] |= 0x20; p[4] = 180; p[5] = 2; p[6] = 179 }), "adaptation"},
		"extension too long":        {change(2, func(p []byte) { p[3] |= 0x20; p[4] = 182; p[5] = 3; p[6] = 180; p[187] = 1 }), "adaptation"},
		"no PAT":                    {good[188:], "no program"},
		"no PMT":                    {slices.Concat(good[:188], good[376:]), "no program"},
		"checksum of the PAT":       {change(0, func(p []byte) { p[9] ^= 1 }), "pat at byte 0: the checksum"},
		"checksum of the PMT":       {change(1, func(p []byte) { p[15] ^= 1 }), "pmt at byte 188: the checksum"},
		"two programs":              {twoPrograms(), "more than one program"},
		"PAT without a program":     {change(0, func(p []byte) { p[13], p[14] = 0, 0; resign(p) }), "no program"},
		"PMT in the PID of the PAT": {change(0, func(p []byte) { p[15], p[16] = 0xE0, 0; resign(p) }), "pat"},
		"section of 4095 bytes":     {change(1, func(p []byte) { p[6], p[7] = 0xBF, 0xFF }), "fit into one packet"},
		"section of 3 bytes":        {change(1, func(p []byte) { p[7] = 0 }), "out of range"},
		"pointer field":             {change(1, func(p []byte) { p[4] = 1 }), "fit into one packet"},
		"second section":            {change(1, func(p []byte) { p[187] = 2 }), "out of range"},
		"one of several sections":   {change(1, func(p []byte) { p[12] = 1; resign(p) }), "out of range"},
		"a PMT of tomorrow":         {change(1, func(p []byte) { p[10] &^= 1; resign(p) }), "out of range"},
		"program info too long":     {change(1, func(p []byte) { p[15], p[16] = 0xFF, 0xFF; resign(p) }), "out of range"},
		"stream info too long":      {change(1, func(p []byte) { p[20], p[21] = 0xFF, 0xFF; resign(p) }), "out of range"},
		"descriptor too long":       {changePMT(muxStream{streamType: 0x1B, descriptors: []byte{5, 9, 1}}), "pid 257: a program table"},
		"two streams, one PID":      {change(1, func(p []byte) { p[24] = 1; resign(p) }), "out of range"},
		"stream in the PMT's PID":   {change(1, func(p []byte) { p[24] = 0; resign(p) }), "out of range"},
		"stream of null packets":    {change(1, func(p []byte) { p[23], p[24] = 0xFF, 0xFF; resign(p) }), "out of range"},
		"conditional access":        {changePMT(muxStream{streamType: 0x1B, descriptors: []byte{9, 4, 1, 2, 3, 4}}), "already protected"},
		"PMT that changes":          {slices.Concat(good, pmtPacket([]muxStream{{streamType: 0x1B}})), "changes in the middle"},
		"PAT that changes":          {slices.Concat(good, change(0, func(p []byte) { p[9] = 7; resign(p) })[:188]), "changes in the middle"},
		"PMT in two packets":        {slices.Concat(good, change(1, func(p []byte) { p[1] &^= 0x40 })[188:376]), "fit into one packet"},
		"PMT that grows too long":   {manyAudio(), "fit into one packet"},
		"clock with a stream": {slices.Concat(change(1, func(p []byte) { p[14] = 0x77; resign(p) }),
			[]byte{0x47, 1, 0x77, 0x10}, make([]byte, 184)), "pid 375 at byte"},

		"HEVC":               {readFixture(t, "hevc.ts"), "pid 256: stream type 0x24"},
		"MP3":                {readFixture(t, "mp3.ts"), "pid 256: stream type 0x0"},
		"MPEG-2 video":       {changePMT(muxStream{streamType: 2}), "pid 257: stream type 0x02"},
		"LATM":               {changePMT(muxStream{streamType: 0x1B}, muxStream{streamType: 0x11}), "pid 258: stream type 0x11"},
		"DTS":                {changePMT(muxStream{streamType: 0x82}), "stream type 0x82"},
		"MVC":                {changePMT(muxStream{streamType: 0x20}), "stream type 0x20"},
		"protected AVC":      {changePMT(muxStream{streamType: 0xDB}), "already protected"},
		"protected AAC":      {changePMT(muxStream{streamType: 0x1B}, muxStream{streamType: 0xCF}), "already protected"},
		"private, unknown":   {private(), "stream type 0x06"},
		"private, Opus":      {private(5, 4, 'O', 'p', 'u', 's', 0x7F, 2, 0x80, 2), "stream type 0x06"},
		"nothing to protect": {changePMT(muxStream{streamType: 0x15}, muxStream{streamType: 0x86}), "no stream"},

		"PES of another segment":      {change(2, func(p []byte) { p[1] &^= 0x40 }), "belongs to one of another segment"},
		"PES without start code":      {change(2, func(p []byte) { p[6] = 2 }), "PES header"},
		"padding stream":              {change(2, func(p []byte) { p[7] = 0xBE }), "PES header"},
		"MPEG-1 PES":                  {change(2, func(p []byte) { p[10] = 0x40 }), "PES header"},
		"PES scrambled":               {change(2, func(p []byte) { p[10] |= 0x10 }), "already protected"},
		"PES with checksum":           {change(2, func(p []byte) { p[11] |= 2 }), "checksums"},
		"PES longer than it says":     {mux(withPES(audioStream(adts(200)), func(p []byte) { p[9]-- })), "not as long"},
		"PES shorter than it says":    {mux(withPES(audioStream(adts(200)), func(p []byte) { p[8]++ })), "not as long"},
		"PES that ends in its header": {mux(muxStream{streamType: 0x1B, pes: [][]byte{{}}, headerData: make([]byte, 200)})[:188*3], "not as long"},

		"no start code":        {mux(muxStream{streamType: 0x1B, pes: [][]byte{{1, 2, 3, 4, 5, 6}}}), "start code"},
		"bytes before it":      {mux(muxStream{streamType: 0x1B, pes: [][]byte{{0, 7, 0, 0, 1, 0x65}}}), "start code"},
		"empty NAL unit":       {mux(videoStream([]byte{9, 0xF0}, nil, []byte{6})), "empty NAL"},
		"ends in a start code": {mux(videoStream([]byte{9, 0xF0}, nil)), "empty NAL"},
		"data partition":       {mux(videoStream([]byte{0x42, 1, 2})), "type 2"},
		"slice of MVC":         {mux(videoStream([]byte{0x74, 1, 2})), "type 20"},
		"auxiliary picture":    {mux(videoStream([]byte{0x73, 1, 2})), "type 19"},

		"frame without sync":      {mux(audioStream(adts(200), []byte{1, 2, 3, 4, 5, 6, 7, 8})), "no frame begins"},
		"frame in two segments":   {mux(audioStream(adts(200)[:150])), "truncated frame"},
		"frame from another one":  {mux(audioStream(adts(200)[50:])), "no frame begins"},
		"header cut":              {mux(audioStream(adts(200), adts(200)[:4])), "truncated frame"},
		"frame of 0 bytes":        {mux(audioStream([]byte{0xFF, 0xF1, 0x4C, 0x80, 0, 0x1F, 0xFC, 0})), "out of range"},
		"E-AC-3 for AC-3":         {mux(muxStream{streamType: 0x81, pes: [][]byte{{0x0B, 0x77, 0, 0x2F, 0x34, 0x80}}}), "out of range"},
		"AC-3 with rate 38":       {mux(muxStream{streamType: 0x81, pes: [][]byte{{0x0B, 0x77, 0, 0, 38, 0x40}}}), "out of range"},
		"channels in the frame":   {mux(audioStream([]byte{0xFF, 0xF1, 0x4C, 0, 1, 0x3F, 0xFC, 0, 0})), "channels"},
		"second frame, its place": {mux(audioStream(adts(200)), audioStream(adts(200), adts(100)[:99])), "pid 258 at byte "},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := New(testKey(t)).ProtectSegment([]byte("prefix"), test.seg)
			var fe *segcrypt.FormatError
			if out != nil || !errors.As(err, &fe) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%d bytes, %v; want %q", len(out), err, test.want)
			}
			if strings.Contains(test.want, "already protected") != errors.Is(err, segcrypt.ErrAlreadyProtected) {
				t.Errorf("%v: wrong kind", err)
			}
			if fe.Offset > int64(len(test.seg)) {
				t.Errorf("offset %d", fe.Offset)
			}
		})
	}
}

func twoPrograms() []byte {
	return psiPacket(0, []byte{0, 0, 0, 0, 1, 0xC1, 0, 0, 0, 1, 0xE1, 0, 0, 2, 0xE2, 0})
}

// manyAudio has a PMT that fits into a packet in clear only.
func manyAudio() []byte {
	var streams []muxStream
	for range 8 {
		streams = append(streams, audioStream(adts(100)))
	}
	return mux(streams...)
}

// withPES muxes one stream whose first packet is changed; it keeps what comes out as it is.
func withPES(st muxStream, change func(p []byte)) muxStream {
	st.patch = change
	return st
}

// TestPassedStreams: what is known to be neither audio nor video leaves as it came, packet by packet.
func TestPassedStreams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for name, st := range map[string]muxStream{
		"timed metadata":   {streamType: 0x15},
		"splices":          {streamType: 0x86},
		"private sections": {streamType: 0x05},
		"DVB subtitles":    {streamType: 0x06, descriptors: []byte{0x59, 0}},
		"teletext":         {streamType: 0x06, descriptors: []byte{0x56, 0}},
		"KLV":              {streamType: 0x06, descriptors: []byte("\x05\x04KLVA")},
	} {
		t.Run(name, func(t *testing.T) {
			st.pes = [][]byte{bytes.Repeat([]byte("metadata"), 100)}
			seg := mux(st, videoStream(testSlice(rnd, 3000)))
			protected := mustProtect(t, seg)
			if err := checkProtected(seg, protected); err != nil {
				t.Error(err)
			}
			var want, got []byte
			for _, b := range [][]byte{seg, protected} {
				want, got = got, nil
				for ; len(b) > 0; b = b[188:] {
					if b[2] == muxFirst&0xFF && b[1]&0x1F == muxFirst>>8 {
						got = append(got, b[:188]...)
					}
				}
			}
			if !bytes.Equal(got, want) {
				t.Error("packets differ")
			}
		})
	}
}

// TestDroppedPackets: null packets and what belongs to no stream might hold clear media.
func TestDroppedPackets(t *testing.T) {
	seg := readFixture(t, "avc-aac.ts")
	marker := bytes.Repeat([]byte("marker"), 31)[:184]
	for _, pid := range []uint16{0x1FFF, 0x0011, 0x0777} {
		stray := append([]byte{0x47, byte(pid >> 8), byte(pid), 0x10}, marker...)
		protected := mustProtect(t, slices.Concat(seg[:188*5], stray, seg[188*5:]))
		if bytes.Contains(protected, []byte("marker")) {
			t.Errorf("pid %#x passed", pid)
		}
		if err := checkProtected(seg, protected); err != nil {
			t.Error(err)
		}
	}
}

// TestClock: a PID that carries nothing but the program's clock passes.
func TestClock(t *testing.T) {
	seg := mux(audioStream(adts(200)))
	pmt := seg[188:376]
	pmt[14] = 0x77
	n := 5 + 3 + int(pmt[7])
	binary.BigEndian.PutUint32(pmt[n-4:], mpegCRC(pmt[5:n-4]))
	clock := append([]byte{0x47, 1, 0x77, 0x20, 183, 0x10, 1, 2, 3, 4, 5, 6}, bytes.Repeat([]byte{0xFF}, 176)...)
	if out := mustProtect(t, slices.Concat(seg, clock)); !bytes.HasSuffix(out, clock) {
		t.Error("the clock is gone")
	}
}

// TestRepeatedPackets: a packet may be sent twice, and counts once.
func TestRepeatedPackets(t *testing.T) {
	for _, name := range []string{"avc-aac.ts", "ac3.ts"} {
		seg := readFixture(t, name)
		var twice []byte
		for rest := seg; len(rest) > 0; rest = rest[188:] {
			twice = append(append(twice, rest[:188]...), rest[:188]...)
		}
		if err := checkProtected(seg, mustProtect(t, twice)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFramesOverPES: frames of audio and NAL units begin in one PES packet and end in the next.
func TestFramesOverPES(t *testing.T) {
	var es []byte
	for size := 7; size < 400; size += 13 {
		es = append(es, adts(size)...)
	}
	var pes [][]byte
	for rest := es; len(rest) > 0; {
		n := min(101, len(rest))
		pes, rest = append(pes, rest[:n]), rest[n:]
	}
	seg := mux(audioStream(pes...))
	if err := checkProtected(seg, mustProtect(t, seg)); err != nil {
		t.Error(err)
	}
}
