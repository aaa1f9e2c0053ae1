package caddymodule

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// TestKeyConnection opens each source and has it ask a scripted server, through its whole connection.
func TestKeyConnection(t *testing.T) {
	t.Setenv("TEST_TOKEN_SECRET", testTokenSecret)
	type seen struct {
		method, target, body string
		header               http.Header
	}
	var got seen
	status, body := http.StatusOK, ""
	server := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.URL.RequestURI(), string(b), r.Header}
		if status == http.StatusFound {
			w.Header().Set("Location", "http://127.0.0.1:1/")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	request := keysource.Request{Title: keysource.Title{Tenant: "one", Asset: "/vod/a b/", Scheme: drm.SchemeCenc}, Class: drm.ClassShared}
	open := func(k KeySource) keysource.Source {
		t.Helper()
		source, err := k.Source(deploymentSecret(t, testSecretHex), drm.SchemeCenc)
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	secret := bytes.Repeat([]byte{0xab}, 16)

	t.Run("nginx_vod", func(t *testing.T) {
		body = fmt.Sprintf(`[{"key_id":%q,"key":%q}]`, b64(bytes.Repeat([]byte{7}, 16)), b64(secret))
		conn := KeyServerConn{URL: server + "/drm/{asset}?t={tenant}", Headers: map[string]string{"Api-Key": "{env.TEST_TOKEN_SECRET}"}, MaxSize: 1000}
		k, err := open(&NginxVODKeys{conn}).ContentKey(t.Context(), request)
		if err != nil || got.target != "/drm/%2Fvod%2Fa%20b%2F?t=one" || got.header.Get("Api-Key") != testTokenSecret {
			t.Fatalf("%v %v, asked %+v", k, err, got)
		}
		for _, test := range []struct {
			status int
			body   string
		}{{302, body}, {404, body}, {500, body}, {200, body + strings.Repeat(" ", 1000)}} {
			status, body = test.status, test.body
			_, err := open(&NginxVODKeys{conn}).ContentKey(t.Context(), request)
			if err == nil || holdsKey([]byte(err.Error()), secret) || strings.Contains(err.Error(), "drm/") {
				t.Errorf("status %d: %v", test.status, err)
			}
		}
		status = http.StatusOK
	})
	t.Run("buydrm", func(t *testing.T) {
		body = ""
		_, err := open(&BuyDRMKeys{KeyServerConn: KeyServerConn{URL: server + "/api/v4/getKeysNoEncryption"}, Token: "{env.TEST_TOKEN_SECRET}"}).ContentKey(t.Context(), request)
		if err == nil || strings.Contains(err.Error(), testTokenSecret) {
			t.Errorf("%v", err)
		}
		if got.target != "/api/v4/getKeysNoEncryption?auth-token="+testTokenSecret || got.header.Get("SOAPAction") == "" ||
			got.header.Get("Content-Type") != "text/xml; charset=utf-8" || !strings.Contains(got.body, `contentId="/vod/a b/"`) {
			t.Errorf("asked %+v", got)
		}
	})
	t.Run("cpix", func(t *testing.T) {
		body = `<CPIX xmlns="urn:dashif:org:cpix" xmlns:p="urn:ietf:params:xml:ns:keyprov:pskc"><ContentKeyList><ContentKey kid="` + foreignKID +
			`" commonEncryptionScheme="cenc"><Data><p:Secret><p:PlainValue>` + b64(secret) + `</p:PlainValue></p:Secret></Data></ContentKey></ContentKeyList></CPIX>`
		conn := KeyServerConn{URL: server + "/{asset}", Username: "user", Password: "{env.TEST_TOKEN_SECRET}"}
		source := open(&CPIXKeys{KeyServerConn: conn})
		k, err := source.ContentKey(t.Context(), request)
		user, password, _ := (&http.Request{Header: got.header}).BasicAuth()
		if err != nil || k.KID().String() != foreignKID || user != "user" || password != testTokenSecret {
			t.Errorf("%v, %v, asked %+v", k, err, got)
		}
		file := filepath.Join(t.TempDir(), "keys.xml")
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if again, err := open(&CPIXKeys{File: file}).ContentKey(t.Context(), request); err != nil || again != k {
			t.Errorf("from a file: %v, %v", again, err)
		}
	})
	t.Run("widevine", func(t *testing.T) {
		t.Setenv("TEST_SIGNING_KEY", strings.Repeat("1f", 32))
		t.Setenv("TEST_SIGNING_IV", strings.Repeat("2e", 16))
		body = ""
		source := open(&WidevineKeys{
			KeyServerConn: KeyServerConn{URL: server + "/cenc/getcontentkey/test"}, Signer: "test", SigningKey: "{env.TEST_SIGNING_KEY}", SigningIV: "{env.TEST_SIGNING_IV}",
		})
		split := request
		split.Class = drm.ClassHD
		if _, err := source.ContentKey(t.Context(), split); err == nil || !strings.Contains(got.body, `"signer":"test"`) || got.target != "/cenc/getcontentkey/test" {
			t.Errorf("%v, asked %+v", err, got)
		}
	})
}

// TestKeyConnectionNeedsTrust: a key server is asked only if its certificate is good, whatever it would answer.
func TestKeyConnectionNeedsTrust(t *testing.T) {
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		_, _ = fmt.Fprintf(w, `[{"key_id":%q,"key":%q}]`, b64(bytes.Repeat([]byte{7}, 16)), b64(bytes.Repeat([]byte{8}, 16)))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	request := keysource.Request{Title: keysource.Title{Tenant: "one", Asset: "/a/", Scheme: drm.SchemeCenc}, Class: drm.ClassShared}
	for _, test := range []struct {
		name, url, ca string
		ok            bool
	}{
		{"trusted", server.URL, ca, true},
		{"unknown authority", server.URL, "", false},
		{"another name", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), ca, false},
	} {
		asked = false
		source, err := (&NginxVODKeys{KeyServerConn{URL: test.url + "/{asset}", CA: test.ca}}).Source(deploymentSecret(t, testSecretHex), drm.SchemeCenc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.ContentKey(t.Context(), request); (err == nil) != test.ok || asked != test.ok {
			t.Errorf("%s: asked %t, %v", test.name, asked, err)
		}
	}
}

// TestKeyServersLogNoSecrets plants credentials and keys, lets things go right and wrong at both ends, and searches the logs.
func TestKeyServersLogNoSecrets(t *testing.T) {
	g := newGateway(t)
	for _, name := range []string{"server", "client"} {
		writeCertificate(t, g.dir, name)
	}
	site := strings.NewReplacer("SERVER", freePort(t), "OPTIONS", "allow_clear", "QUESTION", "bearer {env.TEST_TOKEN_SECRET}",
		"CLIENT", strings.Repeat("00", 32)).Replace(peersSite)
	site += `
http://:BUYDRM {
	root TESTDATA
	drm {
		license_server clearkey
		keys buydrm http://127.0.0.1:1/getKeysNoEncryption {
			token {env.TEST_TOKEN_SECRET}
			basic user {env.TEST_OTHER_SECRET}
		}
	}
	file_server
}
`
	buyDRM := freePort(t)
	site = strings.Replace(site, "BUYDRM", buyDRM, 1)
	g.load(t, strings.Replace(globalBlock, "output discard", "output file DIR/all.log\n\t\tlevel DEBUG", 1)+site)
	links := g.links(t, "/demo/master.m3u8?keyformat=identity&drm=cbcs")
	key := g.mustGet(t, linkTo(t, links, "key", "").url).body
	if res := g.get(t, "http://127.0.0.1:"+buyDRM+"/demo/manifest.mpd"); res.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", res.status, res.body)
	}
	logged, err := os.ReadFile(filepath.Join(g.dir, "all.log"))
	if err != nil || !bytes.Contains(logged, []byte("key request")) || !bytes.Contains(logged, []byte("key server")) {
		t.Fatalf("%v: %s", err, logged)
	}
	for _, secret := range []string{testTokenSecret, testOtherSecret, b64([]byte("user:" + testOtherSecret)), testSecretHex} {
		if bytes.Contains(logged, []byte(secret)) {
			t.Errorf("%q in the log", secret)
		}
	}
	if holdsKey(logged, key) {
		t.Error("a key in the log")
	}
}

// TestKeyServerConfigurations: mistakes are found when the configuration is loaded.
func TestKeyServerConfigurations(t *testing.T) {
	t.Setenv("TEST_TOKEN_SECRET", testTokenSecret)
	for name, k := range map[string]KeySource{
		"plain http":            &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "http://keys.example/"}},
		"credentials in URL":    &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://u:p@keys.example/"}},
		"title in a fixed URL":  &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/{asset}"}},
		"title in the host":     &NginxVODKeys{KeyServerConn{URL: "https://{tenant}.keys.example/{asset}"}},
		"one key for all":       &NginxVODKeys{KeyServerConn{URL: "https://keys.example/"}},
		"unknown placeholder":   &CPIXKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/{kid}"}},
		"file and URL":          &CPIXKeys{File: "x", KeyServerConn: KeyServerConn{URL: "https://keys.example/"}},
		"neither":               &CPIXKeys{},
		"two credentials":       &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/", Username: "a", Password: "{env.TEST_TOKEN_SECRET}", Bearer: "{env.TEST_TOKEN_SECRET}"}},
		"literal token":         &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/", Bearer: "secret"}},
		"long timeout":          &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/", Timeout: 1 << 50}},
		"preset":                &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, keyQuestion: keyQuestion{Video: "VIDEO-1", Audio: "AUDIO-3"}},
		"version":               &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, Version: "3.0"},
		"other KIDs of SPEKE 2": &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, AcceptKIDs: true},
		"system":                &SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, keyQuestion: keyQuestion{Systems: []string{"marlin"}}},
		"no JWT":                &BuyDRMKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}},
		"no signing key":        &WidevineKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, Signer: "x"},
		"short signing key":     &WidevineKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/"}, Signer: "x", SigningKey: "{env.TEST_TOKEN_SECRET}", SigningIV: "{env.TEST_TOKEN_SECRET}"},
	} {
		if _, err := k.Source(deploymentSecret(t, testSecretHex), 0); err == nil || strings.Contains(err.Error(), testTokenSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// startScripted runs a server of the test and returns its address.
func startScripted(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}
