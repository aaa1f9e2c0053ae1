package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// tenantSite is one of two sites with the same titles, secret, viewers and keys of tokens.
const tenantSite = `http://NAME.test:PORT {
	drm {
		tenant NAME
		scheme cenc
		license_server clearkey
		token jwt {
			algorithms HS256
			secret {env.TEST_TOKEN_SECRET}
		}
		token cat {
			key k1 HS256 {env.TEST_CAT_SECRET}
		}
		limit streams 1 by subject
		limit requests 40 per 1h by subject
	}
	root TESTDATA
	file_server
}
`

// TestTenantsShareNoViewers covers row 43 for what came with tokens, limits and shared state: the shop signs for both sites, and still a
// session, a count, a used token and a revocation of the one are nothing to the other.
func TestTenantsShareNoViewers(t *testing.T) {
	t.Setenv("TEST_CAT_SECRET", testCATSecret)
	g, admin := adminGateway(t, strings.ReplaceAll(tenantSite, "NAME", "one")+strings.ReplaceAll(tenantSite, "NAME", "two"))
	at := func(tenant string) []string { return []string{"Host", tenant + ".test:" + g.port} }
	jwt := viewerToken(t, "viewer", nil)
	manifest := "/demo/manifest.mpd?token=" + jwt
	segmentOf := func(tenant string) string {
		t.Helper()
		target := "http://" + g.addr + manifest
		links := mpdLinks(t, target, g.mustGet(t, target, at(tenant)...).body)
		return pathOf(t, linkTo(t, links, "media", "seg_1.m4s").url)
	}
	one, two := segmentOf("one"), segmentOf("two")
	bodies := map[string]bool{}
	for tenant, segment := range map[string]string{"one": one, "two": two} { // each has the viewer's one stream
		bodies[string(g.mustGet(t, segment, at(tenant)...).body)] = true
	}
	if len(bodies) != 2 {
		t.Error("two tenants serve one ciphertext")
	}
	wantReply(t, "a second stream", g.get(t, manifest, at("one")...), 429, "stream_limit")
	wantReply(t, "one's address on two", g.get(t, one, at("two")...), 404, "not_found")
	session := sessionIn(t, "http://"+g.addr+one)
	wantReply(t, "one's session on two", g.get(t, "/demo/~s."+session+"/manifest.mpd", at("two")...), 401, "token_invalid")
	moved := strings.Replace(two, "~s."+sessionIn(t, "http://"+g.addr+two), "~s."+session, 1)
	wantReply(t, "one's session before two's seal", g.get(t, moved, at("two")...), 401, "token_invalid")

	t.Run("used tokens", func(t *testing.T) {
		once := "/demo/manifest.mpd?cat=" + onceToken(t)
		wantReply(t, "at one", g.get(t, once, at("one")...), 200, "")
		wantReply(t, "at one, again", g.get(t, once, at("one")...), 401, "token_replayed")
		wantReply(t, "at two", g.get(t, once, at("two")...), 200, "")
	})
	t.Run("revocations", func(t *testing.T) {
		entry, res := g.revoke(t, admin, map[string]any{"kind": "subject", "value": "viewer", "tenant": "one", "for": "1h"})
		if res.status != http.StatusCreated {
			t.Fatalf("%d %s", res.status, res.body)
		}
		wantReply(t, "at one", g.get(t, one, at("one")...), 403, "revoked")
		wantReply(t, "at two", g.get(t, two, at("two")...), 200, "")
		g.send(t, http.MethodDelete, "http://"+admin+"/drm/revocations/"+entry.ID)
	})
	t.Run("rates", func(t *testing.T) {
		refused := false
		for range 60 {
			refused = refused || g.get(t, one, at("one")...).reason() == "rate_limited"
		}
		if !refused {
			t.Error("no limit holds at one")
		}
		wantReply(t, "at two", g.get(t, two, at("two")...), 200, "")
	})
}

// TestWeakSecretsOfTokens covers the end of row 43: what is short, made up or public is refused when the configuration is loaded, whoever
// uses it.
func TestWeakSecretsOfTokens(t *testing.T) {
	t.Setenv("TEST_SHORT", "0123456789abcdef")
	t.Setenv("TEST_REPEATED", strings.Repeat("a", 40))
	g := newGateway(t)
	for kind, block := range map[string]string{
		"signed": "token signed {\n key {env.SECRET}\n}", "jwt": "token jwt {\n algorithms HS256\n secret {env.SECRET}\n}", "cat": "token cat {\n key HS256 {env.SECRET}\n}",
	} {
		for _, secret := range []string{"TEST_SHORT", "TEST_REPEATED", "TEST_UNSET"} {
			text := "http://:PORT {\n\tdrm {\n\tlicense_server clearkey\n" + strings.ReplaceAll(block, "SECRET", secret) + "\n}\n}\n"
			if err := g.tryLoad(globalBlock + text); err == nil || !strings.Contains(err.Error(), "token") {
				t.Errorf("%s with %s: %v", kind, secret, err)
			}
		}
	}
}
