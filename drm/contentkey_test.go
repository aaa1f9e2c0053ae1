package drm

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// testSecret and testIV have no byte in common with each other or with testKID.
var (
	testSecret = []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xac, 0xad, 0xae, 0xaf, 0xb0}
	testIV     = []byte{0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf}
)

func newTestKey(t *testing.T) ContentKey {
	t.Helper()
	k, err := NewContentKey(testKID, testSecret, testIV)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewContentKey(t *testing.T) {
	zero := make([]byte, 16)
	for name, test := range map[string]struct {
		kid        KID
		secret, iv []byte
	}{
		"a zero KID is refused":         {KID{}, testSecret, testIV},
		"a zero secret is refused":      {testKID, zero, testIV},
		"no secret is refused":          {testKID, nil, testIV},
		"15 secret bytes are refused":   {testKID, testSecret[:15], testIV},
		"17 secret bytes are refused":   {testKID, append(testSecret[:16:16], 1), testIV},
		"no IV is refused":              {testKID, testSecret, nil},
		"an 8-byte IV is refused":       {testKID, testSecret, testIV[:8]},
		"a 32-byte secret is no AES256": {testKID, append(testSecret[:16:16], testSecret...), testIV},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := NewContentKey(test.kid, test.secret, test.iv)
			if !errors.Is(err, ErrContentKey) || !k.IsZero() {
				t.Errorf("got %v, %v; want the zero ContentKey and ErrContentKey", k, err)
			}
		})
	}
	t.Run("a zero IV is an IV", func(t *testing.T) {
		if _, err := NewContentKey(testKID, testSecret, zero); err != nil {
			t.Error(err)
		}
	})
}

func TestContentKeyHoldsCopies(t *testing.T) {
	secret, iv := bytes.Clone(testSecret), bytes.Clone(testIV)
	k, err := NewContentKey(testKID, secret, iv)
	if err != nil {
		t.Fatal(err)
	}
	clear(secret)
	clear(iv)
	if k.Secret() != [KeySize]byte(testSecret) || k.ConstantIV() != [KeySize]byte(testIV) || k.KID() != testKID {
		t.Error("the key changed with the slices that it was made of")
	}
}

func TestContentKeyEquality(t *testing.T) {
	k := newTestKey(t)
	other := bytes.Clone(testSecret)
	other[0]++
	for name, test := range map[string]struct {
		kid        KID
		secret, iv []byte
		equal      bool
	}{
		"same parts, same key":        {testKID, bytes.Clone(testSecret), bytes.Clone(testIV), true},
		"another KID, another key":    {KID{1}, testSecret, testIV, false},
		"another secret, another key": {testKID, other, testIV, false},
		"another IV, another key":     {testKID, testSecret, other, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := NewContentKey(test.kid, test.secret, test.iv); err != nil || (got == k) != test.equal {
				t.Errorf("equal: %v, error: %v", got == k, err)
			}
		})
	}
	t.Run("the zero key is zero and can be asked", func(t *testing.T) {
		var zero ContentKey
		if !zero.IsZero() || k.IsZero() || zero.Secret() != [16]byte{} || zero.ConstantIV() != [16]byte{} || !zero.KID().IsZero() {
			t.Error("IsZero holds for the zero ContentKey and no other, and its parts are zeros")
		}
	})
}

// Structs around a key: fmt calls methods on the exported field and cannot call any on the others.
type (
	publicHolder  struct{ Key ContentKey }
	privateHolder struct{ key ContentKey }
	pointerHolder struct{ key *ContentKey }
	deepHolder    struct {
		keys []ContentKey
		by   map[string]privateHolder
		any  any
	}
	embeddingHolder struct {
		ContentKey
		note string
	}
)

func holders(k ContentKey) map[string]any {
	return map[string]any{
		"value": k, "pointer": &k, "slice": []ContentKey{k}, "array": [1]ContentKey{k},
		"map value": map[string]ContentKey{"k": k}, "map key": map[ContentKey]int{k: 1},
		"public field": publicHolder{k}, "private field": privateHolder{k}, "pointer to private field": &privateHolder{k},
		"private pointer": pointerHolder{&k}, "embedded": embeddingHolder{k, "note"},
		"deep": deepHolder{[]ContentKey{k}, map[string]privateHolder{"k": {k}}, privateHolder{k}},
	}
}

func TestContentKeyIsNeverPrintedByFmt(t *testing.T) {
	k := newTestKey(t)
	for name, holder := range holders(k) {
		t.Run(name, func(t *testing.T) {
			for _, verb := range "vTtbcdoOqxXUeEfFgGsqpwzé" {
				for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "5", ".3", "60.20"} {
					format := "%" + flags + string(verb)
					refuseSecret(t, format, fmt.Sprintf(format, holder))
					refuseSecret(t, format+" in an error", fmt.Errorf(format, holder).Error())
				}
			}
			// Variables, since vet sees such mistakes in constants.
			for how, format := range map[string]string{"width": "%*d", "surplus argument": "%%", "bad index": "%[7]d", "no verb": "%!"} {
				refuseSecret(t, how, fmt.Sprintf(format, holder, 1))
			}
			refuseSecret(t, "Sprint", fmt.Sprint(holder)+fmt.Sprintln(holder))
			refuseSecret(t, "Append", string(fmt.Append(nil, holder)))
		})
	}
	if got := fmt.Sprintf("%v %s %#v %x %d", k, k, k, k, &k); got != strings.TrimSpace(strings.Repeat(testKID.String()+" ", 5)) {
		t.Errorf("a ContentKey prints as its KID, got %q", got)
	}
}

func TestContentKeyIsNeverMarshaled(t *testing.T) {
	k := newTestKey(t)
	for name, holder := range holders(k) {
		t.Run(name, func(t *testing.T) {
			if text, err := json.Marshal(holder); err == nil {
				refuseSecret(t, "JSON", string(text))
			}
			if text, err := xml.Marshal(holder); err == nil {
				refuseSecret(t, "XML", string(text))
			}
			var b strings.Builder
			if err := template.Must(template.New("").Parse("{{.}} {{printf `%d` .}}")).Execute(&b, holder); err != nil {
				t.Error(err)
			}
			refuseSecret(t, "template", b.String())
		})
	}
	if text, err := json.Marshal(publicHolder{k}); err != nil || string(text) != `{"Key":"`+testKID.String()+`"}` {
		t.Errorf("JSON: %s, %v", text, err)
	}
}

func TestContentKeyIsNeverLogged(t *testing.T) {
	k := newTestKey(t)
	for name, holder := range holders(k) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
				slog.New(handler).Info("m", "k", holder, slog.Group("g", slog.Any("k", holder)))
			}
			refuseSecret(t, "slog", b.String())
			b.Reset()
			for _, encoder := range []zapcore.Encoder{
				zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
			} {
				log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&b), zapcore.DebugLevel))
				log.Info("m", zap.Any("any", holder), zap.Reflect("reflect", holder))
				log.Sugar().Infow("m", "k", holder)
				log.Sugar().Infof("%v %+v %#v", holder, holder, holder)
			}
			refuseSecret(t, "zap", b.String())
		})
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "key", k)
	if !strings.Contains(b.String(), "key="+testKID.String()) {
		t.Errorf("slog shows the KID, got %s", b.String())
	}
}

// refuseSecret fails if text holds three neighboring bytes of the secret or the IV in a row, in any notation.
func refuseSecret(t *testing.T, how, text string) {
	t.Helper()
	for _, secret := range [][]byte{testSecret, testIV} {
		for i := 0; i+3 <= len(secret); i++ {
			for _, spelling := range spellings(secret[i : i+3]) {
				if strings.Contains(text, spelling) {
					t.Fatalf("%s: key material as %q in %q", how, spelling, text)
				}
			}
		}
		for _, whole := range []string{base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			if strings.Contains(text, whole[:20]) {
				t.Fatalf("%s: key material as base64 in %q", how, text)
			}
		}
	}
}

// spellings writes b in the notations in which fmt and encoders write bytes.
func spellings(b []byte) []string {
	all := []string{string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b))}
	for _, base := range []int{2, 8, 10, 16} {
		for _, separator := range []string{" ", ", ", ",", " 0x", ", 0x", " 0X", " 0", " 0o", " +"} {
			var digits []string
			for _, c := range b {
				digits = append(digits, strconv.FormatUint(uint64(c), base))
			}
			text := strings.Join(digits, separator)
			all = append(all, text, strings.ToUpper(text))
		}
	}
	return all
}

func TestRefuseSecretCanFail(t *testing.T) {
	type leak struct{ secret [KeySize]byte }
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "%X", "% x", "%d", "%o", "%b", "%p"} {
		text := fmt.Sprintf(format, leak{[KeySize]byte(testSecret)})
		found := false
		for _, spelling := range spellings(testSecret[4:7]) {
			found = found || strings.Contains(text, spelling)
		}
		if !found {
			t.Errorf("%s prints %s, which the search does not see", format, text)
		}
	}
}
