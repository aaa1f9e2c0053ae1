package keysource

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// testSecretText is 32 bytes that are obviously a fixture and yet not weak by ParseSecret's rules.
const testSecretText = "test-only deployment secret, never for viewers"

func testSecret(t testing.TB) Secret {
	t.Helper()
	s, err := ParseSecret(testSecretText)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testTitle() Title {
	return Title{Tenant: "test.example", Group: "movies", Asset: "/vod/demo/", Scheme: drm.SchemeCenc}
}

func testDerived(t testing.TB, split bool) *Derived {
	t.Helper()
	d, err := NewDerived(testSecret(t), split)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDerivedGolden fails when a label or a layout changes, which would change every key of every deployment.
func TestDerivedGolden(t *testing.T) {
	for _, tt := range []struct {
		name         string
		split        bool
		request      Request
		kid, key, iv string
	}{
		{
			"one key per title", false, Request{testTitle(), drm.ClassShared},
			"2231348fc7877903a6481d5253f74461", "3828aac5859ce89bc233ef1b48a7014f", "401a1446c9d610dd8a15327cbea38666",
		},
		{
			"HD, cbcs, period 7, generation 1", true,
			Request{Title{"test.example", "", "/live/one/", drm.SchemeCbcs, 7, 1}, drm.ClassHD},
			"d3122f5a38c0bbd54132eeee25f2d185", "03ff18186971d304b6c443246a6167f4", "0e9145926630039a2b86d905681a3491",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := testDerived(t, tt.split).ContentKey(context.Background(), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			secret, iv := k.Secret(), k.ConstantIV()
			for _, f := range [][3]string{
				{"KID", k.KID().Hex(), tt.kid},
				{"key", hex.EncodeToString(secret[:]), tt.key},
				{"IV", hex.EncodeToString(iv[:]), tt.iv},
			} {
				if f[1] != f[2] {
					t.Errorf("%s %s, want %s", f[0], f[1], f[2])
				}
			}
		})
	}
}

// expand is HKDF-Expand for one block, spelled out from RFC 5869, 2.3.
func expand(prk, info []byte) []byte {
	mac := hmac.New(sha256.New, prk)
	mac.Write(info)
	mac.Write([]byte{1})
	return mac.Sum(nil)
}

// TestDerivedFromPrimitives computes a key by hand, from HMAC alone.
func TestDerivedFromPrimitives(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("caddy-drm deployment secret v1"))
	mac.Write([]byte(testSecretText))
	prk := mac.Sum(nil)

	kidKey := expand(prk, []byte("\x00\x00\x00\x10caddy-drm kid v1"))
	mac = hmac.New(sha256.New, kidKey)
	mac.Write([]byte("\x00\x00\x00\x0ctest.example" + "\x00\x00\x00\x06movies" + "\x00\x00\x00\x0a/vod/demo/" +
		"\x00\x00\x00\x04cenc" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x03ALL"))
	kid := mac.Sum(nil)[:16]
	field := "\x00\x00\x00\x10" + string(kid)
	key := expand(prk, []byte("\x00\x00\x00\x18caddy-drm content key v1"+field))[:16]
	iv := expand(prk, []byte("\x00\x00\x00\x18caddy-drm constant iv v1"+field))[:16]

	k, err := testDerived(t, false).ContentKey(context.Background(), Request{testTitle(), drm.ClassShared})
	if err != nil {
		t.Fatal(err)
	}
	want, err := drm.NewContentKey(drm.KID(kid), key, iv)
	if err != nil {
		t.Fatal(err)
	}
	if k != want {
		t.Errorf("KID %s, want %s; key or IV may differ too", k.KID(), want.KID())
	}
}
