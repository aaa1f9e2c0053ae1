package caddymodule

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Who asks spells the path and writes the Host header, and Caddy finds a site under many spellings of both: none of them may give a
// viewer another count, or name the tenant.

// respelledSite is behind a prefix, with everything that counts viewers.
const respelledSite = `http://site.test:PORT {
	handle_path /members/* {
		drm {
			license_server clearkey
			token jwt {
				algorithms HS256
				secret {env.TEST_TOKEN_SECRET}
			}
			token cat {
				key k1 HS256 {env.TEST_CAT_SECRET}
			}
			token_from query token
			token_from query cat
			token_from path
			LIMIT
		}
		root TESTDATA
		file_server
	}
}
`

func TestNoSpellingHasCountsOfItsOwn(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g, admin := adminGateway(t, strings.Replace(respelledSite, "LIMIT", "limit streams 1 by subject", 1))
	hosts := []string{"site.test:" + g.port, "site.test", "SITE.test:1", "site.test:443"}
	prefixes := []string{"/members", "/MEMBERS", "/%6dembers"}
	everywhere := func(t *testing.T, target string, status int, reason string) {
		t.Helper()
		for _, host := range hosts {
			for _, prefix := range prefixes {
				wantReply(t, host+prefix, g.get(t, prefix+target, "Host", host), status, reason)
			}
		}
	}
	manifest := "/demo/manifest.mpd?token=" + viewerToken(t, "viewer", nil)
	everywhere(t, manifest, 200, "")
	target := "http://" + g.addr + "/members" + manifest
	links := mpdLinks(t, target, g.mustGet(t, target, "Host", hosts[0]).body)
	g.mustGet(t, pathOf(t, linkTo(t, links, "media", "seg_1.m4s").url), "Host", hosts[0]) // the viewer's one stream
	everywhere(t, manifest, 429, "stream_limit")

	once := "/demo/manifest.mpd?cat=" + onceToken(t)
	wantReply(t, "a token for one use", g.get(t, "/members"+once, "Host", hosts[1]), 200, "")
	everywhere(t, once, 401, "token_replayed")

	_, res := g.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "tenant": "site.test/members", "for": "1h"})
	if res.status != http.StatusCreated {
		t.Fatalf("%d %s", res.status, res.body)
	}
	everywhere(t, manifest, 403, "revoked")
}

// TestBackendsAreToldOneTenant: an entitlement backend may switch on it, and counts by it.
func TestBackendsAreToldOneTenant(t *testing.T) {
	backend := &entitlementBackend{}
	backend.say(200, `{"allow":true}`, nil)
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g := startGateway(t, strings.Replace(respelledSite, "token_from query token\n", "entitlement "+backend.start(t)+"\n\t\t\ttoken_from query token\n", 1), "LIMIT", "")
	for i, at := range [][2]string{{"site.test:" + g.port, "/members"}, {"Site.test", "/Members"}, {"site.test:1", "/%6Dembers"}} {
		subject := "viewer-" + strconv.Itoa(i) // who is another question
		g.mustGet(t, at[1]+"/demo/manifest.mpd?token="+viewerToken(t, subject, nil), "Host", at[0])
		if told, asked := backend.last(); asked != i+1 || told["tenant"] != "site.test/members" {
			t.Errorf("%v: asked %d times, the last %v", at, asked, told)
		}
	}
}

// TestRevocationsInAnySpelling: who revokes may write the site as the configuration or a browser shows it.
func TestRevocationsInAnySpelling(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g, admin := adminGateway(t, strings.Replace(respelledSite, "LIMIT", "", 1))
	manifest := "/members/demo/manifest.mpd?token=" + viewerToken(t, "viewer", nil)
	for tenant, meant := range map[string]bool{
		"site.test/Members": true, "Site.test/members": true, "site.test/%6Dembers": true, "site.test:443/members": true, "site.test:" + g.port + "/MEMBERS": true,
		"site.test": false, "other.test/members": false, "site.test:1/members": false,
	} {
		entry, res := g.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "tenant": tenant, "for": "1h"})
		if res.status != http.StatusCreated {
			t.Fatalf("%d %s", res.status, res.body)
		}
		status, reason := http.StatusOK, ""
		if meant {
			status, reason = http.StatusForbidden, "revoked"
		}
		wantReply(t, tenant, g.get(t, manifest, "Host", "site.test:"+g.port), status, reason)
		g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
	}
}

func TestNoSpellingHasARateOfItsOwn(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g := startGateway(t, strings.Replace(respelledSite, "LIMIT", "limit requests 2 per 1h by subject", 1))
	manifest := "/demo/manifest.mpd?token=" + viewerToken(t, "viewer", nil)
	admitted := 0
	for _, host := range []string{"site.test", "site.test:1", "SITE.TEST:2"} {
		for _, prefix := range []string{"/members", "/memberS", "/%4dembers"} {
			if g.get(t, prefix+manifest, "Host", host).status == http.StatusOK {
				admitted++
			}
		}
	}
	if admitted != 2 {
		t.Errorf("%d requests were admitted, of 2", admitted)
	}
}

// TestNoPrefixOfTheViewers covers prefixes that Caddy cleans before it takes them off.
func TestNoPrefixOfTheViewers(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g := startGateway(t, strings.Replace(respelledSite, "LIMIT", "", 1))
	jwt := viewerToken(t, "viewer", nil)
	g.mustGet(t, "/members/demo/manifest.mpd?token="+jwt, "Host", "site.test")
	res := g.get(t, "/members/"+jwt+"/demo/manifest.mpd", "Host", "site.test")
	if to := res.header.Get("Location"); res.status != http.StatusFound || !strings.HasPrefix(to, "/members/demo/~s.") {
		t.Errorf("a token in the path: %d, to %s", res.status, to)
	}
	for _, target := range []string{
		"//members/T/demo/manifest.mpd", "//other.test/../members/T/demo/manifest.mpd", "/members//T/demo/manifest.mpd",
		"/members/T/demo//manifest.mpd", "/members/./T/demo/manifest.mpd", "/members/x/../T/demo/manifest.mpd",
		"/./members/T/demo/manifest.mpd", "/members/%2e%2e/members/T/demo/manifest.mpd", "/members/T//demo/manifest.mpd",
		"/x/../members/demo/manifest.mpd?token=T", "/members//demo/manifest.mpd?token=T", "/members/demo//manifest.mpd?token=T",
		"//members/demo/manifest.mpd?token=T", "/members/demo/./manifest.mpd?token=T", "/members/demo/x/../manifest.mpd?token=T",
	} {
		res := g.get(t, strings.ReplaceAll(target, "T", jwt), "Host", "site.test")
		if res.status != http.StatusNotFound || res.header.Get("Location") != "" {
			t.Errorf("%s: %d, to %q", target, res.status, res.header.Get("Location"))
		}
	}
}
