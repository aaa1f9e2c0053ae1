package token

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newTestSessionKey(t testing.TB, id string, extend time.Duration) *SessionKey {
	t.Helper()
	k, err := NewSessionKey(testSecret(id)[:SessionKeyBytes], SessionConfig{Extend: extend})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func typicalClaims() Claims {
	return Claims{
		Subject: "f81d4fae-7dec-11d0", ID: "6c84fb90-12c4-11e1-840d-7b25c5ee775a", Scope: []string{"/vod/title-0042"},
		Countries: []string{"AT", "DE"}, Expires: testNow.Add(time.Hour),
	}
}

func TestSessionRoundTrip(t *testing.T) {
	k := newTestSessionKey(t, "s", 0)
	claims := typicalClaims()
	claims.Hosts = []string{"a.example"}
	s, err := k.Mint(claims, testNow)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Open(s, testNow)
	want := claims
	want.Session, want.ID = true, claims.IDDigest()
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if got.IDDigest() != claims.IDDigest() || len(claims.IDDigest()) != 16 {
		t.Errorf("digest of the session %q, of its token %q", got.IDDigest(), claims.IDDigest())
	}
}

// The wire form is pinned: nodes of different versions share sessions. The MAC was made with openssl over the label and the body,
//
//	02 6955c710 628b49d9… 01 'v' 01 0002 '/a' 00 01 'AT'
//
// under the key 000102…1f; the digest is the first eight bytes of SHA-256("t1").
func TestSessionVector(t *testing.T) {
	secret := make([]byte, SessionKeyBytes)
	for i := range secret {
		secret[i] = byte(i)
	}
	k, err := NewSessionKey(secret, SessionConfig{Extend: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	const want = "AmlVxxBii0nZbc3pegF2AQACL2EAAUFUdA2aQFAZSt06BRNsLN3AVA"
	claims := Claims{Subject: "v", ID: "t1", Scope: []string{"/a"}, Countries: []string{"AT"}, Expires: testNow}
	if got, err := k.Mint(claims, testNow.Add(-time.Second)); err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestSessionOfATokenThatHardlyEnds(t *testing.T) {
	k := newTestSessionKey(t, "s", time.Hour)
	claims := typicalClaims()
	claims.Expires = time.Unix(9_999_999_999, 0) // the year 2286, beyond 32 bits
	s, err := k.Mint(claims, testNow)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Open(s, testNow)
	if err != nil || got.Expires.Unix() != 1<<32-1 {
		t.Errorf("ends at %s, %v; want the last second of 32 bits", got.Expires, err)
	}
}

func TestSessionIsAShortPathElementAndStable(t *testing.T) {
	k := newTestSessionKey(t, "s", time.Hour)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) > 120 {
		t.Errorf("%d characters, want at most 120", len(s))
	}
	if !isBase64URL(s) {
		t.Errorf("%q is not one safe path element", s)
	}
	again, err := k.Mint(typicalClaims(), testNow.Add(10*time.Minute))
	if err != nil || again != s {
		t.Errorf("ten minutes later the same token has another session: %v", err)
	}
}

// Row 31: a session ends, whatever is asked for before its end.
func TestNoEndlessSession(t *testing.T) {
	k := newTestSessionKey(t, "s", time.Hour)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	end := testNow.Add(2 * time.Hour) // the token's hour and the extension's
	claims, err := k.Open(s, end.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Mint(claims, end.Add(-time.Second)); err == nil {
		t.Error("a session begot a session")
	}
	if _, err := k.Open(s, end); !errors.Is(err, ErrExpired) {
		t.Errorf("at its end: error %v, want ErrExpired", err)
	}
	if _, err := SignPrefix(testSecretKey(t, ""), claims); err == nil {
		t.Error("a session became an access token")
	}
	if _, err := k.Mint(typicalClaims(), testNow.Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("minting from an expired token: error %v, want ErrExpired", err)
	}
}

func TestSessionRefusals(t *testing.T) {
	k := newTestSessionKey(t, "s", 0)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(body []byte) string { return b64(append(body, k.mac(body)...)) }
	head := func(tail ...byte) []byte {
		return append(append([]byte{sessionVersion, 0x70, 0, 0, 0}, make([]byte, 8)...), tail...)
	}
	if _, err := k.Open(forged(head(0, 0, 0, 0)), testNow); err != nil {
		t.Fatalf("the body that the last rows break: %v", err)
	}
	for _, test := range []struct {
		rule, session string
		want          error
	}{
		{"none", "", ErrMissing},
		{"cut", s[:len(s)-1], nil}, // malformed or unauthentic, as the length has it
		{"longer", s + "AA", nil},
		{"with a dot", s + ".", ErrMalformed},
		{"with padding", s + "=", ErrMalformed},
		{"with a line break", s[:8] + "\n" + s[8:], ErrMalformed},
		{"too long", strings.Repeat("A", 1<<20), ErrMalformed},
		{"another version", b64(append([]byte{1}, make([]byte, 60)...)), ErrMalformed},
		{"all zero", strings.Repeat("A", 88), ErrMalformed},
		{"subject past the end", forged(head(200, 0, 0, 0)), ErrMalformed},
		{"bytes left over", forged(head(0, 0, 0, 0, 0)), ErrMalformed},
		{"scope with dot segments", forged(head(0, 1, 0, 3, '/', '.', '.', 0, 0)), ErrMalformed},
		{"country of small digits", forged(head(0, 0, 0, 1, '0', '1')), ErrMalformed},
	} {
		t.Run(test.rule, func(t *testing.T) {
			claims, err := k.Open(test.session, testNow)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if fmt.Sprint(claims) != fmt.Sprint(Claims{}) {
				t.Error("an error came with claims")
			}
		})
	}
	// Row 43: two tenants have two keys.
	if _, err := newTestSessionKey(t, "other tenant", 0).Open(s, testNow); !errors.Is(err, ErrSignature) {
		t.Errorf("under another tenant's key: error %v, want ErrSignature", err)
	}
}

func TestSessionEveryBitIsAuthentic(t *testing.T) {
	k := newTestSessionKey(t, "s", 0)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		t.Fatal(err)
	}
	b, err := decodeBase64URL(s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(b) * 8 {
		changed := slices.Clone(b)
		changed[i/8] ^= 1 << (i % 8)
		if _, err := k.Open(b64(changed), testNow); err == nil {
			t.Fatalf("bit %d can be changed", i)
		}
	}
}

func TestSessionKeyRefusals(t *testing.T) {
	for rule, make := range map[string]func() (*SessionKey, error){
		"short":          func() (*SessionKey, error) { return NewSessionKey(testSecret("")[:31], SessionConfig{}) },
		"long":           func() (*SessionKey, error) { return NewSessionKey(testSecret("")[:33], SessionConfig{}) },
		"all zero":       func() (*SessionKey, error) { return NewSessionKey(make([]byte, 32), SessionConfig{}) },
		"negative extra": func() (*SessionKey, error) { return NewSessionKey(testSecret("")[:32], SessionConfig{Extend: -1}) },
	} {
		if k, err := make(); err == nil || k != nil {
			t.Errorf("%s: accepted", rule)
		}
	}
	k := newTestSessionKey(t, "s", 0)
	if got := fmt.Sprintf("%v %+v %#v %x", k, k, k, k); got != strings.TrimSpace(strings.Repeat("session key ", 4)) {
		t.Errorf("a session key prints %s", got)
	}
	long := typicalClaims()
	long.Scope = []string{"/" + strings.Repeat("a", 500), "/" + strings.Repeat("b", 500)}
	if _, err := k.Mint(long, testNow); err == nil {
		t.Error("claims beyond the size of a session were minted")
	}
}

func TestSessionKeepsAllClaims(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		claims := Claims{
			Subject:   rapid.StringN(0, 20, 60).Draw(rt, "subject"),
			ID:        rapid.StringN(0, 20, 60).Draw(rt, "id"),
			Scope:     rapid.SliceOfN(rapid.StringMatching(`/[a-z0-9 ._~-]{0,3}x(/[a-zä]{1,5}){0,3}`), 0, 4).Draw(rt, "scope"),
			Hosts:     rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,8}\.example`), 0, 4).Draw(rt, "hosts"),
			Countries: rapid.SliceOfN(rapid.StringMatching(`[A-Z]{2}`), 0, 8).Draw(rt, "countries"),
			Expires:   testNow.Add(time.Duration(rapid.IntRange(1, 1<<30).Draw(rt, "seconds")) * time.Second),

			Plans:       rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,12}`), 0, 4).Draw(rt, "plans"),
			Purchases:   rapid.SliceOfN(rapid.StringMatching(`[a-z0-9-]{1,20}`), 0, 4).Draw(rt, "purchases"),
			HomeCountry: rapid.StringMatching(`([A-Z]{2})?`).Draw(rt, "home"),
			Device:      rapid.StringN(0, 20, 60).Draw(rt, "device"),
			MaxStreams:  rapid.IntRange(0, maxStreams).Draw(rt, "streams"),
			Level:       rapid.SampledFrom(levels).Draw(rt, "level"),
		}
		binary.BigEndian.PutUint64(claims.Playback[:], rapid.Uint64().Draw(rt, "playback"))
		binary.BigEndian.PutUint64(claims.Binding[:], rapid.Uint64().Draw(rt, "binding"))
		k := newTestSessionKey(t, "s", 0)
		s, err := k.Mint(claims, testNow)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := k.Open(s, testNow)
		claims.ID, claims.Session = claims.IDDigest(), true
		if err != nil || fmt.Sprint(got) != fmt.Sprint(claims) {
			rt.Fatalf("got %v, %v; want %v", got, err, claims)
		}
	})
}

// suffixConditions admit paths that end in a text.
type suffixConditions string

func (c suffixConditions) Check(req Request) error {
	if !strings.HasSuffix(req.Path, string(c)) {
		return ErrScope
	}
	return nil
}

func (c suffixConditions) AppendBinary(dst []byte) ([]byte, error) { return append(dst, c...), nil }

// Row 29: what a token demands of each request, its session demands too.
func TestSessionCarriesConditions(t *testing.T) {
	secret := testSecret("s")[:SessionKeyBytes]
	k, err := NewSessionKey(secret, SessionConfig{ParseConditions: func(b []byte) (Conditions, error) { return suffixConditions(b), nil }})
	if err != nil {
		t.Fatal(err)
	}
	claims := typicalClaims()
	claims.Scope, claims.Hosts, claims.Conditions = nil, nil, suffixConditions(".m4s")
	s, err := k.Mint(claims, testNow)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := k.Open(s, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"/a/1.m4s": nil, "/a/1.mp4": ErrScope} {
		if err := opened.Check(Request{Now: testNow, Path: path}); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", path, err, want)
		}
	}
	withoutParser, err := NewSessionKey(secret, SessionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := withoutParser.Open(s, testNow); !errors.Is(err, ErrMalformed) {
		t.Errorf("conditions that nobody understands: error %v, want ErrMalformed", err)
	}
}

func FuzzSessionOpen(f *testing.F) {
	k := newTestSessionKey(f, "s", 0)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		f.Fatal(err)
	}
	body, _ := decodeBase64URL(s)
	f.Add(s, body[:len(body)-sessionMACBytes])
	f.Add("", []byte{1})
	f.Add(strings.Repeat("A", 88), append([]byte{1, 0x70}, make([]byte, 15)...))
	f.Fuzz(func(t *testing.T, session string, body []byte) {
		if _, err := k.Open(session, testNow); err == nil && session != s {
			t.Fatal("a session that was never minted was opened")
		}
		claims, err := k.Open(b64(append(slices.Clone(body), k.mac(body)...)), testNow)
		if err != nil && fmt.Sprint(claims) != fmt.Sprint(Claims{}) {
			t.Fatal("an error came with claims")
		}
		if err == nil && (!claims.Session || !testNow.Before(claims.Expires)) {
			t.Fatalf("%v was accepted", claims)
		}
	})
}

func BenchmarkSessionOpen(b *testing.B) {
	k := newTestSessionKey(b, "s", 0)
	s, err := k.Mint(typicalClaims(), testNow)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Open(s, testNow); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJWT(b *testing.B) {
	pair := testPairs().p256
	v := newTestJWT(b, JWTConfig{}, testPublicKey(b, "", pair.Public()))
	c, err := NewCached(v, CacheConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	raw := signJWT(b, ES256, pair, nil, `{"exp":1767229200,"sub":"viewer","paths":["/vod/a"]}`)
	at := Request{Now: testNow, Path: "/vod/a/1.m4s"}
	for name, verifier := range map[string]Verifier{"ES256": v, "ES256 cached": c} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := verifier.Verify(context.Background(), raw, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestSessionsEndAtABound(t *testing.T) {
	k := newTestSessionKey(t, "bound", time.Hour)
	claims := Claims{Expires: testNow.Add(time.Hour)}
	for _, test := range []struct {
		rule      string
		end, want time.Time
	}{
		{"no bound", time.Time{}, testNow.Add(2 * time.Hour)},
		{"a later bound", testNow.Add(3 * time.Hour), testNow.Add(2 * time.Hour)},
		{"after the token, before the extension", testNow.Add(90 * time.Minute), testNow.Add(90 * time.Minute)},
		{"before the token", testNow.Add(time.Minute), testNow.Add(time.Minute)},
		{"between two seconds", testNow.Add(time.Minute + time.Second - 1), testNow.Add(time.Minute)},
	} {
		session, err := k.MintUntil(claims, testNow, test.end)
		if err != nil {
			t.Fatalf("%s: %v", test.rule, err)
		}
		if _, err := k.Open(session, test.want.Add(-1)); err != nil {
			t.Errorf("%s: ended early: %v", test.rule, err)
		}
		if _, err := k.Open(session, test.want); !errors.Is(err, ErrExpired) {
			t.Errorf("%s: ended late: %v", test.rule, err)
		}
	}
}
