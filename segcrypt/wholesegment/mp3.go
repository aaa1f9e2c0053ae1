package wholesegment

// mp3Rates are the bit rates of layer III in kbit/s, of MPEG-1 and of MPEG-2 and 2.5 (11172-3, 2.4.2.3; 13818-3, 2.4.2.3). Index 0 is
// the free format, which says no size.
var mp3Rates = [2][15]int{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// mp3Frequencies are in hertz, of MPEG-1; MPEG-2 has half of them and MPEG-2.5 a quarter.
var mp3Frequencies = [3]int{44100, 48000, 32000}

// mp3Frame returns the size of the frame of MPEG audio, layer III, that begins at b; 0 if none does.
//
//	syncword 11 | version 2 | layer 2 | protection 1 | bitrate_index 4 | sampling_frequency 2 | padding_bit 1 | …
func mp3Frame(b []byte) int {
	const headerSize, layerIII, mpeg1, reserved = 4, 1, 3, 1
	if len(b) < headerSize || b[0] != 0xFF || b[1]&0xE0 != 0xE0 || b[1]>>1&3 != layerIII {
		return 0
	}
	version, rate, frequency, padding := int(b[1]>>3&3), int(b[2]>>4), int(b[2]>>2&3), int(b[2]>>1&1)
	if version == reserved || rate == 0 || rate == 15 || frequency == 3 {
		return 0
	}
	if version == mpeg1 {
		return 144*1000*mp3Rates[0][rate]/mp3Frequencies[frequency] + padding
	}
	hertz := mp3Frequencies[frequency] / 2
	if version == 0 {
		hertz /= 2
	}
	return 72*1000*mp3Rates[1][rate]/hertz + padding
}

// isMP3 reports whether b consists of frames of MP3.
func isMP3(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		n := mp3Frame(b)
		if n == 0 || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}
