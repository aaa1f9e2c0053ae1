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
	// The same in a session whose license is kept, and when it is given up: EME acknowledges a release by the same object.
	vectorPersistent = `{"kids":["ASNFZ4mrze8BI0VniavN7w"],"type":"persistent-license"}`
	vectorKept       = `{"keys":[{"kty":"oct","kid":"ASNFZ4mrze8BI0VniavN7w","k":"ABEiM0RVZneImaq7zN3u_w"}],"type":"persistent-license"}`
	vectorRelease    = `{"kids":["ASNFZ4mrze8BI0VniavN7w"]}`
)

func TestClearKeyVector(t *testing.T) {
	key := vectorKey(t)
	for message, want := range map[string]string{vectorRequest: vectorLicense, vectorPersistent: vectorKept, vectorRelease: vectorLicense} {
		req, err := ParseClearKeyRequest([]byte(message))
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
		if string(license) != want {
			t.Errorf("license for %s differs from the vector", message)
		}
		if got := string(BuildClearKeyAcknowledgment(req)); got != vectorRelease {
			t.Errorf("acknowledgment %s", got)
		}
	}
}

// TestClearKeyPurpose: what has no type is a release where licenses can be released, and nothing else ever is.
func TestClearKeyPurpose(t *testing.T) {
	for message, want := range map[string][2]Purpose{ // where licenses are temporary, and where they are persistent
		vectorRequest: {PurposeLicense, PurposeLicense}, vectorPersistent: {PurposeLicense, PurposeLicense}, vectorRelease: {PurposeLicense, PurposeRelease},
	} {
		req, err := ParseClearKeyRequest([]byte(message))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]Purpose{req.Purpose(false), req.Purpose(true)}; got != want {
			t.Errorf("%s: %v, want %v", message, got, want)
		}
	}
}
