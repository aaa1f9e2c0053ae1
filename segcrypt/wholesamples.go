package segcrypt

import "errors"

// Audio under a constant IV needs no senc, so that nothing in the boxes tells a protected segment from a clear one that took its
// place. What tells them apart is how frames begin: the first block of each is encrypted.

// frameFormat is how the clear frames of a track begin.
type frameFormat uint8

const (
	framesUnknown frameFormat = iota // nothing tells them from encrypted ones
	framesOfMP4A                     // AAC, if its esds says so
	framesOfAC3                      // and E-AC-3
)

// frameFormats are the sample entries, as frma names them, whose clear frames can be told from encrypted ones.
var frameFormats = map[fourCC]frameFormat{
	cc("mp4a"): framesOfMP4A, cc("ac-3"): framesOfAC3, cc("ec-3"): framesOfAC3,
}

var (
	errClearFrames  = errors.New("the samples look like clear frames")
	errWholeSamples = errors.New("whole samples of this codec under a constant IV, without senc, cannot be told from clear ones")
)

// checkWholeSamples refuses samples of which three quarters or more begin like clear frames. Equal beginnings count once: under
// a constant IV silence gives the same block again and again. One beginning alone says nothing; it may be that of all frames of
// silence. Of encrypted ones, one in 64 looks like AAC by chance, one in 65,536 like AC-3; two out of two are the worst case.
func (pl *plan) checkWholeSamples(f *fragment, t *trackFragment, format frameFormat) error {
	if format == framesUnknown {
		return errWholeSamples
	}
	seen := make(map[[16]byte]bool)
	clear := 0
	err := pl.eachSample(f, t, func(_ int, sample []byte) error {
		if len(sample) < 16 { // no whole block, and so clear by the scheme (23001-7, 9.7)
			return nil
		}
		first := [16]byte(sample)
		if !seen[first] {
			seen[first] = true
			if format.begins(first) {
				clear++
			}
		}
		return nil
	})
	if err == nil && len(seen) > 1 && 4*clear >= 3*len(seen) {
		err = errClearFrames
	}
	return err
}

// begins reports whether a clear frame could begin with b.
func (format frameFormat) begins(b [16]byte) bool {
	if format == framesOfAC3 {
		return b[0] == 0x0b && b[1] == 0x77 // syncword (ETSI TS 102 366, 4.3.1)
	}
	// raw_data_block() begins with id_syn_ele (3 bits) and element_instance_tag (4 bits): a single_channel_element or a
	// channel_pair_element, the first of its kind (14496-3, 4.4.2.1).
	return b[0]>>1 == 0b000_0000 || b[0]>>1 == 0b001_0000
}

// isPlainAAC reports whether the contents of an esds describe AAC whose frames are raw_data_block(): Main, LC, SSR, LTP, and
// SBR and PS on top of them. USAC and the low-delay codecs begin otherwise, and so does MP3.
//
//	version(1) flags(3) ES_Descriptor: ES_ID(2) flags(1) … DecoderConfigDescriptor: objectTypeIndication(1) … (13 bytes in all)
//	DecoderSpecificInfo: audioObjectType(5 bits) …
//
// Source: 14496-1, 7.2.6; 14496-3, 1.6.2.1.
func isPlainAAC(esds []byte) bool {
	if len(esds) < 4 {
		return false
	}
	es, ok := descriptor(esds[4:], 3)
	if !ok || len(es) < 3 || es[2]&0xe0 != 0 { // no file of today has the optional fields
		return false
	}
	config, ok := descriptor(es[3:], 4)
	if !ok || len(config) < 13 || config[0] != 0x40 {
		return false
	}
	info, ok := descriptor(config[13:], 5)
	if !ok || len(info) == 0 {
		return false
	}
	switch info[0] >> 3 {
	case 1, 2, 3, 4, 5, 29:
		return true
	default:
		return false
	}
}

// descriptor returns the contents of the descriptor with that tag at the start of b (14496-1, 8.3.3).
func descriptor(b []byte, tag byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, false
	}
	size := 0
	for i := 1; i < len(b) && i <= 4; i++ {
		size = size<<7 | int(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			return b[i+1 : min(len(b), i+1+size)], size <= len(b)-i-1
		}
	}
	return nil, false
}
