package cat

import (
	"encoding/base64"
	"runtime"
	"testing"

	"github.com/caddy-drm/caddy-drm/token"
)

// FuzzVerify: nothing that is sent makes the verifier panic or take memory beyond what a token can be worth, and a token that is
// accepted says the same when its claims are written again.
func FuzzVerify(f *testing.F) {
	key, err := secretKey("k1", []byte(testSecret))
	if err != nil {
		f.Fatal(err)
	}
	for _, vector := range readVectors(f) {
		e, err := openEnvelope(vector.Token)
		if err == nil {
			f.Add(e.payload, true)
		}
		b, _ := base64.RawURLEncoding.DecodeString(vector.Token)
		f.Add(b, false)
	}
	for _, claims := range []map[int64]any{
		with(Method, []string{"GET"}, NetworkIP, []any{net("192.0.2.0/24"), 64500}, ALPN, []any{[]byte("h2")}),
		with(URI, m{3: m{1: "/members/", 4: []any{"/(members)/.*", "members"}}, 1: m{-1: digest256("media.example.com")}}),
		with(Header, map[string]any{"X-Device": m{0: "tv"}}, GeoISO3166, []any{"AT-4"}, If, m{4: []any{307, map[string]any{"Location": "https://a.example/"}}}),
		with(Renewal, m{0: 1, 1: 600, 2: 60, 5: []any{"Secure"}}, IssuedAt, 1, Replay, 1, ID, []byte{1, 2}),
	} {
		e, err := openEnvelope(sealed(f, key, claims))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.payload, true)
	}
	v := newVerifier(f, Config{Keys: []Key{key}, ExactAddresses: true, Renew: key})
	f.Fuzz(func(t *testing.T, b []byte, sealIt bool) {
		raw := base64.RawURLEncoding.EncodeToString(b)
		if sealIt { // claims under a MAC that fits, so that what lies behind it is reached
			e := &envelope{algorithm: HS256, mac: true, protected: []byte{0xa1, 1, 5}, payload: b}
			e.seal = key.mac(e.message())
			text, err := e.text(map[any]any{})
			if err != nil {
				return
			}
			raw = text
		}
		_, _ = Explain(raw)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		claims, err := v.Verify(t.Context(), raw, request())
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("a token of %d bytes took %d bytes of memory", len(raw), took)
		}
		if err != nil {
			if claims.Subject != "" || !claims.Expires.IsZero() {
				t.Error("claims come with an error")
			}
			return
		}
		checkSaysTheSame(t, v, key, raw, claims)
	})
}

func checkSaysTheSame(t *testing.T, v *Verifier, key Key, raw string, claims token.Claims) {
	t.Helper()
	e, err := openEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := decodeStrict(e.payload)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := decoded.(map[any]any)
	if !ok {
		t.Fatal("claims that are no map")
	}
	again, err := seal(key, m)
	if err != nil {
		t.Fatal(err)
	}
	same, err := v.Verify(t.Context(), again, request())
	if err != nil {
		t.Fatalf("written again it is refused: %v", err)
	}
	if same.Subject != claims.Subject || same.ID != claims.ID || !same.Expires.Equal(claims.Expires) || same.OneAddress != claims.OneAddress {
		t.Errorf("written again it says %+v, not %+v", same, claims)
	}
	if claims.Conditions == nil {
		return
	}
	carried, err := claims.Conditions.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseConditions(carried); err != nil {
		t.Errorf("a session could not read what it carries: %v", err)
	}
}
