// Package docs_test holds the documentation to the code: every configuration in it is adapted and provisioned, every
// reason, option and metric of the code is in it, and every link leads somewhere.
package docs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	// Caddy's standard modules, and ours.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-drm/caddy-drm"
)

// Configurations name files from the root of the module.
func TestMain(m *testing.M) {
	storage, err := os.MkdirTemp("", "caddy-drm-docs-")
	if err != nil {
		panic(err)
	}
	caddy.DefaultStorage.Path = storage // its own, and not that of whoever runs the tests
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(storage)
	os.Exit(status)
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Fatalf("only %q were found", files)
	}
	for _, file := range append(files, "Caddyfile.example") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			provision(t, adapt(t, string(read(t, file))))
		})
	}
}

// TestBlocks provisions every fenced block of the documentation that is a Caddyfile or a part of one. A JSON block behind
// one says what it adapts to.
func TestBlocks(t *testing.T) {
	blocks := 0
	for _, page := range pages(t) {
		last := ""
		for _, b := range fencedBlocks(t, page) {
			switch {
			case b.language == "caddyfile":
				blocks++
				last = complete(b.text)
				t.Run(b.name(page), func(t *testing.T) {
					if formatted := caddyfile.Format([]byte(b.text)); !bytes.Equal(formatted, []byte(b.text)) {
						t.Errorf("not formatted; want\n%s", formatted)
					}
					provision(t, adapt(t, complete(b.text)))
				})
			case b.language == "json" && last != "":
				config := last
				t.Run(b.name(page), func(t *testing.T) { checkHandlerJSON(t, config, b.text) })
			}
			if b.language != "caddyfile" {
				last = ""
			}
		}
	}
	if blocks < 10 {
		t.Errorf("only %d blocks were found: the test reads them wrongly", blocks)
	}
}

// checkHandlerJSON checks that config adapts to a handler, or an app, that is want.
func checkHandlerJSON(t *testing.T, config, want string) {
	var adapted, wanted any
	if err := json.Unmarshal(adapt(t, config), &adapted); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(withFixtures(t, want)), &wanted); err != nil {
		t.Fatal(err)
	}
	if !holds(adapted, wanted) {
		t.Errorf("the configuration adapts to other JSON:\n%s", adapt(t, config))
	}
}

// holds reports whether want is v, or a part of it.
func holds(v, want any) bool {
	if reflect.DeepEqual(v, want) {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if holds(member, want) {
				return true
			}
		}
	case []any:
		for _, element := range v {
			if holds(element, want) {
				return true
			}
		}
	}
	return false
}

// adapt returns the JSON of a Caddyfile, which must give no warning: one is that it is not formatted.
func adapt(t *testing.T, text string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(withFixtures(t, text)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("adapting: %v\n%s", err, text)
	}
	for _, warning := range warnings {
		t.Errorf("adapting: line %d: %s", warning.Line, warning.Message)
	}
	return config
}

// provision loads a configuration without starting it, as `caddy validate` does, on a storage of its own.
func provision(t *testing.T, config []byte) {
	t.Helper()
	t.Setenv("DRM_SECRET", "test-secret-of-the-documentation-0123456789")
	t.Setenv("PULL_SECRET", "test-pull-secret-of-the-documentation-01")
	t.Setenv("REDIS_PASSWORD", "test-password-of-the-documentation")
	t.Setenv("TOKEN_SECRET", "test-key-of-the-documentation-0123456789abc")
	t.Setenv("KEY_SERVER_TOKEN", "test-token-of-the-documentation-0123456789")
	t.Setenv("WIDEVINE_KEY", strings.Repeat("1f", 32))
	t.Setenv("WIDEVINE_IV", strings.Repeat("2e", 16))
	t.Setenv("AXINOM_KEY", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	t.Setenv("DOVERUNNER_SITE_KEY", strings.Repeat("s", 32))
	t.Setenv("DOVERUNNER_ACCESS_KEY", strings.Repeat("a", 32))
	t.Setenv("DRMTODAY_SECRET", strings.Repeat("5e", 64))
	var parsed caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &parsed); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&parsed); err != nil {
		t.Errorf("validating: %v", err)
	}
}

// fixtures are the files that pages name as an operator would, and what stands in for them.
var fixtures = map[string]string{
	"/etc/caddy/country.mmdb":         "testdata/geo/example-country.mmdb",
	"/etc/caddy/city.mmdb":            "testdata/geo/example-city.mmdb",
	"/etc/caddy/asn.mmdb":             "testdata/geo/example-asn.mmdb",
	"/etc/caddy/anonymous.mmdb":       "testdata/geo/example-anonymous.mmdb",
	"/etc/caddy/jwks.json":            "examples/jwks.json",
	"/etc/caddy/shop.pem":             "examples/shop.pem",
	"/etc/caddy/keys.json":            "examples/static-keys.json",
	"/etc/caddy/rights.yaml":          "examples/rights.yaml",
	"/etc/caddy/cloudfront.pem":       "testdata/tokens/cloudfront.pem",
	"/etc/caddy/recipient.pem":        "keysource/cpix/testdata/recipient.pem",
	"/etc/caddy/gateway.pem":          "keysource/cpix/testdata/recipient.pem",
	"/etc/caddy/ca.pem":               "keysource/cpix/testdata/signer.pem",
	"/etc/caddy/fairplay.pem":         "keysource/cpix/testdata/signer.pem",
	"/etc/caddy/signer.pem":           "keysource/cpix/testdata/signer.pem",
	"/etc/caddy/keys.cpix":            "keysource/cpix/testdata/encrypted.xml",
	"{file./run/secrets/akamai-key}":  "{file.testdata/tokens/akamai.key}",
	"/run/secrets/recipient-key":      "keysource/cpix/testdata/recipient.key",
	"/run/secrets/gateway-key":        "keysource/cpix/testdata/recipient.key",
	"{file./run/secrets/vendor-key}":  "{env.TOKEN_SECRET}",
	"{file./run/secrets/drm}":         "{env.DRM_SECRET}",
	"{file./run/secrets/signing-key}": "{env.TOKEN_SECRET}",
	"{file./run/secrets/pull}":        "{env.TOKEN_SECRET}",
	"{file./run/secrets/next-key}":    "{file.testdata/tokens/signed.key}",
}

func withFixtures(t *testing.T, text string) string {
	for name, stand := range fixtures {
		text = strings.ReplaceAll(text, name, stand)
	}
	if strings.Contains(text, "/etc/") || strings.Contains(text, "/run/") {
		t.Errorf("a file has no stand-in:\n%s", text)
	}
	return text
}

var (
	firstWord = regexp.MustCompile(`(?m)^\s*([^\s#]\S*)`)
	// siteWords are directives, which stand in a site; everything else that is neither an address nor a global block is an
	// option of drm.
	siteWords = map[string]bool{"drm": true, "drm_player": true, "drm_key_server": true, "log": true, "handle": true, "handle_path": true, "root": true}
)

// complete makes a whole configuration of a part of one.
func complete(text string) string {
	word := firstWord.FindStringSubmatch(text)[1]
	switch {
	case word == "{" || strings.ContainsAny(word, ".:("):
		return text
	case siteWords[word]:
		return site(text)
	}
	block := "drm {\n" + indent(text)
	if !strings.Contains(text, "license_server ") {
		block += "\tlicense_server clearkey\n"
	}
	return site(block + "}\n")
}

func site(text string) string {
	global := "{\n\tdrm {\n\t\tgeo_database country /etc/caddy/country.mmdb\n\t}\n}\n\n"
	return global + "http://localhost {\n" + indent(text) + "\tfile_server\n}\n"
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteByte('\t')
		}
		b.WriteString(line)
	}
	return b.String()
}
