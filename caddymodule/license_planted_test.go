package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// Secrets of a site with license servers of three vendors.
const (
	plantedJWTSecret  = "jwt-vendor-secret-9Xr4Bn7Lw2Gp5Td8Ys"
	plantedHMACSecret = "hmac-vendor-secret-6Jk1Mv8Qz3Fc0Hx5Ua"
	plantedPassword   = "license-password-2Nd7Ev4Wk9"
	plantedBearer     = "license-bearer-5Rb8Ty1Pj6Sa3"
)

const plantedLicenses = plantedHead + `		group premium {
			scheme cbcs
			systems clearkey widevine playready fairplay
			license temporary 12h
		}
	}
}
http://:PORT {
	log {
		output file DIR/access.log
		format filter {
			request>uri drm
			request>headers>Referer delete
			wrap json
		}
	}
	drm {
		tenant licenses
		group premium
		keys derived {
			per track_class
		}
		license_server clearkey
		license_server widevine UPSTREAM/wv {
			ca DIR/ca.pem
			basic user {env.TEST_PASSWORD}
			header X-Api-Key {env.TEST_API_KEY}
			client_certificate DIR/client.pem {file.DIR/client.key}
			vendor axinom {
				communication_key id {env.TEST_AXINOM_KEY}
			}
		}
		license_server playready UPSTREAM/pr {
			ca DIR/ca.pem
			bearer {env.TEST_BEARER}
			vendor jwt {
				claims ` + "`{\"asset\":\"{asset}\",\"keys\":{keys}}`" + `
				secret {env.TEST_JWT}
				header X-License-Token
			}
		}
		license_server fairplay UPSTREAM/fp {
			ca DIR/ca.pem
			vendor hmac {
				text asset={asset}~kids={kids}
				secret {env.TEST_HMAC}
				query auth
			}
			certificate UPSTREAM/cert
		}
		token jwt {
			algorithms HS256
			secret {env.TEST_TOKEN_SECRET}
		}
	}
	file_server {
		root TESTDATA
	}
}
`

// startPlantedLicenses runs it, and returns the address of its admin endpoint.
func startPlantedLicenses(t *testing.T) (l licensed, admin string) {
	t.Helper()
	for name, value := range map[string]string{
		"TEST_AXINOM_KEY": base64.StdEncoding.EncodeToString(axinomKeyBytes), "TEST_JWT": plantedJWTSecret, "TEST_HMAC": plantedHMACSecret,
		"TEST_PASSWORD": plantedPassword, "TEST_BEARER": plantedBearer, "TEST_API_KEY": plantedAPIKey,
	} {
		t.Setenv(name, value)
	}
	up := startUpstreams(t)
	admin = "127.0.0.1:" + freePort(t)
	g := newGateway(t, "UPSTREAM", up.url, "ADMIN", admin)
	writeCertificate(t, g.dir, "client")
	if err := os.WriteFile(filepath.Join(g.dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.cert}), 0o600); err != nil {
		t.Fatal(err)
	}
	g.load(t, plantedLicenses)
	l = licensed{g, up, viewerToken(t, "viewer-4Kd9", nil), plantedLicenses}
	l.forget()
	return l, admin
}

// secrets lists what nobody may read. Only the viewer is told of his session, and may send his token.
func (l licensed) secrets(t *testing.T, session string) (secrets, keys []planted) {
	t.Helper()
	private, err := os.ReadFile(filepath.Join(l.dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets = []planted{
		{"the deployment secret", testSecretHex, unhex(t, testSecretHex), false}, {"the key of tokens", testTokenSecret, nil, false}, {"the field of the license server", plantedAPIKey, nil, false},
		{"the key of Axinom", base64.StdEncoding.EncodeToString(axinomKeyBytes), axinomKeyBytes, false}, {"the secret of jwt", plantedJWTSecret, nil, false}, {"the secret of hmac", plantedHMACSecret, nil, false},
		{"the password", plantedPassword, nil, false}, {"the bearer token", plantedBearer, nil, false}, {"the private key of the client", strings.Split(string(private), "\n")[3], nil, false},
		{"a token", l.token[len(l.token)-30:], nil, false}, {"a session", session, nil, true}, {"a viewer", "viewer-4Kd9", nil, false},
	}
	derived, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), true)
	if err != nil {
		t.Fatal(err)
	}
	all, err := derived.ContentKeys(t.Context(), keysource.Title{Tenant: "licenses", Group: "premium", Asset: "/demo/", Scheme: drm.SchemeCbcs})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range all {
		secret := key.Secret()
		keys = append(keys, planted{"the key " + key.KID().String(), string(secret[:]), secret[:], false})
	}
	return secrets, keys
}

// TestNothingPlantedShowsOfLicenses covers row 39 for every license path: after licenses of each system, refusals and faults, no content
// key, token, vendor's secret, password or private key is found in a log, a metric, an answer of the admin endpoint, an error, a header
// or a file; but a key in its own license, which proves that the search finds what is there.
func TestNothingPlantedShowsOfLicenses(t *testing.T) {
	l, admin := startPlantedLicenses(t)
	paths := l.paths(t, l.token)
	secrets, keys := l.secrets(t, sessionIn(t, paths["widevine"].url))
	s := search{t, append(keys, secrets...)}
	gave := 0
	for name, p := range paths {
		if name == "configuration of the player" { // a token in the URL is what access logs have to hide
			s.answered(name, l.ask(t, p))
		}
		res := l.ask(t, p, "Referer", "https://play.example.com/?token="+l.token)
		wantReply(t, name, res, 200, "")
		if name == "clearkey" || name == "key of HLS identity" {
			for _, key := range keys {
				if key.seenIn(res.body) != "" {
					gave++
				}
			}
			s := search{t, secrets}
			s.answered(name, res)
			continue
		}
		s.answered(name, res)
	}
	if gave != 2 {
		t.Errorf("%d keys were found in two licenses", gave)
	}
	l.wantVendorsTold(t)
	l.breakLicenses(t, s, paths)
	for _, path := range []string{"/metrics", "/config/", "/drm/revocations", "/debug/vars", "/debug/pprof/goroutine?debug=2"} {
		res := l.get(t, "http://"+admin+path)
		if len(res.body) == 0 {
			t.Errorf("%s is empty", path)
		}
		s.find("admin "+path, res.body, false)
	}
	l.searchFiles(t, s)
}

// wantVendorsTold checks that each secret was in use: what comes of it reached its license server.
func (l licensed) wantVendorsTold(t *testing.T) {
	t.Helper()
	told := map[string]bool{}
	for _, r := range l.up.asked() {
		user, password, _ := (&http.Request{Header: r.header}).BasicAuth()
		switch {
		case strings.HasPrefix(r.target, "/wv"):
			told["axinom"] = r.header.Get("X-Axdrm-Message") != "" && user == "user" && password == plantedPassword && r.header.Get("X-Api-Key") == plantedAPIKey
		case strings.HasPrefix(r.target, "/pr"):
			told["jwt"] = jwtOf(t, r.header.Get("X-License-Token"), []byte(plantedJWTSecret)) != nil && r.header.Get("Authorization") == "Bearer "+plantedBearer
		case strings.HasPrefix(r.target, "/fp?auth=asset"):
			told["hmac"] = strings.Contains(r.target, "hmac%3D")
		}
	}
	if !told["axinom"] || !told["jwt"] || !told["hmac"] {
		t.Errorf("told %v", told)
	}
}

// breakLicenses has every path fail in the ways that failures are written down.
func (l licensed) breakLicenses(t *testing.T, s search, paths map[string]licensePath) {
	t.Helper()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "refuses": answerWith(403, "application/json", `{"error":"no"}`),
		"is out": answerWith(503, "text/plain", "later"), "says nothing": answerWith(200, "text/html", ""),
		"sends elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusTemporaryRedirect)
		},
	} {
		l.up.say(answer)
		for path, p := range paths {
			if p.upstream != "" {
				s.answered(path+", whose server "+name, l.ask(t, p))
			}
		}
	}
	for path, p := range paths {
		for what, bad := range map[string]licensePath{
			"without a token": p.bare(), "with a token": p.bare().with("?token=" + l.token + "x"), "with two": p.bare().with("?token=" + l.token + "&token=x"), "forged": p.with("", "/demo/", "/demo-av1/"),
		} {
			s.answered(path+", "+what, l.ask(t, bad))
		}
		junk := p
		junk.body = []byte(`{"kids":["` + l.token + `"],"spc":"` + l.token + `","<KID>":"` + l.token + `"}`)
		if p.method == http.MethodPost {
			s.answered(path+", with junk", l.ask(t, junk))
		}
		s.answered(path+", by another method", l.send(t, http.MethodPatch, p.url))
	}
}

// searchFiles searches what was written down, logs of all levels included.
func (l licensed) searchFiles(t *testing.T, s search) {
	t.Helper()
	says := map[string]string{"gateway.log": "license_server_unavailable", "access.log": "REDACTED"}
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "client.key" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if want := says[entry.Name()]; !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s does not say %q", entry.Name(), want)
		}
		delete(says, entry.Name())
		s.find("the file "+entry.Name(), text, false)
		return nil
	})
	if err != nil || len(says) > 0 {
		t.Errorf("no file for %v: %v", says, err)
	}
}
