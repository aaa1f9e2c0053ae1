package drm

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

// vectorKey is the key of the published vectors.
func vectorKey(t testing.TB) ContentKey {
	t.Helper()
	key, err := NewContentKey(testKID, []byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestPlayReadyVector(t *testing.T) {
	key := NewPlayReadyKey(vectorKey(t))
	if got := key.value(); got != "Z0UjAauJ780BI0VniavN7w==" {
		t.Errorf("the KID is written as %s", got)
	}
	if got := base64.StdEncoding.EncodeToString(key.Checksum); got != "Ib0Unyi9LCw=" {
		t.Errorf("the checksum is %s", got)
	}
	object, err := AppendPlayReadyObject(nil, PlayReadyHeader{Scheme: SchemeCenc, Keys: []PlayReadyKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(object)
	if len(object) != 518 || hex.EncodeToString(object[:10]) != "0602000001000100fc01" ||
		hex.EncodeToString(sum[:]) != "d0f573d86501cdccc818ab16176702ef5af82a0774d3c04327ba2f570ee6aff4" {
		t.Errorf("%d bytes, %x: %s", len(object), object[:10], playReadyText(t, object))
	}
}

// The box of the EME conformance tests: version 4.0, a checksum, and an ampersand in LA_URL.
func TestPlayReadyVectorOfWebPlatformTests(t *testing.T) {
	_, box, key := wptBoxes(t)
	records, err := ParsePlayReadyObject(box.Data)
	if err != nil || len(records) != 1 || !records[0].IsHeader() || records[0].Offset != 10 {
		t.Fatalf("%+v, %v", records, err)
	}
	h, err := ParsePlayReadyHeader(records[0].Value)
	want := PlayReadyHeader{
		Version: PlayReady40, Scheme: SchemeCenc, Keys: []PlayReadyKey{NewPlayReadyKey(key)},
		LicenseURL: "http://playready.directtaps.net/pr/svc/rightsmanager.asmx?PlayRight=1&UseSimpleNonPersistentLicense=1",
	}
	if err != nil || !reflect.DeepEqual(h, want) {
		t.Fatalf("got %+v, %v", h, err)
	}
	again, err := AppendPlayReadyPssh(nil, h)
	if err != nil || !bytes.Equal(again, AppendPssh(nil, box)) {
		t.Errorf("%v, written again:\n%s", err, playReadyText(t, again[32:]))
	}
}

// The examples of the PlayReady Header Specification, with their white space.
func TestPlayReadyExamplesOfTheSpecification(t *testing.T) {
	const front = `<WRMHEADER xmlns="http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader" version="`
	for name, test := range map[string]struct {
		text string
		want string
	}{
		"4.3 with AESCBC": {front + `4.3.0.0">
  <DATA>
    <PROTECTINFO>
      <KIDS>
        <KID ALGID="AESCBC" VALUE="PV1LM/VEVk+kEOB8qqcWDg=="></KID>
        <KID ALGID="AESCBC" VALUE="tuhDoKUN7EyxDPtMRNmhyA=="></KID>
      </KIDS>
    </PROTECTINFO>
    <LA_URL>http://rm.contoso.com/rightsmanager.asmx</LA_URL>
    <DS_ID>AH+03juKbUGbHl1V/QIwRA==</DS_ID>
  </DATA>
</WRMHEADER>`, front + `4.3.0.0"><DATA><PROTECTINFO><KIDS><KID ALGID="AESCBC" VALUE="PV1LM/VEVk+kEOB8qqcWDg=="></KID><KID ALGID="AESCBC" VALUE="tuhDoKUN7EyxDPtMRNmhyA=="></KID></KIDS></PROTECTINFO><LA_URL>http://rm.contoso.com/rightsmanager.asmx</LA_URL><DS_ID>AH+03juKbUGbHl1V/QIwRA==</DS_ID></DATA></WRMHEADER>`},
		"4.2 with checksums": {front + `4.2.0.0">
  <DATA>
    <PROTECTINFO>
      <KIDS>
        <KID ALGID="AESCTR" CHECKSUM="xNvWVxoWk04=" VALUE="0IbHou/5s0yzM80yOkKEpQ=="></KID>
        <KID ALGID="AESCTR" CHECKSUM="GnKaQIRacPU=" VALUE="/qgG2xbs4k2SKCxx6bhWqw=="></KID>
      </KIDS>
    </PROTECTINFO>
  </DATA>
</WRMHEADER>`, front + `4.2.0.0"><DATA><PROTECTINFO><KIDS><KID ALGID="AESCTR" CHECKSUM="xNvWVxoWk04=" VALUE="0IbHou/5s0yzM80yOkKEpQ=="></KID><KID ALGID="AESCTR" CHECKSUM="GnKaQIRacPU=" VALUE="/qgG2xbs4k2SKCxx6bhWqw=="></KID></KIDS></PROTECTINFO></DATA></WRMHEADER>`},
		"4.1": {
			front + `4.1.0.0"><DATA><PROTECTINFO><KID ALGID="AESCTR" CHECKSUM="xNvWVxoWk04=" VALUE="0IbHou/5s0yzM80yOkKEpQ=="></KID></PROTECTINFO><LUI_URL>https://shop.example/</LUI_URL><CUSTOMATTRIBUTES xmlns=""><a><b>c</b></a></CUSTOMATTRIBUTES></DATA></WRMHEADER>`,
			front + `4.1.0.0"><DATA><PROTECTINFO><KID ALGID="AESCTR" CHECKSUM="xNvWVxoWk04=" VALUE="0IbHou/5s0yzM80yOkKEpQ=="></KID></PROTECTINFO><LUI_URL>https://shop.example/</LUI_URL></DATA></WRMHEADER>`,
		},
		"4.0 with the elements in another order, and a declaration": {
			`<?xml version="1.0" encoding="utf-16"?>` + front + `4.0.0.0"><DATA><KID>q5HgCTj40kGeNVhTH9Gexw==</KID><CHECKSUM>w+OZVr8vzrQ=</CHECKSUM><PROTECTINFO><ALGID>AESCTR</ALGID><KEYLEN>16</KEYLEN></PROTECTINFO></DATA></WRMHEADER>`,
			front + `4.0.0.0"><DATA><PROTECTINFO><KEYLEN>16</KEYLEN><ALGID>AESCTR</ALGID></PROTECTINFO><KID>q5HgCTj40kGeNVhTH9Gexw==</KID><CHECKSUM>w+OZVr8vzrQ=</CHECKSUM></DATA></WRMHEADER>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := ParsePlayReadyHeader(encodeUTF16(test.text))
			if err != nil {
				t.Fatal(err)
			}
			object, err := AppendPlayReadyObject(nil, h)
			if err != nil || playReadyText(t, object) != test.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, playReadyText(t, object), test.want)
			}
		})
	}
}

func TestPlayReadyVersionIsChosen(t *testing.T) {
	one, two := []PlayReadyKey{{KID: testKID}}, []PlayReadyKey{{KID: testKID}, {KID: KID{1}}}
	for name, test := range map[string]struct {
		h    PlayReadyHeader
		want PlayReadyVersion // zero: ErrPlayReadyVersion
	}{
		"one key ID with cenc is 4.0":               {PlayReadyHeader{Scheme: SchemeCenc, Keys: one}, PlayReady40},
		"several with cenc are 4.2":                 {PlayReadyHeader{Scheme: SchemeCenc, Keys: two}, PlayReady42},
		"one with cbcs is 4.3":                      {PlayReadyHeader{Scheme: SchemeCbcs, Keys: one}, PlayReady43},
		"several with cbcs are 4.3":                 {PlayReadyHeader{Scheme: SchemeCbcs, Keys: two}, PlayReady43},
		"4.1 may hold one":                          {PlayReadyHeader{Version: PlayReady41, Scheme: SchemeCenc, Keys: one}, PlayReady41},
		"4.2 may hold one":                          {PlayReadyHeader{Version: PlayReady42, Scheme: SchemeCenc, Keys: one}, PlayReady42},
		"4.3 may be cenc":                           {PlayReadyHeader{Version: PlayReady43, Scheme: SchemeCenc, Keys: two}, PlayReady43},
		"4.0 cannot hold two":                       {PlayReadyHeader{Version: PlayReady40, Scheme: SchemeCenc, Keys: two}, 0},
		"4.1 cannot hold two":                       {PlayReadyHeader{Version: PlayReady41, Scheme: SchemeCenc, Keys: two}, 0},
		"4.0 cannot be cbcs":                        {PlayReadyHeader{Version: PlayReady40, Scheme: SchemeCbcs, Keys: one}, 0},
		"4.1 cannot be cbcs":                        {PlayReadyHeader{Version: PlayReady41, Scheme: SchemeCbcs, Keys: one}, 0},
		"4.2 cannot be cbcs":                        {PlayReadyHeader{Version: PlayReady42, Scheme: SchemeCbcs, Keys: one}, 0},
		"a version that does not exist is no 4.3.0": {PlayReadyHeader{Version: 9, Scheme: SchemeCenc, Keys: one}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			object, err := AppendPlayReadyObject(nil, test.h)
			if test.want == 0 {
				if !errors.Is(err, ErrPlayReadyVersion) || object != nil {
					t.Errorf("got %v, want ErrPlayReadyVersion", err)
				}
				return
			}
			if err != nil || !strings.Contains(playReadyText(t, object), `version="`+test.want.String()+`.0.0"`) {
				t.Errorf("%v: %s", err, playReadyText(t, object))
			}
		})
	}
}

func TestAppendPlayReadyObject(t *testing.T) {
	key := NewPlayReadyKey(vectorKey(t))
	base := PlayReadyHeader{Scheme: SchemeCbcs, Keys: []PlayReadyKey{key}}
	t.Run("a header of cbcs has no checksum", func(t *testing.T) {
		object, err := AppendPlayReadyObject(nil, base)
		if err != nil || strings.Contains(playReadyText(t, object), "CHECKSUM") {
			t.Errorf("%v: %s", err, playReadyText(t, object))
		}
	})
	t.Run("what stands in dst is kept", func(t *testing.T) {
		if box, err := AppendPlayReadyPssh([]byte("front"), base); err != nil || !bytes.HasPrefix(box, []byte("front\x00")) {
			t.Errorf("%q, %v", box[:8], err)
		}
	})
	for name, edit := range map[string]func(*PlayReadyHeader){
		"no key":                        func(h *PlayReadyHeader) { h.Keys = nil },
		"no scheme":                     func(h *PlayReadyHeader) { h.Scheme = 0 },
		"AES-128 of whole segments":     func(h *PlayReadyHeader) { h.Scheme = SchemeAES128 },
		"a control character in a URL":  func(h *PlayReadyHeader) { h.LicenseURL = "https://x/\x01" },
		"a URL that is no UTF-8":        func(h *PlayReadyHeader) { h.LicensePageURL = "https://x/\xff" },
		"an object over 15 KiB":         func(h *PlayReadyHeader) { h.LicenseURL = strings.Repeat("x", 8<<10) },
		"so many keys that it is over":  func(h *PlayReadyHeader) { h.Keys = make([]PlayReadyKey, 150) },
		"a line break in a service ID.": func(h *PlayReadyHeader) { h.ServiceID = "x\n" },
	} {
		t.Run(name, func(t *testing.T) {
			h := base
			edit(&h)
			if object, err := AppendPlayReadyObject(nil, h); err == nil || object != nil {
				t.Errorf("%d bytes, want an error", len(object))
			}
		})
	}
}

func TestParsePlayReadyObjectRefuses(t *testing.T) {
	object, err := AppendPlayReadyObject(nil, PlayReadyHeader{Scheme: SchemeCenc, Keys: []PlayReadyKey{{KID: testKID}}})
	if err != nil {
		t.Fatal(err)
	}
	with := func(at int, b byte) []byte {
		changed := bytes.Clone(object)
		changed[at] = b
		return changed
	}
	for name, test := range map[string]struct {
		b      []byte
		offset int
	}{
		"nothing":                     {nil, 0},
		"an object that is cut":       {object[:len(object)-1], 0},
		"a byte too many":             {append(bytes.Clone(object), 0), 0},
		"more records than there are": {with(4, 2), len(object)},
		"more records than fit":       {with(5, 0xff), 4},
		"no record, and bytes of one": {with(4, 0), 6},
		"a record that is too long":   {with(9, 0xff), 8},
		"a record that is too short":  {with(8, object[8]-2), len(object) - 2},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := ParsePlayReadyObject(test.b)
			var fe *FormatError
			if !errors.As(err, &fe) || fe.Offset != test.offset || records != nil {
				t.Errorf("got %v, %v; want an error at byte %d", records, err, test.offset)
			}
		})
	}
}

func TestParsePlayReadyHeaderRefuses(t *testing.T) {
	good := `<WRMHEADER xmlns="http://schemas.microsoft.com/DRM/2007/03/PlayReadyHeader" version="4.3.0.0"><DATA><PROTECTINFO><KIDS><KID ALGID="AESCBC" VALUE="PV1LM/VEVk+kEOB8qqcWDg=="></KID><KID ALGID="AESCBC" VALUE="tuhDoKUN7EyxDPtMRNmhyA=="></KID></KIDS></PROTECTINFO></DATA></WRMHEADER>`
	if h, err := ParsePlayReadyHeader(append([]byte{0xff, 0xfe}, encodeUTF16(good)...)); err != nil || len(h.Keys) != 2 {
		t.Fatalf("with a byte order mark: %+v, %v", h, err)
	}
	for name, text := range map[string]string{
		"nothing":                     "",
		"another element":             strings.ReplaceAll(good, "WRMHEADER", "WRMHEADERS"),
		"another namespace":           strings.ReplaceAll(good, "2007", "2008"),
		"a version to come":           strings.ReplaceAll(good, "4.3.0.0", "4.4.0.0"),
		"cbcs in 4.2":                 strings.ReplaceAll(good, "4.3.0.0", "4.2.0.0"),
		"two algorithms":              strings.Replace(good, "AESCBC", "AESCTR", 1),
		"an algorithm on one of two":  strings.Replace(good, `ALGID="AESCBC" `, "", 1),
		"COCKTAIL":                    strings.ReplaceAll(good, "AESCBC", "COCKTAIL"),
		"a KID of 15 bytes":           strings.ReplaceAll(good, "PV1LM/VEVk+kEOB8qqcWDg==", "PV1LM/VEVk+kEOB8qqcW"),
		"a KID that is no base64":     strings.ReplaceAll(good, "PV1L", "PV1-"),
		"a checksum of 3 bytes":       strings.Replace(good, ` VALUE`, ` CHECKSUM="AAAA" VALUE`, 1),
		"XML that does not end":       good[:len(good)-4],
		"an entity that is not there": strings.Replace(good, "<DATA>", "<DATA><LA_URL>&x;</LA_URL>", 1),
	} {
		t.Run(name, func(t *testing.T) {
			h, err := ParsePlayReadyHeader(encodeUTF16(text))
			var fe *FormatError
			if !errors.As(err, &fe) || !reflect.DeepEqual(h, PlayReadyHeader{}) {
				t.Errorf("got %+v, %v; want a FormatError", h, err)
			}
		})
	}
	if _, err := ParsePlayReadyHeader([]byte("<")); err == nil {
		t.Error("an odd number of bytes was read")
	}
}

func FuzzParsePlayReady(f *testing.F) {
	for _, scheme := range Schemes {
		object, err := AppendPlayReadyObject(nil, PlayReadyHeader{Scheme: scheme, Keys: []PlayReadyKey{{KID: testKID}, {KID: KID{1}}}, LicenseURL: "https://x/?a&b"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	_, box, _ := wptBoxes(f)
	f.Add(box.Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		headers := [][]byte{b} // most inputs are no object; the XML is what there is to read
		if records, err := ParsePlayReadyObject(b); err == nil {
			for _, record := range records {
				headers = append(headers, record.Value)
			}
		}
		for _, value := range headers {
			h, err := ParsePlayReadyHeader(value)
			if err != nil {
				if !reflect.DeepEqual(h, PlayReadyHeader{}) {
					t.Errorf("error and a header: %+v", h)
				}
				continue
			}
			object, err := AppendPlayReadyObject(nil, h)
			if err != nil { // no keys, no algorithm, or characters that are read and not written
				continue
			}
			records, err := ParsePlayReadyObject(object)
			if err != nil {
				t.Fatal(err)
			}
			if h.Scheme == SchemeCbcs {
				for i := range h.Keys {
					h.Keys[i].Checksum = nil
				}
			}
			if again, err := ParsePlayReadyHeader(records[0].Value); err != nil || !reflect.DeepEqual(again, h) {
				t.Errorf("%+v is read again as %+v, %v", h, again, err)
			}
		}
	})
}

func encodeUTF16(text string) (b []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// playReadyText returns the XML of an object with one record.
func playReadyText(t *testing.T, object []byte) string {
	t.Helper()
	if len(object) < 10 {
		return ""
	}
	text, err := decodeUTF16(object[10:])
	if err != nil {
		t.Fatal(err)
	}
	return text
}
