package caddymodule

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-drm/caddy-drm/drm"
)

// lastingSite has its keys from a server, and a group with keys from the same one.
const lastingSite = `
http://:PORT {
	root TESTDATA
	drm {
		tenant TENANT
		license_server clearkey
		keys nginx_vod SERVER/{asset}/{scheme} {
			header Api-Key {env.TEST_KEY_CREDENTIAL}
		}
		OPTION
	}
	file_server
}
`

// lastingKeys is a key server that can be out, and counts what it is asked.
type lastingKeys struct {
	out   atomic.Bool
	asked atomic.Int64
}

func (l *lastingKeys) answer(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	if l.out.Load() {
		w.WriteHeader(http.StatusForbidden) // which is not asked again at once
		return
	}
	key := sha256.Sum256([]byte(r.URL.Path))
	_, _ = fmt.Fprintf(w, `[{"key_id":%q,"key":%q}]`, b64(key[:16]), b64(key[16:]))
}

// TestKeysOutliveAReload: titles whose keys are known go on through a reload while the key server is out; a configuration that would ask it
// in another way, or for another site, has none of them.
func TestKeysOutliveAReload(t *testing.T) {
	t.Setenv("TEST_KEY_CREDENTIAL", "one")
	keys := &lastingKeys{}
	server := startScripted(t, keys.answer)
	config := func(tenant, option string) string {
		return globalBlock + strings.NewReplacer("SERVER", server, "TENANT", tenant, "OPTION", option).Replace(lastingSite)
	}
	g := newGateway(t)
	g.load(t, config("one", ""))
	links := g.links(t, "/demo/manifest.mpd?drm=cenc")
	segment := linkTo(t, links, "media", "/video/360p/seg_1.m4s").url
	want := g.mustGet(t, segment)
	keys.out.Store(true)
	asked := keys.asked.Load()
	for _, option := range []string{"cors https://play.example.com", "limit 1000 per 1s", "max_segment_size 20MiB"} {
		g.load(t, config("one", option))
		g.mustGet(t, "/demo/manifest.mpd?drm=cenc")
		if got := g.mustGet(t, segment); string(got.body) != string(want.body) {
			t.Errorf("%s: another segment after the reload", option)
		}
		wantLicense(t, g, "/demo/manifest.mpd?drm=cenc")
	}
	if now := keys.asked.Load(); now != asked {
		t.Errorf("the server was asked %d times by configurations that changed nothing of it", now-asked)
	}
	g.load(t, config("two", ""))
	wantReply(t, "another tenant", g.get(t, "/demo/manifest.mpd?drm=cenc"), http.StatusServiceUnavailable, "keys_unavailable")
	t.Setenv("TEST_KEY_CREDENTIAL", "two")
	g.load(t, config("one", ""))
	wantReply(t, "another credential", g.get(t, "/demo/manifest.mpd?drm=cenc"), http.StatusServiceUnavailable, "keys_unavailable")
	t.Setenv("TEST_KEY_CREDENTIAL", "one")
	waitForPool(t, 1)
	g.load(t, config("one", ""))
	wantReply(t, "the first credential, once nobody has its keys any more", g.get(t, "/demo/manifest.mpd?drm=cenc"), http.StatusServiceUnavailable, "keys_unavailable")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	waitForPool(t, 0)
}

// wantLicense: the license server of a title gives its key.
func wantLicense(t *testing.T, g *gateway, manifest string) {
	t.Helper()
	mpd := string(g.mustGet(t, manifest).body)
	kid := defaultKIDPattern.FindStringSubmatch(mpd)[1]
	if keys, res := g.license(t, laurlPattern.FindStringSubmatch(mpd)[1], kid); keys[kid] == "" {
		t.Errorf("no license: %d %s", res.status, res.reason())
	}
}

// waitForPool waits until as many caches are open: an old configuration gives its own back when it has been idle for a while.
func waitForPool(t *testing.T, want int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); poolSize(keyPool) != want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d caches of keys are open, want %d", poolSize(keyPool), want)
		}
	}
}

// TestKeysOfFilesAreReadAnew: what a reload is for.
func TestKeysOfFilesAreReadAnew(t *testing.T) {
	for _, k := range []KeySource{&StaticKeys{File: "keys.json"}, &CPIXKeys{File: "keys.xml"}, &DerivedKeys{}} {
		if lasting, ok := k.(LastingKeySource); ok && lasting.Lasts() {
			t.Errorf("%T outlives a reload", k)
		}
	}
}

// TestNameOfPooledKeys: whatever the answers of a server depend on is in the name that its keys are shared by.
func TestNameOfPooledKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("TEST_KEY_CREDENTIAL", "one")
	ca := file("ca.pem", "one")
	type setting struct {
		handler *Handler
		module  SPEKEKeys
		scheme  drm.ProtectionScheme
	}
	standard := func() setting {
		return setting{
			&Handler{Tenant: "one", secret: deploymentSecret(t, testSecretHex)},
			SPEKEKeys{KeyServerConn: KeyServerConn{URL: "https://keys.example/", Bearer: "{env.TEST_KEY_CREDENTIAL}", CA: ca}}, drm.SchemeCenc,
		}
	}
	nameOf := func(s setting) string {
		t.Helper()
		name, err := s.handler.keyPoolKey(&s.module, s.scheme)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	first := nameOf(standard())
	if nameOf(standard()) != first {
		t.Fatal("one configuration has two names")
	}
	for name, change := range map[string]func(*setting){
		"URL":               func(s *setting) { s.module.URL += "x" },
		"placeholder":       func(s *setting) { s.module.Bearer = "{env.TEST_OTHER_SECRET}" },
		"header":            func(s *setting) { s.module.Headers = map[string]string{"A": "{env.TEST_KEY_CREDENTIAL}"} },
		"preset":            func(s *setting) { s.module.Video, s.module.Audio = "VIDEO-1", "AUDIO-1" },
		"version":           func(s *setting) { s.module.Version = "2.1" },
		"tenant":            func(s *setting) { s.handler.Tenant = "two" },
		"deployment secret": func(s *setting) { s.handler.secret = deploymentSecret(t, testOtherSecret) },
		"scheme":            func(s *setting) { s.scheme = drm.SchemeCbcs },
		"key_cache":         func(s *setting) { s.handler.KeyCache = &KeyCacheConfig{Fresh: caddy.Duration(time.Minute)} },
	} {
		s := standard()
		change(&s)
		if nameOf(s) == first {
			t.Errorf("another %s has the keys of the first", name)
		}
	}
	file("ca.pem", "two")
	second := nameOf(standard())
	t.Setenv("TEST_KEY_CREDENTIAL", "two")
	if third := nameOf(standard()); second == first || third == second || third == first {
		t.Error("what placeholders stand for, or what is in files, is not in the name")
	}
	if strings.Contains(first, "keys.example") {
		t.Error("the name holds settings")
	}
	if _, err := wholeSettings(json.RawMessage("{")); err == nil {
		t.Error("settings that are no JSON")
	}
}
