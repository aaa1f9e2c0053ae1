package caddymodule

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// TestExplainOtherNames: what our own commands make under other names, and sites are told to look for, is found in a URL.
func TestExplainOtherNames(t *testing.T) {
	secret, hexKey := writeKey(t, "secret", []byte(testTokenSecret)), writeKey(t, "hex", []byte(testHexKey))
	mint := func(args ...string) string {
		t.Helper()
		text, err := runToken(t, "", args...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	link := mint("secure-link", "--key-file", secret, "--url", "/demo/x.mpd?a=1", "--ip", testClient, "--md5-name", "st", "--expires-name", "until",
		"--expression", "$secure_link_expires$uri$arg_a$remote_addr $secret")
	akamai := mint("akamai", "--key-file", hexKey, "--acl", "/demo/*")
	jwt := mint("jwt", "--key-file", secret, "--algorithm", "HS256", "--path", "/demo", "--max-streams", "3")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a secure link":           {[]string{link, "--key-file", secret, "--ip", testClient, "--md5-name", "st", "--expires-name", "until", "--expression", "$secure_link_expires$uri$arg_a$remote_addr $secret"}, "holds        yes, for /demo/x.mpd"},
		"an Akamai token":         {[]string{"/demo/x.mpd?tok=" + akamai, "--key-file", hexKey}, "holds        yes, for /demo/x.mpd"},
		"streams of a JWT":        {[]string{jwt}, "max_streams  3"},
		"a path with its prefix":  {[]string{"/members/demo/x.mpd?token=" + jwt, "--key-file", secret}, "no: the token does not cover this address: /members/demo/x.mpd; below handle_path, --path is without its prefix"},
		"the path without prefix": {[]string{"/members/demo/x.mpd?token=" + jwt, "--key-file", secret, "--path", "/demo/x.mpd"}, "holds        yes, for /demo/x.mpd"},
	} {
		if said, err := runToken(t, "", append([]string{"explain"}, test.args...)...); err != nil || !strings.Contains(said, test.want) {
			t.Errorf("%s: no %q: %v\n%s", name, test.want, err, said)
		}
	}
	for _, args := range [][]string{
		{"jwt", "--key-file", secret, "--algorithm", "HS256", "--path", "/demo", "--max-streams", "256"},
		{"jwt", "--key-file", secret, "--algorithm", "HS256", "--path", "/demo", "--max-streams", "0"},
	} {
		if text, err := runToken(t, "", args...); err == nil {
			t.Errorf("%q: %s", args, text)
		}
	}
}

// TestCloudFrontSignsNoPort: the URL that is judged has none, and so a signature for one with a port opens nothing.
func TestCloudFrontSignsNoPort(t *testing.T) {
	key := writeKey(t, "private.pem", testRSAKey(t))
	for url, signs := range map[string]bool{
		"https://a.test/demo/x.mpd": true, "http*://a.test/demo/*": true, "https://[2001:db8::1]/x": true, "https://a.test/x?y=http://b:1/": true,
		"https://a.test:8443/demo/x.mpd": false, "http://a.test:80/*": false, "https://[2001:db8::1]:443/x": false, "https://a.test:*/x": false,
	} {
		if text, err := runToken(t, "", "cloudfront", "--key-file", key, "--key-id", "K", "--url", url); (err == nil) != signs {
			t.Errorf("%s: %s, %v", url, text, err)
		}
	}
}

func testRSAKey(t *testing.T) []byte {
	t.Helper()
	key := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)})
}
