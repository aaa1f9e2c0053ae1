package cat

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/caddy-drm/caddy-drm/token"
)

// forge makes a token of parts that are as they are given, with a MAC that fits.
type forge struct {
	tags        string // in hexadecimal, in front of the message
	protected   string
	unprotected string
	payload     string
	cut         int // bytes of the MAC that are left out
	behind      string
}

func (f forge) token(t *testing.T) string {
	t.Helper()
	e := &envelope{mac: true, protected: unhex(t, f.protected), payload: unhex(t, f.payload)}
	mac := testKey(t).mac(e.message())
	b := unhex(t, f.tags)
	b = appendBytes(append(b, 0x84), e.protected)
	b = append(b, unhex(t, f.unprotected)...)
	b = appendBytes(appendBytes(b, e.payload), mac[:len(mac)-f.cut])
	return base64.RawURLEncoding.EncodeToString(append(b, unhex(t, f.behind)...))
}

// good is the forge of a token that is accepted.
func good() forge {
	return forge{tags: "d83dd1", protected: "a10105", unprotected: "a104426b31", payload: "a1041a6b49e200"} // {4: 1800004096}
}

// TestForms: what may differ between issuers.
func TestForms(t *testing.T) {
	v := newVerifier(t, Config{})
	for name, f := range map[string]forge{
		"both tags":                 good(),
		"the tag of the message":    {tags: "d1", protected: "a10105", unprotected: "a104426b31", payload: good().payload},
		"no tag":                    {tags: "", protected: "a10105", unprotected: "a104426b31", payload: good().payload},
		"kid in the protected":      {tags: "d83dd1", protected: "a201050442" + "6b31", unprotected: "a0", payload: good().payload},
		"no kid, and one key":       {tags: "d83dd1", protected: "a10105", unprotected: "a0", payload: good().payload},
		"a header that says little": {tags: "d83dd1", protected: "a201050318" + "3d", unprotected: "a104426b31", payload: good().payload},
	} {
		raw := f.token(t)
		for form, text := range map[string]string{"bare": raw, "padded": raw + strings.Repeat("=", (4-len(raw)%4)%4)} {
			if _, err := v.Verify(t.Context(), text, request()); err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
			}
		}
	}
}

// TestAttacks is row 29 of what is thrown at the gateway: refused, and never read as no restriction.
func TestAttacks(t *testing.T) {
	v := newVerifier(t, Config{})
	edit := func(change func(*forge)) string { f := good(); change(&f); return f.token(t) }
	payload := func(hexadecimal string) string { return edit(func(f *forge) { f.payload = hexadecimal }) }
	const exp = "041a6b49e200"
	for name, test := range map[string]struct {
		raw  string
		want error
	}{
		"nothing":                                {"", token.ErrMissing},
		"not base64url":                          {"2D3R+EOh", token.ErrMalformed},
		"a line break inside":                    {good().token(t)[:20] + "\n" + good().token(t)[20:], token.ErrMalformed},
		"padding that is none":                   {good().token(t) + "====", token.ErrMalformed},
		"loose bits at the end":                  {looseBits(good().token(t)), token.ErrMalformed},
		"too long":                               {"2D3R" + strings.Repeat("A", 6000), token.ErrMalformed},
		"the algorithm in the unprotected":       {edit(func(f *forge) { f.protected, f.unprotected = "a0", "a201050442"+"6b31" }), token.ErrMalformed},
		"an algorithm in both":                   {edit(func(f *forge) { f.unprotected = "a201050442" + "6b31" }), token.ErrMalformed},
		"another algorithm in the unprotected":   {edit(func(f *forge) { f.unprotected = "a201260442" + "6b31" }), token.ErrMalformed},
		"an empty protected header":              {edit(func(f *forge) { f.protected = "" }), token.ErrMalformed},
		"the algorithm as text":                  {edit(func(f *forge) { f.protected = "a101654853323536" }), token.ErrMalformed},
		"a signature's algorithm on a MAC":       {edit(func(f *forge) { f.protected = "a10126" }), token.ErrMalformed},
		"a MAC's algorithm on a signature":       {edit(func(f *forge) { f.tags = "d83dd2" }), token.ErrMalformed},
		"a MAC of 64 bits by its algorithm":      {edit(func(f *forge) { f.protected = "a10104" }), token.ErrMalformed},
		"crit":                                   {edit(func(f *forge) { f.protected = "a2010502" + "8104" }), token.ErrMalformed},
		"crit in the unprotected":                {edit(func(f *forge) { f.unprotected = "a2028104" + "04426b31" }), token.ErrMalformed},
		"kid in both headers":                    {edit(func(f *forge) { f.protected = "a2010504426b31" }), token.ErrMalformed},
		"kid that is text":                       {edit(func(f *forge) { f.unprotected = "a104626b31" }), token.ErrMalformed},
		"another kid":                            {edit(func(f *forge) { f.unprotected = "a104426b32" }), token.ErrSignature},
		"a cut MAC":                              {edit(func(f *forge) { f.cut = 1 }), token.ErrSignature},
		"a MAC of eight bytes":                   {edit(func(f *forge) { f.cut = 24 }), token.ErrSignature},
		"no MAC":                                 {edit(func(f *forge) { f.cut = 32 }), token.ErrSignature},
		"bytes behind the token":                 {edit(func(f *forge) { f.behind = "00" }), token.ErrMalformed},
		"bytes behind the claims":                {payload("a1" + exp + "00"), token.ErrMalformed},
		"tag 61 twice":                           {edit(func(f *forge) { f.tags = "d83dd83dd1" }), token.ErrMalformed},
		"tag 61 alone":                           {edit(func(f *forge) { f.tags = "d83d" }), token.ErrMalformed},
		"COSE_Encrypt0":                          {edit(func(f *forge) { f.tags = "d83dd0" }), token.ErrMalformed},
		"a label twice":                          {payload("a2" + exp + exp), token.ErrMalformed},
		"a label twice, in two forms":            {payload("a2" + exp + "18041a6b49e200"), token.ErrMalformed},
		"a header twice":                         {edit(func(f *forge) { f.unprotected = "a204426b3104426b31" }), token.ErrMalformed},
		"a map of indefinite length":             {payload("bf" + exp + "ff"), token.ErrMalformed},
		"a text of indefinite length":            {payload("a2" + exp + "027f6161ff"), token.ErrMalformed},
		"a length longer than need be":           {payload("b801" + exp), token.ErrMalformed},
		"a number longer than need be":           {payload("a1041b000000006b49e200"), token.ErrMalformed},
		"a float longer than need be":            {payload("a104fb41da000000000000"), token.ErrMalformed},
		"NaN":                                    {payload("a104f97e00"), token.ErrMalformed},
		"infinity":                               {payload("a104f97c00"), token.ErrMalformed},
		"minus zero":                             {payload("a2" + exp + "06f98000"), token.ErrMalformed},
		"undefined":                              {payload("a2" + exp + "06f7"), token.ErrMalformed},
		"a simple value":                         {payload("a2" + exp + "06f820"), token.ErrMalformed},
		"a date under its tag":                   {payload("a104c11a6b49e200"), token.ErrMalformed},
		"a map under a tag":                      {payload("d90103a1" + exp), token.ErrMalformed},
		"an address where none belongs":          {payload("a2" + exp + "02d83444c0000207"), token.ErrMalformed},
		"text that is no UTF-8":                  {payload("a2" + exp + "0261ff"), token.ErrMalformed},
		"a length beyond the end":                {payload("a2" + exp + "027a7fffffff61"), token.ErrMalformed},
		"a list of 2^60":                         {payload("a2" + exp + "029b1000000000000000"), token.ErrMalformed},
		"a map of 2^63":                          {payload("bb8000000000000000" + exp), token.ErrMalformed},
		"deep":                                   {payload("a2" + exp + "02" + strings.Repeat("81", 60) + "00"), token.ErrMalformed},
		"claims that are a list":                 {payload("81" + exp[:2]), token.ErrMalformed},
		"claims that are nothing":                {payload(""), token.ErrMalformed},
		"a claim by name":                        {payload("a2" + exp + "6463617475a0"), token.ErrUnsupported},
		"a claim that nobody knows":              {payload("a2" + exp + "190fff01"), token.ErrUnsupported},
		"an old private label of catu":           {payload("a2" + exp + "3a00010002a0"), token.ErrUnsupported},
		"a label that is a byte string":          {payload("a2" + exp + "410100"), token.ErrMalformed},
		"a watermark":                            {payload("a2" + exp + "19012c01"), token.ErrUnsupported},
		"one label twice, the better one second": {payload("a3" + exp + "19013981634745541901398164504f5354"), token.ErrMalformed},
	} {
		claims, err := v.Verify(t.Context(), test.raw, request())
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
		if !claims.Expires.IsZero() || claims.Subject != "" || claims.Conditions != nil {
			t.Errorf("%s: claims come with the refusal", name)
		}
	}
}

// looseBits sets bits that a decoder which is not strict drops.
func looseBits(raw string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(raw)%4 == 0 {
		return raw[:len(raw)-4] + "AAA=" + "=" // as bad
	}
	last := strings.IndexByte(alphabet, raw[len(raw)-1])
	return raw[:len(raw)-1] + alphabet[last|1:last|1+1]
}

// TestClaimsThatCannotBeJudged are refused by their names.
func TestClaimsThatCannotBeJudged(t *testing.T) {
	v := newVerifier(t, Config{})
	for label, value := range map[int64]any{
		8: m{323: digest256("key")}, 282: "u2", 309: []any{0.5, []byte{1}}, 317: []any{[]any{48, 14, 1000}}, 318: []any{300, 20}, 319: digest256("spki"),
		321: m{0: 60}, 324: m{0: 0, 1: "x"}, 325: []any{}, 326: []any{}, 327: []any{}, 328: 60, 41: []any{}, 42: []any{}, 43: []any{}, 44: []any{}, 45: []any{309}, 275: 60,
	} {
		_, err := v.Verify(t.Context(), sealed(t, testKey(t), with(label, value)), request())
		if !errors.Is(err, token.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), claimName(label)) {
			t.Errorf("claim %d: %v", label, err)
		}
		if _, err := New(Config{Keys: []Key{testKey(t)}, Ignore: []int64{label}}); err == nil {
			t.Errorf("claim %d can be ignored", label)
		}
	}
	ignoring := newVerifier(t, Config{Ignore: []int64{300, 70000}})
	if _, err := ignoring.Verify(t.Context(), sealed(t, testKey(t), with(int64(300), 1, int64(70000), "x")), request()); err != nil {
		t.Errorf("claims to be ignored: %v", err)
	}
	if _, err := ignoring.Verify(t.Context(), sealed(t, testKey(t), with(int64(300), 1, int64(301), "x")), request()); !errors.Is(err, token.ErrUnsupported) {
		t.Errorf("a claim beside one to be ignored: %v", err)
	}
}

// TestKeys: one algorithm for each key, and no way around it.
func TestKeys(t *testing.T) {
	private, public, publicPEM := privateKey(t, ES256, "ec")
	rsaPrivate, rsaPublic, _ := privateKey(t, PS256, "rsa")
	v := newVerifier(t, Config{Keys: []Key{testKey(t), public, rsaPublic}})
	for name, key := range map[string]Key{"HS256": testKey(t), "ES256": private, "PS256": rsaPrivate} {
		raw := sealed(t, key, with())
		if _, err := v.Verify(t.Context(), raw, request()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		other := newVerifier(t, Config{Keys: []Key{mustSecret(t, "k1"), mustPublic(t, ES256, "ec"), mustPublic(t, PS256, "rsa")}})
		if _, err := other.Verify(t.Context(), raw, request()); !errors.Is(err, token.ErrSignature) {
			t.Errorf("%s with another key of that kid: %v", name, err)
		}
	}
	// The public key, which everybody has, as an HMAC secret.
	confused, err := secretKey("ec", publicPEM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), sealed(t, confused, with()), request()); !errors.Is(err, token.ErrSignature) {
		t.Errorf("a public key as a secret: %v", err)
	}
	noKID, _, _ := privateKey(t, ES256, "")
	if _, err := v.Verify(t.Context(), sealed(t, noKID, with()), request()); !errors.Is(err, token.ErrSignature) {
		t.Errorf("no kid among several keys: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", private, testKey(t), testKey(t), testKey(t)); strings.Contains(text, testSecret) || strings.Contains(text, "{") {
		t.Errorf("keys print as %s", text)
	}
	for name, err := range map[string]error{
		"a short secret":       second(SecretKey("k", []byte("short"))),
		"a repeated secret":    second(SecretKey("k", []byte(strings.Repeat("a", 40)))),
		"a PEM file as secret": second(SecretKey("k", publicPEM)),
		"a long kid":           second(SecretKey(strings.Repeat("k", 65), []byte(testSecret))),
		"RSA for ES256":        second(PublicKeyPEM("k", PS256, publicPEM)),
		"a public one private": second(PrivateKeyPEM("k", ES256, publicPEM)),
		"no PEM":               second(PublicKeyPEM("k", ES256, []byte("x"))),
		"two PEM blocks":       second(PublicKeyPEM("k", ES256, append(publicPEM, publicPEM...))),
		"a key twice":          second(New(Config{Keys: []Key{testKey(t), testKey(t)}})),
		"several without kid":  second(New(Config{Keys: []Key{testKey(t), mustSecret(t, "")}})),
		"no key":               second(New(Config{})),
		"too much leeway":      second(New(Config{Keys: []Key{testKey(t)}, Leeway: 2 * token.MaxLeeway})),
		"renewal without key":  second(New(Config{Keys: []Key{testKey(t)}, Renew: public})),
		"signing with public":  second(Sign(public, with())),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func mustSecret(t *testing.T, kid string) Key {
	t.Helper()
	key, err := SecretKey(kid, []byte("another-"+testSecret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustPublic(t *testing.T, algorithm Algorithm, kid string) Key {
	t.Helper()
	_, public, _ := privateKey(t, algorithm, kid)
	return public
}

// TestHalves: what has a form of 16 bits is not written in 32.
func TestHalves(t *testing.T) {
	for f, want := range map[float64]bool{
		0: true, 1.5: true, 65504: true, 65505: false, 65536: false, math.Ldexp(1, -24): true, math.Ldexp(1, -25): false, 2049: false, 2048: true, 0.1: false, -1.5: true,
		math.Ldexp(1023, -24): true, math.Ldexp(3, -25): false,
	} {
		if got := isHalf(f); got != want {
			t.Errorf("isHalf(%v) = %t", f, got)
		}
		b, err := cbor.CoreDetEncOptions().EncMode()
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := b.Marshal(f)
		if err != nil || (len(encoded) == 3) != want {
			t.Errorf("the library encodes %v as %x, %v", f, encoded, err)
		}
	}
}
