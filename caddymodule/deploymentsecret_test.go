package caddymodule

import (
	"slices"
	"strings"
	"testing"
)

// TestTheDeploymentSecretStaysAtHome: a CDN, a shop, a license server or another gateway that is told the deployment secret can derive all
// keys. It is refused wherever the configuration names another secret, also under another name.
func TestTheDeploymentSecretStaysAtHome(t *testing.T) {
	t.Setenv("TEST_SAME_SECRET", testSecretHex)
	g := newGateway(t)
	for name, options := range map[string]string{
		"the CDN's":           "delivery behind_cdn {\n pull_auth header X-Pull {SECRET}\n}",
		"the CDN's, basic":    "delivery behind_cdn {\n pull_auth basic cdn {SECRET}\n}",
		"of signed prefixes":  "token signed {\n key {SECRET}\n}",
		"of JWTs":             "token jwt {\n algorithms HS256\n secret {SECRET}\n}",
		"of CATs":             "token cat {\n key k1 HS256 {SECRET}\n}",
		"of signed URLs":      "token secure_link {\n expression \"{secret}{path}{expires}\"\n key {SECRET}\n}",
		"of a key server":     "keys speke https://keys.example.com/ {\n bearer {SECRET}\n}",
		"of a license server": "group wide\nlicense_server widevine https://license.example.com/ {\n header X-Key {SECRET}\n}",
	} {
		for _, placeholder := range []string{"env.TEST_DRM_SECRET", "env.TEST_SAME_SECRET"} {
			err := validateCaddyfile(t, g, "group wide {\n systems clearkey widevine\n}", "license_server clearkey\n"+strings.ReplaceAll(options, "SECRET", placeholder), [2]string{})
			if err == nil || !strings.Contains(err.Error(), "deployment secret") || strings.Contains(err.Error(), testSecretHex) {
				t.Errorf("%s, %s: %v", name, placeholder, err)
			}
		}
	}
	if err := validateCaddyfile(t, g, "", "license_server clearkey\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}", [2]string{}); err != nil {
		t.Error(err)
	}
}

// twoSecretSites are one with a token secret and one with a deployment secret of its own.
func twoSecretSites(tokenSecret, siteSecret string, reversed bool) string {
	sites := []string{
		"http://a.test:PORT {\n\tdrm {\n\t\tlicense_server clearkey\n\t\ttoken signed {\n\t\t\tkey {env." + tokenSecret + "}\n\t\t}\n\t}\n}\n",
		"http://b.test:PORT {\n\tdrm {\n\t\tlicense_server clearkey\n\t\tsecret {env." + siteSecret + "}\n\t}\n}\n",
	}
	if reversed {
		slices.Reverse(sites)
	}
	return globalBlock + strings.Join(sites, "")
}

// TestTheDeploymentSecretInAnyOrder: whether a configuration is refused depends neither on the order of its sites nor on what ran before: what
// starts reloads, and what does not start does not reload.
func TestTheDeploymentSecretInAnyOrder(t *testing.T) {
	t.Setenv("TEST_SITE_SECRET", testOtherSecret)
	g := newGateway(t)
	refused := func(what, text string) {
		t.Helper()
		if err := g.tryLoad(text); err == nil || !strings.Contains(err.Error(), "deployment secret") || strings.Contains(err.Error(), testOtherSecret) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, reversed := range []bool{false, true} {
		refused("at start", twoSecretSites("TEST_SITE_SECRET", "TEST_SITE_SECRET", reversed))
		good := twoSecretSites("TEST_TOKEN_SECRET", "TEST_SITE_SECRET", reversed)
		g.load(t, good)
		refused("at a reload", twoSecretSites("TEST_SITE_SECRET", "TEST_SITE_SECRET", reversed))
		g.load(t, good)
	}
	// What was the deployment secret of another configuration is that of nobody any more.
	g.load(t, twoSecretSites("TEST_SITE_SECRET", "TEST_DRM_SECRET", false))
	g.load(t, twoSecretSites("TEST_SITE_SECRET", "TEST_DRM_SECRET", true))
	g.load(t, twoSecretSites("TEST_TOKEN_SECRET", "TEST_SITE_SECRET", true))
}
