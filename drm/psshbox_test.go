package drm

import (
	"bytes"
	"encoding/base64"
	"errors"
	"reflect"
	"testing"
)

func TestPsshRoundTrip(t *testing.T) {
	for name, p := range map[string]Pssh{
		"version 0 with data":             {System: SystemWidevine, Data: []byte{1, 2, 3}},
		"version 0 without data":          {System: SystemFairPlay, Data: []byte{}},
		"version 1 with KIDs":             {Version: 1, System: SystemCommon, KIDs: []KID{testKID, {1}}, Data: []byte{}},
		"version 1 with KIDs and data":    {Version: 1, System: SystemPlayReady, KIDs: []KID{testKID}, Data: []byte("x")},
		"version 1 with an empty list":    {Version: 1, System: SystemCommon, KIDs: []KID{}, Data: []byte{}},
		"a system that has no name at us": {System: SystemID(testKID), Data: []byte("?")},
	} {
		t.Run(name, func(t *testing.T) {
			box := AppendPssh(nil, p)
			got, rest, err := ParsePssh(append(bytes.Clone(box), "behind"...))
			if err != nil || string(rest) != "behind" || !reflect.DeepEqual(got, p) {
				t.Errorf("got %+v, %q, %v", got, rest, err)
			}
		})
	}
	t.Run("the common box is one of version 1", func(t *testing.T) {
		if !bytes.Equal(AppendPssh(nil, Pssh{Version: 1, System: SystemCommon, KIDs: []KID{testKID}}), AppendCommonPssh(nil, testKID)) {
			t.Error("AppendPssh and AppendCommonPssh differ")
		}
	})
}

func TestParsePsshRefuses(t *testing.T) {
	common := AppendCommonPssh(nil, testKID) // 52 bytes: header 28, KID_count at 28, KID at 32, DataSize at 48
	with := func(at int, b byte) []byte {
		box := bytes.Clone(common)
		box[at] = b
		return box
	}
	for name, test := range map[string]struct {
		box    []byte
		path   string
		offset int
	}{
		"nothing":                          {nil, "pssh", 0},
		"a box that is cut":                {common[:51], "pssh/size", 0},
		"less than a header":               {common[:27], "pssh", 0},
		"another box":                      {with(4, 'q'), "pssh/type", 4},
		"a size that is too small":         {with(3, 31), "pssh/size", 0},
		"a size that is huge":              {with(0, 0x7f), "pssh/size", 0},
		"a 64-bit size":                    {with(3, 1), "pssh/size", 0},
		"version 2":                        {with(8, 2), "pssh/version", 8},
		"more KIDs than fit":               {with(31, 3), "pssh/KID_count", 28},
		"as many KIDs as a number can say": {with(28, 0xff), "pssh/KID_count", 28},
		"a KID too many":                   {with(31, 0), "pssh/DataSize", 32},
		"data beyond the box":              {with(51, 1), "pssh/DataSize", 48},
		"data of 4 GiB":                    {with(48, 0xff), "pssh/DataSize", 48},
	} {
		t.Run(name, func(t *testing.T) {
			p, rest, err := ParsePssh(test.box)
			var fe *FormatError
			if !errors.As(err, &fe) || fe.Path != test.path || fe.Offset != test.offset {
				t.Errorf("got %v; want an error at %s, byte %d", err, test.path, test.offset)
			}
			if !reflect.DeepEqual(p, Pssh{}) || rest != nil {
				t.Errorf("an error and a box: %+v", p)
			}
		})
	}
	t.Run("offsets of a second box count from the start of all", func(t *testing.T) {
		_, err := ParsePsshs(append(bytes.Clone(common), with(8, 2)...))
		var fe *FormatError
		if !errors.As(err, &fe) || fe.Offset != 52+8 {
			t.Errorf("got %v, want byte 60", err)
		}
	})
}

// The initialization data of the EME conformance tests (web-platform-tests, encrypted-media, mp4-basic): a box of Widevine and one of
// PlayReady.
const wptInitData = "AAAAcXBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAAFEIARIQrRP56ivmmLh19QSo48zqZBoIY2FzdGxhYnMiKGV5SmhjM05sZEVsa0lqb2laVzFsTFhSbGMzUXRjMmx1WjJ4bEluMD0yB2RlZmF1bHQAAAMacHNzaAAAAACaBPB5mEBChquS5lvgiF+VAAAC+voCAAABAAEA8AI8AFcAUgBNAEgARQBBAEQARQBSACAAeABtAGwAbgBzAD0AIgBoAHQAdABwADoALwAvAHMAYwBoAGUAbQBhAHMALgBtAGkAYwByAG8AcwBvAGYAdAAuAGMAbwBtAC8ARABSAE0ALwAyADAAMAA3AC8AMAAzAC8AUABsAGEAeQBSAGUAYQBkAHkASABlAGEAZABlAHIAIgAgAHYAZQByAHMAaQBvAG4APQAiADQALgAwAC4AMAAuADAAIgA+ADwARABBAFQAQQA+ADwAUABSAE8AVABFAEMAVABJAE4ARgBPAD4APABLAEUAWQBMAEUATgA+ADEANgA8AC8ASwBFAFkATABFAE4APgA8AEEATABHAEkARAA+AEEARQBTAEMAVABSADwALwBBAEwARwBJAEQAPgA8AC8AUABSAE8AVABFAEMAVABJAE4ARgBPAD4APABLAEkARAA+ADYAdgBrAFQAcgBlAFkAcgB1AEoAaAAxADkAUQBTAG8ANAA4AHoAcQBaAEEAPQA9ADwALwBLAEkARAA+ADwAQwBIAEUAQwBLAFMAVQBNAD4AagBZAEYATgBmADAAeQBmADQAaQBzAD0APAAvAEMASABFAEMASwBTAFUATQA+ADwATABBAF8AVQBSAEwAPgBoAHQAdABwADoALwAvAHAAbABhAHkAcgBlAGEAZAB5AC4AZABpAHIAZQBjAHQAdABhAHAAcwAuAG4AZQB0AC8AcAByAC8AcwB2AGMALwByAGkAZwBoAHQAcwBtAGEAbgBhAGcAZQByAC4AYQBzAG0AeAA/AFAAbABhAHkAUgBpAGcAaAB0AD0AMQAmAGEAbQBwADsAVQBzAGUAUwBpAG0AcABsAGUATgBvAG4AUABlAHIAcwBpAHMAdABlAG4AdABMAGkAYwBlAG4AcwBlAD0AMQA8AC8ATABBAF8AVQBSAEwAPgA8AC8ARABBAFQAQQA+ADwALwBXAFIATQBIAEUAQQBEAEUAUgA+AA=="

// wptBoxes returns the boxes, the KID and the key of that test.
func wptBoxes(t testing.TB) (widevine, playReady Pssh, key ContentKey) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(wptInitData)
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := ParsePsshs(data)
	if err != nil || len(boxes) != 2 || boxes[0].System != SystemWidevine || boxes[1].System != SystemPlayReady {
		t.Fatalf("%d boxes, %v", len(boxes), err)
	}
	key, err = NewContentKey(
		KID{0xad, 0x13, 0xf9, 0xea, 0x2b, 0xe6, 0x98, 0xb8, 0x75, 0xf5, 0x04, 0xa8, 0xe3, 0xcc, 0xea, 0x64},
		[]byte{0xbe, 0x7d, 0xf8, 0xa3, 0x66, 0x7a, 0x6a, 0x8f, 0xd5, 0x64, 0xd0, 0xed, 0x81, 0x33, 0x9a, 0x95}, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return boxes[0], boxes[1], key
}

func FuzzParsePssh(f *testing.F) {
	f.Add(AppendCommonPssh(nil, testKID))
	f.Add(AppendCommonPssh(AppendWidevinePssh(nil, WidevineInit{KIDs: []KID{testKID}}), testKID, KID{}))
	data, _ := base64.StdEncoding.DecodeString(wptInitData)
	f.Add(data)
	f.Fuzz(func(t *testing.T, b []byte) {
		boxes, err := ParsePsshs(b)
		if err != nil {
			if boxes != nil {
				t.Errorf("error and boxes: %+v", boxes)
			}
			return
		}
		var again []byte
		for _, box := range boxes {
			again = AppendPssh(again, box)
		}
		clearFlags(b)
		if !bytes.Equal(again, b) {
			t.Errorf("boxes change when they are written again:\n%x\n%x", b, again)
		}
	})
}

// clearFlags zeroes the flags of all boxes, which have no meaning and are not kept.
func clearFlags(b []byte) {
	for len(b) > 0 {
		_, rest, err := ParsePssh(b)
		if err != nil {
			return
		}
		clear(b[9:12])
		b = rest
	}
}
