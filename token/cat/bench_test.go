package cat

import (
	"testing"

	"github.com/caddy-drm/caddy-drm/token"
)

// BenchmarkVerify reads a token of usual demands: first as it comes, then as the cache answers for it.
func BenchmarkVerify(b *testing.B) {
	claims := with(Issuer, "https://shop.example.com", Subject, "viewer-7", ID, []byte("0123456789abcdef"), Version, 1, Method, []string{"GET", "HEAD", "POST"},
		NetworkIP, []any{net("192.0.2.0/24")}, URI, m{0: m{0: "https"}, 1: m{0: "media.example.com"}, 3: m{1: "/members/demo/"}})
	ec, ecPublic, _ := privateKey(b, ES256, "ec")
	rsa, rsaPublic, _ := privateKey(b, PS256, "rsa")
	v := newVerifier(b, Config{Keys: []Key{testKey(b), ecPublic, rsaPublic}})
	cached, err := token.NewCached(v, token.CacheConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer cached.Close()
	for name, key := range map[string]Key{"HS256": testKey(b), "ES256": ec, "PS256": rsa} {
		raw := sealed(b, key, claims)
		for form, verifier := range map[string]token.Verifier{"verify": v, "cached": cached} {
			b.Run(name+"/"+form, func(b *testing.B) {
				req := request()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := verifier.Verify(b.Context(), raw, req); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
