package widevine

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/internal/testtools"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// packagerAsks runs Shaka Packager, whose client of the API is Widevine's own, against a key server of the test, and returns what it
// asked. body is the inner answer, with which it has to be content.
func packagerAsks(t *testing.T, body string, flags ...string) envelope {
	t.Helper()
	packager, err := testtools.Packager()
	if err != nil {
		t.Fatal(err)
	}
	var asked envelope
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &asked); err != nil {
			t.Errorf("asked %s", b)
		}
		answer, _ := json.Marshal(map[string][]byte{"response": []byte(body)})
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	dir := t.TempDir()
	clear := filepath.Join(dir, "clear.mp4")
	writeDemo(t, clear)
	args := append([]string{
		"in=" + clear + ",stream=video,output=" + filepath.Join(dir, "out.mp4"), "--enable_widevine_encryption", "--protection_scheme", "cbcs",
		"--key_server_url", server.URL + "/cenc/getcontentkey/test", "--content_id", "74657374", "--signer", "widevine_test", "--policy", "standard",
	}, flags...)
	if out, err := exec.Command(packager, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return asked
}

// writeDemo writes a few segments of the demo title into one file.
func writeDemo(t *testing.T, name string) {
	t.Helper()
	var all []byte
	for _, part := range []string{"init.mp4", "seg_1.m4s", "seg_2.m4s"} {
		path, err := testtools.Testdata("demo", "video", "360p", part)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	if err := os.WriteFile(name, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pssh is what a server sends along; Packager wants one.
const pssh = `,"pssh":[{"drm_type":"WIDEVINE","data":"dGVzdA=="}]`

// TestPackagerAgrees compares requests: the same members with the same meaning, and one signature. Answers that we read, it reads.
func TestPackagerAgrees(t *testing.T) {
	asked := packagerAsks(t, okAnswer(pssh), "--aes_signing_key", testSigningKey, "--aes_signing_iv", testSigningIV)
	signature, err := testSigner(t).signature(asked.Request)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(signature, asked.Signature) || asked.Signer != "widevine_test" {
		t.Errorf("signed %x by %s, want %x", asked.Signature, asked.Signer, signature)
	}
	var theirs map[string]any
	if err := json.Unmarshal(asked.Request, &theirs); err != nil {
		t.Fatal(err)
	}
	s := &server{body: okAnswer(pssh)}
	if _, err := testClient(t, s, func(c *Config) { c.Policy = "standard" }).Fetch(context.Background(), keysource.Title{Tenant: "t", Asset: "a", Scheme: drm.SchemeCbcs}); err != nil {
		t.Fatal(err)
	}
	for name, value := range s.asked {
		their, ok := theirs[name]
		if !ok {
			t.Errorf("Packager sends no %s: %s", name, asked.Request)
		} else if name == "protection_scheme" || name == "policy" {
			if their != value {
				t.Errorf("%s is %v, of Packager %v", name, value, their)
			}
		}
	}
	for _, member := range []string{`"content_id":"dGVzdA=="`, `"WIDEVINE"`} {
		if !strings.Contains(string(asked.Request), member) {
			t.Errorf("Packager asks %s", asked.Request)
		}
	}
}

// TestPackagerSignsByPSS: which signature the API wants with RSA keys is told by its own client.
func TestPackagerSignsByPSS(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.der")
	if err := os.WriteFile(file, x509.MarshalPKCS1PrivateKey(key), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := packagerAsks(t, okAnswer(pssh), "--rsa_signing_key_path", file)
	digest := sha1.Sum(asked.Request)
	if err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA1, digest[:], asked.Signature, &rsa.PSSOptions{SaltLength: sha1.Size}); err != nil {
		t.Error(err)
	}
}
