package audioframe

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// header builds the start of a frame; the rest of it is zero.
func header(size int, head ...byte) []byte {
	return append(head, make([]byte, max(0, size-len(head)))...)
}

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		codec Codec
		head  []byte
		want  Frame
		ok    bool
	}{
		"AAC, 200 bytes":            {AAC, []byte{0xFF, 0xF1, 0x4C, 0x80, 25, 0x1F, 0xFC}, Frame{200, 23}, true},
		"AAC with a checksum":       {AAC, []byte{0xFF, 0xF0, 0x4C, 0x80, 25, 0x1F, 0xFC}, Frame{200, 25}, true},
		"AAC of MPEG-2":             {AAC, []byte{0xFF, 0xF9, 0x4C, 0x80, 25, 0x1F, 0xFC}, Frame{200, 23}, true},
		"AAC, 8191 bytes":           {AAC, []byte{0xFF, 0xF1, 0x4C, 0x83, 0xFF, 0xFF, 0xFC}, Frame{8191, 23}, true},
		"AAC shorter than a leader": {AAC, []byte{0xFF, 0xF1, 0x4C, 0x80, 1, 0x1F, 0xFC}, Frame{8, 8}, true},
		"AAC, layer 1":              {AAC, []byte{0xFF, 0xF7, 0x4C, 0x80, 25, 0x1F, 0xFC}, Frame{}, false},
		"AAC, rate 13":              {AAC, []byte{0xFF, 0xF1, 0x74, 0x80, 25, 0x1F, 0xFC}, Frame{}, false},
		"AAC, 6 bytes":              {AAC, []byte{0xFF, 0xF1, 0x4C, 0x80, 0, 0xDF, 0xFC}, Frame{}, false},
		"AAC, header cut":           {AAC, []byte{0xFF, 0xF1, 0x4C, 0x80, 25, 0x1F}, Frame{}, false},
		// Sizes of 102 366, table 4.13, in words of two bytes.
		"AC-3, 48 kHz, 192 kbit/s":      {AC3, []byte{0x0B, 0x77, 0, 0, 20, 8 << 3}, Frame{768, 16}, true},
		"AC-3, 44.1 kHz, 192 kbit/s":    {AC3, []byte{0x0B, 0x77, 0, 0, 0x40 | 20, 8 << 3}, Frame{2 * 417, 16}, true},
		"AC-3, 44.1 kHz, the longer":    {AC3, []byte{0x0B, 0x77, 0, 0, 0x40 | 21, 8 << 3}, Frame{2 * 418, 16}, true},
		"AC-3, 44.1 kHz, 640 kbit/s":    {AC3, []byte{0x0B, 0x77, 0, 0, 0x40 | 37, 8 << 3}, Frame{2 * 1394, 16}, true},
		"AC-3, 32 kHz, 32 kbit/s":       {AC3, []byte{0x0B, 0x77, 0, 0, 0x80, 6 << 3}, Frame{192, 16}, true},
		"AC-3, rate reserved":           {AC3, []byte{0x0B, 0x77, 0, 0, 0xC0, 8 << 3}, Frame{}, false},
		"AC-3, size reserved":           {AC3, []byte{0x0B, 0x77, 0, 0, 38, 8 << 3}, Frame{}, false},
		"E-AC-3 where AC-3 is expected": {AC3, []byte{0x0B, 0x77, 0, 0xFF, 0, 16 << 3}, Frame{}, false},
		"E-AC-3, 512 bytes":             {EAC3, []byte{0x0B, 0x77, 0, 0xFF, 0, 16 << 3}, Frame{512, 16}, true},
		"E-AC-3, 4096 bytes":            {EAC3, []byte{0x0B, 0x77, 7, 0xFF, 0, 16 << 3}, Frame{4096, 16}, true},
		"E-AC-3, 4 bytes":               {EAC3, []byte{0x0B, 0x77, 0, 1, 0, 16 << 3}, Frame{}, false},
		"AC-3 among E-AC-3":             {EAC3, []byte{0x0B, 0x77, 0, 0, 20, 8 << 3}, Frame{768, 16}, true},
		"version 17":                    {EAC3, []byte{0x0B, 0x77, 0, 0xFF, 0, 17 << 3}, Frame{}, false},
		"bytes swapped":                 {AC3, []byte{0x77, 0x0B, 0, 0, 20, 8 << 3}, Frame{}, false},
		"no codec":                      {0, []byte{0xFF, 0xF1, 0x4C, 0x80, 25, 0x1F, 0xFC}, Frame{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.codec, test.head)
			if got != test.want || (err == nil) != test.ok {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
			if _, err := Next(test.codec, test.head); err == nil && test.want.Size > len(test.head) {
				t.Error("a frame longer than the stream was accepted")
			}
		})
	}
}

func TestProtected(t *testing.T) {
	for _, test := range []struct{ size, want int }{{23, 0}, {38, 0}, {39, 16}, {54, 16}, {55, 32}, {200, 176}} {
		if got := (Frame{Size: test.size, Clear: 23}).Protected(); got != test.want {
			t.Errorf("%d bytes: %d, want %d", test.size, got, test.want)
		}
	}
}

func TestSetup(t *testing.T) {
	// A syncframe of E-AC-3: kind 2 bits, id 3, size 11; rate 2, blocks 2, channels 3, LFE 1; version 5, dialnorm 5 …
	independent := header(1536, 0x0B, 0x77, 2, 0xFF, 0x3F, 0x84, 0, 0)         // 3/2 with LFE, 48 kHz, six blocks
	dependent := header(512, 0x0B, 0x77, 0x40, 0xFF, 0x34, 0x80|0x07, 0xE0, 0) // 2/0, no channel map
	// bsid ends at bit 44, dialnorm at 49; compre is bit 50, chanmape 51; of chanmap, bits 52 to 67, the seventh is Lrs/Rrs.
	mapped := header(512, 0x0B, 0x77, 0x40, 0xFF, 0x34, 0x80, 1<<4, 1<<5, 0)
	second := header(768, 0x0B, 0x77, 8, 0xFF, 0x34, 0x80) // independent substream 1 of 512 bytes
	second = second[:512]
	for name, test := range map[string]struct {
		codec Codec
		es    []byte
		want  string // of setup data, "" for an error
	}{
		"AAC 48 kHz stereo":          {AAC, header(200, 0xFF, 0xF1, 0x4C, 0x80, 25, 0x1F, 0xFC), "1190"},
		"AAC 44.1 kHz 5.1":           {AAC, header(200, 0xFF, 0xF1, 0x51, 0x80, 25, 0x1F, 0xFC), "1230"},
		"AAC Main":                   {AAC, header(200, 0xFF, 0xF1, 0x0C, 0x80, 25, 0x1F, 0xFC), ""},
		"AAC, channels in the frame": {AAC, header(200, 0xFF, 0xF1, 0x4C, 0, 25, 0x1F, 0xFC), ""},
		"AAC, frame cut":             {AAC, header(100, 0xFF, 0xF1, 0x4C, 0x80, 25, 0x1F, 0xFC), ""},
		"AC-3":                       {AC3, header(768, 0x0B, 0x77, 1, 2, 20, 0x40, 7, 8, 9, 10, 11), "0b77010214400708090a"},
		// data_rate 13 bits, substreams - 1 3 bits; fscod 2, bsid 5, 0 1; 0 1, bsmod 3, acmod 3, LFE 1; 0 3, dependent 4, 1 or 9 more.
		"E-AC-3 5.1, 384 kbit/s":     {EAC3, bytes.Clone(independent), "0c00" + "20" + "0f" + "00"},
		"up to the next access unit": {EAC3, bytes.Repeat(independent, 3), "0c00" + "20" + "0f" + "00"},
		"with a dependent one":       {EAC3, append(bytes.Clone(independent), dependent...), "1000" + "20" + "0f" + "0200"},
		"that has Lrs/Rrs":           {EAC3, append(bytes.Clone(independent), mapped...), "1000" + "20" + "0f" + "0280"},
		"two independent ones":       {EAC3, append(bytes.Clone(independent), second...), "1001" + "20" + "0f" + "00" + "20" + "04" + "00"},
		"AC-3 with a dependent one":  {EAC3, append(header(1536, 0x0B, 0x77, 0, 0, 28, 8<<3, 7<<5|1), dependent...), "1000" + "10" + "0f" + "0200"},
		"dependent alone":            {EAC3, bytes.Clone(dependent), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Setup([]byte("apad"), test.codec, test.es)
			if test.want == "" {
				if err == nil || got != nil {
					t.Errorf("got %x, want an error", got)
				}
				return
			}
			if err != nil || len(got) < 12 || int(got[11]) != len(got)-12 || hex.EncodeToString(got[12:]) != test.want {
				t.Errorf("got %x, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestTagSize(t *testing.T) {
	for name, test := range map[string]struct {
		b    []byte
		want int
		ok   bool
	}{
		"none":         {[]byte("IDX"), 0, true},
		"empty":        {[]byte("ID3\x04\x00\x00\x00\x00\x00\x00"), 10, true},
		"200 bytes":    {header(210, 'I', 'D', '3', 4, 0, 0, 0, 0, 1, 72), 210, true},
		"footer":       {header(20, 'I', 'D', '3', 4, 0, 0x10, 0, 0, 0, 0), 20, true},
		"cut":          {header(209, 'I', 'D', '3', 4, 0, 0, 0, 0, 1, 72), 0, false},
		"high bit":     {header(300, 'I', 'D', '3', 4, 0, 0, 0, 0, 0x80, 0), 0, false},
		"header alone": {[]byte("ID3\x04"), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := TagSize(test.b); got != test.want || (err == nil) != test.ok {
				t.Errorf("got %d, %v; want %d", got, err, test.want)
			}
		})
	}
	if got, ok := Synchsafe(AppendSynchsafe(nil, 1<<28-1)); got != 1<<28-1 || !ok {
		t.Error(got, ok)
	}
}
