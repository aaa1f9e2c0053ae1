package drm

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// testKID is the KID of the published vectors.
var testKID = KID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}

func TestParseKID(t *testing.T) {
	for name, text := range map[string]string{
		"a UUID is a KID":                        "01234567-89ab-cdef-0123-456789abcdef",
		"an upper-case UUID is the same KID":     "01234567-89AB-CDEF-0123-456789ABCDEF",
		"32 digits are a KID":                    "0123456789abcdef0123456789abcdef",
		"32 digits in mixed case are a KID":      "0123456789aBcDeF0123456789AbCdEf",
		"what String writes is read back":        testKID.String(),
		"what Hex writes is read back":           testKID.Hex(),
		"String of a SystemID has the same form": SystemID(testKID).String(),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseKID(text); err != nil || got != testKID {
				t.Errorf("ParseKID(%q) = %v, %v", text, got, err)
			}
		})
	}
	for name, text := range map[string]string{
		"empty text is refused":                     "",
		"31 digits are refused":                     "0123456789abcdef0123456789abcde",
		"33 digits are refused":                     "0123456789abcdef0123456789abcdef0",
		"34 digits are refused":                     "0123456789abcdef0123456789abcdef01",
		"36 digits without hyphens are refused":     "0123456789abcdef0123456789abcdef0123",
		"hyphens elsewhere are refused":             "0123456-789ab-cdef-0123-456789abcdef0",
		"a moved hyphen is refused":                 "012345678-9ab-cdef-0123-456789abcdef",
		"a fifth hyphen in place of a digit":        "01234567-89ab-cdef-0123-45678-abcdef",
		"hyphens among 32 characters are refused":   "01234567-89ab-cdef-0123-456789ab",
		"braces of a GUID are refused":              "{01234567-89ab-cdef-0123-456789abcd}",
		"0x is refused":                             "0x123456789abcdef0123456789abcdef0",
		"a digit that is not hexadecimal":           "0123456789abcdef0123456789abcdeg",
		"a space in front is refused":               " 0123456789abcdef0123456789abcde",
		"a line break at the end is refused":        "0123456789abcdef0123456789abcde\n",
		"full-width digits are refused":             strings.Repeat("\uff11", 12),
		"the ClearKey form is for another function": testKID.Base64URL(),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseKID(text); !errors.Is(err, ErrKID) || !got.IsZero() {
				t.Errorf("ParseKID(%q) = %v, %v; want the zero KID and ErrKID", text, got, err)
			}
		})
	}
}

func TestParseKIDBase64URL(t *testing.T) {
	const text = "ASNFZ4mrze8BI0VniavN7w" // 16 bytes are 22 characters: 21 whole ones and 2 bits
	if got, err := ParseKIDBase64URL(text); err != nil || got != testKID {
		t.Errorf("ParseKIDBase64URL(%q) = %v, %v", text, got, err)
	}
	if got := testKID.Base64URL(); got != text {
		t.Errorf("Base64URL() = %q, want %q", got, text)
	}
	for name, text := range map[string]string{
		"empty text is refused":                         "",
		"padding is refused":                            text + "==",
		"15 bytes are refused":                          text[:20],
		"17 bytes are refused":                          text + "A",
		"bits behind the last byte are refused":         text[:21] + "x",
		"a line break that the decoder skips":           text + "\n",
		"a carriage return inside is refused":           text[:5] + "\r" + text[5:],
		"line breaks instead of characters are refused": text[:20] + "\r\n",
		"the standard alphabet is refused":              strings.Repeat("+/", 11),
		"hexadecimal is refused":                        testKID.Hex(),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseKIDBase64URL(text); !errors.Is(err, ErrKID) || !got.IsZero() {
				t.Errorf("ParseKIDBase64URL(%q) = %v, %v; want the zero KID and ErrKID", text, got, err)
			}
		})
	}
}

func TestKIDIsPrintedAsLowerCaseUUID(t *testing.T) {
	const want = "01234567-89ab-cdef-0123-456789abcdef"
	encoded, err := json.Marshal(map[string]any{"kid": testKID})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"String": testKID.String(),
		"%v":     fmt.Sprintf("%v", testKID),
		"JSON":   strings.TrimSuffix(strings.TrimPrefix(string(encoded), `{"kid":"`), `"}`),
	} {
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := testKID.Hex(); got != hex.EncodeToString(testKID[:]) {
		t.Errorf("Hex() = %q", got)
	}
	if testKID.IsZero() || !(KID{}).IsZero() {
		t.Error("IsZero holds for the zero KID and no other")
	}
}

func FuzzParseKID(f *testing.F) {
	for _, seed := range []string{testKID.String(), testKID.Hex(), testKID.Base64URL(), "", "0123456789abcdef0123456789abcdef\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseKID(text); err != nil {
			if !k.IsZero() {
				t.Errorf("error and a KID: %v", k)
			}
		} else if low := strings.ToLower(text); low != k.String() && low != k.Hex() {
			t.Errorf("%q was read as %v", text, k)
		}
		if k, err := ParseKIDBase64URL(text); err != nil {
			if !k.IsZero() {
				t.Errorf("error and a KID: %v", k)
			}
		} else if text != k.Base64URL() {
			t.Errorf("%q is a second spelling of %q", text, k.Base64URL())
		}
	})
}
