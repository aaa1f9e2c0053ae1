package drm

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestSKDTemplate(t *testing.T) {
	values := SKD{KID: testKID, Asset: "/vod/a b\"ü/", Group: "premium", IV: [16]byte{15: 0xab}}
	for template, want := range map[string]string{
		"":                              "skd://0123456789abcdef0123456789abcdef",
		"skd://{kid}":                   "skd://0123456789abcdef0123456789abcdef",
		"skd://{kid}:{iv}":              "skd://0123456789abcdef0123456789abcdef:000000000000000000000000000000ab",
		"skd://drm.example{asset}{kid}": "skd://drm.example/vod/a%20b%22%C3%BC/0123456789abcdef0123456789abcdef",
	} {
		parsed := SKDTemplate{}
		if template != "" {
			var err error
			if parsed, err = ParseSKDTemplate(template); err != nil {
				t.Errorf("%s: %v", template, err)
				continue
			}
		}
		if got := parsed.URI(values); got != want || got != parsed.URI(values) {
			t.Errorf("%s: %s, want %s", template, got, want)
		}
	}
	for name, template := range map[string]string{
		"nothing":                       "",
		"another scheme":                "https://x/{kid}",
		"no name of a key":              "skd://x/{group}/{iv}",
		"a placeholder of a viewer":     "skd://{kid}?u={subject}",
		"a placeholder of Caddy":        "skd://{kid}/{http.request.remote}",
		"a quote, which ends a string":  `skd://{kid}",KEYFORMAT="x`,
		"a line break":                  "skd://{kid}\n",
		"a space":                       "skd://{kid} x",
		"a letter that is not ASCII":    "skd://ü/{kid}",
		"an ampersand":                  "skd://x?g={group}&k={kid}",
		"a placeholder that is not one": "skd://{kid}/{KID}",
		"very long":                     "skd://{kid}" + strings.Repeat("x", maxSKDTemplate),
	} {
		if parsed, err := ParseSKDTemplate(template); !errors.Is(err, ErrSKDTemplate) || parsed != (SKDTemplate{}) {
			t.Errorf("%s: %v, %v; want ErrSKDTemplate", name, parsed, err)
		}
	}
	byAsset, err := ParseSKDTemplate("skd://{asset}")
	if err != nil || byAsset.NamesKey() || !(SKDTemplate{}).NamesKey() {
		t.Errorf("only templates with {kid} change with the key: %v", err)
	}
}

func FuzzParseSKDTemplate(f *testing.F) {
	f.Add("skd://{kid}:{iv}", "/vod/", "g")
	f.Add("skd://x{asset}", "\"\n", "{kid}")
	uri := regexp.MustCompile(`^skd://[-A-Za-z0-9._~:/?#\[\]@!$()*+,;=%]*$`)
	f.Fuzz(func(t *testing.T, text, asset, group string) {
		parsed, err := ParseSKDTemplate(text)
		if err != nil {
			return
		}
		if got := parsed.URI(SKD{KID: testKID, Asset: asset, Group: group}); !uri.MatchString(got) {
			t.Errorf("%q makes %q", text, got)
		}
	})
}
