package caddymodule

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

const psshGroup = "\t\tgroup rotating {\n\t\t\tsystems widevine playready clearkey\n\t\t\tpssh_in_init\n\t\t}\n"

// TestInitHoldsWhatTheKeyServerSays: the boxes of a key server stand in init segments, as they do in manifests, and ours for the systems that it
// says nothing of.
func TestInitHoldsWhatTheKeyServerSays(t *testing.T) {
	said := []byte("what the key server has Widevine told")
	server := startScripted(t, func(w http.ResponseWriter, r *http.Request) {
		key := sha256.Sum256([]byte(r.URL.Path))
		_, _ = fmt.Fprintf(w, `[{"key_id":%q,"key":%q,"pssh":[{"uuid":%q,"data":%q}]}]`, b64(key[:16]), b64(key[16:]), drm.SystemWidevine, b64(said))
	})
	g := newGateway(t)
	g.load(t, withGroups(psshGroup)+strings.Replace(rotatingSite, "KEYS", "keys nginx_vod "+server+"/{asset}/{scheme}", 1))
	manifest := "/demo/manifest.mpd?drm=cenc"
	mpd := string(g.mustGet(t, manifest).body)
	box := drm.AppendPssh(nil, drm.Pssh{System: drm.SystemWidevine, Data: said})
	if !strings.Contains(mpd, b64(box)) {
		t.Errorf("the manifest does not hold what the key server says:\n%s", mpd)
	}
	init := g.mustGet(t, linkTo(t, g.links(t, manifest), "init", "/video/360p/init.mp4").url).body
	for _, system := range []drm.SystemID{drm.SystemCommon, drm.SystemWidevine, drm.SystemPlayReady} {
		if n := bytes.Count(init, append([]byte("pssh"), append(initVersion(system), system[:]...)...)); n != 1 {
			t.Errorf("%d boxes of %s in the init segment", n, system.Word())
		}
	}
	if !bytes.Contains(init, box) {
		t.Error("the init segment does not hold what the key server says")
	}
	for _, l := range g.links(t, manifest) {
		if l.kind == "media" {
			g.mustGet(t, l.url)
		}
	}
}

// TestInitPsshIsMadeOnce: for each title, crypto period and class of track.
func TestInitPsshIsMadeOnce(t *testing.T) {
	derived, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), false)
	if err != nil {
		t.Fatal(err)
	}
	source, err := keysource.NewCached(derived, time.Now, keysource.CacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	group := drm.Group{Name: "all", Systems: []drm.SystemID{drm.SystemWidevine, drm.SystemPlayReady}, PsshInInit: true}
	all, err := newCaches()
	if err != nil {
		t.Fatal(err)
	}
	q := &request{
		Handler: &Handler{app: &App{groups: map[string]drm.Group{"all": group}}, keys: openKeys{source: source}, License: &LicenseConfig{}},
		site:    &site{tenant: "one", caches: all},
	}
	boxes := func(asked keysource.Request) []byte {
		t.Helper()
		keys, err := source.ContentKeys(t.Context(), asked.Title)
		if err != nil {
			t.Fatal(err)
		}
		made, err := q.initPssh(t.Context(), asked, keys[0], keys)
		if err != nil {
			t.Fatal(err)
		}
		all.psshs.Wait()
		return made
	}
	first := keysource.Request{Title: keysource.Title{Tenant: "one", Group: "all", Asset: "/demo/", Scheme: drm.SchemeCenc}, Class: drm.ClassShared}
	made := boxes(first)
	if again := boxes(first); &again[0] != &made[0] {
		t.Error("the boxes were made twice")
	}
	for name, change := range map[string]func(*keysource.Request){
		"title":         func(r *keysource.Request) { r.Asset = "/other/" },
		"crypto period": func(r *keysource.Request) { r.Period = 1 },
		"generation":    func(r *keysource.Request) { r.Generation = 1 },
		"scheme":        func(r *keysource.Request) { r.Scheme = drm.SchemeCbcs },
	} {
		other := first
		change(&other)
		if bytes.Equal(boxes(other), made) {
			t.Errorf("another %s has the same boxes", name)
		}
	}
}
