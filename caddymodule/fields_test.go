package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// TestFieldsAreOfTheirOwn: handlers around ours add to fields and change them in place, and no field is another's neighbor then.
func TestFieldsAreOfTheirOwn(t *testing.T) {
	header := make(http.Header)
	setFields(header, [][2]string{{"Content-Type", "a"}, {"Cache-Control", "b"}, {"Vary", "c"}})
	header.Add("Content-Type", "d")
	header["Vary"][0] = "e"
	setFields(header, [][2]string{{"Vary", "f"}})
	for name, want := range map[string]string{"Content-Type": "a d", "Cache-Control": "b", "Vary": "f"} {
		if got := strings.Join(header.Values(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
