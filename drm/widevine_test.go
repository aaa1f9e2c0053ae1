package drm

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
)

// The least that Widevine needs: key_ids and protection_scheme.
func TestWidevinePsshVectors(t *testing.T) {
	for scheme, want := range map[ProtectionScheme]string{
		SchemeCenc: "AAAAOHBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAABgSEAEjRWeJq83vASNFZ4mrze9I49yVmwY=",
		SchemeCbcs: "AAAAOHBzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAABgSEAEjRWeJq83vASNFZ4mrze9I88aJmwY=",
	} {
		if got := base64.StdEncoding.EncodeToString(AppendWidevinePssh(nil, WidevineInit{KIDs: []KID{testKID}, Scheme: scheme})); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", scheme, got, want)
		}
	}
}

// A message of the EME conformance tests, which also has the deprecated field algorithm in front.
func TestWidevineVectorOfWebPlatformTests(t *testing.T) {
	box, _, key := wptBoxes(t)
	init, err := ParseWidevineInit(box.Data)
	want := WidevineInit{KIDs: []KID{key.KID()}, Provider: "castlabs", ContentID: []byte("eyJhc3NldElkIjoiZW1lLXRlc3Qtc2luZ2xlIn0="), Policy: "default"}
	if err != nil || !reflect.DeepEqual(init, want) {
		t.Errorf("got %+v, %v", init, err)
	}
	if got := AppendWidevineInit([]byte{8, 1}, init); !bytes.Equal(got, box.Data) {
		t.Errorf("written again: %x\nwant %x", got, box.Data)
	}
}

// A box of version 1 with four keys in its message, of the tests of Unified Streaming's pycpix.
func TestWidevineVectorOfPycpix(t *testing.T) {
	const text = "AAAAxnBzc2gBAAAA7e+LqXnWSs6jyCfc1R0h7QAAAAINw+xPdoNUi4HnPGTlguE2FEe37S9mVyu9EwbOfPNhDQAAAIISEBRHt+0vZlcrvRMGznzzYQ0SEFrGoR6qL17Vv2aM" +
		"QByBNMoSEG7hNRbI51h7rp9+zT6Zom4SEPnsEqYaJl1Hj4MzTjp40scSEA3D7E92g1SLgec8ZOWC4TYaDXdpZGV2aW5lX3Rlc3QiEXVuaWZpZWQtc3RyZWFtaW5nSOPclZsG"
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	box, rest, err := ParsePssh(data)
	if err != nil || len(rest) > 0 || box.Version != 1 || len(box.KIDs) != 2 || box.KIDs[1].String() != "1447b7ed-2f66-572b-bd13-06ce7cf3610d" {
		t.Fatalf("%+v, %v", box, err)
	}
	init, err := ParseWidevineInit(box.Data)
	if err != nil || len(init.KIDs) != 5 || init.KIDs[0] != box.KIDs[1] || init.Provider != "widevine_test" || string(init.ContentID) != "unified-streaming" || init.Scheme != SchemeCenc {
		t.Fatalf("%+v, %v", init, err)
	}
	box.Data = AppendWidevineInit(nil, init)
	if !bytes.Equal(AppendPssh(nil, box), data) {
		t.Error("written again, the box is another")
	}
}

func TestWidevineInitRoundTrip(t *testing.T) {
	for name, init := range map[string]WidevineInit{
		"nothing":                 {},
		"everything":              {KIDs: []KID{testKID, {1}}, Provider: "p", ContentID: []byte("c"), Policy: "o", Scheme: SchemeCbcs, Rotates: true, CryptoPeriodIndex: 1 << 31, CryptoPeriodSeconds: 600},
		"the first crypto period": {KIDs: []KID{testKID}, Rotates: true, CryptoPeriodSeconds: 10},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseWidevineInit(AppendWidevineInit(nil, init)); err != nil || !reflect.DeepEqual(got, init) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("field 7 is the index, 10 the seconds", func(t *testing.T) {
		// tags: 7<<3 = 0x38, 10<<3 = 0x50
		if got := hex.EncodeToString(AppendWidevineInit(nil, WidevineInit{Rotates: true, CryptoPeriodSeconds: 300})); got != "3800"+"50ac02" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a scheme of no Common Encryption is not written", func(t *testing.T) {
		if got := AppendWidevineInit(nil, WidevineInit{Scheme: SchemeAES128}); len(got) > 0 {
			t.Errorf("got %x", got)
		}
	})
}

func TestParseWidevineInit(t *testing.T) {
	for name, test := range map[string]struct {
		text   string // hexadecimal
		want   WidevineInit
		offset int // -1: no error
	}{
		"an unknown field is skipped":               {"8001" + "01" + "1a0170", WidevineInit{Provider: "p"}, -1},
		"unknown fixed fields are skipped":          {"8501" + "01020304" + "8101" + "0102030405060708" + "1a0170", WidevineInit{Provider: "p"}, -1},
		"a known field of another type is skipped":  {"1801" + "38" + "05", WidevineInit{Rotates: true, CryptoPeriodIndex: 5}, -1},
		"the last provider counts":                  {"1a0161" + "1a0162", WidevineInit{Provider: "b"}, -1},
		"cens is a scheme that we do not have":      {"48" + "f3dc959b06", WidevineInit{OtherScheme: "cens"}, -1}, // 1667591795
		"a key ID of 15 bytes":                      {"1a0170" + "120f" + "000102030405060708090a0b0c0d0e", WidevineInit{}, 3},
		"a field beyond the message":                {"1a0570", WidevineInit{}, 1},
		"a length of 2^63":                          {"1affffffffffffffff7f", WidevineInit{}, 1},
		"a number that does not end":                {"38ffff", WidevineInit{}, 1},
		"a number over 64 bits":                     {"38ffffffffffffffffff7f", WidevineInit{}, 1},
		"a crypto period over 32 bits":              {"388080808010", WidevineInit{}, 0},
		"field 0":                                   {"0001", WidevineInit{}, 0},
		"a group, which Protocol Buffers gave up":   {"1b", WidevineInit{}, 0},
		"a fixed field that is cut":                 {"8501" + "0102", WidevineInit{}, 2},
		"a tag that does not end, behind a field":   {"1a0170" + "80", WidevineInit{}, 3},
		"a field with a number of more than 29 bit": {"8080808010" + "01", WidevineInit{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(test.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseWidevineInit(b)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			var fe *FormatError
			if errors.As(err, &fe) != (test.offset >= 0) || fe != nil && fe.Offset != test.offset {
				t.Errorf("got %v, want an error at byte %d", err, test.offset)
			}
		})
	}
}

func FuzzParseWidevineInit(f *testing.F) {
	f.Add(AppendWidevineInit(nil, WidevineInit{KIDs: []KID{testKID}, Provider: "p", ContentID: []byte("c"), Scheme: SchemeCenc, Rotates: true, CryptoPeriodSeconds: 9}))
	f.Add([]byte{8, 1, 0x1a, 1, 'p'})
	f.Fuzz(func(t *testing.T, b []byte) {
		init, err := ParseWidevineInit(b)
		if err != nil {
			if !reflect.DeepEqual(init, WidevineInit{}) {
				t.Errorf("error and a message: %+v", init)
			}
			return
		}
		again, err := ParseWidevineInit(AppendWidevineInit(nil, init))
		init.OtherScheme = "" // read alone
		if len(init.ContentID) == 0 {
			init.ContentID = nil
		}
		if err != nil || !reflect.DeepEqual(again, init) {
			t.Errorf("%+v is read again as %+v, %v", init, again, err)
		}
	})
}
