package keysource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

// testKey is a key whose bytes show in any dump: KID n…, secret a0+n…, IV 50+n….
func testKey(n byte) drm.ContentKey {
	kid := drm.KID(bytes.Repeat([]byte{n}, 16))
	k, err := drm.NewContentKey(kid, bytes.Repeat([]byte{0xa0 + n}, 16), bytes.Repeat([]byte{0x50 + n}, 16))
	if err != nil {
		panic(err)
	}
	return k
}

// spellings are the forms in which 16 or 32 secret bytes could show: as text, in either base64, and as fmt prints slices.
func spellings(b []byte) []string {
	uuid := hex.EncodeToString(b[:16])
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		strings.TrimRight(base64.StdEncoding.EncodeToString(b), "="), base64.RawURLEncoding.EncodeToString(b),
		uuid[:8] + "-" + uuid[8:12], strings.Trim(fmt.Sprint(b[:6]), "[]"), strings.Trim(fmt.Sprintf("%x", b[:6]), "[]"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b[:4]), "[]byte{"), "}"),
	}
}

// prints are all the ways in which v could reach a log, an error page or a configuration dump.
func prints(t *testing.T, v any) []string {
	t.Helper()
	var out []string
	type exported struct{ V any }
	for _, shape := range []any{v, &v, []any{v}, map[string]any{"v": v}, exported{v}, &exported{v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%T", "%p", "%t", "%e", "%c", "%U"} {
			out = append(out, fmt.Sprintf(verb, shape))
		}
		if b, err := json.Marshal(shape); err == nil {
			out = append(out, string(b))
		}
		if b, err := xml.Marshal(shape); err == nil {
			out = append(out, string(b))
		}
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(shape); err == nil {
			out = append(out, buf.String())
		}
		slog.New(slog.NewJSONHandler(&buf, nil)).Info("test", "v", shape)
		slog.New(slog.NewTextHandler(&buf, nil)).Info("test", "v", shape)
		out = append(out, buf.String(), fmt.Errorf("wrapped: %v", shape).Error())
	}
	return out
}

func TestNothingPrintsSecrets(t *testing.T) {
	secret := testSecret(t)
	derived := testDerived(t, false)
	static, err := ParseStatic([]byte(`{"keys":[{"kid":"01010101010101010101010101010101","key":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","scheme":"cenc"}]}`), StaticOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cached, err := NewCached(static, time.Now, CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	r := Request{testTitle(), drm.ClassShared}
	fromStatic, err := cached.ContentKey(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if want := testKey(1).Secret(); fromStatic.Secret() != want {
		t.Fatal("the planted key is not the one that is served")
	}
	fromDerived, err := derived.ContentKey(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}

	prk, kidKey := secret.prk(), derived.kidKey()
	planted := [][]byte{[]byte(testSecretText), prk[:], kidKey[:]}
	for _, k := range []drm.ContentKey{fromStatic, fromDerived} {
		b := k.Secret()
		planted = append(planted, b[:])
	}
	// fmt cannot call methods on unexported fields.
	type holdsSecret struct{ s Secret }
	type holdsDerived struct{ d Derived }
	type holdsStatic struct{ s Static }
	type holdsCached struct{ c Cached }
	type holdsPointers struct {
		d *Derived
		s *Static
		c *Cached
	}
	holders := map[string]any{
		"secret": secret, "pointer to secret": &secret, "inside secret": holdsSecret{secret}, "inside pointer": &holdsSecret{secret},
		"inside derived": holdsDerived{*derived}, "inside static": holdsStatic{*static}, "inside cached": holdsCached{*cached},
		"inside pointers": holdsPointers{derived, static, cached}, "pointer to pointers": &holdsPointers{derived, static, cached},
		"derived": derived, "static": static, "cached": cached, "derived by value": *derived, "static by value": *static,
		"content key": fromStatic, "derived key": fromDerived, "list": []drm.ContentKey{fromStatic, fromDerived},
		"map": map[drm.KID]drm.ContentKey{fromStatic.KID(): fromStatic},
	}
	if testtools.RaceEnabled {
		// fmt reads what the cache's own goroutines write, which only a test does.
		for _, name := range []string{"inside cached", "inside pointers", "pointer to pointers", "cached"} {
			delete(holders, name)
		}
	}
	for name, v := range holders {
		for _, text := range prints(t, v) {
			for _, p := range planted {
				for _, s := range spellings(p) {
					if strings.Contains(text, s) {
						t.Fatalf("%s prints secret bytes: %q", name, text)
					}
				}
			}
		}
	}
}

// TestSpellingsAreFound keeps the search above honest: each way of printing bare bytes is noticed.
func TestSpellingsAreFound(t *testing.T) {
	b := testRandomBytes(t)
	for _, text := range []string{
		fmt.Sprintf("%v", b), fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("%#v", b), string(b),
		fmt.Sprintf("%v", struct{ b [32]byte }{[32]byte(b)}), base64.StdEncoding.EncodeToString(b), drm.KID(b[:16]).String(),
	} {
		found := false
		for _, s := range spellings(b) {
			found = found || strings.Contains(text, s)
		}
		if !found {
			t.Errorf("not noticed: %q", text)
		}
	}
}
