package drm

import "testing"

func TestProtectionScheme(t *testing.T) {
	for _, test := range []struct {
		scheme  ProtectionScheme
		text    string
		ivSize  int
		pattern Pattern
		method  string
	}{
		{SchemeCenc, "cenc", 8, Pattern{}, "SAMPLE-AES-CTR"},
		{SchemeCbcs, "cbcs", 0, Pattern{Crypt: 1, Skip: 9}, "SAMPLE-AES"},
		{SchemeAES128, "aes-128", 0, Pattern{}, "AES-128"},
	} {
		t.Run(test.text, func(t *testing.T) {
			got, err := ParseProtectionScheme(test.text)
			if err != nil || got != test.scheme || !got.Valid() || got.String() != test.text {
				t.Fatalf("got %v, %v", got, err)
			}
			if code := got.FourCC(); got.Common() && string(code[:]) != test.text {
				t.Errorf("FourCC %q", code)
			}
			if got.PerSampleIVSize() != test.ivSize || got.VideoPattern() != test.pattern || got.HLSMethod() != test.method {
				t.Errorf("IV size %d, pattern %v, method %s", got.PerSampleIVSize(), got.VideoPattern(), got.HLSMethod())
			}
		})
	}
	for _, text := range []string{"", "CENC", "none", "cens", "cbc1", "cenc ", "cenc\x00"} {
		t.Run("refused: "+text, func(t *testing.T) {
			if got, err := ParseProtectionScheme(text); err == nil || got != 0 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	for _, none := range []ProtectionScheme{0, 4, 255} {
		if none.Valid() || none.String() != "none" {
			t.Errorf("%d is a scheme: %s", none, none)
		}
	}
}

func TestVideoClass(t *testing.T) {
	for name, test := range map[string]struct {
		width, height uint32
		want          TrackClass
	}{
		"1024×576 is the largest SD":           {1024, 576, ClassSD},
		"one column more is HD":                {1025, 576, ClassHD},
		"1280×720 is HD":                       {1280, 720, ClassHD},
		"1920×1080 is the largest HD":          {1920, 1080, ClassHD},
		"1920×1088 is UHD1":                    {1920, 1088, ClassUHD1},
		"portrait HD is HD":                    {1080, 1920, ClassHD},
		"4096×2160 is the largest UHD1":        {4096, 2160, ClassUHD1},
		"4096×2161 is UHD2":                    {4096, 2161, ClassUHD2},
		"7680×4320 is UHD2":                    {7680, 4320, ClassUHD2},
		"65536×65536 does not wrap to 0":       {65536, 65536, ClassUHD2},
		"the largest picture does not wrap":    {1<<32 - 1, 1<<32 - 1, ClassUHD2},
		"a picture without size is the lowest": {0, 0, ClassSD},
	} {
		t.Run(name, func(t *testing.T) {
			if got := VideoClass(test.width, test.height); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestParseTrackClass(t *testing.T) {
	seen := map[string]bool{}
	for c := ClassShared; c <= ClassUHD2; c++ {
		got, err := ParseTrackClass(c.String())
		if err != nil || got != c || !c.Valid() || seen[c.String()] {
			t.Errorf("%v: %v, %v", c, got, err)
		}
		seen[c.String()] = true
	}
	for _, text := range []string{"", "sd", "UHD", "TrackClass(0)", "TrackClass(7)", "ALL "} {
		if got, err := ParseTrackClass(text); err == nil || got != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, c := range []TrackClass{0, ClassUHD2 + 1, 255} {
		if c.Valid() {
			t.Errorf("%v is valid", c)
		}
	}
	for _, c := range SplitClasses {
		if c == ClassShared || !c.Valid() {
			t.Errorf("%v among the split classes", c)
		}
	}
}
