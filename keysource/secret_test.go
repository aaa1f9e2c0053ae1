package keysource

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// testRandom is 32 bytes without a pattern, fixed.
const testRandom = "8d3f5a0c7716e94b2ac8d15e60f39b7204ae6cd9813b57f02e94c6a1db087f35"

func testRandomBytes(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(testRandom)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseSecretFormsAgree(t *testing.T) {
	b := testRandomBytes(t)
	want := newSecret(b).Derive("test")
	for name, text := range map[string]string{
		"hexadecimal":          testRandom,
		"upper case":           strings.ToUpper(testRandom),
		"base64, padded":       base64.StdEncoding.EncodeToString(b),
		"base64, unpadded":     base64.RawStdEncoding.EncodeToString(b),
		"base64url, padded":    base64.URLEncoding.EncodeToString(b),
		"base64url, unpadded":  base64.RawURLEncoding.EncodeToString(b),
		"line break behind it": testRandom + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSecret(text)
			if err != nil {
				t.Fatal(err)
			}
			if s.Derive("test") != want {
				t.Error("another secret than the same bytes in hexadecimal")
			}
		})
	}
}

func TestParseSecretPlainText(t *testing.T) {
	const text = "a sentence, long enough & with punctuation"
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	if s.Derive("test") != newSecret([]byte(text)).Derive("test") {
		t.Error("plain text is not taken as its own bytes")
	}
}

func TestParseSecretRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                        "",
		"white space":                    strings.Repeat(" ", 64),
		"31 bytes of hexadecimal":        testRandom[:62],
		"31 bytes of base64":             base64.RawURLEncoding.EncodeToString(testRandomBytes(t)[:31]),
		"32 hexadecimal digits":          testRandom[:32],
		"31 characters":                  "this text is 31 characters long",
		"all zero":                       strings.Repeat("00", 32),
		"one character":                  strings.Repeat("!", 64),
		"repeated password":              strings.Repeat("password ", 8),
		"12 bytes repeated":              strings.Repeat(testRandom[:24], 4),
		"31 bytes repeated":              strings.Repeat(testRandom[:62], 3),
		"00 to 1f":                       "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"ff down":                        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
		"alphabet, digits, punctuation":  "!abcdefghijklmnopqrstuvwxyz!0123456789",
		"0011223344… of documentation":   strings.Repeat("00112233445566778899aabbccddeeff", 2),
		"longer than any secret":         strings.Repeat(testRandom, 100),
		"two bytes without a pattern":    "0001010000010001010100000001000101000100010101010000000100010100",
		"short base64 and a line break":  base64.StdEncoding.EncodeToString(testRandomBytes(t))[:20] + "\n",
		"few bytes in plain hexadecimal": strings.Repeat("deadbeef", 8),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSecret(text)
			if !errors.Is(err, ErrSecret) {
				t.Fatalf("error %v, want ErrSecret", err)
			}
			if !s.IsZero() {
				t.Error("an error came with a secret")
			}
			if trimmed := strings.TrimSpace(text); len(trimmed) >= 8 && strings.Contains(err.Error(), trimmed[:8]) {
				t.Errorf("error quotes the text: %v", err)
			}
		})
	}
}

func TestParseSecretTakesLongPattern(t *testing.T) {
	if _, err := ParseSecret(testRandom + testRandom); err != nil {
		t.Errorf("32 random bytes written twice are still 32 random bytes: %v", err)
	}
}

func TestNewSecretReadsBack(t *testing.T) {
	seen := make(map[[32]byte]bool)
	for range 200 {
		s, text := NewSecret()
		back, err := ParseSecret(text)
		if err != nil {
			t.Fatalf("a random secret was refused: %v", err)
		}
		d := s.Derive("test")
		if back.Derive("test") != d {
			t.Fatal("the text form reads back as another secret")
		}
		if seen[d] {
			t.Fatal("drawn twice")
		}
		seen[d] = true
	}
}

func TestDeriveSeparatesFields(t *testing.T) {
	s := testSecret(t)
	seen := make(map[[32]byte][]string)
	for _, c := range [][]string{
		{"label"}, {"label", ""}, {"label", "", ""}, {"label", "ab"}, {"label", "a", "b"}, {"label", "", "ab"}, {"label", "ab", ""},
		{"labela", "b"}, {"", "label"}, {"labe", "l"}, {"label", "\x00\x00\x00\x01a"}, {"label", "a"},
	} {
		d := s.Derive(c[0], c[1:]...)
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q derive the same bytes", other, c)
		}
		seen[d] = c
		if d != s.Derive(c[0], c[1:]...) {
			t.Errorf("%q derives different bytes the second time", c)
		}
	}
	_, text := NewSecret()
	other, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	if other.Derive("label") == s.Derive("label") {
		t.Error("two secrets derive the same bytes")
	}
}

func TestDeriveOfNoSecretPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("bytes derived from no secret are public; want a panic")
		}
	}()
	Secret{}.Derive("test")
}

func FuzzParseSecret(f *testing.F) {
	for _, seed := range []string{testRandom, testSecretText, "", "=", "AAAA", strings.Repeat("a", 43), strings.Repeat("é", 20), "\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if (err == nil) == s.IsZero() {
			t.Fatalf("error %v with zero=%t", err, s.IsZero())
		}
		if err == nil && len(strings.TrimSpace(text)) < MinSecretSize {
			t.Fatalf("%d characters were enough", len(text))
		}
	})
}
