package cat

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

type vector struct {
	Name, Source, Token, HS256, ES256, PS256, KID, Path, Subject, ID, Refused string
	Audience                                                                  []string
	Now, Expires                                                              int64
	// Unchecked: the key of the vector was not published, and its claims are read all the same.
	Unchecked bool
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v vector) key(t testing.TB) Key {
	t.Helper()
	var key Key
	var err error
	switch {
	case v.PS256 != "":
		key, err = PublicKeyPEM(v.KID, PS256, []byte(v.PS256))
	case v.ES256 != "":
		public, fault := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, unhex(t, v.ES256)...))
		if fault != nil {
			t.Fatal(fault)
		}
		key, err = publicKey(Key{kid: v.KID, algorithm: ES256}, public)
	default:
		key, err = secretKey(v.KID, unhex(t, v.HS256))
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var refusals = map[string]error{
	"malformed": token.ErrMalformed, "expired": token.ErrExpired, "scope": token.ErrScope, "signature": token.ErrSignature,
}

// TestVectors reads what others have published.
func TestVectors(t *testing.T) {
	for _, vector := range readVectors(t) {
		t.Run(vector.Name, func(t *testing.T) {
			verifier, err := New(Config{Keys: []Key{vector.key(t)}, Audience: vector.Audience})
			if err != nil {
				t.Fatal(err)
			}
			path := vector.Path
			if path == "" {
				path = "/a.mpd"
			}
			req := token.Request{Now: time.Unix(vector.Now, 0), Host: "example.com", Path: path, PublicPath: path, Method: "GET"}
			claims, err := verifier.Verify(t.Context(), vector.Token, req)
			if vector.Unchecked {
				e, parseErr := openEnvelope(vector.Token)
				if parseErr != nil {
					t.Fatal(parseErr)
				}
				claims, err = verifier.readClaims(e, vector.key(t))
			}
			if vector.Refused != "" {
				if want := refusals[vector.Refused]; want == nil || !errors.Is(err, want) {
					t.Fatalf("got %v, want %s", err, vector.Refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if claims.Subject != vector.Subject || claims.ID != vector.ID || claims.Expires.Unix() != vector.Expires {
				t.Errorf("got subject %q, ID %q, exp %d", claims.Subject, claims.ID, claims.Expires.Unix())
			}
		})
	}
}

// TestCOSEVectors checks the cryptography alone: the payload is no map of claims. From cose-wg/Examples.
func TestCOSEVectors(t *testing.T) {
	key, err := secretKey("our-secret", unhex(t, "849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188"))
	if err != nil {
		t.Fatal(err)
	}
	mac0 := &envelope{mac: true, protected: unhex(t, "a10105"), payload: []byte("This is the content.")} // mac0-tests/HMac-01.json
	if got, want := hex.EncodeToString(mac0.message()), "84644d41433043a101054054546869732069732074686520636f6e74656e742e"; got != want {
		t.Errorf("the message of HMac-01 is %s", got)
	}
	if !key.verify(mac0.message(), unhex(t, "a1a848d3471f9d61ee49018d244c824772f223ad4f935293f1789fc3a08d8c58")) {
		t.Error("HMac-01 does not fit")
	}

	modulus, _ := new(big.Int).SetString("bc7e29d0df7e20cc9dc8d509e0f68895922af0ef452190d402c61b554334a7bf91c9a570240f994fae1b69035bcfad4f7e249eb26087c2665e7c958c967b1517413dc3f97a431691a5999b257cc6cd356bad168d929b8bae9020750e74cf60f6fd35d6bb3fc93fc28900478694f508b33e7c00e24f90edf37457fc3e8efcfd2f42306301a8205ab740515331d5c18f0c64d4a43be52fc440400f6bfc558a6e32884c2af56f29e5c52780cea7285f5c057fc0dfda232d0ada681b01495d9d0e32196633588e289e59035ff664f056189f2f10fe05827b796c326e3e748ffa7c589ed273c9c43436cddb4a6a22523ef8bcb2221615b799966f1aba5bc84b7a27cf", 16)
	key, err = publicKey(Key{algorithm: PS256}, &rsa.PublicKey{N: modulus, E: 65537}) // rsa-pss-examples/rsa-pss-01.json
	if err != nil {
		t.Fatal(err)
	}
	message := unhex(t, "85695369676e617475726543a1030044a10138244054546869732069732074686520636f6e74656e742e")
	signature := unhex(t, "511ab7c07a4c9f1639fd955cdf17db5fc9d7360e07e8de8f835a6e443f56b816a842f5878707e9e4451f3eaec39bbcb30c92ee07ac30f2c856a640d5ba5857f0a96135447f1a3fd207290afc40a033fcacb6c031285e01fe4c9d4e528ca63c00c55109ea4f6e58232b5d9b7c5448cc4637c8eead7037cc71fda4d1e83fb1ffa7294c744455785b9b9dbc7341826a6f90622533b9aa51998bedbbd6d155869e189c4097b6e6ebba2a5a6aa7e08ab8edab7021a567f36c715de34cbf9048609503b7f70da05ea6a6c7df1301fb575abe6f4da8aaa93b5fa6267ca490f03bc90bb5705bb3398466c0afe84af91c0b752c6e1cac149b07c237988f47980f1301669c")
	// The vector is sound, and its salt has 64 bytes; RFC 8230, 2, has since settled on 32.
	digest := sha256.Sum256(message)
	if err := rsa.VerifyPSS(key.rsa, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 64}); err != nil {
		t.Fatalf("the vector was copied wrongly: %v", err)
	}
	if key.verify(message, signature) {
		t.Error("rsa-pss-01, with its salt of 64 bytes, fits")
	}
}
