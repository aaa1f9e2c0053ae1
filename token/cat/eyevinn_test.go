package cat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-drm/caddy-drm/token"
)

// Made by @eyevinn/cat 0.16.4 of npm, with catm, catu, catif, catr and cti: as CBOR, which is its option expectCwtTag, and as it is
// without that.
const (
	eyevinnCBOR = "2D3RhEOhAQWhBExTeW1tZXRyaWMyNTZYp6sBZ2V5ZXZpbm4CZWpvbmFzA3FtZWRpYS5leGFtcGxlLmNvbQQadQI6uwYaZ-QRwAdCC3EZATihA6EBZi9kZW1vLxkBOYFjR0VUGQFCoQSDGQEzoWhMb2NhdGlvbngeaHR0cHM6Ly9zaG9wLmV4YW1wbGUuY29tL2xvZ2lu9xkBQ6QAAgR3Q1RBLUNvbW1vbi1BY2Nlc3MtVG9rZW4BGHgCGDwZATYBWCCljauAuL7IoUORKY2ApU3n18dRqAGFzu_BoCJqK0lFQg"
	eyevinnText = "0YRDoQEFoQRMU3ltbWV0cmljMjU2eQFOYWIwMTY3NjU3OTY1NzY2OTZlNmUwMjY1NmE2ZjZlNjE3MzAzNzE2ZDY1NjQ2OTYxMmU2NTc4NjE2ZDcwNmM2NTJlNjM2ZjZkMDQxYTc1MDIzYWJiMDYxYTY3ZTQxMWMwMDc0MjBiNzExOTAxMzhhMTAzYTEwMTY2MmY2NDY1NmQ2ZjJmMTkwMTM5ODE2MzQ3NDU1NDE5MDE0MmExMDQ4MzE5MDEzM2ExNjg0YzZmNjM2MTc0Njk2ZjZlNzgxZTY4NzQ3NDcwNzMzYTJmMmY3MzY4NmY3MDJlNjU3ODYxNmQ3MDZjNjUyZTYzNmY2ZDJmNmM2ZjY3Njk2ZWY3MTkwMTQzYTQwMDAyMDQ3NzQzNTQ0MTJkNDM2ZjZkNmQ2ZjZlMmQ0MTYzNjM2NTczNzMyZDU0NmY2YjY1NmUwMTE4NzgwMjE4M2MxOTAxMzYwMVggGiCYUkFtsIkGLGY-SOnkCPXb4G5Mt6a09JnMJqCvVHQ"
)

// TestTokensOfTheNodeLibrary: the third part of an answer of catif may be undefined, as that library writes it.
func TestTokensOfTheNodeLibrary(t *testing.T) {
	key, err := secretKey("Symmetric256", unhex(t, "403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := New(Config{Keys: []Key{key}, Audience: []string{"media.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	req := token.Request{Now: time.Unix(1743000000, 0), Host: "example.com", Path: "/demo/a.mpd", PublicPath: "/demo/a.mpd", Method: "GET"}
	claims, err := verifier.Verify(t.Context(), eyevinnCBOR, req)
	if err != nil || claims.Subject != "jonas" || claims.ID != "0b71" || claims.Expires.Unix() != 1963080379 {
		t.Fatalf("%+v, %v", claims, err)
	}
	over := req
	over.Now = time.Unix(1963080380, 0)
	_, err = verifier.Verify(t.Context(), eyevinnCBOR, over)
	answer := token.AnswerOf(err)
	if !errors.Is(err, token.ErrExpired) || answer == nil || answer.Status != 307 || len(answer.Header) != 1 || answer.Header[0][1] != "https://shop.example.com/login" {
		t.Errorf("expired: %v, answered %+v", err, answer)
	}
	elsewhere := req
	elsewhere.PublicPath = "/other/a.mpd"
	if _, err := verifier.Verify(t.Context(), eyevinnCBOR, elsewhere); !errors.Is(err, token.ErrScope) {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := verifier.Verify(t.Context(), eyevinnText, req); !errors.Is(err, token.ErrMalformed) || !strings.Contains(err.Error(), "claims are a text") {
		t.Errorf("claims as text: %v", err)
	}
}

// undefined is the simple value of that name.
const undefined = cbor.SimpleValue(23)

// TestUndefinedDemandsNothingNew: what may be undefined is what may be missing.
func TestUndefinedDemandsNothingNew(t *testing.T) {
	v := newVerifier(t, Config{})
	for name, claims := range map[string]m{
		"exp": with(Expires, undefined), "catm": with(Method, undefined), "a method": with(Method, []any{"GET", undefined}), "catu": with(URI, undefined),
		"a part": with(URI, m{PartPath: undefined}), "a match": with(URI, m{PartPath: m{MatchPrefix: undefined}}), "catnip": with(NetworkIP, []any{undefined}),
		"countries": with(GeoISO3166, []any{undefined}), "catv": with(Version, undefined), "catreplay": with(Replay, undefined),
	} {
		if _, err := v.Verify(t.Context(), sealed(t, testKey(t), claims), request()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
