package licensing

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// testKey returns the key named n…, with the secret a0+n….
func testKey(t testing.TB, n byte) drm.ContentKey {
	t.Helper()
	k, err := drm.NewContentKey(drm.KID(bytes.Repeat([]byte{n}, 16)), bytes.Repeat([]byte{0xa0 + n}, 16), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func vectorKey(t testing.TB) drm.ContentKey {
	t.Helper()
	kid, err := drm.ParseKID("01234567-89ab-cdef-0123-456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := hex.DecodeString("00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	k, err := drm.NewContentKey(kid, secret, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The exchange in the forms of EME, Clear Key: KID and key above, in base64url without padding.
const (
	vectorRequest = `{"kids":["ASNFZ4mrze8BI0VniavN7w"],"type":"temporary"}`
	vectorLicense = `{"keys":[{"kty":"oct","kid":"ASNFZ4mrze8BI0VniavN7w","k":"ABEiM0RVZneImaq7zN3u_w"}],"type":"temporary"}`
)

func TestClearKeyVector(t *testing.T) {
	key := vectorKey(t)
	req, err := ParseClearKeyRequest([]byte(vectorRequest))
	if err != nil {
		t.Fatal(err)
	}
	if len(req.KIDs) != 1 || req.KIDs[0] != key.KID() {
		t.Fatalf("KIDs %v, want %s", req.KIDs, key.KID())
	}
	license, err := BuildClearKeyLicense([]drm.ContentKey{key}, req)
	if err != nil {
		t.Fatal(err)
	}
	if string(license) != vectorLicense {
		t.Errorf("license differs from the vector")
	}
}
