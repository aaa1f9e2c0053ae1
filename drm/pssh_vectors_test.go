package drm

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"testing"
)

// The box for one KID, as EME ("cenc" initialization data format, common SystemID) lays it out: 36 + 16·1 = 52 bytes.
func TestCommonPsshVectorOneKID(t *testing.T) {
	const want = "AAAANHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAEBI0VniavN7wEjRWeJq83vAAAAAA=="
	if got := base64.StdEncoding.EncodeToString(AppendCommonPssh(nil, testKID)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendCommonPssh(t *testing.T) {
	second := KID{15: 2}
	for name, test := range map[string]struct {
		kids []KID
		size int
	}{
		"no KID: 36 bytes":             {nil, 36},
		"one KID: 36 + 16":             {[]KID{testKID}, 52},
		"two KIDs: 36 + 2·16":          {[]KID{testKID, second}, 68},
		"the order of KIDs is kept":    {[]KID{second, testKID}, 68},
		"a KID twice is listed twice":  {[]KID{second, second}, 68},
		"sixteen KIDs: 36 + 16·16":     {make([]KID, 16), 292},
		"the zero KID is a KID to it.": {[]KID{{}}, 52},
	} {
		t.Run(name, func(t *testing.T) {
			box := AppendCommonPssh([]byte("front"), test.kids...)
			if !bytes.HasPrefix(box, []byte("front")) {
				t.Fatal("what stood in dst is gone")
			}
			box = box[len("front"):]
			if len(box) != test.size || binary.BigEndian.Uint32(box) != uint32(test.size) {
				t.Fatalf("%d bytes, size field %d, want %d", len(box), binary.BigEndian.Uint32(box), test.size)
			}
			if got := [8]byte(box[4:12]); got != [8]byte{'p', 's', 's', 'h', 1, 0, 0, 0} {
				t.Errorf("type, version and flags: %q", got)
			}
			if SystemID(box[12:28]) != SystemCommon || binary.BigEndian.Uint32(box[28:]) != uint32(len(test.kids)) {
				t.Errorf("SystemID %x, KID_count %d", box[12:28], binary.BigEndian.Uint32(box[28:]))
			}
			for i, kid := range test.kids {
				if got := KID(box[32+16*i:]); got != kid {
					t.Errorf("KID %d: %v, want %v", i, got, kid)
				}
			}
			if binary.BigEndian.Uint32(box[len(box)-4:]) != 0 {
				t.Error("DataSize is not 0")
			}
		})
	}
}

// Source: DASH-IF content protection identifiers.
func TestSystemIDs(t *testing.T) {
	for want, id := range map[string]SystemID{
		"1077efec-c0b2-4d02-ace3-3c1e52e2fb4b": SystemCommon,
		"e2719d58-a985-b3c9-781a-b030af78d30e": SystemClearKey,
	} {
		if id.String() != want {
			t.Errorf("%s, want %s", id, want)
		}
	}
}
