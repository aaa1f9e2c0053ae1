package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestMistakesSayWhere: whoever has several sites and several kinds of token learns which one is meant.
func TestMistakesSayWhere(t *testing.T) {
	t.Setenv("TEST_SECRET", testSecretHex)
	g := newGateway(t)
	catalog := filepath.Join(g.dir, "bad.yaml")
	if err := os.WriteFile(catalog, []byte("titles:\n  - path: /a/\n    territories: ZZ\n    model: free\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const tokens = "license_server clearkey\ntoken signed {\n key {env.TEST_TOKEN_SECRET}\n}\n"
	for name, test := range map[string]struct {
		global, options string
		wants           []string
	}{
		"found with all read":         {"", tokens + "session path 1h {\n renew 2h\n}", []string{"session_renew", "in the drm block at Caddyfile:12"}},
		"found while it is made":      {"", "license_server clearkey\ntoken signed {\n leeway 1s\n}", []string{"token: signed: ", "key", "in the drm block at Caddyfile:12"}},
		"a key of one of several":     {"", tokens + "token bunny {\n key {env.TEST_NONE}\n}\ntoken_from query t", []string{"token: bunny: key 1", "TEST_NONE"}},
		"a kind that stands twice":    {"", tokens + "token signed {\n key {env.TEST_TOKEN_SECRET}\n}", []string{"token signed stands twice", "Caddyfile:17"}},
		"a vendor that stands twice":  {"", tokens + "token_from query t\n" + strings.Repeat("token bunny {\n key {env.TEST_TOKEN_SECRET}\n}\n", 2), []string{"token bunny stands twice", "Caddyfile:21"}},
		"a kind that does not exist":  {"", tokens + "token paseto", []string{`token "paseto"`, "akamai", "signed", "Caddyfile:17"}},
		"a session without a token":   {"", "license_server clearkey\nsession path 1h", []string{"session", "token_from", "entitlement"}},
		"a catalog":                   {"rights shop " + catalog, "license_server clearkey", []string{"rights.shop", catalog + ": line 2"}},
		"a subject behind a CDN":      {"", tokens + "limit requests 1 per 1s by subject\ndelivery behind_cdn", []string{"behind_cdn", "limit by subject or device"}},
		"a device behind a CDN":       {"", tokens + "limit requests 9 per 1s\nlimit requests 1 per 1s by device\ndelivery behind_cdn", []string{"behind_cdn", "limit by subject or device"}},
		"a short form behind a CDN":   {"", tokens + "limit 1 per 1s by device\ndelivery behind_cdn", []string{"behind_cdn", "limit by subject or device"}},
		"an address behind a CDN, so": {"", tokens + "limit requests 1 per 1s by address\ndelivery behind_cdn", nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := validateText(g.replace.Replace("{\n\tadmin off\n\tdrm {\n\t\tsecret {env.TEST_SECRET}\n\t\t" + test.global + "\n\t}\n}\n\nhttp://:PORT {\n\troot /tmp\n\n\tdrm {\n" +
				test.options + "\n\t}\n\tfile_server\n}\n"))
			if test.wants == nil && err != nil {
				t.Fatal(err)
			}
			for _, want := range test.wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

// validateText is `caddy validate` of a Caddyfile of that name.
func validateText(text string) error {
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(adapted, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}
