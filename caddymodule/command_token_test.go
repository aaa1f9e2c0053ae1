package caddymodule

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/token"
)

// runToken runs `caddy drm token` with arguments and returns what it prints.
func runToken(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := tokenCommand()
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return strings.TrimSpace(out.String()), err
}

func writeKey(t *testing.T, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestTokenCommands: each kind makes what explain knows and finds good, for this address and no other, and neither prints the key.
func TestTokenCommands(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	private := writeKey(t, "private.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)}))
	public := writeKey(t, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(key.Public()))(t)}))
	secret := writeKey(t, "secret", []byte(testTokenSecret+"\n"))
	hexKey := writeKey(t, "hex", []byte(testHexKey+"\n"))
	for name, test := range map[string]struct {
		mint     []string
		url      string // in which TOKEN is what was minted; empty: it is the URL
		explain  []string
		says     []string
		wrongURL [2]string // what is replaced in the URL, so that it does not hold
	}{
		"signed, as before": {
			[]string{"--key-file", secret, "--prefix", "/demo", "--subject", "viewer-7"}, "/demo/x.mpd?token=TOKEN",
			[]string{"--key-file", secret}, []string{"a signed prefix", "viewer-7", "/demo"}, [2]string{"/demo/x", "/demo2/x"},
		},
		"signed": {
			[]string{"signed", "--key-file", secret, "--prefix", "/demo", "--country", "AT"}, "https://a.test/demo/x.mpd?t=TOKEN",
			[]string{"--key-file", secret}, []string{"a signed prefix", "countries    AT"}, [2]string{"/demo/x", "/x"},
		},
		"jwt, ES256": {
			[]string{"jwt", "--key-file", private, "--algorithm", "ES256", "--path", "/demo", "--plan", "gold", "--audience", "media"}, "/demo/x.mpd?token=TOKEN",
			[]string{"--key-file", public}, []string{"a JWT", "ES256", "gold", "media", "/demo"}, [2]string{"/demo/x", "/demo2/x"},
		},
		"jwt, HS256": {
			[]string{"jwt", "--key-file", secret, "--algorithm", "HS256", "--path", "/demo"}, "/TOKEN/demo/x.mpd",
			[]string{"--key-file", secret}, []string{"a JWT", "HS256"}, [2]string{"/demo/x", "/demo2/x"},
		},
		"akamai, patterns": {
			[]string{"akamai", "--key-file", hexKey, "--acl", "/demo/*", "--acl", "/x/*", "--id", "viewer-7"}, "/demo/x.mpd?hdnts=TOKEN",
			[]string{"--key-file", hexKey}, []string{"an Akamai token", "/demo/*, /x/*", "viewer-7", "sha256"}, [2]string{"/demo/x", "/demo2/x"},
		},
		"akamai, one path": {
			[]string{"akamai", "--key-file", hexKey, "--url", "/demo/x.mpd", "--ip", testClient, "--hash", "sha1"}, "/demo/x.mpd?hdnts=TOKEN",
			[]string{"--key-file", hexKey, "--ip", testClient, "--hash", "sha1"}, []string{"does not name", testClient, "weak"}, [2]string{"/demo/x", "/demo/y"},
		},
		"cloudfront, canned": {
			[]string{"cloudfront", "--key-file", private, "--key-id", "KTEST", "--url", "https://a.test/demo/x.mpd?s=1"}, "",
			[]string{"--key-file", public}, []string{"CloudFront", "KTEST", "SHA256", "canned"}, [2]string{"s=1", "s=2"},
		},
		"cloudfront, custom": {
			[]string{"cloudfront", "--key-file", private, "--key-id", "KTEST", "--url", "https://a.test/demo/*", "--ip", testClient + "/32", "--hash", "sha1"}, "https://a.test/demo/x.mpd?TOKEN",
			[]string{"--key-file", public, "--ip", testClient}, []string{"custom", "https://a.test/demo/*", testClient, "weak"}, [2]string{"a.test", "b.test"},
		},
		"secure_link": {
			[]string{"secure-link", "--key-file", secret, "--url", "/demo/x.mpd", "--ip", testClient}, "",
			[]string{"--key-file", secret, "--ip", testClient}, []string{"a secure link", "MD5"}, [2]string{"/demo/x", "/demo/y"},
		},
		"flussonic": {
			[]string{"flussonic", "--key-file", secret, "--stream", "live/ch1", "--ip", testClient}, "/live/ch1/index.m3u8?token=TOKEN",
			[]string{"--key-file", secret, "--ip", testClient}, []string{"a securetoken", "SHA-1"}, [2]string{"ch1", "ch2"},
		},
		"bunny": {
			[]string{"bunny", "--key-file", secret, "--url", "/demo/x.mpd", "--block-country", "FR"}, "",
			[]string{"--key-file", secret, "--country", "AT"}, []string{"bunny.net", "not in       FR", "HMAC-SHA-256"}, [2]string{"/demo/x", "/demo/y"},
		},
		"bunny in the path": {
			[]string{"bunny", "--key-file", secret, "--url", "/demo/x.mpd", "--directory", "/demo/", "--in-path", "--ip", testClient}, "",
			[]string{"--key-file", secret, "--ip", testClient}, []string{"all below /demo/", "bound to an address"}, [2]string{"/demo/x", "/x/x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			minted, err := runToken(t, "", test.mint...)
			if err != nil {
				t.Fatal(err)
			}
			address := minted
			if test.url != "" {
				address = strings.Replace(test.url, "TOKEN", minted, 1)
			}
			said, err := runToken(t, address, append([]string{"explain", "-"}, test.explain...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(test.says, "holds        yes") {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
			}
			for _, hidden := range []string{testTokenSecret, testHexKey, minted[len(minted)-20:]} {
				if strings.Contains(said, hidden) {
					t.Errorf("it prints %q:\n%s", hidden, said)
				}
			}
			wrong, err := runToken(t, "", append([]string{"explain", strings.Replace(address, test.wrongURL[0], test.wrongURL[1], 1)}, test.explain...)...)
			if err != nil || !strings.Contains(wrong, "holds        no: ") {
				t.Errorf("for another address: %v\n%s", err, wrong)
			}
			if unchecked, err := runToken(t, "", "explain", address); err != nil || !strings.Contains(unchecked, "not checked") {
				t.Errorf("without a key: %v\n%s", err, unchecked)
			}
		})
	}
}

// TestExplainAlone: a token without its URL, an expired one, and what is none.
func TestExplainAlone(t *testing.T) {
	secret := writeKey(t, "secret", []byte(testTokenSecret))
	expired := signedToken(t, time.Now().Add(-2*time.Hour), token.Claims{Scope: []string{"/demo"}})
	said, err := runToken(t, "", "explain", expired, "--key-file", secret, "--path", "/demo/x.mpd")
	if err != nil || !strings.Contains(said, "ago: it has expired") || !strings.Contains(said, "no: the token has expired") {
		t.Errorf("%v\n%s", err, said)
	}
	said, err = runToken(t, "", "explain", tokenFor(t, "/demo"), "--key-file", secret)
	if err != nil || !strings.Contains(said, "the signature fits") {
		t.Errorf("%v\n%s", err, said)
	}
	if said, err = runToken(t, "", "explain", "/demo/~s.AQAA/x.mpd"); err != nil || !strings.Contains(said, "a session") {
		t.Errorf("%v\n%s", err, said)
	}
	hostile := "exp=1767225600~id=\x1b[2J\u202e~hmac=" + strings.Repeat("0", 64)
	if said, err = runToken(t, hostile, "explain", "-"); err != nil || strings.ContainsAny(said, "\x1b\u202e") {
		t.Errorf("%v\n%q", err, said)
	}
	for _, text := range []string{"", "hello", "https://a.test/demo/x.mpd", "a.b.c", "/x?%zz"} {
		if said, err := runToken(t, text, "explain"); err == nil || said != "" {
			t.Errorf("%q: %s", text, said)
		}
	}
}

// TestTokenCommandsRefuse: what would make a token that nobody takes is an error.
func TestTokenCommandsRefuse(t *testing.T) {
	short, secret := writeKey(t, "short", []byte("short")), writeKey(t, "secret", []byte(testTokenSecret))
	for _, args := range [][]string{
		{"nonsense"},
		{"jwt", "--key-file", secret, "--path", "/"},
		{"jwt", "--key-file", secret, "--algorithm", "none", "--path", "/"},
		{"jwt", "--key-file", secret, "--algorithm", "ES256", "--path", "/"},
		{"jwt", "--key-file", secret, "--algorithm", "HS512", "--path", "/"},
		{"jwt", "--key-file", secret, "--algorithm", "HS256"},
		{"akamai", "--key-file", secret, "--acl", "/*"},
		{"akamai", "--acl", "/*"},
		{"cloudfront", "--key-file", secret, "--key-id", "K", "--url", "https://a.test/x"},
		{"secure-link", "--key-file", short, "--url", "/x", "--ip", testClient},
		{"secure-link", "--key-file", secret, "--url", "/x"},
		{"secure-link", "--key-file", secret, "--url", "x", "--ip", testClient},
		{"flussonic", "--key-file", secret, "--ip", testClient},
		{"flussonic", "--key-file", secret, "--stream", "ch1"},
		{"bunny", "--key-file", secret, "--url", "x"},
		{"bunny", "--key-file", secret, "--url", "/x", "--ip", "nowhere"},
		{"bunny", "--key-file", secret, "--url", "/x", "--expires", "-1h"},
	} {
		if text, err := runToken(t, "", args...); err == nil || strings.Contains(err.Error(), testTokenSecret) {
			t.Errorf("%q: %q, %v", args, text, err)
		}
	}
}
