package caddymodule

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/caddy-drm/caddy-drm/token"
)

// keyServer serves a JWK Set.
type keyServer struct {
	mu      sync.Mutex
	body    string
	status  int
	hits    atomic.Int64
	matched atomic.Int64 // conditional requests that were answered 304
	target  string       // of a redirect
}

func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.hits.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	etag := `"` + string(rune('a'+len(s.body)%26)) + `"`
	w.Header().Set("ETag", etag)
	switch {
	case s.target != "" && r.URL.Path == "/keys":
		http.Redirect(w, r, s.target, http.StatusFound)
	case s.status != 0:
		w.WriteHeader(s.status)
	case r.Header.Get("If-None-Match") == etag:
		s.matched.Add(1)
		w.WriteHeader(http.StatusNotModified)
	default:
		_, _ = w.Write([]byte(s.body))
	}
}

func (s *keyServer) set(body string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.status = body, status
}

func jwks(t *testing.T, keys map[string]crypto.PublicKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for id, key := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: id, Use: "sig"})
	}
	return string(must(json.Marshal(set))(t))
}

func signES256(t *testing.T, key *ecdsa.PrivateKey, kid string, expires time.Time) string {
	t.Helper()
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil))(t)
	payload := must(json.Marshal(map[string]any{"exp": expires.Unix(), "paths": []string{"/demo"}}))(t)
	return must(must(signer.Sign(payload))(t).CompactSerialize())(t)
}

const remoteSite = "http://:PORT {\n\tdrm {\n\tlicense_server clearkey\n\ttoken jwt {\n\t\talgorithms ES256\n\t\tjwks KEYSERVER/keys\n\t}\n}\n\tfile_server {\n\troot TESTDATA\n}\n}\n"

// TestKeysFromServer: tokens are checked with the keys of a server; when those change, the first token with a new key has the server
// asked, and no number of tokens with made-up keys more often than the cool-down allows.
func TestKeysFromServer(t *testing.T) {
	first, second := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	keys := &keyServer{body: jwks(t, map[string]crypto.PublicKey{"1": first.Public()})}
	server := httptest.NewServer(keys)
	defer server.Close()
	g := startGateway(t, remoteSite, "KEYSERVER", server.URL)
	later := time.Now().Add(time.Hour)
	manifest := func(raw string) reply { return g.get(t, "/demo/manifest.mpd?token="+raw) }
	if res := manifest(signES256(t, first, "1", later)); res.status != http.StatusOK {
		t.Fatalf("%d %s", res.status, res.reason())
	}
	if hits := keys.hits.Load(); hits != 1 {
		t.Errorf("%d requests to the key server", hits)
	}
	keys.set(jwks(t, map[string]crypto.PublicKey{"1": first.Public(), "2": second.Public()}), 0)
	if res := manifest(signES256(t, second, "2", later)); res.status != http.StatusOK {
		t.Fatalf("with a new key: %d %s", res.status, res.reason())
	}
	for _, kid := range []string{"3", "4", "../../etc/passwd", "http://127.0.0.1/"} {
		start := time.Now()
		if res := manifest(signES256(t, second, kid, later)); res.reason() != "token_invalid" || time.Since(start) > time.Second {
			t.Errorf("kid %q: %d %s after %s", kid, res.status, res.reason(), time.Since(start))
		}
	}
	if hits := keys.hits.Load(); hits != 2 {
		t.Errorf("%d requests to the key server, want 2", hits)
	}
	// Another configuration of the same process asks, is told that nothing changed, and needs no answer.
	keys.set("", http.StatusInternalServerError)
	g.load(t, globalBlock+strings.Replace(remoteSite, "drm {", "drm {\n\ttenant other", 1))
	if res := manifest(signES256(t, second, "2", later)); res.status != http.StatusOK {
		t.Errorf("after a reload while the server is out: %d %s", res.status, res.reason())
	}
}

// TestKeyServerDown: a server that is down keeps no site from starting. Until there are keys the site says that it cannot tell; keys of
// the last process are good enough.
func TestKeyServerDown(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	keys := &keyServer{status: http.StatusBadGateway}
	server := httptest.NewServer(keys)
	defer server.Close()
	g := newGateway(t, "KEYSERVER", server.URL)
	if err := validateCaddyfile(t, g, "", "license_server clearkey\ntoken jwt {\n\talgorithms ES256\n\tjwks KEYSERVER/keys\n}", [2]string{}); err != nil {
		t.Fatal(err)
	}
	if hits := keys.hits.Load(); hits != 0 {
		t.Errorf("validating asked the server %d times", hits)
	}
	g.load(t, globalBlock+remoteSite)
	raw := signES256(t, key, "1", time.Now().Add(time.Hour))
	if res := g.get(t, "/demo/manifest.mpd?token="+raw); res.status != http.StatusServiceUnavailable || res.reason() != "token_unverifiable" {
		t.Fatalf("%d %s", res.status, res.reason())
	}
	keys.set(jwks(t, map[string]crypto.PublicKey{"1": key.Public()}), 0)
	for deadline := time.Now().Add(10 * time.Second); g.get(t, "/demo/manifest.mpd?token="+raw).status != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("the keys are there, and not used")
		}
		time.Sleep(remoteFirstCoolDown / 10)
	}

	server.Close()
	lastKeys.Clear() // as in a new process
	g.load(t, globalBlock+strings.Replace(remoteSite, "drm {", "drm {\n\ttenant other", 1))
	g.mustGet(t, "/demo/manifest.mpd?token="+raw)
}

// storageFake is a storage that is empty.
type storageFake struct{ stored map[string][]byte }

func (s storageFake) Load(_ context.Context, key string) ([]byte, error) {
	if b, ok := s.stored[key]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (s storageFake) Store(_ context.Context, key string, value []byte) error {
	s.stored[key] = value
	return nil
}

func newTestRemote(t *testing.T, url string) *remoteKeys {
	t.Helper()
	keys := must(token.PendingKeySet(token.ES256))(t)
	return must(newRemoteKeys(url, keys, storageFake{map[string][]byte{}}, zap.NewNop()))(t)
}

// TestFetchedKeys: only a good set from the named host replaces the keys.
func TestFetchedKeys(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	good := jwks(t, map[string]crypto.PublicKey{"1": key.Public()})
	keys := &keyServer{body: good}
	server := httptest.NewServer(keys)
	defer server.Close()
	other := httptest.NewServer(&keyServer{body: good})
	defer other.Close()
	r := newTestRemote(t, server.URL+"/keys?fetch")
	if _, err := r.fetch(t.Context()); err != nil || r.keys.Len() != 1 || len(r.storage.(storageFake).stored) != 1 {
		t.Fatalf("%v, %d keys", err, r.keys.Len())
	}
	if _, err := r.fetch(t.Context()); err != nil || keys.matched.Load() != 1 {
		t.Errorf("asked again: %v, %d answers without a body", err, keys.matched.Load())
	}
	private := must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "1"}}}))(t)
	for name, set := range map[string]func(){
		"an error":               func() { keys.set("", http.StatusInternalServerError) },
		"no JSON":                func() { keys.set("<html>", 0) },
		"no keys":                func() { keys.set(`{"keys":[]}`, 0) },
		"a private key":          func() { keys.set(string(private), 0) },
		"much":                   func() { keys.set(`{"keys":[]}`+strings.Repeat(" ", maxRemoteKeys), 0) },
		"an empty answer":        func() { keys.set("", 0) },
		"a redirect to a host":   func() { keys.target = other.URL + "/there" },
		"a redirect to a scheme": func() { keys.target = "https://" + strings.TrimPrefix(server.URL, "http://") + "/there" },
	} {
		set()
		if _, err := r.fetch(t.Context()); err == nil || r.keys.Len() != 1 || strings.Contains(err.Error(), "fetch") {
			t.Errorf("%s: %v, %d keys", name, err, r.keys.Len())
		}
		keys.target = ""
	}
	keys.set(good, 0)
	keys.target = "/there"
	if _, err := r.fetch(t.Context()); err != nil {
		t.Errorf("a redirect on the same host: %v", err)
	}
	for _, url := range []string{"http://keys.example.com/jwks.json", "ftp://keys.example.com/", "https://user:word@keys.example.com/", "https:///jwks"} {
		if _, err := newRemoteKeys(url, nil, nil, nil); err == nil {
			t.Errorf("%s: accepted", url)
		}
	}
	if _, err := token.PendingKeySet(token.HS256); err == nil {
		t.Error("a secret from a server: accepted")
	}
}

func TestMaxAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": remoteUsualAge, "no-store": remoteUsualAge, "public, max-age=3600": time.Hour, "max-age=0": remoteLeastAge,
		"max-age=99999999": remoteGreatest, "max-age=x": remoteUsualAge, `Max-Age="600"`: 10 * time.Minute,
	} {
		if got := maxAge(http.Header{"Cache-Control": {text}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestRefreshIsBounded: a server that does not answer costs a request a bounded time, and many requests one question.
func TestRefreshIsBounded(t *testing.T) {
	release := make(chan struct{})
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		hits.Add(1)
		<-release
	}))
	defer server.Close()
	defer close(release)
	r := newTestRemote(t, server.URL+"/slow")
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { r.run(ctx); close(over) }()
	defer func() { cancel(); <-over }()
	var wait sync.WaitGroup
	start := time.Now()
	for range 50 {
		wait.Go(func() {
			if r.refresh(t.Context()) {
				t.Error("no answer, and yet another look")
			}
		})
	}
	wait.Wait()
	if took := time.Since(start); took < remoteRequestWait || took > 2*remoteRequestWait || hits.Load() != 1 {
		t.Errorf("%s, %d questions", took, hits.Load())
	}
	gone, leave := context.WithCancelCause(t.Context())
	leave(errors.New("client left"))
	if r.refresh(gone) {
		t.Error("a client who left is waited for")
	}
}
