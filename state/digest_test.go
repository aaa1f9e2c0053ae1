package state

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// TestDigestIsHMAC compares the halves that are written out with the standard library.
func TestDigestIsHMAC(t *testing.T) {
	key := testKey()
	d := NewDigester(key)
	for _, value := range []string{"", "viewer", strings.Repeat("x", 1000)} {
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte("kind\x00" + value))
		if got := d.Digest("kind", value); got != Digest(mac.Sum(nil)[:16]) {
			t.Errorf("%d bytes: %x", len(value), got)
		}
	}
	if allocated := testing.AllocsPerRun(100, func() { d.Digest("revoked subject", "viewer-0123456789") }); allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestDigesterHidesItsKey(t *testing.T) {
	key := testKey()
	d := NewDigester(key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		for _, value := range []any{d, *d} {
			if text := fmt.Sprintf(verb, value); verb != "%v" && strings.Contains(text, fmt.Sprintf("%x", key[:4])) {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
	if text := fmt.Sprint(d); text != "digester" {
		t.Error(text)
	}
}
