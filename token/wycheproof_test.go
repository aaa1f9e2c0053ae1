package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// wycheproofFile is one of json_web_signature_test.json and json_web_key_test.json.
type wycheproofFile struct {
	TestGroups []struct {
		Comment string          `json:"comment"`
		Private json.RawMessage `json:"private"`
		Public  json.RawMessage `json:"public"`
		Tests   []struct {
			ID      int      `json:"tcId"`
			Comment string   `json:"comment"`
			JWS     string   `json:"jws"`
			Result  string   `json:"result"`
			Flags   []string `json:"flags"`
		} `json:"tests"`
	} `json:"testGroups"`
}

// wycheproofVectors are the files, and what is expected of them: how many valid ones are accepted and how many are not, for they have what is
// not for tokens of access (no payload, secrets of one byte repeated, keys that are not marked for it), and how many invalid ones are refused.
var wycheproofVectors = []struct {
	name                        string
	valid, unsupported, invalid int
}{
	{"json_web_signature_test.json", 29, 17, 355},
	{"json_web_key_test.json", 5, 0, 21},
}

// TestWycheproof runs the vectors of C2SP/wycheproof in testdata/wycheproof.
func TestWycheproof(t *testing.T) {
	for _, vectors := range wycheproofVectors {
		name := vectors.name
		b, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
		if err != nil {
			t.Fatal(err)
		}
		var file wycheproofFile
		if err := json.Unmarshal(b, &file); err != nil {
			t.Fatal(err)
		}
		valid, invalid, unsupported := 0, 0, 0
		for _, group := range file.TestGroups {
			keys := group.Public
			if keys == nil {
				keys = group.Private
			}
			if !strings.Contains(string(keys), `"keys"`) {
				keys = json.RawMessage(`{"keys":[` + string(keys) + `]}`)
			}
			set, err := ParseKeySet(keys, HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA)
			var v *JWT
			if err == nil {
				v = newTestJWT(t, JWTConfig{Keys: set})
			}
			for _, test := range group.Tests {
				accepted := false
				if v != nil {
					_, err := v.authenticate(context.Background(), test.JWS)
					accepted = err == nil
				}
				switch {
				case test.Result == "valid" && accepted:
					valid++
				case test.Result == "valid":
					unsupported++
				case accepted && !isAmbiguous(test.Flags):
					t.Errorf("%s %d, %s, %s: accepted", name, test.ID, group.Comment, test.Comment)
				default:
					invalid++
				}
			}
		}
		if valid != vectors.valid || unsupported != vectors.unsupported || invalid != vectors.invalid {
			t.Errorf("%s: %d valid ones accepted, %d not, %d invalid ones refused; want %d, %d and %d", name, valid, unsupported, invalid,
				vectors.valid, vectors.unsupported, vectors.invalid)
		}
	}
}

func isAmbiguous(flags []string) bool { return strings.Contains(strings.Join(flags, " "), "Ambiguous") }

// TestWycheproofCategories holds what those vectors try and TestJWTAttacks does not: every padding and every cut of a signature, every
// primitive in the place of another, and key sets that mix.
func TestWycheproofCategories(t *testing.T) {
	p := testPairs()
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("test-secret-of-64-bytes-0123456789-abcdefghijklmnopqrstuvwxyz-!!")
	signers := map[Algorithm]any{
		HS256: secret, HS384: secret, HS512: secret, RS256: p.rsa, RS384: p.rsa, RS512: p.rsa,
		PS256: p.rsa, PS384: p.rsa, PS512: p.rsa, ES256: p.p256, ES384: p.p384, ES512: p521, EdDSA: p.ed25519,
	}
	keyFor := func(alg Algorithm) Key {
		if alg.kind() != kindSecret {
			return testPublicKey(t, "a", signers[alg].(crypto.Signer).Public(), alg)
		}
		k, err := SecretKey("a", secret, alg)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign := func(alg Algorithm) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg.jose(), Key: jose.JSONWebKey{Key: signers[alg], KeyID: "a"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(goodPayload))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	at := Request{Now: testNow, Path: "/vod/a"}
	for alg := range signers {
		v := newTestJWT(t, JWTConfig{}, keyFor(alg))
		good := sign(alg)
		if _, err := v.Verify(context.Background(), good, at); err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		for other := range signers {
			if other == alg {
				continue
			}
			if _, err := newTestJWT(t, JWTConfig{}, keyFor(other)).Verify(context.Background(), good, at); !errors.Is(err, ErrSignature) {
				t.Errorf("%s on a key for %s: %v", alg, other, err)
			}
		}
		dot := strings.LastIndexByte(good, '.')
		for _, tail := range []string{"=", "==", "%3D", "A", "AA", "AAAA", "\x00", " ", "\n", ".", "_", "-"} {
			if _, err := v.Verify(context.Background(), good+tail, at); err == nil {
				t.Errorf("%s with %q behind: accepted", alg, tail)
			}
		}
		for i := dot + 1; i < len(good); i += 7 {
			for _, changed := range []string{good[:i], good[:i] + good[i+1:], good[:i] + "=" + good[i:], good[:i] + "." + good[i:]} {
				if _, err := v.Verify(context.Background(), changed, at); err == nil {
					t.Errorf("%s changed at %d: accepted", alg, i)
				}
			}
		}
	}
}

// TestKeyChecks: what those vectors showed the library to leave open.
func TestKeyChecks(t *testing.T) {
	p := testPairs()
	at := Request{Now: testNow, Path: "/vod/a"}
	input := b64([]byte(`{"alg":"PS256","kid":"a"}`)) + "." + b64([]byte(goodPayload))
	digest := sha256.Sum256([]byte(input))
	v := newTestJWT(t, JWTConfig{}, testPublicKey(t, "a", p.rsa.Public(), PS256))
	for salt, want := range map[int]error{32: nil, 0: ErrSignature, 20: ErrSignature, 64: ErrSignature} {
		if salt == 0 {
			salt = 1 // zero means something else to SignPSS
		}
		signature, err := rsa.SignPSS(rand.Reader, p.rsa, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(context.Background(), input+"."+b64(signature), at); !errors.Is(err, want) {
			t.Errorf("a salt of %d bytes: %v", salt, err)
		}
	}
	jwk, err := (&jose.JSONWebKey{Key: p.p256.Public(), KeyID: "a"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for operations, usable := range map[string]bool{`["verify"]`: true, `["encrypt"]`: false, `[]`: false, `["sign","verify"]`: true, `"verify"`: false} {
		set := `{"keys":[` + strings.TrimSuffix(string(jwk), "}") + `,"key_ops":` + operations + `}]}`
		if _, err := ParseKeySet([]byte(set), ES256); (err == nil) != usable {
			t.Errorf("key_ops %s: %v", operations, err)
		}
	}
	product := big.NewInt(1)
	for _, prime := range rocaPrimes {
		product.Mul(product, big.NewInt(prime))
	}
	weak := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123456789), product)
	weak.Add(weak, new(big.Int).Lsh(product, 2048-uint(product.BitLen())))
	if !isROCA(weak) || isROCA(p.rsa.N) {
		t.Errorf("weak: %v, good: %v", isROCA(weak), isROCA(p.rsa.N))
	}
	if _, err := publicKey("a", &rsa.PublicKey{N: weak, E: 65537}, nil); err == nil {
		t.Error("a key that can be factored is accepted")
	}
}
