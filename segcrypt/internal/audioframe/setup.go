package audioframe

import (
	"encoding/binary"
	"errors"
)

var (
	errChannels = errors.New("AAC whose channels are described inside the frame is not supported")
	errObject   = errors.New("only the Low Complexity profile of AAC is supported")
)

const (
	setupVersion   = 1
	ac3SetupSize   = 10 // of the first syncframe
	aacLCProfile   = 1  // profile_ObjectType of ADTS: the audio object type less one
	maxSubstreams  = 8  // I0 to I7 or D0 to D7 (102 366, E.1.3.1.2)
	maxUnitFrames  = maxSubstreams * (1 + maxSubstreams)
	independentAC3 = 2 // strmtyp of a stream that was converted from AC-3; it stands for itself as type 0 does
)

// Setup appends the audio_setup_information of the stream that begins with es (SAMPLE-AES, 2.3.2):
//
//	audio_type 32 | priming 16 = 0, not known | version 8 = 1 | setup_data_length 8 | setup_data
//
// The setup data are the AudioSpecificConfig of AAC, the first ten bytes of AC-3, and the payload of the dec3 box of
// E-AC-3. AAC is described as Low Complexity, as its ADTS header describes it: spectral band replication is signaled
// inside the frames and found there by decoders.
func Setup(dst []byte, c Codec, es []byte) ([]byte, error) {
	if _, err := Next(c, es); err != nil {
		return nil, err
	}
	var (
		audioType string
		data      []byte
		err       error
	)
	switch c {
	case AAC:
		audioType = "zaac"
		data, err = audioSpecificConfig(es)
	case AC3:
		audioType = "zac3"
		if len(es) < ac3SetupSize {
			return nil, errTruncated
		}
		data = es[:ac3SetupSize]
	default:
		audioType = "zec3"
		data, err = eac3SpecificBox(es)
	}
	if err != nil {
		return nil, err
	}
	dst = append(dst, audioType...)
	dst = append(dst, 0, 0, setupVersion, byte(len(data)))
	return append(dst, data...), nil
}

// audioSpecificConfig returns the two bytes that an ADTS header amounts to (14496-3, 1.6.2.1).
func audioSpecificConfig(adts []byte) ([]byte, error) {
	profile, rate := uint16(adts[2]>>6), uint16(adts[2]>>2&15)
	channels := uint16(adts[2]&1)<<2 | uint16(adts[3]>>6)
	if profile != aacLCProfile {
		return nil, errObject
	}
	if channels == 0 {
		return nil, errChannels
	}
	return binary.BigEndian.AppendUint16(nil, (profile+1)<<11|rate<<7|channels<<3), nil
}

// substream is what dec3 says of an independent substream and the dependent ones behind it.
type substream struct {
	fscod, bsid, acmod, lfeon, dependents byte
	channelLocations                      uint16
}

// eac3SpecificBox returns the payload of the dec3 box (102 366, F.6) of the access unit at the start of es, which lasts up
// to the next frame of its first substream. bsmod and asvc are given as 0, a main service.
func eac3SpecificBox(es []byte) ([]byte, error) {
	var subs []substream
	rate := 0
	for frames := 0; frames < maxUnitFrames; frames++ {
		f, err := Next(EAC3, es)
		if err != nil {
			break // the end, or what the caller will refuse
		}
		h, err := parseEAC3(es[:f.Size])
		if err != nil {
			return nil, err
		}
		if h.independent && h.id == 0 && frames > 0 || h.independent && len(subs) == maxSubstreams || !h.independent && len(subs) == 0 {
			break
		}
		rate += f.Size * 8 * h.sampleRate / h.samples / 1000
		if h.independent {
			subs = append(subs, h.substream)
		} else {
			last := &subs[len(subs)-1]
			last.dependents = min(last.dependents+1, maxSubstreams)
			last.channelLocations |= h.channelLocations
		}
		es = es[f.Size:]
	}
	if len(subs) == 0 {
		return nil, errHeader
	}
	box := binary.BigEndian.AppendUint16(nil, uint16(min(rate, 1<<13-1))<<3|uint16(len(subs)-1))
	for _, s := range subs {
		box = append(box, s.fscod<<6|s.bsid<<1, s.acmod<<1|s.lfeon, s.dependents<<1)
		if s.dependents > 0 {
			box[len(box)-1] |= byte(s.channelLocations >> 8)
			box = append(box, byte(s.channelLocations))
		}
	}
	return box, nil
}

type eac3Header struct {
	substream
	independent         bool
	id                  byte
	sampleRate, samples int
}

var (
	sampleRates = [...]int{48000, 44100, 32000}
	blockCounts = [...]int{1, 2, 3, 6}
)

const samplesPerBlock = 256

// parseEAC3 reads a syncframe of E-AC-3 as far as the channel map (102 366, E.1.2.2), or one of AC-3 between them.
func parseEAC3(b []byte) (eac3Header, error) {
	r := bits{b: b}
	r.u(16)
	bsid := b[5] >> 3
	h := eac3Header{independent: true, samples: 6 * samplesPerBlock}
	if bsid <= maxAC3 {
		r.u(16) // crc1
		h.fscod = byte(r.u(2))
		r.u(6 + 5 + 3) // frmsizecod, bsid, bsmod
		h.bsid, h.acmod = bsid, byte(r.u(3))
		if h.acmod&1 != 0 && h.acmod != 1 {
			r.u(2) // cmixlev
		}
		if h.acmod&4 != 0 {
			r.u(2) // surmixlev
		}
		if h.acmod == 2 {
			r.u(2) // dsurmod
		}
		h.lfeon = byte(r.u(1))
		h.sampleRate = sampleRates[h.fscod] // Parse refused 3
		return h, r.err()
	}
	kind := r.u(2)
	h.id = byte(r.u(3))
	r.u(11) // frmsiz
	h.fscod = byte(r.u(2))
	if second := r.u(2); h.fscod == 3 {
		if second == 3 {
			return eac3Header{}, errHeader
		}
		h.sampleRate = sampleRates[second] / 2
	} else {
		h.sampleRate, h.samples = sampleRates[h.fscod], blockCounts[second]*samplesPerBlock
	}
	h.acmod, h.lfeon, h.bsid = byte(r.u(3)), byte(r.u(1)), byte(r.u(5))
	h.independent = kind == 0 || kind == independentAC3
	for range 1 + boolInt(h.acmod == 0) { // once more for the second of two mono channels
		r.u(5) // dialnorm
		if r.u(1) != 0 {
			r.u(8) // compr
		}
	}
	if kind == 1 && r.u(1) != 0 {
		h.channelLocations = channelLocations(r.u(16))
	}
	if kind == 3 {
		return eac3Header{}, errHeader
	}
	return h, r.err()
}

// channelLocations turns chanmap, whose first bit stands for the left channel (102 366, table E.1.4), into chan_loc, which
// begins with the pair Lc/Rc and leaves out what every program has (table F.6.1).
func channelLocations(chanmap uint32) uint16 {
	return uint16(chanmap>>3&0xFF)<<1 | uint16(chanmap>>1&1)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bits reads bits from the front; behind the end there are zeros, and err says so.
type bits struct {
	b   []byte
	pos int
}

func (r *bits) u(n int) uint32 {
	var v uint32
	for range n {
		v <<= 1
		if r.pos>>3 < len(r.b) {
			v |= uint32(r.b[r.pos>>3]>>(7-r.pos&7)) & 1
		}
		r.pos++
	}
	return v
}

func (r *bits) err() error {
	if r.pos > 8*len(r.b) {
		return errTruncated
	}
	return nil
}
