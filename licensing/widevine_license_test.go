package licensing_test

import (
	"bytes"
	"testing"

	"github.com/caddy-drm/caddy-drm/licensing"
)

// TestNameOfAWidevineLicense: a license has one name in the answer that gives it, in its renewals, and in the answers to those.
func TestNameOfAWidevineLicense(t *testing.T) {
	id := func(request, session string, version int) []byte {
		return wire(1, []byte(request), 2, []byte(session), 4, 1, 5, version)
	}
	answer := func(id []byte) []byte {
		license := wire(1, id, 2, wire(1, 1), 3, []byte("a key"), 3, []byte("another"), 4, 1_800_000_000)
		return wire(1, 2, 2, license, 3, []byte("signature"), 4, []byte("session key"))
	}
	name := licensing.WidevineLicenseID(answer(id("request", "session", 0)))
	if name == "" {
		t.Fatal("a license has no name")
	}
	if again := licensing.WidevineLicenseID(answer(id("request", "session", 7))); again != name {
		t.Errorf("renewed it is called %q, and %q before", again, name)
	}
	c, err := licensing.ParseWidevineChallenge(widevineChallenge(wire(3, wire(1, id("request", "session", 3), 2, 3600)), 2))
	if err != nil || c.LicenseID != name {
		t.Errorf("its renewal calls it %q, %v", c.LicenseID, err)
	}
	for _, other := range []string{
		licensing.WidevineLicenseID(answer(id("request", "session2", 0))), licensing.WidevineLicenseID(answer(id("requests", "ession", 0))),
		licensing.WidevineLicenseID(answer(id("", "requestsession", 0))),
	} {
		if other == "" || other == name {
			t.Errorf("another one is called %q", other)
		}
	}
	for what, b := range map[string][]byte{
		"nothing": nil, "text": []byte("license of the upstream"), "a certificate": wire(1, 5, 2, wire(1, id("request", "session", 0))), "no identification": wire(1, 2, 2, wire(3, []byte("a key"))),
		"an empty one": answer(nil), "of two": wire(1, 2, 2, append(wire(1, id("a", "b", 0)), wire(1, id("c", "d", 0))...)), "cut": answer(id("request", "session", 0))[:12],
		"two requests": answer(append(id("a", "b", 0), wire(1, []byte("c"))...)),
	} {
		if got := licensing.WidevineLicenseID(b); got != "" {
			t.Errorf("%s is called %q", what, got)
		}
	}
}

func FuzzWidevineLicenseID(f *testing.F) {
	f.Add(wire(1, 2, 2, wire(1, wire(1, []byte("request"), 2, []byte("session")))))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if name := licensing.WidevineLicenseID(b); len(name) > len(b)+10 || !bytes.Equal(before, b) {
			t.Errorf("a name of %d bytes out of %d", len(name), len(b))
		}
	})
}
