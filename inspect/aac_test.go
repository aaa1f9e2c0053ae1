package inspect

import "testing"

func TestLooksOfMP4A(t *testing.T) {
	for _, test := range []struct {
		rule       string
		objectType byte
		specific   []byte
		want       string
	}{
		{"AAC LC", 0x40, []byte{0x11, 0x90}, "mp4a"},
		{"HE-AAC", 0x40, []byte{0x2B, 0x11}, "mp4a"},
		{"HE-AAC v2", 0x40, []byte{0xEB, 0x11}, "mp4a"},
		{"MPEG-2 AAC LC", 0x67, nil, "mp4a"},
		{"xHE-AAC", 0x40, []byte{0xF9, 0x46, 0x43, 0x22}, "mp4a.40.42"},
		{"AAC ELD", 0x40, []byte{0xF8, 0xE6}, "mp4a.40.39"},
		{"MP3", 0x6B, nil, "mp4a.6B"},
		{"Vorbis", 0xDD, []byte{2, 30}, "mp4a.DD"},
		{"no configuration", 0x40, nil, "mp4a.40"},
	} {
		if got := looksOfMP4A(test.objectType, test.specific); got != test.want {
			t.Errorf("%s looks like %s, want %s", test.rule, got, test.want)
		}
	}
}
