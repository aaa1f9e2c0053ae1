package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// writeCertificate makes a self-signed certificate for this machine, in DIR/<name>.pem and DIR/<name>.key, and returns its SHA-256.
func writeCertificate(t *testing.T, dir, name string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// peersSite are two gateways: one that asks, and one that is the key server.
const peersSite = `
http://:PORT {
	root TESTDATA
	drm {
		tenant one
		license_server clearkey
		keys speke https://localhost:SERVER/speke {
			ca DIR/server.pem
			QUESTION
		}
	}
	file_server
}
https://localhost:SERVER {
	tls DIR/server.pem DIR/server.key {
		client_auth {
			mode verify_if_given
			trust_pool file DIR/client.pem
		}
	}
	drm_key_server {
		client one {
			bearer {env.TEST_TOKEN_SECRET}
		}
		client one {
			certificate CLIENT
			groups "" movies
		}
		client two {
			basic packager {env.TEST_OTHER_SECRET}
		}
		OPTIONS
	}
}
`

func startPeers(t *testing.T, question, options string) *gateway {
	t.Helper()
	g := newGateway(t)
	for _, name := range []string{"server", "recipient"} {
		writeCertificate(t, g.dir, name)
	}
	text := strings.NewReplacer("QUESTION", question, "OPTIONS", options, "SERVER", freePort(t), "CLIENT", writeCertificate(t, g.dir, "client")).Replace(peersSite)
	g.load(t, globalBlock+text)
	return g
}

// derivedKey is what a gateway with the secret of the tests derives by itself.
func derivedKey(t *testing.T, title keysource.Title) drm.ContentKey {
	t.Helper()
	d, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), false)
	if err != nil {
		t.Fatal(err)
	}
	k, err := d.ContentKey(context.Background(), keysource.Request{Title: title, Class: drm.ClassShared})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPeersShareKeys: a gateway that asks another one by SPEKE serves with the key that the other derives, however the key travels.
func TestPeersShareKeys(t *testing.T) {
	for name, test := range map[string]struct{ question, options string }{
		"2.0, bearer, encrypted": {"bearer {env.TEST_TOKEN_SECRET}\n\t\t\trecipient DIR/recipient.pem {file.DIR/recipient.key}", ""},
		"2.1, client certificate, encrypted": {
			"version 2.1\n\t\t\tclient_certificate DIR/client.pem {file.DIR/client.key}\n\t\t\trecipient DIR/recipient.pem {file.DIR/recipient.key}", "",
		},
		"1.0, clear": {"version 1.0\n\t\t\tbearer {env.TEST_TOKEN_SECRET}", "allow_clear"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startPeers(t, test.question, test.options)
			for _, scheme := range drm.Schemes {
				links := g.links(t, "/demo/master.m3u8?keyformat=identity&drm="+scheme.String())
				got := g.mustGet(t, linkTo(t, links, "key", "").url).body
				want := derivedKey(t, keysource.Title{Tenant: "one", Asset: "/demo/", Scheme: scheme}).Secret()
				if !bytes.Equal(got, want[:]) {
					t.Errorf("%s: another key", scheme)
				}
				g.mustGet(t, linkTo(t, links, "media", "").url)
			}
		})
	}
}

// TestPeersFailClosed: without a key there is no manifest and no media.
func TestPeersFailClosed(t *testing.T) {
	for name, test := range map[string]struct{ question, options string }{
		"clear is refused":          {"bearer {env.TEST_TOKEN_SECRET}", ""},
		"unknown credentials":       {"bearer {env.TEST_OTHER_SECRET}\n\t\t\trecipient DIR/recipient.pem {file.DIR/recipient.key}", ""},
		"no credentials":            {"", "allow_clear"},
		"certificate of a stranger": {"client_certificate DIR/recipient.pem {file.DIR/recipient.key}", "allow_clear"},
	} {
		t.Run(name, func(t *testing.T) {
			g := startPeers(t, test.question, test.options)
			began := time.Now()
			for _, target := range []string{"/demo/manifest.mpd?drm=cenc", "/demo/manifest.mpd?drm=cbcs"} {
				if res := g.get(t, target); res.status != http.StatusServiceUnavailable && res.status != http.StatusBadGateway {
					t.Errorf("%s = %d %s", target, res.status, res.body)
				}
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

const foreignKID = "98ee5596-cd3e-a20d-163a-e382420c6eff"

func keyQuestionBody(contentID, kid, scheme string) string {
	return fmt.Sprintf(`<CPIX xmlns="urn:dashif:org:cpix" contentId=%q version="2.3"><ContentKeyList><ContentKey kid=%q commonEncryptionScheme=%q/>`+
		`</ContentKeyList><DRMSystemList><DRMSystem kid=%[2]q systemId="edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"><PSSH/></DRMSystem></DRMSystemList>`+
		`<ContentKeyUsageRuleList><ContentKeyUsageRule kid=%[2]q intendedTrackType="ALL"><VideoFilter/><AudioFilter/></ContentKeyUsageRule></ContentKeyUsageRuleList></CPIX>`,
		contentID, kid, scheme)
}

// TestKeyServer speaks to the directive as any packager would.
func TestKeyServer(t *testing.T) {
	g := newGateway(t)
	for _, name := range []string{"server", "client"} {
		writeCertificate(t, g.dir, name)
	}
	port := freePort(t)
	g.load(t, globalBlock+strings.NewReplacer("SERVER", port).Replace(`
https://localhost:SERVER {
	tls DIR/server.pem DIR/server.key
	drm_key_server {
		client one {
			bearer {env.TEST_TOKEN_SECRET}
		}
		client two {
			basic packager {env.TEST_OTHER_SECRET}
		}
		allow_clear
	}
}
http://:PORT {
	drm_key_server {
		client one {
			bearer {env.TEST_TOKEN_SECRET}
		}
	}
}
`))
	authority := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(g.dir, "server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	authority.AppendCertsFromPEM(text)
	g.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}}
	url := "https://localhost:" + port + "/"
	bearer := []string{"Authorization", "Bearer " + testTokenSecret}
	ask := func(body string, pairs ...string) reply {
		return g.sendBody(t, http.MethodPost, url, []byte(body), pairs...)
	}

	ours := derivedKey(t, keysource.Title{Tenant: "one", Asset: "/demo/", Scheme: drm.SchemeCbcs})
	secret := ours.Secret()
	question := keyQuestionBody("/demo/", ours.KID().String(), "cbcs")
	given := ask(question, append(bearer, "X-Speke-Version", "2.0")...)
	if given.status != http.StatusOK || !holdsKey(given.body, secret[:]) || given.header.Get("X-Speke-Version") != "2.0" || given.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", given.status, given.header, given.body)
	}
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth("packager", testOtherSecret)
	neighbor := ask(question, "Authorization", r.Header.Get("Authorization"))
	if neighbor.status != http.StatusOK || holdsKey(neighbor.body, secret[:]) || !bytes.Contains(neighbor.body, []byte("PlainValue")) {
		t.Errorf("a neighbor's key: %d %s", neighbor.status, neighbor.body)
	}
	if foreign := ask(keyQuestionBody("/demo/", foreignKID, "cbcs"), bearer...); foreign.status != http.StatusOK || holdsKey(foreign.body, secret[:]) {
		t.Errorf("a foreign KID: %d %s", foreign.status, foreign.body)
	}
	for name, test := range map[string]struct {
		method, body string
		pairs        []string
		status       int
	}{
		"no credentials":      {http.MethodPost, question, nil, 401},
		"wrong token":         {http.MethodPost, question, []string{"Authorization", "Bearer " + testOtherSecret}, 401},
		"two credentials":     {http.MethodPost, question, append(bearer, "Authorization", "Bearer x"), 401},
		"user of another":     {http.MethodPost, question, []string{"Authorization", "Basic cGFja2FnZXI6"}, 401},
		"heartbeat":           {http.MethodGet, "", bearer, 200},
		"heartbeat, stranger": {http.MethodGet, "", nil, 401},
		"method":              {http.MethodPut, question, bearer, 405},
		"empty":               {http.MethodPost, "", bearer, 400},
		"external entity":     {http.MethodPost, `<!DOCTYPE CPIX [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + strings.Replace(question, "/demo/", "&x;", 1), bearer, 400},
		"entity bomb":         {http.MethodPost, `<!DOCTYPE CPIX [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>` + question, bearer, 400},
		"deep":                {http.MethodPost, strings.Repeat("<a>", 50000), bearer, 400},
		"huge":                {http.MethodPost, strings.Repeat(" ", 300<<10), bearer, 413},
		"version":             {http.MethodPost, question, append(bearer, "X-Speke-Version", "9.9"), 422},
	} {
		res := g.sendBody(t, test.method, url, []byte(test.body), test.pairs...)
		if res.status != test.status || holdsKey(res.body, secret[:]) || bytes.Contains(res.body, []byte("root:")) {
			t.Errorf("%s: %d %s", name, res.status, res.body)
		}
	}
	if res := g.sendBody(t, http.MethodPost, "/", []byte(question), bearer...); res.status != http.StatusForbidden {
		t.Errorf("without TLS: %d %s", res.status, res.body)
	}
}

// holdsKey looks for a key in the forms of which documents and logs are made.
func holdsKey(b, key []byte) bool {
	for _, form := range []string{string(key), hex.EncodeToString(key), b64(key)} {
		if bytes.Contains(b, []byte(form)) {
			return true
		}
	}
	return false
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
