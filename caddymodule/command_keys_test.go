package caddymodule

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-drm/caddy-drm/drm"
	"github.com/caddy-drm/caddy-drm/keysource"
)

// keysCLI runs `caddy drm keys …`.
func keysCLI(t *testing.T, args ...string) (out, complaint string, ok bool) {
	t.Helper()
	return printed(t, keysCommand(), args...)
}

// listKeys is keysCLI of what works.
func listKeys(t *testing.T, args ...string) (report KeysReport, complaint string) {
	t.Helper()
	out, complaint, ok := keysCLI(t, append(args, "--json")...)
	if !ok {
		t.Fatalf("%q: %s", args, complaint)
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	return report, complaint
}

const keysSites = `
http://:PORT {
	root TESTDATA
	handle_path /shop/* {
		drm {
			license_server clearkey
			group premium
		}
		file_server
	}
	handle {
		drm {
			tenant probed
			license_server clearkey
			asset /vod/*
			group rotating /live
			keys derived {
				per track_class
			}
		}
		file_server
	}
}
`

func keysConfig(t *testing.T, g *gateway, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	writeFile(t, file, g.replace.Replace(text))
	return file
}

// TestKeysAreThoseOfTheGateway: what the command lists is what manifests name, and after an emergency re-key, too.
func TestKeysAreThoseOfTheGateway(t *testing.T) {
	g := newGateway(t)
	admin := "127.0.0.1:" + freePort(t)
	config := strings.Replace(withGroups("\t\tgroup premium {\n\t\t\tlevel low\n\t\t}\n"+rotatingGroup), "admin off", "admin "+admin, 1) + keysSites
	g.load(t, config)
	file := keysConfig(t, g, config)
	kids := func(path string) (all []string) {
		for _, found := range defaultKIDPattern.FindAllStringSubmatch(string(g.mustGet(t, path+"?drm=cenc").body), -1) {
			all = append(all, found[1])
		}
		return all
	}
	check := func(path string, generation uint32) {
		t.Helper()
		report, _ := listKeys(t, "--config", file, "--scheme", "cenc", "--address", admin, "http://"+g.addr+path)
		if report.Generation != generation {
			t.Errorf("%s: generation %d, want %d", path, report.Generation, generation)
		}
		listed := make(map[string]bool)
		for _, key := range report.Keys {
			listed[key.KID] = true
		}
		named := kids(path)
		if len(named) == 0 {
			t.Fatalf("%s names no key", path)
		}
		for _, kid := range named {
			if !listed[kid] {
				t.Errorf("%s names %s, and listed are %v", path, kid, report.Keys)
			}
		}
	}
	check("/demo/manifest.mpd", 0)
	check("/shop/demo/manifest.mpd", 0)
	rekey := func(bodies ...string) {
		t.Helper()
		for _, body := range bodies {
			if res := g.sendBody(t, http.MethodPost, "http://"+admin+"/drm/rekeys", []byte(body), "Content-Type", "application/json"); res.status != http.StatusCreated {
				t.Fatalf("%d %s", res.status, res.body)
			}
		}
	}
	rekey(`{"group":"premium"}`, `{"title":"/demo"}`)
	check("/demo/manifest.mpd", 1)
	check("/shop/demo/manifest.mpd", 2)
	for i, tenant := range []string{"127.0.0.1/shop", g.addr + "/shop", "127.0.0.1:443/Sh%6Fp", "127.0.0.1:1/shop", "127.0.0.1"} { // the last two are others
		rekey(`{"title":"/demo","tenant":"` + tenant + `"}`)
		check("/shop/demo/manifest.mpd", uint32(3+min(i, 2)))
	}
	check("/demo/manifest.mpd", 1)
}

func TestKeysCommand(t *testing.T) {
	g := newGateway(t)
	file := keysConfig(t, g, withGroups("\t\tgroup premium {\n\t\t\tscheme cbcs\n\t\t}\n"+rotatingGroup)+keysSites)
	site := "http://" + g.addr
	now := time.Now().Unix() / 10
	for _, test := range []struct {
		rule   string
		args   []string
		keys   int
		tenant string
		asset  string
		period uint32
	}{
		{"a key for each class and scheme", []string{site + "/demo/manifest.mpd"}, 15, "probed", "/demo/", 0},
		{"assets of the site", []string{site + "/vod/a/b/manifest.mpd"}, 15, "probed", "/vod/a/", 0},
		{"live under cenc, in a week of choice", []string{site + "/demo/", "--at", "1970-01-20T00:00:00Z"}, 5, "probed", "/demo/", 2},
		{"never under cbcs", []string{site + "/demo/", "--scheme", "cbcs"}, 5, "probed", "/demo/", 0},
		{"the scheme of the group, and the tenant of the host", []string{site + "/shop/demo/"}, 1, g.addr + "/shop", "/demo/", 0},
		{"a site by its tenant", []string{"/demo/", "--tenant", "other"}, 1, "other", "/demo/", 0},
		{"periods", []string{site + "/live/news/", "--periods", "3-5", "--scheme", "cenc"}, 15, "probed", "/live/news/", 3},
		{"a time", []string{site + "/live/news/", "--at", "1970-01-01T00:01:05Z"}, 10, "probed", "/live/news/", 6},
		{"now", []string{site + "/live/news/"}, 10, "probed", "/live/news/", uint32(now)},
		{"another group", []string{site + "/demo/", "--group", "rotating", "--periods", "7"}, 10, "probed", "/demo/", 7},
	} {
		t.Run(test.rule, func(t *testing.T) {
			report, _ := listKeys(t, append(test.args, "--config", file)...)
			if len(report.Keys) != test.keys || report.Tenant != test.tenant || report.Asset != test.asset || report.Keys[0].Period-test.period > 1 {
				t.Errorf("%+v", report)
			}
			seen := make(map[string]bool)
			for _, key := range report.Keys {
				if key.KID == "" || seen[key.KID] || key.Key != "" || key.IV != "" {
					t.Errorf("%+v", key)
				}
				seen[key.KID] = true
			}
		})
	}
	for _, test := range []struct {
		rule string
		args []string
		says string
	}{
		{"two sites", []string{"/demo/"}, "2 sites may have that path"},
		{"no site", []string{"http://" + g.addr + "/demo%2f/"}, "path"},
		{"no URL", []string{"demo"}, "absolute URL"},
		{"no rotation", []string{site + "/demo/", "--periods", "0-3", "--scheme", "cbcs"}, "do not rotate"},
		{"no periods", []string{site + "/live/a/", "--periods", "5-3"}, "--periods: want"},
		{"both", []string{site + "/live/a/", "--periods", "5", "--at", "1h"}, "--at or --periods"},
		{"no scheme", []string{site + "/live/a/", "--scheme", "cens"}, "--scheme: want"},
		{"no group", []string{site + "/live/a/", "--group", "none"}, "no group is named"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			if out, complaint, ok := keysCLI(t, append(test.args, "--config", file)...); ok || !strings.Contains(complaint, test.says) {
				t.Errorf("%t %s%s", ok, out, complaint)
			}
		})
	}
}

// TestKeysShowsSecretsOnlyWhenTold: and then those that the secret gives.
func TestKeysShowsSecretsOnlyWhenTold(t *testing.T) {
	g := newGateway(t)
	file := keysConfig(t, g, strings.Replace(globalBlock+probedSite, "OPTIONS", "scheme cenc", 1))
	source, err := keysource.NewDerived(deploymentSecret(t, testSecretHex), false)
	if err != nil {
		t.Fatal(err)
	}
	key, err := source.ContentKey(t.Context(), keysource.Request{
		Title: keysource.Title{Tenant: "probed", Asset: "/demo/", Scheme: drm.SchemeCenc, Generation: 3}, Class: drm.ClassShared,
	})
	if err != nil {
		t.Fatal(err)
	}
	secret := key.Secret()
	for _, told := range []bool{false, true} {
		args := []string{"/demo/manifest.mpd", "--config", file, "--generation", "3"}
		if told {
			args = append(args, "--show-secrets")
		}
		out, complaint, ok := keysCLI(t, args...)
		if !ok || !strings.Contains(out, key.KID().String()) || strings.Contains(out, hex.EncodeToString(secret[:])) != told || strings.Contains(complaint, "WARNING") != told {
			t.Errorf("told %t: %t\n%s%s", told, ok, out, complaint)
		}
	}
}

// TestKeysDrawsNoSecret: what it drew would be the secret of no gateway.
func TestKeysDrawsNoSecret(t *testing.T) {
	g := newGateway(t)
	text := strings.Replace(strings.Replace(globalBlock+probedSite, "OPTIONS", "", 1), "\t\tsecret {env.TEST_DRM_SECRET}\n", "", 1)
	file := keysConfig(t, g, text)
	if out, complaint, ok := keysCLI(t, "/demo/", "--config", file); ok || !strings.Contains(complaint, "no secret is configured") {
		t.Fatalf("%t %s%s", ok, out, complaint)
	}
	g.load(t, text) // draws one
	mpd := string(g.mustGet(t, "/demo/manifest.mpd?drm=cenc").body)
	report, complaint := listKeys(t, "/demo/", "--config", file, "--scheme", "cenc")
	if kid := defaultKIDPattern.FindStringSubmatch(mpd)[1]; report.Keys[0].KID != kid || !strings.Contains(complaint, "before any emergency re-key") {
		t.Errorf("%+v %s, and the manifest names %s", report, complaint, kid)
	}
}
