package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/internal/testtools"
)

func TestJWTAttacks(t *testing.T) {
	p := testPairs()
	v := newTestJWT(t, JWTConfig{}, testSecretKey(t, "hmac"), testPublicKey(t, "rsa", p.rsa.Public()), testPublicKey(t, "ec", p.p256.Public()))
	secret := testSecret("hmac")
	hs := func(header, payload string) string { return signRaw(t, HS256, secret, header, payload) }
	good := hs(`{"alg":"HS256","kid":"hmac"}`, goodPayload)
	at := Request{Now: testNow, Path: "/vod/a"}
	if _, err := v.Verify(context.Background(), good, at); err != nil {
		t.Fatalf("the token that all rows break: %v", err)
	}
	unsigned := func(header string) string { return b64([]byte(header)) + "." + b64([]byte(goodPayload)) + "." }
	withHeader := func(member string) string { return hs(`{"alg":"HS256","kid":"hmac",`+member+`}`, goodPayload) }
	withClaim := func(member string) string {
		return hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1767229200,`+member+`}`)
	}
	parts := strings.Split(good, ".")

	tests := []struct {
		rule, raw string
		want      error
	}{
		{"alg none without a signature", unsigned(`{"alg":"none"}`), ErrMalformed},
		{"alg none with a signature", hs(`{"alg":"none","kid":"hmac"}`, goodPayload), ErrSignature},
		{"alg None", hs(`{"alg":"None","kid":"hmac"}`, goodPayload), ErrSignature},
		{"alg NONE", hs(`{"alg":"NONE","kid":"hmac"}`, goodPayload), ErrSignature},
		{"alg nOnE", hs(`{"alg":"nOnE","kid":"hmac"}`, goodPayload), ErrSignature},
		{"alg none on an RSA key", hs(`{"alg":"none","kid":"rsa"}`, goodPayload), ErrSignature},
		{"no alg", hs(`{"kid":"hmac"}`, goodPayload), ErrSignature},
		{"empty alg", hs(`{"alg":"","kid":"hmac"}`, goodPayload), ErrSignature},
		{"alg null", hs(`{"alg":null,"kid":"hmac"}`, goodPayload), ErrMalformed},
		{"alg an array", hs(`{"alg":["HS256"],"kid":"hmac"}`, goodPayload), ErrMalformed},
		{"alg in the wrong case", hs(`{"alg":"hs256","kid":"hmac"}`, goodPayload), ErrSignature},
		{"member Alg beside alg", hs(`{"alg":"none","Alg":"HS256","kid":"hmac"}`, goodPayload), ErrSignature},
		{"an algorithm that the key is not for", signJWT(t, HS512, secret, map[string]any{"kid": "hmac"}, goodPayload), ErrSignature},
		{"PS256 on a key for RS256", signJWT(t, PS256, p.rsa, map[string]any{"kid": "rsa"}, goodPayload), ErrSignature},
		{"HS256 with the RSA public key (PEM) as secret", signJWT(t, HS256, publicPEM(t, p.rsa.Public()), map[string]any{"kid": "rsa"}, goodPayload), ErrSignature},
		{"HS256 with the RSA modulus as secret", signJWT(t, HS256, p.rsa.N.Bytes(), map[string]any{"kid": "rsa"}, goodPayload), ErrSignature},
		{"ES256 on the RSA key", signJWT(t, ES256, p.p256, map[string]any{"kid": "rsa"}, goodPayload), ErrSignature},
		{"RS256 of another RSA key", signRaw(t, ES256, p.p256, `{"alg":"RS256","kid":"rsa"}`, goodPayload), ErrSignature},
		{"ES256 with an all-zero signature", b64([]byte(`{"alg":"ES256","kid":"ec"}`)) + "." + b64([]byte(goodPayload)) + "." + b64(make([]byte, 64)), ErrSignature},
		{"ES256 with an ASN.1 signature", asn1Signed(t, p.p256, `{"alg":"ES256","kid":"ec"}`), ErrSignature},
		{"ES256 cut by a byte", cutSignature(signJWT(t, ES256, p.p256, map[string]any{"kid": "ec"}, goodPayload)), ErrSignature},
		{"HS256 cut by a byte", cutSignature(good), ErrSignature},
		{"HS256 with an empty signature", parts[0] + "." + parts[1] + ".", ErrMalformed},
		{"kid missing among several keys", hs(`{"alg":"HS256"}`, goodPayload), ErrSignature},
		{"kid unknown", hs(`{"alg":"HS256","kid":"x"}`, goodPayload), ErrSignature},
		{"kid a path", hs(`{"alg":"HS256","kid":"../../../../dev/null"}`, goodPayload), ErrSignature},
		{"kid a URL", hs(`{"alg":"HS256","kid":"https://evil.example/k"}`, goodPayload), ErrSignature},
		{"kid SQL", hs(`{"alg":"HS256","kid":"' UNION SELECT 'x"}`, goodPayload), ErrSignature},
		{"kid with a zero byte", hs(`{"alg":"HS256","kid":"hmac\u0000"}`, goodPayload), ErrSignature},
		{"kid a number", hs(`{"alg":"HS256","kid":1}`, goodPayload), ErrMalformed},
		{"jku", withHeader(`"jku":"https://evil.example/jwks.json"`), ErrMalformed},
		{"x5u", withHeader(`"x5u":"https://evil.example/cert.pem"`), ErrMalformed},
		{"x5c", withHeader(`"x5c":["MIIB"]`), ErrMalformed},
		{"embedded jwk", withHeader(`"jwk":{"kty":"oct","k":"AAAA"}`), ErrMalformed},
		{"crit unknown", withHeader(`"crit":["exp"],"exp":1`), ErrMalformed},
		{"crit empty", withHeader(`"crit":[]`), ErrMalformed},
		{"b64 false", withHeader(`"b64":false,"crit":["b64"]`), ErrMalformed},
		{"b64 true", withHeader(`"b64":true`), ErrMalformed},
		{"zip", withHeader(`"zip":"DEF"`), ErrMalformed},
		{"duplicate alg, good one last", hs(`{"alg":"none","alg":"HS256","kid":"hmac"}`, goodPayload), ErrMalformed},
		{"duplicate alg by escape", hs(`{"alg":"HS256","\u0061lg":"none","kid":"hmac"}`, goodPayload), ErrMalformed},
		{"duplicate exp", withClaim(`"exp":9999999999`), ErrMalformed},
		{"duplicate member in a nested object", withClaim(`"x":{"a":1,"a":2}`), ErrMalformed},
		{"header not an object", hs(`["HS256"]`, goodPayload), ErrMalformed},
		{"header with data after it", hs(`{"alg":"HS256","kid":"hmac"} {}`, goodPayload), ErrMalformed},
		{"header not UTF-8", hs("{\"alg\":\"HS256\",\"kid\":\"hmac\",\"x\":\"\xff\"}", goodPayload), ErrMalformed},
		{"header over 2 KiB", withHeader(`"x":"` + strings.Repeat("x", 2<<10) + `"`), ErrMalformed},
		{"header of many members", hs(manyMembers(140), goodPayload), ErrMalformed},
		{"payload not an object", hs(`{"alg":"HS256","kid":"hmac"}`, `"x"`), ErrMalformed},
		{"payload not JSON", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1767229200`), ErrMalformed},
		{"payload nested too deep", withClaim(`"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000)), ErrMalformed},
		{"payload nested too deep, never closed", withClaim(`"x":` + strings.Repeat(`{"x":`, 900)), ErrMalformed},
		{"over 8 KiB", withClaim(`"x":"` + strings.Repeat("x", 8<<10) + `"`), ErrMalformed},
		{"a million dots", strings.Repeat(".", 1<<20), ErrMalformed},
		{"8 KiB of dots", strings.Repeat(".", 8<<10), ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], ErrMalformed},
		{"five parts, as JWE has", good + ".AAAA.AAAA", ErrMalformed},
		{"JWE header in three parts", b64([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + ".AAAA.AAAA", ErrMalformed},
		{"JSON serialization", `{"payload":"e30","signatures":[]}`, ErrMalformed},
		{"base64 with padding", parts[0] + "=." + parts[1] + "." + parts[2], ErrMalformed},
		{"standard base64", parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 21) + "A", ErrMalformed},
		{"a line break in the payload", parts[0] + "." + parts[1][:4] + "\n" + parts[1][4:] + "." + parts[2], ErrMalformed},
		{"a line break in the signature", parts[0] + "." + parts[1] + ".\r\n" + parts[2], ErrMalformed},
		{"loose bits after the signature", looseBits(good), ErrMalformed},
		{"leading space", " " + good, ErrMalformed},
		{"Bearer left on", "Bearer " + good, ErrMalformed},

		{"no exp", hs(`{"alg":"HS256","kid":"hmac"}`, `{}`), ErrMalformed},
		{"exp null", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":null}`), ErrMalformed},
		{"exp a string", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":"1767229200"}`), ErrMalformed},
		{"exp negative", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":-1}`), ErrMalformed},
		{"exp enormous", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1e300}`), ErrMalformed},
		{"exp beyond numbers", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1e999}`), ErrMalformed},
		{"exp in milliseconds", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1767229200000}`), ErrMalformed},
		{"member EXP is not exp", hs(`{"alg":"HS256","kid":"hmac"}`, `{"EXP":1767229200}`), ErrMalformed},
		{"expired with leeway", hs(`{"alg":"HS256","kid":"hmac"}`, `{"exp":1767225570}`), ErrExpired},
		{"not yet valid with leeway", withClaim(`"nbf":1767225631`), ErrNotYetValid},
		{"nbf a string", withClaim(`"nbf":"0"`), ErrMalformed},
		{"another path", withClaim(`"paths":"/vod/b"`), ErrScope},
		{"a longer path", withClaim(`"paths":["/vod/a/b","/live"]`), ErrScope},
		{"paths empty", withClaim(`"paths":[]`), ErrMalformed},
		{"paths an empty string", withClaim(`"paths":""`), ErrMalformed},
		{"paths null", withClaim(`"paths":null`), ErrMalformed},
		{"paths with null", withClaim(`"paths":["/vod/a",null]`), ErrMalformed},
		{"paths an object", withClaim(`"paths":{"/vod/a":true}`), ErrMalformed},
		{"paths a pattern", withClaim(`"paths":"/vod/*"`), ErrMalformed},
		{"paths with dot segments", withClaim(`"paths":"/vod/b/../a"`), ErrMalformed},
		{"paths beyond number", withClaim(`"paths":[` + strings.Repeat(`"/vod/a",`, 16) + `"/vod/a"]`), ErrMalformed},
		{"countries not codes", withClaim(`"countries":["Austria"]`), ErrMalformed},
		{"countries that fold to ASCII", withClaim(`"countries":["ſk"]`), ErrMalformed},
		{"hosts that fold to ASCII", withClaim(`"hosts":["Kiosk.example"]`), ErrMalformed},
		{"another host", withClaim(`"hosts":["other.example"]`), ErrScope},
		{"sub a number", withClaim(`"sub":7`), ErrMalformed},
		{"an audience that nobody configured", withClaim(`"aud":"https://api.example"`), ErrAudience},
		{"no token", "", ErrMissing},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			claims, err := v.Verify(context.Background(), test.raw, at)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if fmt.Sprint(claims) != fmt.Sprint(Claims{}) {
				t.Errorf("an error came with claims")
			}
			if err != nil && test.raw != "" && leaks(err.Error(), test.raw) {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
}

// leaks reports whether text holds any 12 characters in a row of secret.
func leaks(text, secret string) bool {
	for i := 0; i+12 <= min(len(secret), 8<<10); i += 6 {
		if strings.Contains(text, secret[i:i+12]) {
			return true
		}
	}
	return false
}

func asn1Signed(t *testing.T, key *ecdsa.PrivateKey, header string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(goodPayload))
	digest := sha256.Sum256([]byte(input))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

func cutSignature(raw string) string {
	end := strings.LastIndexByte(raw, '.')
	signature, _ := base64.RawURLEncoding.DecodeString(raw[end+1:])
	return raw[:end+1] + b64(signature[:len(signature)-1])
}

// looseBits sets the two bits that the last character of a 32-byte signature does not need: another text for the same bytes.
func looseBits(raw string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, raw[len(raw)-1])
	return raw[:len(raw)-1] + string(alphabet[last|3])
}

// A refusal must be cheaper than what it protects; the bound is generous for a busy machine.
func TestJWTRefusesInUnderAMillisecond(t *testing.T) {
	v := newTestJWT(t, JWTConfig{}, testSecretKey(t, "a"), testSecretKey(t, "b"))
	worst := map[string]string{
		"a million dots": strings.Repeat(".", 1<<20),
		"8 KiB of dots":  strings.Repeat(".", 8<<10),
		"deep header":    b64([]byte(`{"a":`+strings.Repeat("[", 6000))) + ".AA.AA",
		"many members":   b64([]byte(manyMembers(700))) + ".AA.AA",
		"long header":    b64([]byte(`{"x":[`+strings.Repeat("1,", 750)+"1]}")) + ".AA.AA",
		"deep payload":   signJWT(t, HS256, testSecret("a"), map[string]any{"kid": "a"}, strings.Repeat(`{"a":`, 1000)),
	}
	for name, raw := range worst {
		t.Run(name, func(t *testing.T) {
			best := time.Hour
			for range 20 {
				start := time.Now()
				if _, err := v.Verify(context.Background(), raw, Request{Now: testNow, Path: "/"}); err == nil {
					t.Fatal("accepted")
				}
				best = min(best, time.Since(start))
			}
			limit := time.Millisecond
			if testtools.RaceEnabled {
				limit *= 20
			}
			if best > limit {
				t.Errorf("refused in %s", best)
			}
		})
	}
}

func manyMembers(n int) string {
	var b bytes.Buffer
	b.WriteString(`{"alg":"HS256"`)
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	b.WriteString("}")
	return b.String()
}
