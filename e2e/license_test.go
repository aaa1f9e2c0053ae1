package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-drm/caddy-drm/drm"
)

// clearKeyLicense is the license of a Clear Key server (EME, Clear Key license format).
type clearKeyLicense struct {
	Keys []clearKey `json:"keys"`
	Type string     `json:"type"`
}

type clearKey struct {
	Kty string `json:"kty"`
	KID string `json:"kid"`
	K   string `json:"k"`
}

// licenseBody is the license request of a Clear Key CDM.
func licenseBody(t *testing.T, kids ...string) string {
	t.Helper()
	request := struct {
		Kids []string `json:"kids"`
		Type string   `json:"type"`
	}{Type: "temporary"}
	for _, text := range kids {
		kid, err := drm.ParseKID(text)
		if err != nil {
			t.Fatal(err)
		}
		request.Kids = append(request.Kids, kid.Base64URL())
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// contentKey asks a license endpoint for one key and returns it in hexadecimal.
func contentKey(t *testing.T, licenseURL, kid string) string {
	t.Helper()
	answer := ask(t, http.MethodPost, licenseURL, "", licenseBody(t, kid))
	if answer.status != http.StatusOK {
		t.Fatalf("license: %s", answer)
	}
	return keyIn(t, answer, kid)
}

// keyIn returns one key of a license in hexadecimal.
func keyIn(t *testing.T, answer answer, kid string) string {
	t.Helper()
	var license clearKeyLicense
	if err := json.Unmarshal(answer.body, &license); err != nil {
		t.Fatalf("license: %v", err)
	}
	want, err := drm.ParseKID(kid)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range license.Keys {
		key, err := base64.RawURLEncoding.DecodeString(k.K)
		if k.KID == want.Base64URL() && k.Kty == "oct" && err == nil && len(key) == 16 {
			return hex.EncodeToString(key)
		}
	}
	t.Fatalf("the license holds no key for %s", kid)
	return ""
}

// licenseServer stands between players and the gateway's license endpoints, and lies: below /wrong/ every key comes with
// its bits flipped, but those that are spared; below /refused/ everything is 403.
type licenseServer struct {
	*httptest.Server
	gateway string
	mu      sync.Mutex
	spared  map[string]bool // by KID in base64url
}

// spare lets the right key through for one KID.
func (s *licenseServer) spare(t *testing.T, text string) {
	t.Helper()
	kid, err := drm.ParseKID(text)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spared[kid.Base64URL()] = true
}

func (s *licenseServer) spares(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spared[kid]
}

func newLicenseServer(gateway string) *licenseServer {
	s := &licenseServer{gateway: gateway, spared: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/wrong/", s.wrong)
	mux.HandleFunc("/refused/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "refused", http.StatusForbidden) })
	s.Server = httptest.NewServer(allowCORS(mux))
	return s
}

// allowCORS lets every page read the answers, preflights included: dash.js sends a Content-Type that needs one.
func allowCORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *licenseServer) wrong(w http.ResponseWriter, r *http.Request) {
	forward, err := http.NewRequestWithContext(r.Context(), r.Method, s.gateway+strings.TrimPrefix(r.URL.EscapedPath(), "/wrong"), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	response, err := http.DefaultClient.Do(forward)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		http.Error(w, "no license", response.StatusCode)
		return
	}
	if r.Method == http.MethodPost {
		body, err = s.flipLicense(body)
	} else if kid, parseErr := drm.ParseKID(path.Base(r.URL.Path)); parseErr != nil {
		err = parseErr
	} else if !s.spares(kid.Base64URL()) {
		flip(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = w.Write(body)
}

func (s *licenseServer) flipLicense(body []byte) ([]byte, error) {
	var license clearKeyLicense
	if err := json.Unmarshal(body, &license); err != nil {
		return nil, err
	}
	for i, k := range license.Keys {
		if s.spares(k.KID) {
			continue
		}
		key, err := base64.RawURLEncoding.DecodeString(k.K)
		if err != nil {
			return nil, err
		}
		flip(key)
		license.Keys[i].K = base64.RawURLEncoding.EncodeToString(key)
	}
	return json.Marshal(license)
}

func flip(key []byte) {
	for i := range key {
		key[i] ^= 0xff
	}
}
