package signedurl

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// signer makes a credential of each kind for a path, and the verifier that takes it.
type signer struct {
	verifier token.Finder
	sign     func(path string, expires time.Time) string
}

func testSigners(t testing.TB) map[string]signer {
	akamai := testAkamai(t, AkamaiConfig{Leeway: -1})
	link, bunny := testSecureLink(t), testBunny(t, "test-key-of-bunny", BunnyConfig{})
	flussonic := must(NewFlussonic(FlussonicConfig{Secrets: [][]byte{[]byte("mykey")}, Leeway: -1}))(t)
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	front := must(NewCloudFront(CloudFrontConfig{Keys: map[string]crypto.PublicKey{"K": private.Public()}, Leeway: -1}))(t)
	addr := netip.MustParseAddr("203.0.113.7")
	return map[string]signer{
		"akamai acl": {akamai, func(path string, expires time.Time) string {
			return must(akamai.Sign(AkamaiToken{ACL: []string{path}, Expires: expires, Addr: addr}))(t)
		}},
		"akamai url": {akamai, func(path string, expires time.Time) string {
			return must(akamai.Sign(AkamaiToken{Path: path, Expires: expires, Addr: addr}))(t)
		}},
		"cloudfront": {front, func(path string, expires time.Time) string {
			policy := CloudFrontPolicy{URL: "https://media.example" + path, Expires: expires, Source: netip.PrefixFrom(addr, 32)}
			return findOne(t, front, "?"+must(policy.Sign("K", private, true))(t).Encode(), nil)
		}},
		"secure_link": {link, func(path string, expires time.Time) string {
			req := testViewer(path)
			return findOne(t, link, "?"+must(link.Sign(req, expires))(t).Encode(), nil)
		}},
		"flussonic": {flussonic, func(path string, expires time.Time) string {
			return must(flussonic.Sign(streamOf(path), addr, testNow.Add(-time.Hour), expires, ""))(t)
		}},
		"bunny": {bunny, func(path string, expires time.Time) string {
			return findOne(t, bunny, must(bunny.Sign(BunnyToken{Path: path, Expires: expires, Addr: addr}))(t), nil)
		}},
		"bunny in the path": {bunny, func(path string, expires time.Time) string {
			signed := must(bunny.Sign(BunnyToken{Path: path, Dir: "/vod/a/", InPath: true, Expires: expires, Addr: addr}))(t)
			return findOne(t, bunny, signed, nil)
		}},
	}
}

// TestEveryKind: a token holds for its path, host, client and time, and for nothing else, and so does what a session carries of it.
func TestEveryKind(t *testing.T) {
	const path = "/vod/a/manifest.mpd"
	for kind, s := range testSigners(t) {
		t.Run(kind, func(t *testing.T) {
			raw := s.sign(path, testNow.Add(time.Hour))
			claims, err := s.verifier.Verify(context.Background(), raw, testViewer(path))
			if err != nil {
				t.Fatal(err)
			}
			if claims.Expires != testNow.Add(time.Hour) {
				t.Errorf("expires %v", claims.Expires)
			}
			for name, change := range map[string]func(*token.Request){
				"expired":      func(r *token.Request) { r.Now = testNow.Add(time.Hour) },
				"another path": func(r *token.Request) { r.Path, r.PublicPath = "/vod/ab/manifest.mpd", "/vod/ab/manifest.mpd" },
				"other client": func(r *token.Request) { r.Addr = netip.MustParseAddr("203.0.113.8") },
				"no address":   func(r *token.Request) { r.Addr = netip.Addr{} },
			} {
				req := testViewer(path)
				change(&req)
				if claims, err := s.verifier.Verify(context.Background(), raw, req); err == nil || !reflect.DeepEqual(claims, token.Claims{}) {
					t.Errorf("%s: %+v, %v", name, claims, err)
				}
				if err := claims.Check(req); err == nil {
					t.Errorf("%s: the claims hold", name)
				}
			}
			checkChanges(t, s.verifier, raw, path)
			checkCarried(t, claims)
		})
	}
}

// checkChanges: no byte of a credential can be changed, cut off or added.
func checkChanges(t *testing.T, v token.Verifier, raw, path string) {
	t.Helper()
	for i := range raw {
		for _, changed := range []string{raw[:i], raw[:i] + string(raw[i]^1) + raw[i+1:], raw[:i] + raw[i+1:]} {
			_, err := v.Verify(context.Background(), changed, testViewer(path))
			if err == nil && !sameHex(raw, changed) {
				t.Fatalf("byte %d of %q: %q is accepted", i, raw, changed)
			}
			if err != nil && strings.Contains(err.Error(), raw[len(raw)-12:]) {
				t.Fatalf("an error repeats the credential: %v", err)
			}
		}
	}
}

// sameHex reports whether two credentials are the same but for the case of letters, which hexadecimal digits may have either way.
func sameHex(a, b string) bool { return strings.EqualFold(a, b) }

// checkCarried: conditions survive the way through a session, and nothing cut off does.
func checkCarried(t *testing.T, claims token.Claims) {
	t.Helper()
	if claims.Conditions == nil {
		return
	}
	b := must(claims.Conditions.AppendBinary(nil))(t)
	parsed := must(ParseConditions(b))(t)
	if again := must(parsed.AppendBinary(nil))(t); !bytes.Equal(again, b) {
		t.Errorf("%x, then %x", b, again)
	}
	for i := range b {
		if _, err := ParseConditions(b[:i]); err == nil {
			t.Errorf("cut to %d bytes: accepted", i)
		}
	}
	if _, err := ParseConditions(append(b, 0)); err == nil {
		t.Error("with a byte behind: accepted")
	}
}

// TestMovedDigits: the formats that join their fields do not let one take a digit of the next.
func TestMovedDigits(t *testing.T) {
	bunny := testBunny(t, "test-key", BunnyConfig{MD5: true})
	// key + /vod/a.m3u8 + 1767225600 is key + /vod/a.m3u + 81767225600, which would last until the year 4561.
	raw := "token=PecOXB-t0V--xCR_vrrS5A&expires=81767225600"
	if _, err := bunny.Verify(context.Background(), raw, testViewer("/vod/a.m3u")); !errors.Is(err, token.ErrMalformed) {
		t.Errorf("%v", err)
	}
	flussonic := must(NewFlussonic(FlussonicConfig{Secrets: [][]byte{[]byte("mykey")}, NoCheckIP: true}))(t)
	signed := must(flussonic.Sign("ch1", netip.Addr{}, testNow, testNow.Add(time.Hour), "a1"))(t)
	parts := strings.Split(signed, "-")
	moved := strings.Join([]string{parts[0], parts[1], parts[2], "1" + parts[3]}, "-")
	if _, err := flussonic.Verify(context.Background(), moved, testViewer("/ch/x.m3u8")); !errors.Is(err, token.ErrMalformed) {
		t.Errorf("%v", err)
	}
}

func TestMalformed(t *testing.T) {
	mac := strings.Repeat("0", 64)
	signers := testSigners(t)
	for kind, raws := range map[string][]string{
		"akamai acl": {
			"", "exp=1767225600", "exp=1767225600~hmac=00", "acl=/*~hmac=" + mac, "exp=1767225600~exp=1767225601~acl=/*~hmac=" + mac,
			"exp=1767225600~url=/vod/a~hmac=" + mac, "exp=1767225600~only=vip~acl=/*~hmac=" + mac, "exp=+1767225600~acl=/*~hmac=" + mac,
			"exp=99999999999999~acl=/*~hmac=" + mac, "ip=localhost~exp=1767225600~acl=/*~hmac=" + mac, "exp=1767225600~acl=~hmac=" + mac,
			strings.Repeat("a", 5000),
		},
		"cloudfront": {
			"", "Expires=1767225600", "Expires=1767225600&Signature=AA__&Key-Pair-Id=K&Policy=e30_", "Signature=AA__&Key-Pair-Id=K",
			"Expires=x&Signature=AA__&Key-Pair-Id=K", "Policy=%2B%2B&Signature=AA__&Key-Pair-Id=K",
			"Policy=e30_&Signature=AA__&Key-Pair-Id=K&Hash-Algorithm=MD5", "Policy=e30_&Policy=e30_",
		},
		"secure_link": {"", "md5=x", "expires=1767225600", "md5=AAAAAAAAAAAAAAAAAAAAAA&expires=176722560", "md5=AAAAAAAAAAAAAAAAAAAAAA&expires=1767225600&x=1"},
		"flussonic":   {"", "a-b-c-d", "a-b-c", strings.Repeat("0", 40) + "--1767225600-1767222000", strings.Repeat("0", 40) + "-a b-1767225600-1767222000"},
		"bunny":       {"", "token=x", "expires=1767225600", "token=HS256-AAAA&expires=1767225600", "token=HS256-" + strings.Repeat("A", 43), "token_path=vod&token=HS256-" + strings.Repeat("A", 43) + "&expires=1767225600"},
	} {
		for _, raw := range raws {
			_, err := signers[kind].verifier.Verify(context.Background(), raw, testViewer("/vod/a/x.mpd"))
			if raw == "" && !errors.Is(err, token.ErrMissing) || raw != "" && !errors.Is(err, token.ErrMalformed) && !errors.Is(err, token.ErrSignature) {
				t.Errorf("%s: %q: %v", kind, raw, err)
			}
		}
	}
}

// TestPolicies: a policy that is signed but not understood opens nothing.
func TestPolicies(t *testing.T) {
	private := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	v := must(NewCloudFront(CloudFrontConfig{Keys: map[string]crypto.PublicKey{"K": private.Public()}, Leeway: -1}))(t)
	const date = `"DateLessThan":{"AWS:EpochTime":1767225600}`
	statement := func(resource, condition string) string {
		return fmt.Sprintf(`{"Resource":%q,"Condition":{%s}}`, resource, condition)
	}
	for name, test := range map[string]struct {
		policy string
		want   error
	}{
		"everything":           {`{"Statement":[` + statement("*", date) + `]}`, nil},
		"a host":               {`{"Statement":[` + statement("https://media.example/*", date) + `]}`, nil},
		"one character":        {`{"Statement":[` + statement("https://media.example/vod/?.mpd", date) + `]}`, nil},
		"another host":         {`{"Statement":[` + statement("https://media.example.net/*", date) + `]}`, token.ErrScope},
		"another scheme":       {`{"Statement":[` + statement("http://media.example/*", date) + `]}`, token.ErrScope},
		"not yet":              {`{"Statement":[` + statement("*", date+`,"DateGreaterThan":{"AWS:EpochTime":1767225599}`) + `]}`, token.ErrNotYetValid},
		"an address":           {`{"Statement":[` + statement("*", date+`,"IpAddress":{"AWS:SourceIp":"203.0.113.7"}`) + `]}`, nil},
		"any address":          {`{"Statement":[` + statement("*", date+`,"IpAddress":{"AWS:SourceIp":"0.0.0.0/0"}`) + `]}`, nil},
		"no expiry":            {`{"Statement":[{"Resource":"*","Condition":{}}]}`, token.ErrMalformed},
		"no resource":          {`{"Statement":[{"Condition":{` + date + `}}]}`, token.ErrMalformed},
		"two statements":       {`{"Statement":[` + statement("*", date) + `,` + statement("*", date) + `]}`, token.ErrMalformed},
		"no statement":         {`{"Statement":[]}`, token.ErrMalformed},
		"an unknown condition": {`{"Statement":[` + statement("*", date+`,"Country":{"AWS:Is":"AT"}`) + `]}`, token.ErrMalformed},
		"an unknown operator":  {`{"Statement":[` + statement("*", date+`,"IpAddress":{"AWS:Not":"203.0.113.7"}`) + `]}`, token.ErrMalformed},
		"a member twice":       {`{"Statement":[` + statement("*", date+`,`+date) + `]}`, token.ErrMalformed},
		"no JSON":              {`Statement`, token.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			raw := signPolicy(t, private, test.policy)
			_, err := v.Verify(context.Background(), raw, testViewer("/vod/a.mpd"))
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	strict := must(NewCloudFront(CloudFrontConfig{Keys: map[string]crypto.PublicKey{"K": private.Public()}, SHA256Only: true}))(t)
	raw := strings.Replace(signPolicy(t, private, `{"Statement":[`+statement("*", date)+`]}`), "Hash-Algorithm=SHA256&", "", 1)
	if _, err := strict.Verify(context.Background(), raw, testViewer("/vod/a.mpd")); !errors.Is(err, token.ErrSignature) {
		t.Errorf("SHA-1 where it is refused: %v", err)
	}
}

func signPolicy(t *testing.T, private crypto.Signer, policy string) string {
	t.Helper()
	h := crypto.SHA256.New()
	_, _ = h.Write([]byte(policy))
	signature := must(private.Sign(rand.Reader, h.Sum(nil), crypto.SHA256))(t)
	encode := func(b []byte) string { return cloudFrontEncode.Replace(encodeStd(b)) }
	return url.Values{"Policy": {encode([]byte(policy))}, "Signature": {encode(signature)}, "Key-Pair-Id": {"K"}, "Hash-Algorithm": {"SHA256"}}.Encode()
}

func TestConfigsRefuse(t *testing.T) {
	secrets := [][]byte{[]byte("secret")}
	for name, make := range map[string]func() (any, error){
		"akamai without keys":   func() (any, error) { return NewAkamai(AkamaiConfig{}) },
		"an unknown hash":       func() (any, error) { return NewAkamai(AkamaiConfig{Keys: secrets, Hash: "sha512"}) },
		"a key of one byte":     func() (any, error) { return NewAkamai(AkamaiConfig{Keys: [][]byte{bytes.Repeat([]byte{7}, 16)}}) },
		"much leeway":           func() (any, error) { return NewAkamai(AkamaiConfig{Keys: secrets, Leeway: time.Hour}) },
		"cloudfront without":    func() (any, error) { return NewCloudFront(CloudFrontConfig{}) },
		"an expression without": func() (any, error) { return NewSecureLink(SecureLinkConfig{Secrets: secrets}) },
		"no expiry signed": func() (any, error) {
			return NewSecureLink(SecureLinkConfig{Secrets: secrets, Expression: "$uri $secret"})
		},
		"no path signed": func() (any, error) {
			return NewSecureLink(SecureLinkConfig{Secrets: secrets, Expression: "$secure_link_expires $secret"})
		},
		"no secret signed": func() (any, error) {
			return NewSecureLink(SecureLinkConfig{Secrets: secrets, Expression: "$secure_link_expires$uri"})
		},
		"an unknown variable": func() (any, error) {
			return NewSecureLink(SecureLinkConfig{Secrets: secrets, Expression: "$secure_link_expires$uri$cookie_x$secret"})
		},
		"the hash hashed": func() (any, error) {
			return NewSecureLink(SecureLinkConfig{Secrets: secrets, Expression: "$arg_expires$uri$arg_md5$secret"})
		},
		"flussonic without keys": func() (any, error) { return NewFlussonic(FlussonicConfig{}) },
		"bunny without keys":     func() (any, error) { return NewBunny(BunnyConfig{}) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWildcards(t *testing.T) {
	for _, test := range []struct {
		pattern, text  string
		question, want bool
	}{
		{"/vod/*", "/vod/a/b.mpd", false, true},
		{"/vod/*", "/vod/", false, true},
		{"/vod/*", "/vod", false, false},
		{"/vod/*", "/vodx/a", false, false},
		{"/*/x.mpd", "/a/b/x.mpd", false, true},
		{"/a?c", "/abc", false, false},
		{"/a?c", "/abc", true, true},
		{"/a?", "/a", true, false},
		{"*a*b*", "xxaxxbxx", false, true},
		{"*a*b*", "xxbxxaxx", false, false},
		{"", "", false, true},
	} {
		if got := matchWildcards(test.pattern, test.text, test.question); got != test.want {
			t.Errorf("%q on %q: %v", test.pattern, test.text, got)
		}
	}
	hostile := strings.Repeat("*a", 190)
	start := time.Now()
	if matchWildcards(hostile, strings.Repeat("a", 2000)+"b", false) {
		t.Error("a hostile pattern matches")
	}
	if took := time.Since(start); took > 10*time.Second { // it would take years
		t.Errorf("a hostile pattern took %s", took)
	}
}

func TestBlockedCountries(t *testing.T) {
	v := testBunny(t, "test-key-of-bunny", BunnyConfig{})
	raw := findOne(t, v, must(v.Sign(BunnyToken{Path: "/vod/a.mpd", Expires: testNow.Add(time.Hour), Block: []string{"FR", "de"}}))(t), nil)
	for country, want := range map[string]error{"AT": nil, "FR": token.ErrScope, "DE": token.ErrScope, "": token.ErrScope} {
		req := testViewer("/vod/a.mpd")
		req.Country = country
		if _, err := v.Verify(context.Background(), raw, req); !errors.Is(err, want) {
			t.Errorf("%q: %v", country, err)
		}
	}
}

// TestAmbiguousPlaces: a parameter that stands twice is never one credential.
func TestAmbiguousPlaces(t *testing.T) {
	for kind, s := range testSigners(t) {
		for _, place := range s.verifier.Places() {
			c := token.Carrier{Query: url.Values{}}
			list := func(name string) []string {
				if name == place.Name {
					return []string{"a", "b"}
				}
				return nil
			}
			switch place.In {
			case token.InQuery:
				c.Query[place.Name] = []string{"a", "b"}
			case token.InCookie:
				c.Cookie = list
			case token.InHeader:
				c.Header = list
			default:
				continue
			}
			if place.Name == bunnyLimit {
				continue // alone it is no credential
			}
			if found, err := s.verifier.Find(c); !errors.Is(err, token.ErrAmbiguous) {
				t.Errorf("%s: %v twice: %v, %v", kind, place, found, err)
			}
		}
	}
}

// FuzzVerify: whatever is presented, it neither panics nor opens anything without a key.
func FuzzVerify(f *testing.F) {
	signers := testSigners(f)
	for _, s := range signers {
		f.Add(s.sign("/vod/a/x.mpd", testNow.Add(time.Hour)), "/vod/b/x.mpd")
	}
	f.Fuzz(func(t *testing.T, raw, path string) {
		for kind, s := range signers {
			req := testViewer("/other/x.mpd")
			req.PublicPath = path
			if claims, err := s.verifier.Verify(context.Background(), raw, req); err == nil && kind != "akamai acl" && kind != "bunny in the path" {
				t.Errorf("%s: %q gives %+v", kind, raw, claims)
			}
		}
	})
}

func FuzzParseConditions(f *testing.F) {
	for _, s := range testSigners(f) {
		claims, err := s.verifier.Verify(context.Background(), s.sign("/vod/a/x.mpd", testNow.Add(time.Hour)), testViewer("/vod/a/x.mpd"))
		if err == nil && claims.Conditions != nil {
			f.Add(must(claims.Conditions.AppendBinary(nil))(f))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConditions(b)
		if err != nil {
			return
		}
		if again, err := c.AppendBinary(nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x becomes %x, %v", b, again, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	const path = "/vod/a/manifest.mpd"
	for kind, s := range testSigners(b) {
		b.Run(kind, func(b *testing.B) {
			raw, req := s.sign(path, testNow.Add(time.Hour)), testViewer(path)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.verifier.Verify(context.Background(), raw, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func encodeStd(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
